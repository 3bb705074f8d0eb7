//! `SearchTable`: what responses of each host have declared about their queries.
//!
//! A response that declares something carries the tag of its *class*: all URLs that are equivalent
//! to its own by that. Whoever looks for it, or purges, computes the class of a URL under each
//! declaration of its host. Only origins declare; there is room for few, and none is forgotten,
//! since responses that carry a class would not be found by purges any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;
use process::metrics::Counter;
use smallvec::SmallVec;

use super::Sequence;
use crate::key::no_vary_search::SearchVariance;

#[derive(Debug, Default)]
pub struct SearchTable {
    hosts: RwLock<HashMap<Box<[u8]>, Declarations>>,
    /// In all hosts.
    total: AtomicUsize,
    /// The sequence at which the last one became known.
    since: AtomicU64,
    /// Declarations that found no room: their responses are known by their own URLs only.
    pub refused: Counter,
    /// Requests that were answered by a response of another URL.
    pub shared: Counter,
}

type Declarations = SmallVec<[Arc<SearchVariance>; 2]>;

/// The place of a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    Known,
    New,
    NoRoom,
}

impl SearchTable {
    /// Notes a declaration. `sequence` is asked after it is known.
    pub(super) fn note(
        &self,
        host: &[u8],
        variance: &SearchVariance,
        sequence: impl FnOnce() -> Sequence,
    ) -> Noted {
        if self.of(host).iter().any(|known| **known == *variance) {
            return Noted::Known;
        }
        let mut hosts = self.hosts.write();
        let own = hosts.get(host);
        if own.is_some_and(|known| known.iter().any(|known| **known == *variance)) {
            return Noted::Known;
        }
        let count = own.map_or(0, SmallVec::len);
        if count >= PER_HOST_MAX || self.len() >= TOTAL_MAX {
            self.refused.add(1);
            return Noted::NoRoom;
        }
        hosts.entry(host.into()).or_default().push(Arc::new(variance.clone()));
        self.total.fetch_add(1, Ordering::Release);
        // Whoever finds the declaration knows since when.
        self.since.fetch_max(sequence().0, Ordering::AcqRel);
        drop(hosts);
        Noted::New
    }

    /// Returns what responses of a host have declared. Cheap while none has.
    pub fn of(&self, host: &[u8]) -> Declarations {
        if self.len() == 0 {
            return Declarations::new();
        }
        self.hosts.read().get(host).cloned().unwrap_or_default()
    }

    /// Returns whether a declaration has become known since then.
    pub(super) fn have_changed_since(&self, born: Sequence) -> bool {
        born.0 < self.since.load(Ordering::Acquire)
    }

    pub(super) fn len(&self) -> usize {
        self.total.load(Ordering::Acquire)
    }
}

const PER_HOST_MAX: usize = 16;
const TOTAL_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn note(table: &SearchTable, host: &[u8], name: &str) -> Noted {
        table.note(host, &only(name), || Sequence(5))
    }

    fn only(name: &str) -> SearchVariance {
        SearchVariance::only([name.as_bytes()])
    }

    #[test]
    fn a_host_has_room_for_few_declarations_and_keeps_those_it_has() {
        let table = SearchTable::default();
        assert_eq!(table.of(b"a").len(), 0);
        let names: Vec<String> = (0..PER_HOST_MAX).map(|number| number.to_string()).collect();
        for name in &names {
            assert_eq!(note(&table, b"a", name), Noted::New);
            assert_eq!(note(&table, b"a", name), Noted::Known);
        }
        assert_eq!(note(&table, b"a", "x"), Noted::NoRoom);
        assert_eq!(note(&table, b"a", "0"), Noted::Known);
        assert_eq!((table.of(b"a").len(), table.refused.value()), (PER_HOST_MAX, 1));
        assert_eq!(note(&table, b"b", "x"), Noted::New);
    }

    #[test]
    fn all_hosts_together_have_a_limit() {
        let table = SearchTable::default();
        for number in 0..TOTAL_MAX {
            assert_eq!(note(&table, number.to_string().as_bytes(), "a"), Noted::New);
        }
        assert_eq!(note(&table, b"another", "a"), Noted::NoRoom);
    }
}
