//! `Volume`: the open store: its files, segments and index, and what readers and the writer share.

pub(crate) mod open;
pub(crate) mod index;
pub(crate) mod segment;
pub(crate) mod readers;
pub(crate) mod journal_writer;
pub(crate) mod lost_extents;
pub(crate) mod metrics;
pub(crate) mod sweep_queue;
pub(crate) mod times;

use std::collections::BTreeMap;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use self::index::{Index, IndexEntry};
use self::journal_writer::{CheckpointSource, JournalWriter};
use self::lost_extents::LostExtents;
use self::metrics::{FileMetrics, Service};
use self::readers::Readers;
use self::segment::Segments;
use self::sweep_queue::SweepQueue;
use self::times::Times;
use crate::invalidation::{Invalidation, Sequence};
use crate::key::KeySeed;
use crate::store::Stored;
use crate::store::body::{MapCheck, ReadError};
use crate::store::file::device::trusted::Trusted;
use crate::store::file::format::clocks::Clocks;
use crate::store::file::format::extent::ExtentPlace;
use crate::store::file::format::filter::{Filter, RESPONSE_BYTES_MAX};
use crate::store::file::format::footer::SegmentSpan;
use crate::store::file::format::journal::{ALL, Frame, frames_of};
use crate::store::file::format::record::{SEGMENTS_START, UNIT, bytes_of};
use crate::store::file::format::superblock::Superblock;
use crate::store::file::volume::metrics::FileUsage;
use process::clock::Clock;
/// Dead records by segment, as the journal knows them.
pub(crate) type Tombstones = BTreeMap<u32, (u64, Vec<u32>)>;

#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) disk: Arc<Trusted>,
    /// The check of the file before windows of its map are sent.
    pub(crate) map_check: Arc<MapCheck>,
    pub(crate) superblock: Mutex<Superblock>,
    pub(crate) store: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) segments: Segments,
    pub(crate) index: Index,
    pub(crate) journal: Arc<JournalWriter>,
    pub(crate) invalidation: Arc<Invalidation>,
    pub(crate) seed: KeySeed,
    pub(crate) clock: Clock,
    pub(crate) times: Times,
    pub(crate) versions: AtomicU64,
    pub(crate) first_sequence: u64,
    pub(crate) pending: Mutex<HashMap<u32, Arc<Stored>>>,
    pub(crate) readers: Readers,
    /// Dead records of segments that have not been read since the start.
    pub(crate) unloaded: Mutex<Tombstones>,
    tombstones: AtomicU64,
    pub(crate) tombstones_max: u64,
    /// Purges whose responses in the file are still to be found.
    pub(crate) sweep_queue: SweepQueue,
    filter_bytes: AtomicU64,
    filter_bytes_max: u64,
    /// The second at which the segments were read: the extents of what had expired by then were
    /// never counted as live.
    pub(crate) loaded_at: AtomicU32,
    /// Segments are being read after the start: nothing is written, and replaced responses are
    /// noted.
    pub(crate) is_loading: AtomicBool,
    pub(crate) superseded: Mutex<HashSet<(u64, u32)>>,
    pub(crate) lost_extents: LostExtents,
    pub(crate) is_shared: AtomicBool,
    /// Set after too many errors: the store stops writing.
    pub(crate) is_offline: AtomicBool,
    frees: AtomicU64,
    pub(crate) is_short_of_segments: AtomicBool,
    pub(crate) states: Mutex<[u64; 4]>,
    pub(crate) metrics: FileMetrics,
}

#[derive(Debug)]
pub(crate) struct VolumeParts {
    pub(crate) disk: Trusted,
    pub(crate) superblock: Superblock,
    pub(crate) journal: Arc<JournalWriter>,
    pub(crate) invalidation: Arc<Invalidation>,
    pub(crate) clock: Clock,
    pub(crate) clocks: Clocks,
    pub(crate) entries_max: u64,
    pub(crate) tombstones: Tombstones,
    pub(crate) tombstones_max: u64,
}

impl Volume {
    pub(crate) fn new(parts: VolumeParts) -> Arc<Self> {
        let VolumeParts {
            disk, superblock, journal, invalidation, clock, clocks, entries_max, ..
        } = parts;
        let (tombstones, tombstones_max) = (parts.tombstones, parts.tombstones_max);
        let first_sequence = invalidation.sequence().number();
        let disk = Arc::new(disk);
        let checked = Arc::clone(&disk);
        let map_check = MapCheck::new(move || {
            checked.check();
        });
        Arc::new(Self {
            disk,
            map_check,
            store: superblock.store,
            segment_bytes: superblock.segment_bytes,
            segments: Segments::new(superblock.segments),
            index: Index::new(entries_max),
            journal,
            invalidation,
            seed: KeySeed(superblock.key_seed),
            times: Times::new(clock.clone(), clocks, superblock.openings),
            clock,
            versions: AtomicU64::new(first_version(superblock.openings)),
            first_sequence,
            pending: Mutex::default(),
            readers: Readers::default(),
            unloaded: Mutex::new(tombstones),
            tombstones: AtomicU64::new(0),
            tombstones_max,
            sweep_queue: SweepQueue::default(),
            filter_bytes: AtomicU64::new(0),
            filter_bytes_max: entries_max * RESPONSE_BYTES_MAX,
            loaded_at: AtomicU32::new(0),
            is_loading: AtomicBool::new(true),
            superseded: Mutex::default(),
            lost_extents: LostExtents::default(),
            is_shared: AtomicBool::new(false),
            is_offline: AtomicBool::new(false),
            frees: AtomicU64::new(0),
            is_short_of_segments: AtomicBool::new(false),
            states: Mutex::default(),
            metrics: FileMetrics::default(),
            superblock: Mutex::new(superblock),
        })
    }

    pub(crate) fn next_version(&self) -> u64 {
        self.versions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Makes sure that versions and purge sequences of the next opening are above this one, before
    /// it comes into the file: also when more were given than an opening has of its own.
    pub(crate) fn reserve_up_to(&self, number: u64) -> io::Result<()> {
        let opening = u32::try_from(number >> 32).unwrap_or(u32::MAX);
        let mut superblock = self.superblock.lock();
        if opening > superblock.openings {
            superblock.openings = opening;
            superblock.store(self.disk.device())?;
        }
        Ok(())
    }

    /// Returns the start of a record in the file, in bytes, by its offset in units.
    pub(crate) const fn offset_of(&self, segment: u32, offset: u32) -> u64 {
        self.start_of(segment) + bytes_of(offset)
    }

    pub(crate) const fn start_of(&self, segment: u32) -> u64 {
        SEGMENTS_START + segment as u64 * self.segment_bytes
    }

    pub(crate) fn span_of(&self, segment: u32) -> SegmentSpan {
        let (start, lsn) = (self.start_of(segment), self.segments.at(segment).lsn());
        SegmentSpan { start, length: self.segment_bytes, lsn }
    }

    pub(crate) fn now_secs(&self) -> u32 {
        u32::try_from(self.clock.now().as_secs()).unwrap_or(u32::MAX)
    }

    /// Notes the wall time. `is_sure`: the clock has had time to be set right after the start.
    pub(crate) fn note_clock(&self, is_sure: bool) {
        let newest = self.superblock.lock().openings;
        if let Some(clocks) = self.times.note(newest, is_sure) {
            self.journal.note_clocks(clocks);
        }
    }

    /// Returns a purge sequence in the form of the index.
    pub(crate) fn short_born(&self, born: u64) -> u32 {
        let since = born.checked_sub(self.first_sequence).map(|since| since.saturating_add(1));
        u32::try_from(since.unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// Notes a response that is replaced or removed while the segments are being read: it must not
    /// come back with them.
    pub(crate) fn supersede(&self, key_hash: u64, variant: u32) {
        if self.is_loading.load(Ordering::Acquire) {
            let mut superseded = self.superseded.lock();
            if self.is_loading.load(Ordering::Acquire) {
                superseded.insert((key_hash, variant));
            }
        }
    }

    pub(crate) fn takes_writes(&self) -> bool {
        !self.is_loading.load(Ordering::Acquire)
            && !self.is_shared.load(Ordering::Acquire)
            && !self.is_offline.load(Ordering::Relaxed)
            && self.disk.is_usable()
            && !self.journal.has_failed()
    }

    pub(crate) fn is_short_of_segments(&self) -> bool {
        self.is_short_of_segments.load(Ordering::Relaxed)
    }

    /// Notes an error of reading something that should have been there.
    pub(crate) fn note_read_error(&self, error: &ReadError) {
        match error {
            ReadError::Gone => {}
            ReadError::Corrupt => {
                self.metrics.corrupt.add(1);
                self.disk.check(); // zeros in its place?
            }
            ReadError::Io(error) => tracing::debug!(%error, "cannot read the store"),
        }
    }

    /// Notes for good that the response of this entry is dead. Returns it if it was only on its way
    /// into the file.
    pub(crate) fn retire(&self, entry: &IndexEntry) -> Option<Arc<Stored>> {
        let Some(place) = entry.place() else {
            return self.pending.lock().remove(&entry.version);
        };
        let bytes = u64::from(place.units) * UNIT;
        self.segments.at(place.segment).sub_live(bytes);
        self.add_tombstone(place.segment, self.segments.at(place.segment).lsn(), place.offset);
        None
    }

    pub(crate) fn add_live_extents(&self, extents: &[ExtentPlace]) {
        for extent in extents {
            let segment = self.segments.at(extent.segment);
            if segment.lsn() == extent.lsn {
                segment.add_live(extent.record_bytes());
            }
        }
    }

    pub(crate) fn sub_live_extents(&self, extents: &[ExtentPlace]) {
        for extent in extents {
            let segment = self.segments.at(extent.segment);
            if segment.lsn() == extent.lsn {
                segment.sub_live(extent.record_bytes());
            }
        }
    }

    /// Returns whether the extents of this large response are counted as live.
    pub(crate) fn is_counted(&self, entry: &IndexEntry) -> bool {
        entry.born != 0 || entry.expires > self.loaded_at.load(Ordering::Acquire)
    }

    /// Keeps the filter of a complete segment, if there is room for it.
    pub(crate) fn keep_filter(&self, segment: u32, filter: Filter) {
        self.forget_filter(segment);
        let bytes = filter.bytes();
        let add = |now: u64| Some(now + bytes).filter(|sum| *sum <= self.filter_bytes_max);
        if self.filter_bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).is_ok() {
            *self.segments.at(segment).filter.lock() = Some(filter);
        }
    }

    pub(crate) fn forget_filter(&self, segment: u32) {
        let filter = self.segments.at(segment).filter.lock().take();
        self.filter_bytes.fetch_sub(filter.map_or(0, |it| it.bytes()), Ordering::AcqRel);
    }

    pub(crate) fn add_tombstone(&self, segment: u32, lsn: u64, offset: u32) {
        if lsn == 0 {
            return;
        }
        let offset = {
            let mut tombstones = self.segments.at(segment).tombstones.lock();
            if tombstones.first() == Some(&ALL) {
                return;
            }
            if self.tombstones.load(Ordering::Relaxed) >= self.tombstones_max {
                // No room to remember each: after a restart, none of its records is used.
                self.tombstones.fetch_sub(tombstones.len() as u64, Ordering::Relaxed);
                *tombstones = vec![ALL];
                ALL
            } else {
                tombstones.push(offset);
                self.tombstones.fetch_add(1, Ordering::Relaxed);
                offset
            }
        };
        self.journal.push(Frame::Tombstones { segment, lsn, offsets: vec![offset] });
    }

    /// Takes over the dead records of a segment that an earlier process has noted.
    pub(crate) fn restore_tombstones(&self, segment: u32, offsets: &[u32]) {
        let mut tombstones = self.segments.at(segment).tombstones.lock();
        if offsets.contains(&ALL) {
            *tombstones = vec![ALL];
        } else {
            self.tombstones.fetch_add(offsets.len() as u64, Ordering::Relaxed);
            tombstones.extend_from_slice(offsets);
        }
    }

    /// Notes for good that a segment was given away: until it is written again, its records are in
    /// the file, also those that were purged or replaced. Before it is free, since purges are
    /// forgotten that concern free segments only.
    pub(crate) fn free_segment(&self, segment: u32) {
        let lsn = self.segments.at(segment).lsn();
        let tombstones =
            std::mem::replace(&mut *self.segments.at(segment).tombstones.lock(), vec![ALL]);
        if tombstones.first() != Some(&ALL) {
            self.tombstones.fetch_sub(tombstones.len() as u64, Ordering::Relaxed);
        }
        self.journal.push(Frame::Tombstones { segment, lsn, offsets: vec![ALL] });
    }

    /// Ends the incarnation of a segment that was given away and that nobody reads, and says
    /// whether that was so.
    pub(crate) fn free(&self, segment: u32) -> bool {
        self.frees.fetch_add(1, Ordering::AcqRel); // first: who finds it free finds this counted
        self.segments.at(segment).free()
    }

    /// Returns a purge sequence that is not above that of any response in the file or on its way
    /// there. A response passes through its fetch, the queue and a segment: they are looked at in
    /// this order, so that none is missed.
    fn oldest_born(&self) -> Sequence {
        let running = self.invalidation.oldest_fetch();
        let pending = self.pending.lock().values().map(|it| it.provenance.born()).min();
        let used = self.segments.iter().filter(|segment| segment.lsn() != 0);
        let written = used.map(|segment| segment.born.load(Ordering::Acquire)).min();
        let written = Sequence::from_number(written.unwrap_or(u64::MAX));
        running.min(pending.unwrap_or(written)).min(written)
    }

    pub(crate) fn usage(&self) -> FileUsage {
        let capacity = u64::from(self.segments.count()) * self.segment_bytes;
        let live_bytes: u64 = self.segments.iter().map(segment::Segment::live).sum();
        let segments = *self.states.lock();
        let [free, ..] = segments;
        let free_bytes = free * self.segment_bytes;
        let metrics = &self.metrics;
        FileUsage {
            objects: if self.disk.is_usable() { self.index.entries() } else { 0 },
            live_bytes,
            dead_bytes: capacity.saturating_sub(live_bytes + free_bytes),
            free_bytes,
            capacity,
            index_bytes: self.index.bytes(),
            filter_bytes: self.filter_bytes.load(Ordering::Relaxed),
            segments,
            written: metrics.written.value(),
            rewritten: metrics.rewritten.value(),
            dropped: metrics.dropped.value(),
            corrupt: metrics.corrupt.value(),
            io_errors: metrics.io_errors.value() + u64::from(!self.disk.is_usable()),
            loads: [metrics.loads.value(), metrics.loads_at_once.value()],
            promoted: metrics.promoted.value(),
            loads_refused: metrics.loads_refused.value(),
            mapped: metrics.mapped.value(),
            swept: [metrics.swept.value(), metrics.postings_read.value()],
            sweeps_refused: metrics.sweeps_refused.value(),
            reclaimed: [metrics.reclaimed.value(), metrics.kept.value()],
            recovery: [
                metrics.recovery_millis.load(Ordering::Relaxed),
                metrics.recovered.load(Ordering::Relaxed),
            ],
            is_loading: self.is_loading.load(Ordering::Relaxed),
            is_shared: self.is_shared.load(Ordering::Relaxed),
            service: match (self.disk.is_usable(), self.is_offline.load(Ordering::Relaxed)) {
                (false, _) => Service::Out,
                (true, true) => Service::ReadOnly,
                (true, false) => Service::Full,
            },
            journal_syncs: self.journal.syncs.value(),
        }
    }
}

/// The journal begins anew with what the volume knows.
impl CheckpointSource for Volume {
    fn frames(&self) -> Vec<Frame> {
        if !self.is_loading.load(Ordering::Acquire) {
            let frees = self.frees.load(Ordering::Acquire);
            let oldest = self.oldest_born();
            // What was moved out of a segment that was freed meanwhile may have been seen neither
            // there nor where it is now.
            if frees == self.frees.load(Ordering::Acquire) {
                self.invalidation.forget_before(oldest);
            }
        }
        let mut frames = self.invalidation.past_purges().map_or_else(Vec::new, |it| frames_of(&it));
        let declarations = self.invalidation.ids().searches().all();
        frames.extend(declarations.into_iter().map(Frame::Declaration));
        // First what is not loaded: what is loaded meanwhile is in the segments by then.
        for (segment, (lsn, offsets)) in &*self.unloaded.lock() {
            let (segment, lsn, offsets) = (*segment, *lsn, offsets.clone());
            frames.push(Frame::Tombstones { segment, lsn, offsets });
        }
        for number in 0..self.segments.count() {
            let segment = self.segments.at(number);
            let (lsn, offsets) = (segment.written(), segment.tombstones.lock().clone());
            if lsn != 0 && !offsets.is_empty() {
                frames.push(Frame::Tombstones { segment: number, lsn, offsets });
            }
        }
        frames
    }

    fn activate_epoch(&self, epoch: u32) -> io::Result<()> {
        let mut superblock = self.superblock.lock();
        superblock.epoch = epoch;
        superblock.store(self.disk.device())
    }

    fn mark_failed(&self) {
        if let Err(error) = Superblock::destroy(self.disk.device()) {
            tracing::error!(%error, "cannot discard the store: purges may be lost at a restart");
        }
    }
}

/// Versions of one opening are above those of all before, and their lower halves begin far from
/// each other. When there are more than 2^32, [`Volume::reserve_up_to`] counts for them as a
/// further opening.
fn first_version(openings: u32) -> u64 {
    u64::from(openings) << 32 | u64::from(openings.wrapping_mul(0x9e37_79b9) >> 1)
}
