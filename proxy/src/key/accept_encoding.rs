//! `Accept-Encoding` (RFC 9110 §12.5.3), reduced to the codings that we know, in one order.
//!
//! The field is forwarded in this form, so that the key holds the value that the origin sees.

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};

/// Reduces `Accept-Encoding` to those of `CODINGS` that it accepts; a field that refuses `identity`
/// is left alone.
///
/// The differences between browsers become eight variants at most. For requests whose response may
/// be stored.
pub fn normalize_accept_encoding(fields: &mut HeaderMap) {
    match canonical(fields) {
        None => {}
        Some("") => {
            fields.remove(ACCEPT_ENCODING);
        }
        Some(text) => {
            fields.insert(ACCEPT_ENCODING, HeaderValue::from_static(text));
        }
    }
}

/// Returns the codings that are accepted, none of ours without the field, or `None` where it has to
/// stay as it is.
pub(super) fn canonical(fields: &HeaderMap) -> Option<&'static str> {
    let mut accepted = [false; CODINGS.len()];
    let lines = fields.get_all(ACCEPT_ENCODING).iter();
    for member in lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')) {
        let (coding, weight) = coding_and_weight(member);
        let is_refused = weight == Weight::Zero;
        if is_refused && (coding.eq_ignore_ascii_case(b"identity") || coding == b"*") {
            return None;
        }
        for (known, flag) in CODINGS.iter().zip(&mut accepted) {
            if coding.eq_ignore_ascii_case(known.as_bytes()) {
                *flag = !is_refused;
            }
        }
    }
    let index = accepted.iter().fold(0, |index, flag| index * 2 + usize::from(*flag));
    CANONICAL.get(index).copied()
}

/// Returns the member of a list of ranges without its parameters, and whether its weight is above
/// zero.
pub(super) fn member(text: &[u8]) -> (&[u8], bool) {
    let (range, weight) = coding_and_weight(text);
    (range, weight == Weight::Positive)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    Zero,
    Positive,
}

fn coding_and_weight(member: &[u8]) -> (&[u8], Weight) {
    let mut parts = member.split(|byte| *byte == b';');
    let coding = parts.next().unwrap_or_default().trim_ascii();
    let is_zero = parts.any(|parameter| {
        let parameter = parameter.trim_ascii();
        let mut halves = parameter.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
        let value = halves
            .next()
            .filter(|name| name.eq_ignore_ascii_case(b"q"))
            .and_then(|_| halves.next());
        value.is_some_and(|value| {
            !value.is_empty() && value.iter().all(|byte| matches!(byte, b'0' | b'.'))
        })
    });
    (coding, if is_zero { Weight::Zero } else { Weight::Positive })
}

/// The content codings that we tell apart, in the order of [`CANONICAL`].
const CODINGS: [&str; 3] = ["br", "gzip", "zstd"];

/// The value forwarded for each set of accepted codings; the index has a bit for each of
/// [`CODINGS`], the first the highest.
const CANONICAL: [&str; 8] =
    ["", "zstd", "gzip", "gzip, zstd", "br", "br, zstd", "br, gzip", "br, gzip, zstd"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_encoding_becomes_one_of_eight() {
        for (given, canonical) in [
            ("gzip, deflate, br, zstd", Some("br, gzip, zstd")),
            ("GZIP;q=0.5, br;q=1.0", Some("br, gzip")),
            ("gzip;q=0, br", Some("br")),
            ("gzip;q=0.000", None),
            ("deflate", None),
            ("identity;q=0, gzip", Some("identity;q=0, gzip")),
            ("gzip", Some("gzip")),
        ] {
            let mut request = HeaderMap::new();
            request.insert(ACCEPT_ENCODING, HeaderValue::from_static(given));
            normalize_accept_encoding(&mut request);
            assert_eq!(
                request.get(ACCEPT_ENCODING).map(|value| value.to_str().unwrap()),
                canonical,
                "{given}"
            );
        }
    }
}
