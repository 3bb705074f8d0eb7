//! `ExtentPlace`: where a part of a large body is, as a head and a footer say it.

use super::codec::{Cursor, Put as _};
use super::record::{RECORD_HEADER_BYTES, UNIT, blocks_of, units_of};

/// The place of one part of a large body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExtentPlace {
    pub(crate) segment: u32,
    /// The incarnation that the segment must be in.
    pub(crate) lsn: u64,
    /// Start of the record in the segment, in units of 64 bytes.
    pub(crate) offset: u32,
    /// Bytes of the body, without header and padding.
    pub(crate) length: u32,
}

impl ExtentPlace {
    /// Returns the bytes of the record, with the padding.
    pub(crate) fn record_bytes(&self) -> u64 {
        let table = blocks_of(u64::from(self.length)) * 4;
        units_of(RECORD_HEADER_BYTES as u64 + table + u64::from(self.length)) * UNIT
    }
}

pub(crate) fn encode_extent(extent: &ExtentPlace, out: &mut Vec<u8>) {
    for number in [extent.segment, extent.offset, extent.length] {
        out.put_u32(number);
    }
    out.put_u64(extent.lsn);
}

pub(crate) fn decode_extent(cursor: &mut Cursor<'_>) -> Option<ExtentPlace> {
    let (segment, offset, length) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
    Some(ExtentPlace { segment, offset, length, lsn: cursor.u64()? })
}
