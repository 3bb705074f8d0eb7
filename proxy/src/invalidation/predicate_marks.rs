//! The purges by prefix and by condition that running fetches may still be hit by, in their order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use purge_protocol::{PurgeMode, UrlPrefix};

use super::Sequence;
use super::condition::{PurgeCondition, Subject};
use super::marks::Verdict;
use crate::key::Key;
use process::timestamp::Timestamp;

/// The responses that a purge hits without a mark of a tag.
#[derive(Clone, Debug)]
pub(super) enum Predicate {
    Prefix(UrlPrefix),
    Condition(Arc<PurgeCondition>),
}

/// Purges by prefix and by condition. They are added and forgotten under the lock of
/// `RunningFetches`, oldest first.
#[derive(Debug, Default)]
pub(super) struct PredicateMarks {
    purges: RwLock<PredicatePurges>,
    /// The sequence of the newest purge there ever was: what was checked since needs no lock.
    newest: AtomicU64,
}

#[derive(Debug, Default)]
struct PredicatePurges {
    in_order: VecDeque<PredicatePurge>,
    bytes: usize,
    terms: usize,
}

#[derive(Debug)]
struct PredicatePurge {
    predicate: Predicate,
    sequence: Sequence,
    mode: PurgeMode,
    at: Timestamp,
}

impl Predicate {
    fn bytes(&self) -> usize {
        match self {
            Self::Prefix(prefix) => prefix.text_bytes(),
            Self::Condition(condition) => condition.bytes(),
        }
    }

    /// Comparisons that it takes.
    fn terms(&self) -> usize {
        match self {
            Self::Prefix(_) => 1,
            Self::Condition(condition) => condition.terms(),
        }
    }
}

impl PredicatePurge {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.predicate.bytes()
    }

    fn verdict(&self) -> Verdict {
        match self.mode {
            PurgeMode::Hard => Verdict::Purged,
            PurgeMode::Soft => Verdict::Soft(self.at),
        }
    }
}

impl PredicateMarks {
    /// Adds a purge that is later than all before it.
    pub(super) fn add(
        &self,
        predicate: Predicate,
        mode: PurgeMode,
        sequence: Sequence,
        at: Timestamp,
    ) {
        let purge = PredicatePurge { predicate, sequence, mode, at };
        let mut purges = self.purges.write();
        purges.bytes += purge.bytes();
        purges.terms += purge.predicate.terms();
        purges.in_order.push_back(purge);
        self.newest.store(sequence.0, Ordering::Release); // pairs with the acquire in `verdict`
    }

    /// Decides for a response that no purge up to `since` has hit. Only later ones are looked at.
    pub(super) fn verdict(&self, since: Sequence, subject: &Subject<'_>) -> Verdict {
        self.verdict_by(since, |predicate| match predicate {
            Predicate::Prefix(prefix) => subject.is_under(prefix),
            Predicate::Condition(condition) => condition.is_met(subject),
        })
    }

    /// Decides for a response of this key, as far as that alone tells: conditions are compared when
    /// its tags are known.
    pub(super) fn verdict_of_key(&self, since: Sequence, key: &Key) -> Verdict {
        self.verdict_by(since, |predicate| match predicate {
            Predicate::Prefix(prefix) => prefix.covers(key.host(), key.path()),
            Predicate::Condition(_) => false,
        })
    }

    fn verdict_by(&self, since: Sequence, is_hit: impl Fn(&Predicate) -> bool) -> Verdict {
        if self.newest.load(Ordering::Acquire) <= since.0 {
            return Verdict::Valid;
        }
        let purges = self.purges.read();
        let later = purges.in_order.iter().rev().take_while(|purge| purge.sequence > since);
        later
            .filter(|purge| is_hit(&purge.predicate))
            .fold(Verdict::Valid, |verdict, purge| verdict.worse(purge.verdict()))
    }

    pub(super) fn forget_settled(&self, settled: Sequence) {
        let is_settled = |purges: &PredicatePurges| {
            purges.in_order.front().is_some_and(|oldest| oldest.sequence <= settled)
        };
        if !is_settled(&self.purges.read()) {
            return;
        }
        let mut purges = self.purges.write();
        while is_settled(&purges)
            && let Some(forgotten) = purges.in_order.pop_front()
        {
            purges.bytes -= forgotten.bytes();
            purges.terms -= forgotten.predicate.terms();
        }
        if purges.in_order.is_empty() {
            *purges = PredicatePurges::default();
        }
    }

    /// Returns the sequence of the last purge of the older half, if there are more than may be
    /// kept.
    pub(super) fn excess(&self) -> Option<Sequence> {
        let purges = self.purges.read();
        let is_excessive = purges.terms > TERMS_MAX || purges.bytes > BYTES_MAX;
        let middle = purges.in_order.len() / 2;
        purges.in_order.get(middle).filter(|_| is_excessive).map(|purge| purge.sequence)
    }

    /// Returns the number of purges by prefix, and of those by condition.
    pub(super) fn counts(&self) -> (usize, usize) {
        let purges = self.purges.read();
        let is_prefix = |purge: &&PredicatePurge| matches!(purge.predicate, Predicate::Prefix(_));
        let prefixes = purges.in_order.iter().filter(is_prefix).count();
        (prefixes, purges.in_order.len() - prefixes)
    }
}

/// Prefixes and terms of conditions that are kept for running fetches. A response is compared with
/// those since it was last looked at: 20 us for as many prefixes.
pub(super) const TERMS_MAX: usize = 1 << 12;
/// Bytes of them: prefixes may be as long as URLs.
const BYTES_MAX: usize = 4 << 20;
