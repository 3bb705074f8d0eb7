//! The invariants of a store at rest.

use std::collections::BTreeSet;

use super::history::History;
use crate::store::file::format::journal::ALL;
use crate::store::file::format::record::{Class, SegmentHeader, UNIT};
use crate::store::file::volume::Volume;
use crate::store::file::write::recovery::records_in;

impl History {
    pub(super) fn check_invariants(&self) {
        let volume = self.store.store.volume();
        let usage = self.store.store.file_usage();
        let count = u64::from(volume.segments.count());
        assert_eq!(usage.segments.iter().sum::<u64>(), count, "each segment is somewhere");
        for segment in volume.segments.iter().filter(|segment| segment.lsn() != 0) {
            let used = segment.used.load(std::sync::atomic::Ordering::Relaxed);
            assert!(segment.live() <= used, "{} bytes of {used} are live", segment.live());
        }
        let is_excused = self.is_off() || self.is_damaged || self.is_out_of_service();
        // A body that a loss of power has torn cannot be written again with a new head.
        let may_drop = is_excused || !self.readers.is_empty() || usage.corrupt > 0;
        assert!(may_drop || usage.dropped == 0, "there was no room for {}", usage.dropped);
        if !is_excused {
            let (found, live) = scan(volume, &self.store.data.bytes());
            assert_eq!(in_index(volume), found, "the index knows what a scan finds");
            assert!(live, "what is live is counted");
        }
    }
}

/// Returns segments and offsets of the records that the index knows of.
fn in_index(volume: &Volume) -> BTreeSet<(u32, u32)> {
    let mut places = BTreeSet::new();
    let mut count = 0;
    volume.index.visit(&mut |entry| {
        count += 1;
        places.extend(entry.place().map(|place| (place.segment, place.offset)));
    });
    assert_eq!(
        (count, places.len() as u64),
        (volume.index.entries(), count),
        "all are in the file"
    );
    places
}

/// Returns segments and offsets of the records in the file that nobody has called dead, and whether
/// the segments count them so.
fn scan(volume: &Volume, file: &[u8]) -> (BTreeSet<(u32, u32)>, bool) {
    let mut places = BTreeSet::new();
    let mut is_counted = true;
    for number in 0..volume.segments.count() {
        let segment = volume.segments.at(number);
        let (start, length) = (volume.start_of(number), volume.segment_bytes);
        let at = |byte: u64| usize::try_from(byte).unwrap();
        let bytes = &file[at(start)..at(start + length)];
        let tombstones = segment.tombstones.lock().clone();
        let is_large =
            SegmentHeader::decode(bytes).is_some_and(|it| it.class == Class::Large as u32);
        if segment.lsn() == 0 || is_large || tombstones.contains(&ALL) {
            continue;
        }
        let (entries, _) = records_in(bytes, segment.lsn());
        let alive = entries.iter().filter(|entry| !tombstones.contains(&entry.offset));
        let live: u64 = alive.clone().map(|entry| u64::from(entry.units) * UNIT).sum();
        is_counted &= live == segment.live();
        places.extend(alive.map(|entry| (number, entry.offset)));
    }
    (places, is_counted)
}
