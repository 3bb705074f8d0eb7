//! `WalkedResponses`: what one walk over the store has found for many prefixes, by URL.

use std::sync::Arc;

use purge_protocol::{UrlPrefix, spelling};

use crate::store::Stored;

/// Responses, of which each prefix finds its own without a look at the others.
#[derive(Debug, Default)]
pub(super) struct WalkedResponses {
    all: Vec<Arc<Stored>>,
    /// Sorted.
    by_host: Vec<Place>,
    /// The same without their hosts, for prefixes of every host.
    by_path: Vec<Place>,
}

/// A URL whose path is in its normal spelling, and the place of its response among all.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    host: Option<Box<[u8]>>,
    path: Box<[u8]>,
    index: usize,
}

impl WalkedResponses {
    /// Sorts responses for these prefixes.
    pub(super) fn new(all: Vec<Arc<Stored>>, prefixes: &[&UrlPrefix]) -> Self {
        let sorted = |with_host: bool| {
            if !prefixes.iter().any(|prefix| prefix.host().is_some() == with_host) {
                return Vec::new();
            }
            let place = |(index, stored): (usize, &Arc<Stored>)| Place {
                host: with_host.then(|| stored.key.host().into()),
                path: spelling::normal(stored.key.path()).into_owned().into(),
                index,
            };
            let mut places: Vec<Place> = all.iter().enumerate().map(place).collect();
            places.sort_unstable();
            places
        };
        let (by_host, by_path) = (sorted(true), sorted(false));
        Self { all, by_host, by_path }
    }

    pub(super) fn all(&self) -> &[Arc<Stored>] {
        &self.all
    }

    /// Returns those that a prefix covers, which must be one of those that these are sorted for.
    pub(super) fn under(&self, prefix: &UrlPrefix) -> Vec<Arc<Stored>> {
        let (host, beginning) = (prefix.host().map(str::as_bytes), prefix.path().as_bytes());
        let sorted = if host.is_some() { &self.by_host } else { &self.by_path };
        let url = |place: &Place| (place.host.as_deref(), &*place.path) < (host, beginning);
        let rest = sorted.get(sorted.partition_point(url)..).unwrap_or_default();
        let covered = rest
            .iter()
            .take_while(|place| place.host.as_deref() == host && place.path.starts_with(beginning));
        covered.filter_map(|place| self.all.get(place.index).cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{Bench, Engine, EngineLimits, Page, SMALL};
    use crate::store::memory::{MemoryLimits, MemoryStore};
    use process::clock::Clock;
    use process::timestamp::Timestamp;

    #[test]
    fn a_prefix_finds_what_it_covers() {
        let engine = |limits| {
            let EngineLimits { capacity, object_bytes_max, variants_max } = limits;
            let limits = MemoryLimits { capacity, object_bytes_max, variants_max };
            let store = MemoryStore::new(limits, Clock::manual(Timestamp::from_secs(1)));
            Engine { store: Arc::new(store), settle: Box::new(|| ()), invalidation: None }
        };
        let bench = Bench::new(&engine, SMALL);
        let paths = ["/", "/a", "/a/", "/a/b", "/%61/c", "/ab", "/b", "/b?a"];
        let all: Vec<_> = paths.map(|path| bench.put(Page::at(path), b"content")).into();
        let own = std::str::from_utf8(all[0].key.host()).unwrap().to_owned();
        let hosts = [String::new(), format!("//{own}"), "//other.example".to_owned()];
        let texts = hosts
            .iter()
            .flat_map(|host| ["/", "/a", "/a/", "/b", "/c"].map(|path| format!("{host}{path}")));
        let prefixes: Vec<_> = texts.map(|text| UrlPrefix::parse(&text).unwrap()).collect();
        let walked = WalkedResponses::new(all.clone(), &prefixes.iter().collect::<Vec<_>>());
        for prefix in &prefixes {
            let is_covered =
                |stored: &&Arc<Stored>| prefix.covers(stored.key.host(), stored.key.path());
            let mut expected: Vec<_> = all.iter().filter(is_covered).map(Arc::as_ptr).collect();
            let mut found: Vec<_> = walked.under(prefix).iter().map(Arc::as_ptr).collect();
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected, "{prefix}");
        }
    }
}
