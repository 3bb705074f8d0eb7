//! `CommitTracker`: the committable offset of a partition. Pure.
//!
//! A record is done when every proxy that keeps up has confirmed it and its pending work (a dead
//! letter, a delayed purge, a receipt) is complete. Both finish out of order; Kafka stores one
//! number, and librdkafka takes whatever it is returned last, even a smaller one. So the number
//! comes from here: *it never exceeds the lowest record that is not done*, and it never falls.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::pending::{PendingWork, Work, WorkKind};

pub type TargetId = u32;

/// The progress of reading, of each proxy and of pending work.
#[derive(Debug)]
pub struct CommitTracker {
    read_to: i64,
    /// Targets that keep up, and the offset below which each has confirmed everything.
    confirmed: BTreeMap<TargetId, i64>,
    owed: [PendingWork; 3],
    returned: i64,
}

impl Default for CommitTracker {
    fn default() -> Self {
        Self::starting_at(0)
    }
}

impl CommitTracker {
    pub fn starting_at(offset: i64) -> Self {
        let owed = WorkKind::ALL.map(PendingWork::new);
        Self { read_to: offset, confirmed: BTreeMap::new(), owed, returned: offset }
    }

    /// Begins at another offset, because nothing was read yet. Expected targets stay expected, and
    /// pending work of records below holds the offset.
    pub fn restart_at(&mut self, offset: i64) {
        self.read_to = offset;
        self.returned = self.lowest_owed().min(offset);
        for confirmed in self.confirmed.values_mut() {
            *confirmed = offset.max(*confirmed);
        }
    }

    /// Expects a target to report its position. Until then, it counts as having confirmed only
    /// committed records.
    pub fn expect(&mut self, target: TargetId) {
        self.confirmed.entry(target).or_insert(self.returned);
    }

    /// Records that everything below this offset has been read.
    pub fn read(&mut self, to: i64) {
        self.read_to = self.read_to.max(to);
    }

    /// Records that a target keeps up and has confirmed everything below this offset.
    pub fn confirm(&mut self, target: TargetId, next: i64) {
        let confirmed = self.confirmed.entry(target).or_insert(next);
        *confirmed = next.max(*confirmed);
    }

    /// Releases a target that does not keep up or is gone: it owns its position, and delays no
    /// commit.
    pub fn release(&mut self, target: TargetId) {
        self.confirmed.remove(&target);
    }

    /// Releases the targets that have not confirmed everything below this offset, if others have.
    pub fn release_behind(&mut self, offset: i64) {
        if self.confirmed.values().any(|next| *next >= offset) {
            self.confirmed.retain(|_, next| *next >= offset);
        }
    }

    pub fn is_held_by(&self, target: TargetId) -> bool {
        self.confirmed.contains_key(&target)
    }

    pub const fn pending(&mut self, kind: WorkKind) -> &mut PendingWork {
        let [dead_letters, repetitions, receipts] = &mut self.owed;
        match kind {
            WorkKind::DeadLetter => dead_letters,
            WorkKind::Repetition => repetitions,
            WorkKind::Receipt => receipts,
        }
    }

    /// Adds pending work for the record at this offset; returns whether the work may begin.
    pub fn add_pending(&mut self, offset: i64, work: Work, now: Instant) -> bool {
        self.pending(work.kind).add_pending(offset, work, now)
    }

    /// Takes all pending work over.
    pub fn take_pending(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.owed, &mut other.owed);
    }

    /// Returns the lowest offset that some target which keeps up has not confirmed; without
    /// targets, nothing is confirmed.
    pub fn confirmed_by_all(&self) -> i64 {
        let lowest = self.confirmed.values().min().copied();
        lowest.map_or(self.returned, |lowest| lowest.min(self.read_to))
    }

    /// Returns the offset below which everything may be committed. It never falls.
    pub fn committable(&mut self) -> i64 {
        self.returned = self.returned.max(self.confirmed_by_all().min(self.lowest_owed()));
        self.returned
    }

    /// Returns the lowest offset of pending work; without any, the highest there is.
    fn lowest_owed(&self) -> i64 {
        self.owed.iter().filter_map(PendingWork::lowest).min().unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const LETTER: Work = Work { kind: WorkKind::DeadLetter, count: 1, bytes: 1 };

    #[test]
    fn no_offset_is_committable_that_no_proxy_confirmed() {
        let mut commits = CommitTracker::starting_at(10);
        commits.read(20);
        assert_eq!(commits.committable(), 10, "there are no proxies: a hold, not a licence");
        commits.confirm(1, 15);
        commits.confirm(2, 12);
        assert_eq!(commits.committable(), 12);
        commits.release(2);
        assert_eq!(commits.committable(), 15, "who does not keep up owns its position");
        commits.release(1);
        assert_eq!(commits.committable(), 15);
    }

    #[test]
    fn a_proxy_that_has_not_said_yet_where_it_stands_is_waited_for() {
        let mut commits = CommitTracker::default();
        commits.expect(1);
        commits.expect(2);
        commits.restart_at(10);
        commits.read(20);
        commits.confirm(1, 20);
        assert_eq!(commits.committable(), 10);
        commits.confirm(2, 15);
        commits.expect(2);
        assert_eq!(commits.committable(), 15);
        commits.release(2);
        assert_eq!(commits.committable(), 20);
    }

    #[test]
    fn a_dead_letter_that_is_not_written_yet_holds_the_offset() {
        let mut commits = CommitTracker::starting_at(0);
        commits.read(10);
        assert!(commits.add_pending(3, Work { count: 2, ..LETTER }, Instant::now()));
        commits.confirm(1, 10);
        assert_eq!(commits.committable(), 3);
        commits.pending(WorkKind::DeadLetter).complete(3);
        assert_eq!(commits.committable(), 3);
        commits.pending(WorkKind::DeadLetter).complete(3);
        assert_eq!(commits.committable(), 10);
    }

    #[test]
    fn the_committable_offset_never_falls() {
        let mut commits = CommitTracker::starting_at(0);
        commits.read(10);
        commits.confirm(1, 8);
        assert_eq!(commits.committable(), 8);
        commits.confirm(2, 0);
        assert_eq!(commits.committable(), 8);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Read,
        Owe,
        Fulfil(usize),
        Confirm(TargetId, i64),
        Release(TargetId),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Read),
            1 => Just(Step::Owe),
            1 => any::<usize>().prop_map(Step::Fulfil),
            3 => (0..3_u32, 1..5_i64).prop_map(|(target, by)| Step::Confirm(target, by)),
            1 => (0..3_u32).prop_map(Step::Release),
        ]
    }

    proptest! {
        /// The model keeps the set of records that are not done, record by record.
        #[test]
        fn the_committable_offset_never_passes_an_unfinished_record(steps in prop::collection::vec(step(), 1..200)) {
            let mut commits = CommitTracker::starting_at(0);
            let (mut read_to, mut owed) = (0_i64, BTreeSet::new());
            let mut positions = [None::<i64>; 3];
            let mut last = 0;
            for step in steps {
                match step {
                    Step::Read => { read_to += 1; commits.read(read_to); }
                    Step::Owe => {
                        let offset = read_to; // the record that is being read
                        commits.add_pending(offset, LETTER, Instant::now());
                        owed.insert(offset);
                        read_to += 1;
                        commits.read(read_to);
                    }
                    Step::Fulfil(index) => {
                        if let Some(offset) = owed.iter().copied().nth(index % owed.len().max(1)) {
                            commits.pending(WorkKind::DeadLetter).complete(offset);
                            owed.remove(&offset);
                        }
                    }
                    Step::Confirm(target, by) => {
                        let position = positions[target as usize].unwrap_or(last);
                        let next = (position + by).min(read_to);
                        positions[target as usize] = Some(next);
                        commits.confirm(target, next);
                    }
                    Step::Release(target) => { positions[target as usize] = None; commits.release(target); }
                }
                let committable = commits.committable();
                let unfinished = |offset: i64| {
                    owed.contains(&offset)
                        || positions.iter().all(Option::is_none)
                        || positions.iter().flatten().any(|next| *next <= offset)
                };
                prop_assert!(committable >= last);
                prop_assert!((last..committable).all(|offset| !unfinished(offset)), "{committable} passes an unfinished record");
                last = committable;
            }
        }
    }
}
