//! The ledger: which fetches are running, and which marks must be remembered because of them.

use std::collections::{BTreeMap, VecDeque};

use super::Sequence;
use super::archive::Archive;
use super::tag_table::{TagId, TagTable};

/// Fetches by the sequence at which they were born, and recent marks in their order. Lives under one lock, see [`super`].
#[derive(Debug, Default)]
pub(super) struct Ledger {
    running: BTreeMap<Sequence, u32>,
    lingering: VecDeque<(Sequence, TagId)>,
    /// What was born before this is unproven for ever.
    pub(super) distrusted: u64,
    /// What was born before this is unproven until it is lifted.
    pub(super) quarantined: u64,
    /// Where responses are kept out of memory, what was purged that they may carry.
    pub(super) archive: Option<Archive>,
}

impl Ledger {
    pub(super) fn enter(&mut self, born: Sequence) {
        *self.running.entry(born).or_default() += 1;
    }

    pub(super) fn leave(&mut self, born: Sequence) {
        if let Some(count) = self.running.get_mut(&born) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(&born);
            }
        }
    }

    /// The birth of the oldest running fetch.
    pub(super) fn oldest(&self) -> Option<Sequence> {
        self.running.first_key_value().map(|(born, _)| *born)
    }

    /// Remembers that this tag was marked, until no older fetch runs.
    pub(super) fn linger(&mut self, sequence: Sequence, id: TagId) {
        self.lingering.push_back((sequence, id));
    }

    /// Returns whether more marks linger than [`LINGERING_MAX`]: a fetch has been running for very long.
    pub(super) fn is_crowded(&self) -> bool {
        self.lingering.len() > LINGERING_MAX
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

/// Marks remembered for the sake of running fetches: 2^18 of about 150 bytes are 40 MiB. Past it, the floor rises.
pub(super) const LINGERING_MAX: usize = 1 << 18;
