//! Gzip (RFC 1952), decompressed up to a limit: sitemaps are files of strangers, and a small one
//! may swell a thousandfold.

use std::io::Read as _;

use flate2::bufread::MultiGzDecoder;

#[derive(Debug, thiserror::Error)]
pub(super) enum GzipError {
    /// It is damaged, cut short, or followed by something else.
    #[error("it cannot be decompressed: {0}")]
    Damaged(#[from] std::io::Error),
    /// It is larger than it may be.
    #[error("it is more than {0} bytes when it is decompressed")]
    TooLarge(usize),
}

/// Returns whether content begins as gzip does. No text and no XML does.
pub(super) fn is_gzip(content: &[u8]) -> bool {
    content.starts_with(&MAGIC)
}

/// Decompresses all members, one after another (RFC 1952 §2.2), to at most `bytes_max`.
pub(super) fn decompressed(content: &[u8], bytes_max: usize) -> Result<Vec<u8>, GzipError> {
    let mut bytes = Vec::new();
    let limit = bytes_max as u64 + 1;
    MultiGzDecoder::new(content).take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(GzipError::TooLarge(bytes_max));
    }
    Ok(bytes)
}

/// ID1 and ID2 (RFC 1952 §2.3.1).
const MAGIC: [u8; 2] = [0x1f, 0x8b];

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::{any, proptest};

    use super::*;

    fn compressed(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn all_members_are_read_up_to_the_limit() {
        let two = [compressed(b"one "), compressed(b"two")].concat();
        assert!(is_gzip(&two));
        assert_eq!(decompressed(&two, 7).unwrap(), b"one two");
        let error = decompressed(&two, 6).unwrap_err();
        assert_eq!(error.to_string(), "it is more than 6 bytes when it is decompressed");
    }

    #[test]
    fn content_that_swells_ends_at_the_limit() {
        let bomb = compressed(&vec![b' '; 64 << 20]);
        assert!(bomb.len() < 1 << 17);
        let error = decompressed(&bomb, 1 << 20).unwrap_err();
        assert!(matches!(error, GzipError::TooLarge(_)), "{error}");
    }

    #[test]
    fn a_damaged_or_truncated_member_is_an_error() {
        let whole = compressed(b"<urlset/>");
        for cut in 2..whole.len() {
            let error = decompressed(&whole[..cut], 100).unwrap_err();
            assert!(matches!(error, GzipError::Damaged(_)), "{cut}: {error}");
        }
        let mut wrong = whole;
        let checksum = wrong.len() - 8;
        wrong[checksum] ^= 1;
        assert!(decompressed(&wrong, 100).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_after_the_magic_are_read_or_refused(tail in any::<Vec<u8>>()) {
            let content = [&MAGIC[..], &tail].concat();
            drop(decompressed(&content, 1 << 16));
        }
    }
}
