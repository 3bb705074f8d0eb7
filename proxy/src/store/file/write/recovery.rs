//! The recovery: from the segments in the file back to the index. It runs beside the traffic, which
//! finds nothing until it is through.
//!
//! The journal was replayed before: what is dead, and what was purged. Complete segments say in
//! their footers what is in them; those that were being written are walked record by record, and
//! completed. Of two records of one key and variant, which only a loss of power can leave, the
//! newer version counts. What has expired goes last, so that it hides what is older.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::key::KeySeed;
use crate::store::Removal;
use crate::store::file::format::extent::ExtentPlace;
use crate::store::file::format::footer::{Contents, ExtentList, Footer, IndexTerms, extents_of};
use crate::store::file::format::head;
use crate::store::file::format::head::is_sound;
use crate::store::file::format::journal::ALL;
use crate::store::file::format::postings::ids_of;
use crate::store::file::format::record::{
    Class, FooterEntry, RECORD_HEADER_BYTES, RecordHeader, RecordKind, SEGMENT_HEADER_BYTES,
    SMALL_BYTES, SegmentHeader, UNIT, bytes_of, push_block_checksums, units_of,
};
use crate::store::file::read::response;
use crate::store::file::volume::Volume;
use crate::store::file::volume::index::{IndexEntry, RecordPlace};
use crate::store::file::write::queue::Loaded;
use process::timestamp::Timestamp;
use tokio::time::Instant;

/// Reads all segments and fills the index. Blocks, for seconds where there are millions of
/// responses.
pub(crate) fn load(volume: &Arc<Volume>) -> Loaded {
    let started = Instant::now();
    let now = volume.now_secs();
    volume.loaded_at.store(now, Ordering::Release);
    let mut loaded = Loaded::default();
    let mut found: [Vec<(u64, u32)>; 3] = Default::default();
    for (header, tombstones) in begin_segments(volume, &mut loaded.free) {
        load_segment(volume, &header, &tombstones);
        volume.unloaded.lock().remove(&header.number);
        if let Some(class) = found.get_mut(header.class as usize) {
            class.push((header.lsn, header.number));
        }
    }
    for (queue, mut class) in loaded.queues.iter_mut().zip(found) {
        class.sort_unstable();
        queue.extend(class.into_iter().map(|(_, number)| number));
    }
    volume.unloaded.lock().clear(); // what is left are segments that are free
    sweep_expired(volume, now, |_| ()); // their extents were not counted
    loaded.took = started.elapsed();
    loaded
}

/// Finds out which segments hold something, the last first, with what is dead in them. After that
/// it is known of each extent whether it is still there.
fn begin_segments(volume: &Volume, free: &mut Vec<u32>) -> Vec<(SegmentHeader, Vec<u32>)> {
    let mut begun = Vec::new();
    for number in (0..volume.segments.count()).rev() {
        let Some(header) = header_of(volume, number) else {
            free.push(number);
            continue;
        };
        let known = volume.unloaded.lock().get(&number).cloned();
        let of_this = known.filter(|(lsn, _)| *lsn == header.lsn);
        let mut tombstones = of_this.map_or_else(Vec::new, |(_, tombstones)| tombstones);
        if tombstones.contains(&ALL) {
            volume.segments.at(number).remember_written(header.lsn);
            volume.restore_tombstones(number, &tombstones);
            volume.unloaded.lock().remove(&number);
            free.push(number);
            continue;
        }
        tombstones.sort_unstable();
        volume.segments.at(number).open(header.lsn);
        begun.push((header, tombstones));
    }
    begun
}

fn header_of(volume: &Volume, number: u32) -> Option<SegmentHeader> {
    let mut bytes = [0; SMALL_BYTES];
    if let Err(error) = volume.disk.read(volume.start_of(number), &mut bytes) {
        tracing::warn!(%error, number, "a segment cannot be read");
        // Were it readable again after the next start, it could hold what was purged meanwhile.
        let _best = volume.disk.write(volume.start_of(number), &bytes);
        return None;
    }
    SegmentHeader::decode(&bytes).filter(|header| {
        header.store == volume.store
            && header.number == number
            && header.lsn != 0
            && header.class <= Class::Large as u32
    })
}

fn load_segment(volume: &Arc<Volume>, header: &SegmentHeader, tombstones: &[u32]) {
    let SegmentHeader { number, lsn, .. } = *header;
    let segment = volume.segments.at(number);
    let (entries, extent_lists) = match Contents::read(&volume.disk, &volume.span_of(number)) {
        Some(Contents { entries, extent_lists, filter }) => {
            volume.keep_filter(number, filter);
            (entries, extent_lists)
        }
        None => complete(volume, number, lsn),
    };
    volume.restore_tombstones(number, tombstones);
    let mut used = 0;
    for (place, entry) in (0_u32..).zip(&entries) {
        used += u64::from(entry.units) * UNIT;
        if tombstones.binary_search(&entry.offset).is_ok() {
            continue;
        }
        if volume.index.is_full() {
            volume.add_tombstone(number, lsn, entry.offset); // nobody will remember when it is purged
        } else {
            enter(volume, number, entry, extents_of(&extent_lists, place));
        }
    }
    if header.class == Class::Large as u32 {
        used = volume.segment_bytes - SEGMENT_HEADER_BYTES;
    }
    segment.used.store(used, Ordering::Relaxed);
}

/// Walks the records of a segment that was being filled, and writes its footer.
fn complete(volume: &Volume, number: u32, lsn: u64) -> (Vec<FooterEntry>, Vec<ExtentList>) {
    let (footer, tail) = walk(volume, number, lsn);
    match footer.write(&volume.disk, &volume.span_of(number), tail) {
        Ok(filter) => volume.keep_filter(number, filter),
        Err(error) => tracing::warn!(%error, number, "cannot complete a segment"),
    }
    (footer.entries, footer.extent_lists)
}

fn enter(volume: &Arc<Volume>, number: u32, entry: &FooterEntry, extents: &[ExtentPlace]) {
    let FooterEntry { offset, units, is_large, .. } = *entry;
    let place = RecordPlace { segment: number, offset, units, is_large };
    let version = (entry.version & 0xffff_ffff) as u32;
    let mut fresh = IndexEntry::cold(entry.key_hash, version, entry.variant, place);
    fresh.expires = expires_of(volume, entry);
    let mut locked = volume.index.lock(entry.key_hash);
    let rival =
        locked.iter().find(|it| it.variant == entry.variant || it.version == version).copied();
    if let Some(rival) = rival {
        if version_of(volume, &rival) >= Some(entry.version) {
            volume.add_tombstone(number, volume.segments.at(number).lsn(), offset);
            return;
        }
        locked.remove(rival.version);
        volume.retire(&rival);
        response::sub_live_body(volume, &rival);
    }
    locked.insert(fresh);
    let segment = volume.segments.at(number);
    segment.add_live(u64::from(units) * UNIT);
    segment.expires.fetch_max(fresh.expires, Ordering::Relaxed);
    segment.born.fetch_min(entry.born, Ordering::AcqRel);
    if volume.is_counted(&fresh) {
        volume.add_live_extents(extents); // under the lock: whoever takes it out counts them as dead
    }
}

/// Returns the second of our time from which on a response is useless.
fn expires_of(volume: &Volume, entry: &FooterEntry) -> u32 {
    let shift = volume.times.shift_of(entry.version).unwrap_or(0);
    let expires = Timestamp::from_secs(u64::from(entry.expires)).moved(shift);
    u32::try_from(expires.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

/// Reads the version of a record that is in the index already.
fn version_of(volume: &Volume, entry: &IndexEntry) -> Option<u64> {
    let place = entry.place()?;
    let mut bytes = [0; RECORD_HEADER_BYTES];
    volume.disk.read(volume.offset_of(place.segment, place.offset), &mut bytes).ok()?;
    RecordHeader::decode(&bytes).map(|header| header.version)
}

/// Walks the records of a segment that was not completed, over holes if there are.
fn walk(volume: &Volume, number: u32, lsn: u64) -> (Footer, u64) {
    let length = usize::try_from(volume.segment_bytes).unwrap_or(0);
    let mut bytes = vec![0; length];
    if volume.disk.read(volume.start_of(number), &mut bytes).is_err() {
        return (Footer::default(), SEGMENT_HEADER_BYTES);
    }
    let (entries, tail) = records_in(&bytes, lsn);
    let mut footer = Footer::default();
    for entry in entries {
        let terms = terms_of(volume, &bytes, &entry);
        footer.push(FooterEntry { is_large: !terms.extents.is_empty(), ..entry }, terms);
    }
    (footer, tail)
}

/// Reads the identities and extents of this entry's record; empty if its head is damaged.
fn terms_of(volume: &Volume, segment: &[u8], entry: &FooterEntry) -> IndexTerms {
    let at = usize::try_from(bytes_of(entry.offset)).unwrap_or(usize::MAX);
    let record = segment.get(at..).unwrap_or_default();
    let rest = record.get(RECORD_HEADER_BYTES..).unwrap_or_default();
    let header = RecordHeader::decode(record);
    let head = header.and_then(|header| head::of_record(&header, rest, volume.seed));
    head.map_or_else(IndexTerms::default, |head| {
        let ids = ids_of(volume.invalidation.ids(), &head.key, head.tags.iter().copied());
        IndexTerms { ids, extents: head.extents }
    })
}

/// Finds the records of an incarnation in the bytes of a segment, and where the last of them ends.
pub(crate) fn records_in(bytes: &[u8], lsn: u64) -> (Vec<FooterEntry>, u64) {
    let (mut entries, mut tail) = (Vec::new(), SEGMENT_HEADER_BYTES);
    let mut at = SEGMENT_HEADER_BYTES;
    while let Some(rest) = usize::try_from(at).ok().and_then(|at| bytes.get(at..))
        && rest.len() >= RECORD_HEADER_BYTES
    {
        let header = RecordHeader::decode(rest)
            .filter(|header| header.lsn == lsn && header.record_bytes() <= rest.len() as u64);
        let Some(header) = header else {
            at += UNIT;
            continue;
        };
        let units = units_of(header.record_bytes());
        if header.kind == RecordKind::Response {
            // The extents of a large body are listed behind its head: such a record has no body of
            // its own.
            let offset = u32::try_from(at / UNIT).unwrap_or(u32::MAX);
            let place = (offset, u16::try_from(units).unwrap_or(u16::MAX));
            entries.push(FooterEntry::of(&header, place, header.body_bytes == 0));
        }
        at += units * UNIT;
        tail = at;
    }
    (entries, tail)
}

/// Walks a segment for a fuzzer: these bytes as they are, and as the heads and bodies of records
/// whose checksums are right.
pub(crate) fn read_any(bytes: &[u8]) {
    let mut segment = vec![0; usize::try_from(SEGMENT_HEADER_BYTES).unwrap_or(0)];
    let walk = |segment: &[u8]| {
        let (entries, tail) = records_in(segment, 1);
        assert!(tail < segment.len() as u64 + UNIT && entries.len() <= segment.len() / 64);
        entries.len()
    };
    walk(&[&segment, bytes].concat());
    let mut records = 0;
    for part in bytes.split_inclusive(|byte| *byte == 0xff) {
        let (head, body) = part.split_at(part.len() / 2);
        let mut meta = Vec::new();
        push_block_checksums(&mut meta, std::iter::once(body));
        meta.extend_from_slice(head);
        let header = RecordHeader {
            kind: if part.len() % 2 == 0 { RecordKind::Response } else { RecordKind::Extent },
            lsn: 1,
            version: 1,
            born: 1,
            key_hash: 1,
            meta_bytes: u32::try_from(meta.len()).unwrap_or(0),
            body_bytes: u32::try_from(body.len()).unwrap_or(0),
            expires: 1,
            variant: 0,
            meta_crc: crc32c::crc32c(&meta),
        };
        let record = [&header.encode(), &*meta, body].concat();
        let is_sound = is_sound(&header, &record, KeySeed(1));
        assert!(is_sound || header.kind == RecordKind::Response, "what was sealed is sound");
        records += usize::from(header.kind == RecordKind::Response);
        segment.extend_from_slice(&record);
        segment.resize(segment.len().next_multiple_of(64), 0);
    }
    assert_eq!(walk(&segment), records, "each response is found");
}

/// Takes out responses that have expired, and shows those of them that have extents.
pub(crate) fn sweep_expired(volume: &Volume, now: u32, mut show_large: impl FnMut(&IndexEntry)) {
    volume.index.visit(&mut |seen| {
        let is_due = |entry: &IndexEntry| {
            entry.expires <= now && !entry.is_in_memory() && entry.place().is_some()
        };
        if is_due(&seen) {
            let mut locked = volume.index.lock(seen.key_hash);
            if locked.find(seen.version).is_some_and(|entry| is_due(entry))
                && let Some(entry) = locked.remove(seen.version)
            {
                volume.retire(&entry);
                volume.index.count_removal(Removal::Expired);
                if entry.place().is_some_and(|place| place.is_large) {
                    show_large(&entry);
                }
            }
        }
    });
}
