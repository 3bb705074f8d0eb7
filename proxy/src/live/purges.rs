//! `RecentPurges`: the last purges, with what they named and how many responses they hit.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::snapshot::RecentPurge;

#[derive(Debug)]
pub struct RecentPurges {
    /// The newest last.
    purges: Mutex<VecDeque<RecentPurge>>,
    /// The number of the newest.
    newest: watch::Sender<u64>,
}

impl Default for RecentPurges {
    fn default() -> Self {
        Self { purges: Mutex::default(), newest: watch::Sender::new(0) }
    }
}

impl RecentPurges {
    /// Notes a purge, and tells those who watch. It is given its number.
    pub fn note(&self, purge: RecentPurge) {
        let mut purges = self.purges.lock();
        let id = *self.newest.borrow() + 1;
        if purges.len() == PURGES_MAX {
            purges.pop_front();
        }
        purges.push_back(RecentPurge { id, ..purge });
        self.newest.send_replace(id);
    }

    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Returns those after a number, the oldest first.
    pub fn after(&self, id: u64) -> Vec<RecentPurge> {
        self.purges.lock().iter().filter(|purge| purge.id > id).cloned().collect()
    }

    /// Returns the last ones, the newest first.
    pub fn last(&self, most: usize) -> Vec<RecentPurge> {
        self.purges.lock().iter().rev().take(most).cloned().collect()
    }
}

/// Purges that are remembered.
pub const PURGES_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn named(selector: &str) -> RecentPurge {
        RecentPurge { selector: selector.to_owned(), ..RecentPurge::default() }
    }

    #[test]
    fn the_newest_comes_first_and_what_follows_a_number_in_order() {
        let purges = RecentPurges::default();
        for name in ["a", "b", "c"] {
            purges.note(named(name));
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
            purges.note(named(&number.to_string()));
        }
        let all = purges.last(usize::MAX);
        assert_eq!((all.len(), &*all[0].selector, all[999].id), (1000, "1499", 501));
    }
}
