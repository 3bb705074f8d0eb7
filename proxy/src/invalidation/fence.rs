//! `RevisionFence`: the lowest revision that responses with a tag, or of a host, may report to be
//! kept.
//!
//! A purge may come before the origin's replicas have seen the change. Where it says which revision
//! the site has now, a response of a lower one is from before the change, whenever it was fetched.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::{TagId, TagTable};
use process::metrics::Counter;

/// The lowest revisions, by tag and host. Bounded: the one that was raised longest ago makes room,
/// and is counted.
#[derive(Debug)]
pub struct RevisionFence {
    revisions: Mutex<Revisions>,
    /// The number of revisions, so that a fetch need not take the lock if there are none.
    count: AtomicUsize,
    /// Revisions that were dropped because there were too many.
    pub dropped: Counter,
}

#[derive(Debug, Default)]
struct Revisions {
    lowest: HashMap<TagId, (u64, u64)>,
    /// By when they were raised.
    order: BTreeMap<u64, TagId>,
    raised: u64,
    max: usize,
}

impl RevisionFence {
    pub fn new(max: usize) -> Self {
        let revisions = Mutex::new(Revisions { max, ..Revisions::default() });
        Self { revisions, count: AtomicUsize::new(0), dropped: Counter::default() }
    }

    pub fn limit(&self, max: usize) {
        self.revisions.lock().max = max;
    }

    /// Raises the lowest revisions by selector: `tag:x` or `host:x`.
    pub(super) fn restore(&self, ids: &TagTable, revisions: &BTreeMap<String, u64>) {
        for (selector, revision) in revisions {
            match selector.split_once(':') {
                Some(("tag", tag)) => self.raise(ids.tag(tag.as_bytes()), *revision),
                Some(("host", host)) => self.raise(ids.host(host.as_bytes()), *revision),
                _ => {}
            }
        }
    }

    /// Raises the lowest revision. It never sinks.
    pub fn raise(&self, id: TagId, revision: u64) {
        let mut revisions = self.revisions.lock();
        let Revisions { lowest, order, raised, max } = &mut *revisions;
        *raised += 1;
        let (known, since) = lowest.get(&id).copied().unwrap_or((0, 0));
        order.remove(&since);
        order.insert(*raised, id);
        lowest.insert(id, (known.max(revision), *raised));
        if lowest.len() > *max
            && let Some((_, oldest)) = order.pop_first()
        {
            lowest.remove(&oldest);
            self.dropped.add(1);
        }
        self.count.store(lowest.len(), Ordering::Release);
    }

    /// Returns all lowest revisions, the one that was raised longest ago first.
    pub fn all(&self) -> Vec<(TagId, u64)> {
        let revisions = self.revisions.lock();
        let of = |id: &TagId| revisions.lowest.get(id).map(|(revision, _)| (*id, *revision));
        revisions.order.values().filter_map(of).collect()
    }

    /// The lowest revision that a response may report that carries all of these.
    pub fn lowest(&self, ids: impl IntoIterator<Item = TagId>) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        let revisions = self.revisions.lock();
        let known = |id: TagId| revisions.lowest.get(&id).map(|(revision, _)| *revision);
        ids.into_iter().filter_map(known).max()
    }

    /// Returns whether no revision is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_of_all_that_a_response_carries_counts_and_none_ever_sinks() {
        let (fence, ids) = (RevisionFence::new(10), TagTable::new(1));
        let [a, b, c] = [b"a", b"b", b"c"].map(|text| ids.tag(text));
        assert_eq!(fence.lowest([a]), None);
        for (id, revision) in [(a, 5), (b, 7), (a, 3)] {
            fence.raise(id, revision);
        }
        assert_eq!(fence.lowest([a]), Some(5));
        assert_eq!(fence.lowest([a, b, c]), Some(7));
        assert_eq!(fence.lowest([c]), None);
        assert_eq!(fence.len(), 2);
    }

    #[test]
    fn the_revision_raised_longest_ago_is_replaced() {
        let (fence, ids) = (RevisionFence::new(2), TagTable::new(1));
        let [a, b, c] = [b"a", b"b", b"c"].map(|text| ids.tag(text));
        for id in [a, b, a, c] {
            fence.raise(id, 1);
        }
        assert_eq!([a, b, c].map(|id| fence.lowest([id])), [Some(1), None, Some(1)]);
        assert_eq!((fence.len(), fence.dropped.value()), (2, 1));
    }
}
