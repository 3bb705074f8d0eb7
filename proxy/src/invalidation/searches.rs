//! `SearchTable`: what responses of each host have declared about their queries.
//!
//! A response that declares something carries the tag of its *class*: all URLs that are equivalent
//! to its own by that. Whoever looks for it, or purges, computes the class of a URL under each
//! declaration of its host. Only origins declare; there is room for few, and none is forgotten,
//! since responses that carry a class would not be found by purges any more. A journal keeps them,
//! with the sequences at which they became known, for the process that reads the store next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

use parking_lot::RwLock;
use process::metrics::Counter;
use smallvec::SmallVec;

use super::Sequence;
use crate::key::no_vary_search::SearchVariance;

#[derive(Debug, Default)]
pub struct SearchTable {
    hosts: RwLock<BTreeMap<Box<[u8]>, Declarations>>,
    /// In all hosts.
    total: AtomicUsize,
    /// Of all of them, with their hosts.
    bytes: AtomicUsize,
    /// The sequence at which the last one became known.
    since: AtomicU64,
    /// Declarations that found no room: their responses are known by their own URLs only.
    pub refused: Counter,
    /// Requests that were answered by a response of another URL.
    pub shared: Counter,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Declaration {
    pub variance: SearchVariance,
    /// Every purge of a URL after this sequence means the URL's class as well.
    pub since: Sequence,
}

/// A declaration as a journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDeclaration {
    pub host: Box<[u8]>,
    pub declaration: Arc<Declaration>,
}

type Declarations = SmallVec<[Arc<Declaration>; 2]>;

/// The place of a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    Known,
    New,
    NoRoom,
}

impl SearchTable {
    /// Notes a declaration. `sequence` is asked after it is known; what is new is given to `keep`.
    pub(super) fn note(
        &self,
        host: &[u8],
        variance: &SearchVariance,
        sequence: impl FnOnce() -> Sequence,
        keep: impl FnOnce(HostDeclaration),
    ) -> Noted {
        let is_among = |known: &Declarations| known.iter().any(|known| known.variance == *variance);
        if is_among(&self.of(host)) {
            return Noted::Known;
        }
        let mut hosts = self.hosts.write();
        let own = hosts.get(host);
        if own.is_some_and(is_among) {
            return Noted::Known;
        }
        let count = own.map_or(0, SmallVec::len);
        let bytes = self.bytes.load(Ordering::Relaxed) + host.len() + variance.bytes();
        if count >= PER_HOST_MAX || self.len() >= TOTAL_MAX || bytes > BYTES_MAX {
            self.refused.add(1);
            return Noted::NoRoom;
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Release);
        fence(Ordering::SeqCst);
        // A purge that has not found the declaration has this sequence at most: it either looks
        // after the lock is free, or has looked already.
        let declaration = Arc::new(Declaration { variance: variance.clone(), since: sequence() });
        self.since.fetch_max(declaration.since.0, Ordering::AcqRel);
        hosts.entry(host.into()).or_default().push(Arc::clone(&declaration));
        drop(hosts);
        keep(HostDeclaration { host: host.into(), declaration });
        Noted::New
    }

    /// Notes what an earlier process was told.
    pub(super) fn restore(&self, earlier: &HostDeclaration) {
        let HostDeclaration { host, declaration } = earlier;
        self.note(host, &declaration.variance, || declaration.since, drop);
    }

    /// Returns what responses of a host have declared. Cheap while none has.
    pub fn of(&self, host: &[u8]) -> Declarations {
        fence(Ordering::SeqCst); // a purge has marked its URL before it looks here
        if self.len() == 0 {
            return Declarations::new();
        }
        self.hosts.read().get(host).cloned().unwrap_or_default()
    }

    /// Returns all that is known.
    pub fn all(&self) -> Vec<HostDeclaration> {
        let mut all = Vec::new();
        for (host, declarations) in &*self.hosts.read() {
            all.extend(
                declarations
                    .iter()
                    .cloned()
                    .map(|declaration| HostDeclaration { host: host.clone(), declaration }),
            );
        }
        all
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
/// All are in the journal, and handed over with pages.
const BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn note(table: &SearchTable, host: &[u8], name: &str) -> Noted {
        table.note(host, &only(name), || Sequence(5), drop)
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
        let table = SearchTable::default();
        let long = "x".repeat(BYTES_MAX / 2);
        let noted = [b"a", b"b", b"c"].map(|host| note(&table, host, &long));
        assert_eq!(noted, [Noted::New, Noted::NoRoom, Noted::NoRoom], "each is a bit longer");
        assert_eq!(note(&table, b"c", "a"), Noted::New);
        assert_eq!(table.all().len(), 2);
    }
}
