//! The ledger: which fetches are running, and which marks must be remembered because of them.

use std::collections::{BTreeMap, VecDeque};

use super::Sequence;
use super::past_purges::Archive;
use super::proof::Proof;
use super::tag_table::{TagId, TagTable};

/// Fetches by the sequence at which they were born, and recent marks in their order. Lives under one lock, see [`super`].
#[derive(Debug, Default)]
pub(super) struct Ledger {
    running: Running,
    /// Purges that are being applied.
    purging: Running,
    lingering: VecDeque<(Sequence, TagId)>,
    pub(super) proof: Proof,
    /// Where responses are kept out of memory, what was purged that they may carry.
    pub(super) archive: Option<Archive>,
}

/// How many of each sequence.
#[derive(Debug, Default)]
struct Running(BTreeMap<Sequence, u32>);

impl Running {
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

impl Ledger {
    pub(super) fn enter(&mut self, born: Sequence) {
        self.running.enter(born);
    }

    pub(super) fn leave(&mut self, born: Sequence) {
        self.running.leave(born);
    }

    /// Forgets the fetches that were born before this: they are not stored, so that no mark matters to them.
    pub(super) fn give_up_before(&mut self, floor: Sequence) {
        self.running.0 = self.running.0.split_off(&floor);
    }

    pub(super) fn enter_purge(&mut self, began: Sequence) {
        self.purging.enter(began);
    }

    pub(super) fn leave_purge(&mut self, began: Sequence) {
        self.purging.leave(began);
    }

    /// The birth of the oldest running fetch, or the beginning of the oldest purge that is being applied, whichever is older.
    pub(super) fn oldest(&self) -> Option<Sequence> {
        self.running.oldest().into_iter().chain(self.purging.oldest()).min()
    }

    /// The beginning of the oldest purge that is being applied.
    pub(super) fn oldest_purge(&self) -> Option<Sequence> {
        self.purging.oldest()
    }

    /// Remembers that this tag was marked, until no older fetch runs.
    pub(super) fn linger(&mut self, sequence: Sequence, id: TagId) {
        self.lingering.push_back((sequence, id));
    }

    /// Where more marks linger than [`LINGERING_MAX`], since a fetch has been running for very long: the sequence of the last
    /// one of the older half.
    pub(super) fn excess(&self) -> Option<Sequence> {
        let middle = self.lingering.get(self.lingering.len() / 2);
        middle.filter(|_| self.lingering.len() > LINGERING_MAX).map(|(sequence, _)| *sequence)
    }

    /// Lets go of the marks up to `settled`, which no running fetch that may be stored is older than.
    pub(super) fn settle(&mut self, settled: Sequence, tags: &TagTable) {
        tags.settle(settled);
        while let Some((sequence, id)) = self.lingering.front()
            && *sequence <= settled
        {
            tags.forget_if_unheld(*id);
            self.lingering.pop_front();
        }
    }
}

/// Marks of tags remembered for the sake of running fetches: 2^18 of about 150 bytes are 40 MiB. Past it, the floor rises.
pub(super) const LINGERING_MAX: usize = 1 << 18;
