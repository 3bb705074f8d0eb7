//! `SweepQueue`: the purges whose responses in the file are still to be found.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use purge_protocol::UrlPrefix;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::invalidation::{Invalidation, PurgeCondition, PurgeMark, Sequence, TagTable};
use crate::store::file::format::filter::Filter;
use crate::store::file::format::postings::{DEPTH_MAX, directories};

/// The target of one purge: a response is hit if it carries all of these identities and, where they
/// do not tell, its head says so.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SweepTarget {
    pub(crate) ids: SmallVec<[u64; 2]>,
    pub(crate) check: Option<HeadCheck>,
}

/// What is asked of a head where postings do not tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HeadCheck {
    Prefix(UrlPrefix),
    Condition(Arc<PurgeCondition>),
}

/// Purges whose responses in the file are still to be found.
#[derive(Debug, Default)]
pub(crate) struct SweepQueue {
    state: Mutex<QueueState>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    /// Targets, with the last purge of each.
    wanted: HashMap<SweepTarget, u64>,
    /// The segments have been read after the start.
    may_begin: bool,
    is_closing: bool,
}

#[derive(Debug)]
pub(crate) struct Sweep {
    pub(crate) targets: Vec<(SweepTarget, u64)>,
    pub(crate) ids: HashSet<u64>,
}

impl SweepTarget {
    /// Returns the targets of a mark; none if only reading every head would tell.
    pub(crate) fn of(mark: &PurgeMark, table: &TagTable) -> SmallVec<[Self; 1]> {
        match mark {
            // What another deployment has is found when it is asked for.
            PurgeMark::All | PurgeMark::Deploy(_) => SmallVec::new(),
            PurgeMark::Tag(id) => {
                [Self { ids: [id.hash()].into_iter().collect(), check: None }].into_iter().collect()
            }
            PurgeMark::Prefix(prefix) => Self::of_prefix(prefix, table).into_iter().collect(),
            PurgeMark::Condition(condition) => {
                let carried = condition.carried_by_all(|_| 0).unwrap_or_default();
                let target = |id: crate::invalidation::TagId| Self {
                    ids: [id.hash()].into_iter().collect(),
                    check: Some(HeadCheck::Condition(Arc::clone(condition))),
                };
                carried.into_iter().map(target).collect()
            }
        }
    }

    fn of_prefix(prefix: &UrlPrefix, table: &TagTable) -> Option<Self> {
        let path = prefix.path().as_bytes();
        let directory = directories(path).take(DEPTH_MAX).last();
        let host = prefix.host().map(|host| table.host(host.as_bytes()).hash());
        let ids: SmallVec<_> =
            host.into_iter().chain(directory.map(|it| table.directory(it).hash())).collect();
        let is_exact = directory.unwrap_or(b"/") == path;
        let check = (!is_exact).then(|| HeadCheck::Prefix(prefix.clone()));
        (!ids.is_empty()).then_some(Self { ids, check })
    }

    pub(crate) fn may_be_in(&self, filter: &Filter) -> bool {
        self.ids.iter().all(|id| filter.may_hold(*id))
    }
}

impl SweepQueue {
    /// Begins after the segments were read. Earlier purges, which may not have found all, are
    /// looked for first.
    pub(crate) fn begin(&self, invalidation: &Invalidation) {
        if let Some(past_purges) = invalidation.past_purges() {
            past_purges.for_each(|mark, past| {
                if past.hard > Sequence::default() {
                    for target in SweepTarget::of(&mark, invalidation.ids()) {
                        self.add(target, past.hard.number());
                    }
                }
            });
        }
        self.state.lock().may_begin = true;
        self.wake.notify_all();
    }

    /// Adds a purge, if there is room, and says whether there was.
    pub(crate) fn add(&self, target: SweepTarget, sequence: u64) -> bool {
        let wanted = &mut self.state.lock().wanted;
        if wanted.len() >= TARGETS_MAX && !wanted.contains_key(&target) {
            return false;
        }
        let known = wanted.entry(target).or_default();
        *known = sequence.max(*known);
        true
    }

    /// Takes all purges; `None` if there are none, or it is too early.
    #[cfg(test)]
    pub(crate) fn take(&self) -> Option<Sweep> {
        self.state.lock().take()
    }

    /// Waits for purges; `None` if the store is being closed.
    pub(crate) fn wait(&self) -> Option<Sweep> {
        let mut state = self.state.lock();
        loop {
            if state.is_closing {
                return None;
            }
            if let Some(sweep) = state.take() {
                return Some(sweep);
            }
            self.wake.wait(&mut state);
        }
    }

    /// Waits so long, and says whether to go on.
    pub(crate) fn rest(&self, pause: Duration) -> bool {
        let end = (Instant::now() + pause).into_std();
        let mut state = self.state.lock();
        while !state.is_closing && !self.wake.wait_until(&mut state, end).timed_out() {}
        !state.is_closing
    }

    pub(crate) fn wake(&self) {
        self.wake.notify_all();
    }

    pub(crate) fn close(&self) {
        self.state.lock().is_closing = true;
        self.wake.notify_all();
    }
}

impl QueueState {
    fn take(&mut self) -> Option<Sweep> {
        if !self.may_begin || self.wanted.is_empty() {
            return None;
        }
        let targets: Vec<_> = std::mem::take(&mut self.wanted).into_iter().collect();
        let ids = targets.iter().flat_map(|(target, _)| target.ids.iter().copied()).collect();
        Some(Sweep { targets, ids })
    }
}

/// Purges that wait to be looked for: some 3 MiB. What those beyond have hit is found when it is
/// asked for, or when its segment's turn comes.
const TARGETS_MAX: usize = 1 << 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Option<SweepTarget> {
        let mark = PurgeMark::Prefix(UrlPrefix::parse(text).unwrap());
        SweepTarget::of(&mark, Invalidation::new(1).ids()).pop()
    }

    #[test]
    fn a_prefix_is_looked_for_by_its_host_and_its_deepest_directory() {
        let ids = |text| target(text).map(|it| it.ids.len());
        let is_exact = |text| target(text).is_some_and(|it| it.check.is_none());
        assert_eq!(ids("/blog/"), Some(1));
        assert_eq!(ids("https://shop.example/blog/"), Some(2));
        assert_eq!(ids("https://shop.example/"), Some(1));
        assert!(is_exact("/blog/") && is_exact("/a/b/c/d/") && is_exact("https://shop.example/"));
        assert!(!is_exact("/blog/2") && !is_exact("/a/b/c/d/e/") && !is_exact("/blog/?x=/y/"));
        assert!(!is_exact("https://shop.example/b"));
        assert_eq!(target("/blog/").unwrap().ids, target("/blog/2").unwrap().ids);
        assert_eq!(target("/blog"), None, "nothing narrows it down");
        assert!(SweepTarget::of(&PurgeMark::All, Invalidation::new(1).ids()).is_empty());
    }

    #[test]
    fn purges_are_gathered_up_to_a_limit_and_the_last_of_each_counts() {
        let targets = SweepQueue::default();
        let of =
            |number: usize| SweepTarget { ids: [number as u64].into_iter().collect(), check: None };
        assert!((0..TARGETS_MAX).all(|number| targets.add(of(number), 5)));
        assert!(!targets.add(of(TARGETS_MAX), 6));
        assert!(targets.add(of(3), 7) && targets.add(of(3), 6), "it is there");
        assert!(targets.take().is_none(), "the segments are being read");
        targets.state.lock().may_begin = true;
        let sweep = targets.take().unwrap();
        assert_eq!(sweep.targets.len(), TARGETS_MAX);
        assert!(sweep.targets.contains(&(of(3), 7)));
        assert!(targets.take().is_none() && targets.add(of(TARGETS_MAX), 8));
    }
}
