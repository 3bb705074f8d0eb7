//! `PendingWork`: the records for which one kind of work is not written yet. Pure.
//!
//! The work of some records is held in memory, up to a number of bytes. The work of further records
//! is deferred: only the range of their offsets is known, and the work begins when there is room
//! and they are read from Kafka again. Nothing at or above the lowest of all these offsets is
//! committed, so a restart reads them again as well.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// A kind of record that the purger itself writes to Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkKind {
    DeadLetter,
    Repetition,
    Receipt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    pub kind: WorkKind,
    pub count: u32,
    /// Memory until the last of them.
    pub bytes: u64,
}

#[derive(Debug)]
pub struct PendingWork {
    held: BTreeMap<i64, HeldWork>,
    bytes: u64,
    bytes_max: u64,
    deferred: Option<Deferred>,
}

#[derive(Debug)]
struct HeldWork {
    count: u32,
    bytes: u64,
}

#[derive(Debug)]
struct Deferred {
    from: i64,
    to: i64,
    records: usize,
    /// An offset, and a moment by which the records from there to the next such offset had been
    /// read.
    moments: VecDeque<(i64, Instant)>,
}

impl WorkKind {
    pub const ALL: [Self; 3] = [Self::DeadLetter, Self::Repetition, Self::Receipt];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead_letter",
            Self::Repetition => "repetition",
            Self::Receipt => "receipt",
        }
    }

    /// Returns the share of this kind in `all` bytes for one partition.
    pub fn bytes_of(self, all: u64) -> u64 {
        let sum: u64 = Self::ALL.iter().map(|kind| kind.bytes_max()).sum();
        (all * self.bytes_max() / sum).min(self.bytes_max())
    }

    /// Returns the most bytes of this kind for one partition.
    const fn bytes_max(self) -> u64 {
        match self {
            Self::DeadLetter => DEAD_LETTER_BYTES_MAX,
            Self::Repetition => REPETITION_BYTES_MAX,
            Self::Receipt => RECEIPT_BYTES_MAX,
        }
    }
}

impl PendingWork {
    pub fn new(kind: WorkKind) -> Self {
        Self::with_bytes_max(kind.bytes_max())
    }

    /// Makes one that holds up to `bytes_max` bytes.
    pub const fn with_bytes_max(bytes_max: u64) -> Self {
        Self { held: BTreeMap::new(), bytes: 0, bytes_max, deferred: None }
    }

    pub const fn limit(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
    }

    /// Adds pending work for a record; returns whether the work may begin. If not, it is deferred,
    /// and the record will be read again.
    pub fn add_pending(&mut self, offset: i64, work: Work, now: Instant) -> bool {
        if let Some(deferred) = &mut self.deferred {
            deferred.extend(offset, now);
            return false;
        }
        let has_room = self.has_room(work.bytes);
        if has_room {
            self.hold(offset, work);
        } else {
            let moments = VecDeque::from([(offset, now + SPACING)]);
            self.deferred = Some(Deferred { from: offset, to: offset + 1, records: 1, moments });
        }
        has_room
    }

    pub fn complete(&mut self, offset: i64) {
        let Some(held) = self.held.get_mut(&offset) else { return };
        held.count = held.count.saturating_sub(1);
        if held.count == 0 {
            self.bytes -= held.bytes;
            self.held.remove(&offset);
        }
    }

    pub fn lowest(&self) -> Option<i64> {
        let held = self.held.keys().next().copied();
        held.into_iter().chain(self.deferred.as_ref().map(|deferred| deferred.from)).min()
    }

    pub fn records(&self) -> usize {
        self.held.len() + self.deferred()
    }

    pub fn deferred(&self) -> usize {
        self.deferred.as_ref().map_or(0, |deferred| deferred.records)
    }

    /// Returns the deferred range once half of the memory is free.
    pub fn due(&self) -> Option<(i64, i64)> {
        let deferred = self.deferred.as_ref()?;
        let is_due = self.held.is_empty() || self.bytes * 2 <= self.bytes_max;
        is_due.then_some((deferred.from, deferred.to))
    }

    /// Resumes the work of the lowest deferred record. Returns a moment shortly after its first
    /// reading; `None`: there is no room for it.
    pub fn resume(&mut self, offset: i64, work: Work) -> Option<Instant> {
        if !self.has_room(work.bytes) {
            return None;
        }
        let deferred = self.deferred.as_mut()?;
        let read = deferred.moment_of(offset);
        deferred.records = deferred.records.saturating_sub(1);
        self.hold(offset, work);
        self.pass(offset + 1);
        read
    }

    /// Records that nothing below this offset has to be read again.
    pub fn pass(&mut self, offset: i64) {
        let Some(deferred) = &mut self.deferred else { return };
        deferred.from = deferred.from.max(offset);
        while deferred.moments.get(1).is_some_and(|(next, _)| *next <= deferred.from) {
            deferred.moments.pop_front();
        }
        if deferred.from >= deferred.to {
            self.deferred = None;
        }
    }

    fn has_room(&self, bytes: u64) -> bool {
        self.held.is_empty() || self.bytes + bytes <= self.bytes_max
    }

    /// Adds pending work that begins regardless of room, because another bound applies.
    pub fn hold(&mut self, offset: i64, work: Work) {
        self.bytes += work.bytes;
        let held = self.held.entry(offset).or_insert(HeldWork { count: 0, bytes: 0 });
        held.count += work.count;
        held.bytes += work.bytes;
    }
}

impl Deferred {
    fn extend(&mut self, offset: i64, now: Instant) {
        self.to = self.to.max(offset + 1);
        self.records += 1;
        if self.moments.back().is_none_or(|(_, last)| *last <= now) {
            self.moments.push_back((offset, now + SPACING));
        }
        if self.moments.len() > MOMENTS_MAX {
            // Two neighbours become one: the first offset, and the later moment.
            let pairs = self.moments.make_contiguous().chunks(2);
            let merged = pairs.filter_map(|pair| Some((pair.first()?.0, pair.last()?.1)));
            self.moments = merged.collect();
        }
    }

    fn moment_of(&self, offset: i64) -> Option<Instant> {
        let after = self.moments.partition_point(|(first, _)| *first <= offset);
        self.moments.get(after.saturating_sub(1)).map(|(_, at)| *at)
    }
}

/// Bytes of dead letters held for one partition, or a single larger one.
const DEAD_LETTER_BYTES_MAX: u64 = 1 << 20;
/// Bytes of delayed purges held for one partition: some 4,000 of them.
const REPETITION_BYTES_MAX: u64 = 2 << 20;
/// Bytes of receipts held for one partition: some 4,000 of them, with 20 proxies.
const RECEIPT_BYTES_MAX: u64 = 4 << 20;
/// Precision of the time of a deferred record's first reading.
const SPACING: Duration = Duration::from_secs(1);
/// Moments remembered; beyond that, pairs are merged and precision halves.
const MOMENTS_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn work(bytes: u64) -> Work {
        Work { kind: WorkKind::Repetition, count: 1, bytes }
    }

    #[test]
    fn deferred_work_is_due_when_half_of_the_memory_is_free() {
        let mut owed = PendingWork::with_bytes_max(100);
        let now = Instant::now();
        assert!(owed.add_pending(3, work(60), now));
        assert!(owed.add_pending(5, work(40), now));
        assert!(!owed.add_pending(6, work(40), now));
        assert!(!owed.add_pending(9, work(1), now), "it would overtake");
        assert_eq!((owed.lowest(), owed.records(), owed.due()), (Some(3), 4, None));
        owed.complete(3);
        assert_eq!((owed.lowest(), owed.due()), (Some(5), Some((6, 10))));
        assert_eq!(owed.resume(6, work(70)), None, "it has grown: no room yet");
        assert_eq!(owed.resume(6, work(40)), Some(now + SPACING));
        assert_eq!(owed.due(), None);
        owed.complete(5);
        owed.complete(6);
        assert_eq!(owed.lowest(), Some(7), "what lies between is not known to be nothing");
        owed.pass(9);
        assert!(owed.resume(9, work(1)).is_some());
        owed.complete(9);
        assert_eq!((owed.lowest(), owed.records()), (None, 0));
    }

    #[test]
    fn one_that_is_larger_than_the_memory_is_held_alone() {
        let mut owed = PendingWork::with_bytes_max(100);
        assert!(owed.add_pending(1, work(5000), Instant::now()));
        assert!(!owed.add_pending(2, work(1), Instant::now()));
        owed.complete(1);
        assert_eq!(owed.due(), Some((2, 3)));
    }

    #[test]
    fn the_time_of_reading_is_never_told_too_early() {
        let mut owed = PendingWork::with_bytes_max(0);
        let begin = Instant::now();
        let at = |offset: i64| begin + Duration::from_millis(700) * u32::try_from(offset).unwrap();
        assert!(owed.add_pending(0, work(1), begin));
        (1..5000).for_each(|offset| assert!(!owed.add_pending(offset, work(1), at(offset))));
        let deferred = owed.deferred.as_ref().unwrap();
        assert!(deferred.moments.len() <= MOMENTS_MAX);
        let mut previous = begin;
        for offset in 1..5000 {
            let moment = deferred.moment_of(offset).unwrap();
            assert!(moment >= at(offset) && moment >= previous, "{offset}");
            previous = moment;
        }
    }

    proptest! {
        /// The model is the set of offsets that are not done.
        #[test]
        fn the_lowest_offset_never_passes_pending_work(steps in prop::collection::vec((0..4_u8, 0..40_u64, any::<usize>()), 1..300)) {
            let mut owed = PendingWork::with_bytes_max(100);
            let now = Instant::now();
            let (mut next, mut begun, mut deferred) = (0, BTreeSet::new(), BTreeSet::new());
            for (step, bytes, index) in steps {
                match step {
                    0 => next += 1, // a record that is owed nothing
                    1 => {
                        if owed.add_pending(next, work(bytes), now) { begun.insert(next); } else { deferred.insert(next); }
                        next += 1;
                    }
                    2 => {
                        if let Some(offset) = begun.iter().copied().nth(index % begun.len().max(1)) {
                            begun.remove(&offset);
                            owed.complete(offset);
                        }
                    }
                    _ => {
                        let Some((from, _)) = owed.due() else { continue };
                        let offset = deferred.first().copied().unwrap();
                        prop_assert!(from <= offset);
                        owed.pass(offset);
                        if owed.resume(offset, work(bytes)).is_some() {
                            deferred.remove(&offset);
                            begun.insert(offset);
                        }
                    }
                }
                let lowest = begun.first().into_iter().chain(deferred.first()).min().copied();
                let told = owed.lowest();
                prop_assert!(lowest.is_none_or(|lowest| told.is_some_and(|told| told <= lowest)));
                prop_assert_eq!(owed.records(), begun.len() + deferred.len());
                prop_assert!(owed.held.len() <= 1 || owed.bytes <= 100);
                prop_assert!(!deferred.is_empty() || owed.deferred.is_none());
            }
        }
    }
}
