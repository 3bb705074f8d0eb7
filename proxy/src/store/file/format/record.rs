//! The format of `store.dat`: fixed structures, their places and checksums. All numbers are
//! little-endian.
//!
//! ```text
//! store.dat   superblock A, 4 KiB | superblock B, 4 KiB | pad to 64 KiB | segment 0 | segment 1 | ... | end, 4 KiB: `device/trusted`
//! segment     header, 4 KiB | records, 64 B aligned | ... free ... | postings | filter | extent lists | entries, 40 B each | trailer, 64 B
//! record      header, 64 B | meta: crc32c of each 64 KiB block of the body, then what `head` describes | body | pad to 64 B
//! ```
//!
//! The crc of a record's header covers the header, which holds the crc of the meta, which holds
//! those of the body. Each record names the incarnation of its segment (`lsn`, never used again),
//! so that what is left of an earlier one is recognised.
//!
//! `footer` draws the part between the last record of a complete segment and its trailer.

use std::ops::Range;

use super::codec::{Cursor, Put as _};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// A stored response: its head, and its body or the list of its extents.
    Response,
    /// A part of the body of a large response.
    Extent,
}

/// The first 64 bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: RecordKind,
    pub(crate) lsn: u64,
    /// Rises with each response that is stored: the highest of a key and variant is the newest.
    pub(crate) version: u64,
    pub(crate) born: u64,
    pub(crate) key_hash: u64,
    pub(crate) meta_bytes: u32,
    pub(crate) body_bytes: u32,
    /// The second since 1970 from which on it is useless.
    pub(crate) expires: u32,
    /// 32 bits of the hash of its variant, zero when it does not vary.
    pub(crate) variant: u32,
    pub(crate) meta_crc: u32,
}

impl RecordHeader {
    pub(crate) fn encode(&self) -> [u8; RECORD_HEADER_BYTES] {
        let mut rest = Vec::with_capacity(RECORD_HEADER_BYTES - 8);
        for word in [self.lsn, self.version, self.born, self.key_hash] {
            rest.put_u64(word);
        }
        for word in [self.meta_bytes, self.body_bytes, self.expires, self.variant, self.meta_crc] {
            rest.put_u32(word);
        }
        rest.put_u32(match self.kind {
            RecordKind::Response => 1,
            RecordKind::Extent => 2,
        });
        sealed(RECORD_MAGIC, &rest)
    }

    /// Reads a header; `None`: there is none, or it is damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = unsealed::<RECORD_HEADER_BYTES>(RECORD_MAGIC, bytes)?;
        let [lsn, version, born, key_hash] = [rest.u64()?, rest.u64()?, rest.u64()?, rest.u64()?];
        let [meta_bytes, body_bytes] = [rest.u32()?, rest.u32()?];
        let [expires, variant, meta_crc] = [rest.u32()?, rest.u32()?, rest.u32()?];
        let kind = match rest.u32()? {
            1 => RecordKind::Response,
            2 => RecordKind::Extent,
            _ => return None,
        };
        let is_sound = meta_bytes <= META_BYTES_MAX && body_bytes <= EXTENT_BYTES_MAX;
        is_sound.then_some(Self {
            kind,
            lsn,
            version,
            born,
            key_hash,
            meta_bytes,
            body_bytes,
            expires,
            variant,
            meta_crc,
        })
    }

    /// Returns the bytes of the whole record, without the padding.
    pub(crate) const fn record_bytes(&self) -> u64 {
        RECORD_HEADER_BYTES as u64 + self.meta_bytes as u64 + self.body_bytes as u64
    }

    /// Returns the bytes from the start of the record to its body.
    pub(crate) const fn body_start(&self) -> u64 {
        RECORD_HEADER_BYTES as u64 + self.meta_bytes as u64
    }

    /// Returns the bytes of the table of checksums with which the meta begins.
    pub(crate) const fn table_bytes(&self) -> u64 {
        blocks_of(self.body_bytes as u64) * 4
    }
}

/// Segments are filled with what is alike: newcomers, what has proved itself, parts of large
/// bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Probation,
    Main,
    Large,
}

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) store: u64,
    pub(crate) number: u32,
    pub(crate) class: u32,
    pub(crate) lsn: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SMALL_BYTES] {
        let mut rest = Vec::with_capacity(SMALL_BYTES);
        rest.put_u64(self.store);
        rest.put_u32(self.number);
        rest.put_u32(self.class);
        rest.put_u64(self.lsn);
        sealed(SEGMENT_MAGIC, &rest)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = unsealed::<SMALL_BYTES>(SEGMENT_MAGIC, bytes)?;
        Some(Self { store: rest.u64()?, number: rest.u32()?, class: rest.u32()?, lsn: rest.u64()? })
    }
}

/// The last bytes of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) lsn: u64,
    pub(crate) max_version: u64,
    pub(crate) count: u32,
    pub(crate) crc: u32,
    /// Bytes of the segment up to the end of its last record.
    pub(crate) tail: u32,
    pub(crate) filter_bytes: u32,
    pub(crate) list_bytes: u32,
    pub(crate) posting_bytes: u32,
    pub(crate) posting_crc: u32,
}

impl Trailer {
    pub(crate) fn encode(&self) -> [u8; SMALL_BYTES] {
        let mut rest = Vec::with_capacity(SMALL_BYTES);
        rest.put_u64(self.lsn);
        rest.put_u64(self.max_version);
        for word in [self.count, self.crc, self.tail] {
            rest.put_u32(word);
        }
        for word in [self.filter_bytes, self.list_bytes, self.posting_bytes, self.posting_crc] {
            rest.put_u32(word);
        }
        sealed(TRAILER_MAGIC, &rest)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = unsealed::<SMALL_BYTES>(TRAILER_MAGIC, bytes)?;
        Some(Self {
            lsn: rest.u64()?,
            max_version: rest.u64()?,
            count: rest.u32()?,
            crc: rest.u32()?,
            tail: rest.u32()?,
            filter_bytes: rest.u32()?,
            list_bytes: rest.u32()?,
            posting_bytes: rest.u32()?,
            posting_crc: rest.u32()?,
        })
    }

    /// Returns the range of filter, extent lists and entries in a segment of this size, or `None`
    /// if they do not fit.
    pub(super) fn contents(&self, segment_bytes: u64) -> Option<Range<u64>> {
        let entries = u64::from(self.count) * FOOTER_ENTRY_BYTES as u64;
        let length = entries + u64::from(self.filter_bytes) + u64::from(self.list_bytes);
        let end = segment_bytes.checked_sub(SMALL_BYTES as u64)?;
        Some(end.checked_sub(length)?..end)
    }

    pub(super) fn postings(&self, segment_bytes: u64) -> Option<Range<u64>> {
        let end = self.contents(segment_bytes)?.start;
        Some(end.checked_sub(u64::from(self.posting_bytes))?..end)
    }
}

/// The entry of one response in the footer of its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FooterEntry {
    pub(crate) key_hash: u64,
    pub(crate) version: u64,
    pub(crate) born: u64,
    /// Start of the record in the segment, in units of [`UNIT`].
    pub(crate) offset: u32,
    pub(crate) units: u16,
    pub(crate) is_large: bool,
    pub(crate) expires: u32,
    pub(crate) variant: u32,
}

impl FooterEntry {
    /// Returns the entry of a record at this offset, of this length, both in units.
    pub(crate) const fn of(
        header: &RecordHeader,
        (offset, units): (u32, u16),
        is_large: bool,
    ) -> Self {
        Self {
            key_hash: header.key_hash,
            version: header.version,
            born: header.born,
            offset,
            units,
            is_large,
            expires: header.expires,
            variant: header.variant,
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for word in [self.key_hash, self.version, self.born] {
            out.put_u64(word);
        }
        out.put_u32(self.offset);
        out.put_u16(self.units);
        out.put_u16(u16::from(self.is_large));
        out.put_u32(self.expires);
        out.put_u32(self.variant);
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<Self> {
        Some(Self {
            key_hash: cursor.u64()?,
            version: cursor.u64()?,
            born: cursor.u64()?,
            offset: cursor.u32()?,
            units: cursor.u16()?,
            is_large: cursor.u16()? & 1 == 1,
            expires: cursor.u32()?,
            variant: cursor.u32()?,
        })
    }
}

/// Converts an offset in units to bytes from the beginning of the segment.
pub(crate) const fn bytes_of(offset: u32) -> u64 {
    offset as u64 * UNIT
}

pub(crate) const fn short(version: u64) -> u32 {
    (version & 0xffff_ffff) as u32
}

/// Puts magic and checksum before what follows, and zeros behind it.
fn sealed<const N: usize>(magic: u32, rest: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    if let Some(place) = bytes.get_mut(8..8 + rest.len()) {
        place.copy_from_slice(rest);
    }
    let crc = crc32c::crc32c(bytes.get(8..).unwrap_or_default());
    let head = [magic.to_le_bytes(), crc.to_le_bytes()].concat();
    if let Some(place) = bytes.get_mut(..8) {
        place.copy_from_slice(&head);
    }
    bytes
}

/// Checks magic and checksum and returns what is behind them.
fn unsealed<const N: usize>(magic: u32, bytes: &[u8]) -> Option<Cursor<'_>> {
    let mut cursor = Cursor(bytes.get(..N)?);
    if cursor.u32()? != magic {
        return None;
    }
    let crc = cursor.u32()?;
    (crc32c::crc32c(cursor.0) == crc).then_some(cursor)
}

/// Reads every structure for a fuzzer. What is read is written as it was read.
pub(crate) fn read_any(bytes: &[u8]) {
    let rest = bytes.get(..SMALL_BYTES - 8).unwrap_or(bytes);
    for record in [bytes, &sealed::<RECORD_HEADER_BYTES>(RECORD_MAGIC, rest)] {
        let header = RecordHeader::decode(record);
        assert!(header.is_none_or(|it| record.starts_with(&it.encode())));
    }
    for segment in [bytes, &sealed::<SMALL_BYTES>(SEGMENT_MAGIC, rest)] {
        let header = SegmentHeader::decode(segment);
        assert!(header.is_none_or(|it| SegmentHeader::decode(&it.encode()) == header));
    }
    for end in [bytes, &sealed::<SMALL_BYTES>(TRAILER_MAGIC, rest)] {
        let trailer = Trailer::decode(end);
        assert!(trailer.is_none_or(|it| Trailer::decode(&it.encode()) == trailer));
    }
    let mut cursor = Cursor(bytes);
    while let Some(entry) = FooterEntry::decode(&mut cursor) {
        let mut again = Vec::new();
        entry.encode(&mut again);
        assert!(FooterEntry::decode(&mut Cursor(&again)) == Some(entry));
    }
}

/// Appends the checksums of a body's blocks, with which the meta begins.
pub(crate) fn push_block_checksums<'a>(meta: &mut Vec<u8>, body: impl Iterator<Item = &'a [u8]>) {
    let (mut crc, mut filled) = (0, 0);
    for mut piece in body {
        while !piece.is_empty() {
            let (block, rest) = piece.split_at(piece.len().min(BLOCK_BYTES - filled));
            crc = crc32c::crc32c_append(crc, block);
            filled += block.len();
            piece = rest;
            if filled == BLOCK_BYTES {
                meta.put_u32(crc);
                (crc, filled) = (0, 0);
            }
        }
    }
    if filled > 0 {
        meta.put_u32(crc);
    }
}

/// Returns whether bytes that begin at a block are what the table says, the last block perhaps
/// shorter.
pub(crate) fn blocks_match(table: &[u8], first_block: usize, bytes: &[u8]) -> bool {
    let Some(table) = table.get(first_block * 4..) else { return false };
    let mut checksums = Cursor(table);
    bytes.chunks(BLOCK_BYTES).all(|block| checksums.u32() == Some(crc32c::crc32c(block)))
}

pub(crate) const fn blocks_of(body_bytes: u64) -> u64 {
    body_bytes.div_ceil(BLOCK_BYTES as u64)
}

pub(crate) const fn units_of(bytes: u64) -> u64 {
    bytes.div_ceil(UNIT)
}

pub(crate) const UNIT: u64 = 64;
pub(crate) const RECORD_HEADER_BYTES: usize = 64;
pub(crate) const SMALL_BYTES: usize = 64;
pub(crate) const FOOTER_ENTRY_BYTES: usize = 40;
/// The part of a segment before its first record.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 4096;
/// Each so many bytes of a body have a checksum of their own: a range is verified without the rest.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;
/// Heads that are larger are not kept in the file.
pub(crate) const META_BYTES_MAX: u32 = 512 << 10;
pub(crate) const EXTENT_BYTES_MAX: u32 = 4 << 20;
pub(crate) const SEGMENTS_START: u64 = 64 << 10;
const RECORD_MAGIC: u32 = 0x6365_7253; // "Srec"
const SEGMENT_MAGIC: u32 = 0x6765_7353; // "Sseg"
const TRAILER_MAGIC: u32 = 0x646e_6553; // "Send"

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_record_header_is_read_back_and_no_flipped_bit_goes_unnoticed(
            words in any::<[u64; 4]>(), sizes in (0..META_BYTES_MAX, 0..EXTENT_BYTES_MAX),
            rest in any::<[u32; 3]>(), is_extent in any::<bool>(), bit in 0..512_usize,
        ) {
            let [lsn, version, born, key_hash] = words;
            let [expires, variant, meta_crc] = rest;
            let kind = if is_extent { RecordKind::Extent } else { RecordKind::Response };
            let (meta_bytes, body_bytes) = sizes;
            let header = RecordHeader {
                kind, lsn, version, born, key_hash, meta_bytes, body_bytes, expires, variant, meta_crc,
            };
            let mut bytes = header.encode();
            prop_assert_eq!(RecordHeader::decode(&bytes), Some(header));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(RecordHeader::decode(&bytes), None);
        }

        #[test]
        fn segment_headers_and_trailers_are_read_back(
            words in any::<[u64; 2]>(), rest in any::<[u32; 3]>(), more in any::<[u32; 4]>(),
        ) {
            let [lsn, store] = words;
            let [number, class, tail] = rest;
            let header = SegmentHeader { store, number, class, lsn };
            prop_assert_eq!(SegmentHeader::decode(&header.encode()), Some(header));
            let [filter_bytes, list_bytes, posting_bytes, posting_crc] = more;
            let trailer = Trailer {
                lsn, max_version: store, count: number, crc: class, tail,
                filter_bytes, list_bytes, posting_bytes, posting_crc,
            };
            prop_assert_eq!(Trailer::decode(&trailer.encode()), Some(trailer));
            prop_assert_eq!(SegmentHeader::decode(&trailer.encode()), None);
        }

        #[test]
        fn any_bytes_are_read(bytes in any::<Vec<u8>>()) {
            RecordHeader::decode(&bytes);
            SegmentHeader::decode(&bytes);
            Trailer::decode(&bytes);
        }

        #[test]
        fn checksums_do_not_depend_on_how_a_body_is_cut(cuts in proptest::collection::vec(1..100_000_usize, 0..5)) {
            let body: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
            let mut whole = Vec::new();
            push_block_checksums(&mut whole, std::iter::once(&*body));
            let (mut pieces, mut rest) = (Vec::new(), &*body);
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            let mut table = Vec::new();
            push_block_checksums(&mut table, pieces.into_iter());
            prop_assert_eq!(&table, &whole);
            prop_assert!(blocks_match(&table, 0, &body));
            prop_assert!(blocks_match(&table, 1, &body[BLOCK_BYTES..]));
            prop_assert!(!blocks_match(&table, 0, &body[1..]));
        }
    }
}
