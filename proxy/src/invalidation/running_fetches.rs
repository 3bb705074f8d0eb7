//! `RunningFetches`: the fetches in progress, and the marks that must be kept for them.

use std::collections::{BTreeMap, VecDeque};

use super::Sequence;
use super::past_purges::PastPurges;
use super::proof::Proof;
use super::tag_table::{TagId, TagTable};

/// Fetches by the sequence at which they were born, and recent marks in their order. Lives under
/// one lock, see [`super`].
#[derive(Debug, Default)]
pub(super) struct RunningFetches {
    fetches: RunningCounts,
    purges: RunningCounts,
    kept_marks: VecDeque<(Sequence, TagId)>,
    pub(super) proof: Proof,
    /// Purges that responses on disk may have missed; `None` without such responses.
    pub(super) past_purges: Option<PastPurges>,
}

/// The number of fetches, or purges, that began at each sequence.
#[derive(Debug, Default)]
struct RunningCounts(BTreeMap<Sequence, u32>);

impl RunningCounts {
    fn enter(&mut self, sequence: Sequence) {
        *self.0.entry(sequence).or_default() += 1;
    }

    fn leave(&mut self, sequence: Sequence) {
        if let Some(count) = self.0.get_mut(&sequence) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&sequence);
            }
        }
    }

    fn oldest(&self) -> Option<Sequence> {
        self.0.first_key_value().map(|(sequence, _)| *sequence)
    }
}

impl RunningFetches {
    pub(super) fn enter(&mut self, born: Sequence) {
        self.fetches.enter(born);
    }

    pub(super) fn leave(&mut self, born: Sequence) {
        self.fetches.leave(born);
    }

    /// Forgets the fetches that were born before this: they are not stored, so that no mark matters
    /// to them.
    pub(super) fn give_up_before(&mut self, floor: Sequence) {
        self.fetches.0 = self.fetches.0.split_off(&floor);
    }

    pub(super) fn enter_purge(&mut self, began: Sequence) {
        self.purges.enter(began);
    }

    pub(super) fn leave_purge(&mut self, began: Sequence) {
        self.purges.leave(began);
    }

    /// The birth of the oldest running fetch, or the beginning of the oldest purge that is being
    /// applied, whichever is older.
    pub(super) fn oldest(&self) -> Option<Sequence> {
        self.fetches.oldest().into_iter().chain(self.purges.oldest()).min()
    }

    /// The beginning of the oldest purge that is being applied.
    pub(super) fn oldest_purge(&self) -> Option<Sequence> {
        self.purges.oldest()
    }

    /// Remembers that this tag was marked, until no older fetch runs.
    pub(super) fn keep_mark(&mut self, sequence: Sequence, id: TagId) {
        self.kept_marks.push_back((sequence, id));
    }

    /// Returns, if a long fetch keeps more marks than [`KEPT_MARKS_MAX`], the sequence of the last
    /// one of the older half.
    pub(super) fn excess(&self) -> Option<Sequence> {
        let middle = self.kept_marks.get(self.kept_marks.len() / 2);
        middle.filter(|_| self.kept_marks.len() > KEPT_MARKS_MAX).map(|(sequence, _)| *sequence)
    }

    /// Lets go of the marks up to `settled`, which no running fetch that may be stored is older
    /// than.
    pub(super) fn forget_settled(&mut self, settled: Sequence, tags: &TagTable) {
        tags.forget_settled(settled);
        while let Some((sequence, id)) = self.kept_marks.front()
            && *sequence <= settled
        {
            tags.forget_if_unheld(*id);
            self.kept_marks.pop_front();
        }
    }
}

/// Marks of tags that are kept for running fetches: 2^18 of about 150 bytes are 40 MiB. Beyond it,
/// the floor rises.
pub(super) const KEPT_MARKS_MAX: usize = 1 << 18;
