//! `RecentPurges`: the last purges, with what they named and how many responses they hit.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use purge_protocol::Selector;
use purge_protocol::request::Target;
use tokio::sync::watch;

use super::snapshot::RecentPurge;

#[derive(Debug)]
pub struct RecentPurges {
    state: Mutex<RememberedPurges>,
    /// The number of the newest.
    newest: watch::Sender<u64>,
}

/// All selectors of a purge.
pub type NamedTargets = Arc<[(Selector, Target)]>;

#[derive(Debug, Default)]
struct RememberedPurges {
    /// The newest last.
    purges: VecDeque<(RecentPurge, NamedTargets)>,
    /// Selectors of all of them.
    selectors: usize,
}

impl Default for RecentPurges {
    fn default() -> Self {
        Self { state: Mutex::default(), newest: watch::Sender::new(0) }
    }
}

impl RecentPurges {
    /// Notes a purge of these, and tells those who watch. It is given its number.
    pub fn note(&self, purge: RecentPurge, named: NamedTargets) {
        let mut state = self.state.lock();
        let RememberedPurges { purges, selectors } = &mut *state;
        let id = *self.newest.borrow() + 1;
        if purges.len() == PURGES_MAX
            && let Some((_, forgotten)) = purges.pop_front()
        {
            *selectors -= forgotten.len();
        }
        *selectors += named.len();
        purges.push_back((RecentPurge { id, ..purge }, named));
        for (_, named) in purges.iter_mut() {
            if *selectors <= SELECTORS_MAX {
                break;
            }
            *selectors -= named.len();
            *named = NamedTargets::default();
        }
        self.newest.send_replace(id);
    }

    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Returns those after a number, the oldest first.
    pub fn after(&self, id: u64) -> Vec<RecentPurge> {
        let state = self.state.lock();
        let purges = state.purges.iter().map(|(purge, _)| purge);
        purges.filter(|purge| purge.id > id).cloned().collect()
    }

    /// Returns the last ones, the newest first.
    pub fn last(&self, most: usize) -> Vec<RecentPurge> {
        let state = self.state.lock();
        state.purges.iter().rev().take(most).map(|(purge, _)| purge).cloned().collect()
    }

    /// Returns the selectors of those whose selectors are remembered, the newest first, each with
    /// the number of its purge.
    pub fn selectors(&self) -> Vec<(u64, NamedTargets)> {
        let state = self.state.lock();
        let newest = state.purges.iter().rev();
        newest
            .filter(|(_, named)| !named.is_empty())
            .map(|(purge, named)| (purge.id, Arc::clone(named)))
            .collect()
    }

    /// Returns the purge with this number, if it is remembered.
    pub fn find(&self, id: u64) -> Option<RecentPurge> {
        let state = self.state.lock();
        let found = state.purges.iter().rev().find(|(purge, _)| purge.id == id)?;
        Some(found.0.clone())
    }
}

/// Purges that are remembered.
pub const PURGES_MAX: usize = 1000;
/// Selectors that are remembered, of the newest of these: some megabytes.
pub const SELECTORS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn named(selector: &str) -> RecentPurge {
        RecentPurge { selector: selector.to_owned(), ..RecentPurge::default() }
    }

    fn everything(count: usize) -> NamedTargets {
        vec![(Selector::All(true), Target::All); count].into()
    }

    #[test]
    fn the_newest_comes_first_and_what_follows_a_number_in_order() {
        let purges = RecentPurges::default();
        for name in ["a", "b", "c"] {
            purges.note(named(name), NamedTargets::default());
        }
        let names = |purges: Vec<RecentPurge>| {
            purges.into_iter().map(|purge| purge.selector).collect::<Vec<_>>()
        };
        assert_eq!(names(purges.last(2)), ["c", "b"]);
        assert_eq!(names(purges.after(1)), ["b", "c"]);
        assert_eq!(*purges.newest().borrow(), 3);
    }

    #[test]
    fn a_thousand_are_remembered() {
        let purges = RecentPurges::default();
        for number in 0..1500 {
            purges.note(named(&number.to_string()), everything(1));
        }
        let all = purges.last(usize::MAX);
        assert_eq!((all.len(), &*all[0].selector, all[999].id), (1000, "1499", 501));
        assert_eq!(purges.selectors().len(), 1000);
        assert_eq!(purges.find(501).unwrap().selector, "500");
        assert_eq!(purges.find(500), None);
    }

    #[test]
    fn the_selectors_of_the_oldest_make_room_and_the_purges_stay() {
        let purges = RecentPurges::default();
        for count in [SELECTORS_MAX - 1, 1, 1, SELECTORS_MAX - 2] {
            purges.note(named("a"), everything(count));
        }
        let left: Vec<_> =
            purges.selectors().iter().map(|(id, named)| (*id, named.len())).collect();
        assert_eq!(left, [(4, SELECTORS_MAX - 2), (3, 1), (2, 1)]);
        purges.note(named("b"), everything(SELECTORS_MAX + 1));
        assert!(purges.selectors().is_empty(), "more than all together may have");
        assert_eq!(purges.last(usize::MAX).len(), 5);
        purges.note(named("c"), everything(1));
        assert_eq!(purges.selectors().len(), 1);
    }
}
