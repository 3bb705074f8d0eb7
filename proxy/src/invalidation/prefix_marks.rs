//! The purges by prefix that running fetches may still be hit by, in their order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use purge_protocol::{PurgeMode, UrlPrefix};

use super::Sequence;
use super::marks::Verdict;
use crate::key::Key;
use process::timestamp::Timestamp;

/// Purges by prefix. They are added and forgotten under the lock of `RunningFetches`, oldest first.
#[derive(Debug, Default)]
pub(super) struct PrefixMarks {
    purges: RwLock<Purges>,
    /// The sequence of the newest purge there ever was: what was checked since needs no lock.
    newest: AtomicU64,
}

#[derive(Debug, Default)]
struct Purges {
    in_order: VecDeque<PrefixPurge>,
    bytes: usize,
}

#[derive(Debug)]
struct PrefixPurge {
    prefix: UrlPrefix,
    sequence: Sequence,
    mode: PurgeMode,
    at: Timestamp,
}

impl PrefixPurge {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.prefix.text_bytes()
    }

    fn verdict(&self) -> Verdict {
        match self.mode {
            PurgeMode::Hard => Verdict::Purged,
            PurgeMode::Soft => Verdict::Soft(self.at),
        }
    }
}

impl PrefixMarks {
    /// Adds a purge that is later than all before it.
    pub(super) fn add(
        &self,
        prefix: &UrlPrefix,
        mode: PurgeMode,
        sequence: Sequence,
        at: Timestamp,
    ) {
        let purge = PrefixPurge { prefix: prefix.clone(), sequence, mode, at };
        let mut purges = self.purges.write();
        purges.bytes += purge.bytes();
        purges.in_order.push_back(purge);
        self.newest.store(sequence.0, Ordering::Release); // pairs with the acquire in `verdict`
    }

    /// Decides for a response of this key that no purge up to `since` has hit. Only later ones are
    /// looked at.
    pub(super) fn verdict(&self, since: Sequence, key: &Key) -> Verdict {
        if self.newest.load(Ordering::Acquire) <= since.0 {
            return Verdict::Valid;
        }
        let purges = self.purges.read();
        let later = purges.in_order.iter().rev().take_while(|purge| purge.sequence > since);
        later
            .filter(|purge| purge.prefix.covers(key.host(), key.path()))
            .fold(Verdict::Valid, |verdict, purge| verdict.worse(purge.verdict()))
    }

    pub(super) fn forget_settled(&self, settled: Sequence) {
        let is_settled = |purges: &Purges| {
            purges.in_order.front().is_some_and(|oldest| oldest.sequence <= settled)
        };
        if !is_settled(&self.purges.read()) {
            return;
        }
        let mut purges = self.purges.write();
        while is_settled(&purges) {
            let forgotten = purges.in_order.pop_front();
            purges.bytes -= forgotten.map_or(0, |purge| purge.bytes());
        }
        if purges.in_order.is_empty() {
            *purges = Purges::default();
        }
    }

    /// Returns the sequence of the last purge of the older half, if there are more than may be
    /// kept.
    pub(super) fn excess(&self) -> Option<Sequence> {
        let purges = self.purges.read();
        let is_excessive = purges.in_order.len() > PREFIXES_MAX || purges.bytes > BYTES_MAX;
        let middle = purges.in_order.len() / 2;
        purges.in_order.get(middle).filter(|_| is_excessive).map(|purge| purge.sequence)
    }

    pub(super) fn len(&self) -> usize {
        self.purges.read().in_order.len()
    }
}

/// Purges by prefix that are kept for running fetches. A response is compared with those since it
/// was last looked at: 20 us for all of them.
pub(super) const PREFIXES_MAX: usize = 1 << 12;
/// Bytes of them: prefixes may be as long as URLs.
const BYTES_MAX: usize = 4 << 20;
