//! Reading a stored response: its record is found by its entry in the index, and verified.

use std::sync::Arc;

use bytes::Bytes;

use crate::store::Body;
use crate::store::body::ReadError;
use crate::store::file::format::extent::ExtentPlace;
use crate::store::file::format::head::{self, Head};
use crate::store::file::format::record::{
    RECORD_HEADER_BYTES, RecordHeader, RecordKind, UNIT, blocks_match,
};
use crate::store::file::read::file_body::FileBody;
use crate::store::file::volume::Volume;
use crate::store::file::volume::index::{IndexEntry, RecordPlace};

/// A response that was read, with its place in the order of purges.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) header: RecordHeader,
    pub(crate) head: Head,
    pub(crate) body: Body,
}

/// Reads the response of an entry without waiting for a device; `None`: it has to be waited for.
pub(crate) fn read_at_once(
    volume: &Arc<Volume>,
    entry: &IndexEntry,
) -> Option<Result<Record, ReadError>> {
    let place = entry.place()?;
    let mut bytes = vec![0; first_read(place)];
    let start = volume.offset_of(place.segment, place.offset);
    if volume.disk.read_cached(start, &mut bytes).is_err() {
        return None;
    }
    let header = RecordHeader::decode(&bytes)?;
    let is_enough = wanted(&header, place) <= bytes.len() as u64;
    is_enough.then(|| parse(volume, entry, place, bytes))
}

/// Reads the response of an entry. Blocks.
pub(crate) fn read(volume: &Arc<Volume>, entry: &IndexEntry) -> Result<Record, ReadError> {
    let place = entry.place().ok_or(ReadError::Gone)?;
    let mut bytes = vec![0; first_read(place)];
    let start = volume.offset_of(place.segment, place.offset);
    volume.disk.read(start, &mut bytes)?;
    let header = RecordHeader::decode(&bytes).ok_or(ReadError::Corrupt)?;
    let wanted = usize::try_from(wanted(&header, place)).unwrap_or(0);
    if wanted > usize::from(place.units) * usize::try_from(UNIT).unwrap_or(0) {
        return Err(ReadError::Corrupt);
    }
    if wanted > bytes.len() {
        bytes.resize(wanted, 0);
        volume.disk.read(start, &mut bytes)?;
    }
    parse(volume, entry, place, bytes)
}

fn parse(
    volume: &Arc<Volume>,
    entry: &IndexEntry,
    place: RecordPlace,
    bytes: Vec<u8>,
) -> Result<Record, ReadError> {
    let header = RecordHeader::decode(&bytes).ok_or(ReadError::Corrupt)?;
    let lsn = volume.segments.at(place.segment).lsn();
    let is_it = header.kind == RecordKind::Response
        && header.key_hash == entry.key_hash
        && header.version & 0xffff_ffff == u64::from(entry.version);
    if header.lsn != lsn || lsn == 0 {
        return Err(ReadError::Gone);
    }
    if !is_it {
        return Err(ReadError::Corrupt);
    }
    let body_start = usize::try_from(header.body_start()).unwrap_or(usize::MAX);
    let table_bytes = usize::try_from(header.table_bytes()).unwrap_or(usize::MAX);
    let meta = bytes.get(RECORD_HEADER_BYTES..body_start).ok_or(ReadError::Corrupt)?;
    if crc32c::crc32c(meta) != header.meta_crc {
        return Err(ReadError::Corrupt);
    }
    let (table, head) = meta.split_at_checked(table_bytes).ok_or(ReadError::Corrupt)?;
    let head = head::decode(head, volume.seed).ok_or(ReadError::Corrupt)?;
    let is_whole = !head.extents.is_empty() || u64::from(header.body_bytes) == head.body_bytes;
    if head.key.hash() != header.key_hash || !is_whole {
        return Err(ReadError::Corrupt);
    }
    let length = usize::try_from(header.body_bytes).unwrap_or(usize::MAX);
    let body = if !head.extents.is_empty() {
        Body::Deferred(FileBody::at(volume, &head.extents))
    } else if length == 0 {
        Body::Empty
    } else if header.body_bytes > SMALL_BODY_BYTES {
        let RecordPlace { segment, offset, .. } = place;
        let whole = ExtentPlace { segment, lsn, offset, length: header.body_bytes };
        Body::Deferred(FileBody::at(volume, &[whole]))
    } else {
        let content = bytes.get(body_start..body_start + length).ok_or(ReadError::Corrupt)?;
        if !blocks_match(table, 0, content) {
            return Err(ReadError::Corrupt);
        }
        Body::Whole(Bytes::from(bytes).slice(body_start..body_start + length))
    };
    // What was read is of this incarnation: it ends before anything is overwritten.
    if !volume.segments.at(place.segment).was(lsn) {
        return Err(ReadError::Gone);
    }
    Ok(Record { header, head, body })
}

/// Counts the extents of a large response as dead that was taken out of the index. Reads its head.
pub(crate) fn sub_live_body(volume: &Arc<Volume>, entry: &IndexEntry) {
    if entry.place().is_some_and(|place| place.is_large)
        && volume.is_counted(entry)
        && let Ok(record) = read(volume, entry)
    {
        volume.sub_live_extents(&record.head.extents);
    }
}

/// Returns the bytes of a record that are read at once: a small body comes along, a large one does
/// not.
fn wanted(header: &RecordHeader, place: RecordPlace) -> u64 {
    if place.is_large || header.body_bytes > SMALL_BODY_BYTES {
        header.body_start()
    } else {
        header.record_bytes()
    }
}

/// Returns the bytes of a record that are read first: all of a small one.
fn first_read(place: RecordPlace) -> usize {
    let record = usize::from(place.units) * usize::try_from(UNIT).unwrap_or(0);
    if record <= FIRST_READ_BYTES { record } else { HEAD_READ_BYTES }
}

/// Bodies up to here are read into memory with their head; larger ones are read a window at a time.
pub(crate) const SMALL_BODY_BYTES: u32 = 16 << 10;
/// Records up to here are read whole: a small body and a head of some KiB.
const FIRST_READ_BYTES: usize = 24 << 10;
/// Of larger ones, as much as most heads have.
const HEAD_READ_BYTES: usize = 8 << 10;
