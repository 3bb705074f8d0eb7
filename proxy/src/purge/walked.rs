//! `WalkedResponses`: what one walk over the store has found for many prefixes, by URL.

use std::sync::Arc;

use purge_protocol::{UrlPrefix, spelling};

use crate::store::Stored;

/// Responses in the order of their URLs, so that each prefix finds its own without a look at the
/// others.
#[derive(Debug, Default)]
pub(super) struct WalkedResponses {
    all: Vec<Arc<Stored>>,
    /// Host, path in its normal spelling, and place among all: sorted.
    by_host: Vec<(Box<[u8]>, Box<[u8]>, usize)>,
    /// The same for prefixes of every host.
    by_path: Vec<(Box<[u8]>, usize)>,
}

impl WalkedResponses {
    /// Sorts them for these prefixes.
    pub(super) fn new<'a>(
        all: Vec<Arc<Stored>>,
        prefixes: impl Iterator<Item = &'a UrlPrefix> + Clone,
    ) -> Self {
        let mut walked = Self { all, ..Self::default() };
        let path = |stored: &Stored| spelling::normal(stored.key.path()).into_owned().into();
        let numbered = || walked.all.iter().enumerate();
        if prefixes.clone().any(|prefix| prefix.host().is_some()) {
            let place = |(place, stored): (usize, &Arc<Stored>)| {
                (stored.key.host().into(), path(stored), place)
            };
            walked.by_host = numbered().map(place).collect();
            walked.by_host.sort_unstable();
        }
        if prefixes.clone().any(|prefix| prefix.host().is_none()) {
            walked.by_path =
                walked.all.iter().enumerate().map(|(at, one)| (path(one), at)).collect();
            walked.by_path.sort_unstable();
        }
        walked
    }

    pub(super) fn all(&self) -> &[Arc<Stored>] {
        &self.all
    }

    /// Returns those that a prefix covers, which must be one of the prefixes that these are sorted
    /// for.
    pub(super) fn under(&self, prefix: &UrlPrefix) -> Vec<Arc<Stored>> {
        let beginning = prefix.path().as_bytes();
        let places: Vec<usize> = match prefix.host() {
            Some(host) => {
                let (host, sorted) = (host.as_bytes(), &self.by_host);
                let first =
                    sorted.partition_point(|(own, path, _)| (&**own, &**path) < (host, beginning));
                let rest = sorted.get(first..).unwrap_or_default().iter();
                let covered =
                    rest.take_while(|(own, path, _)| **own == *host && path.starts_with(beginning));
                covered.map(|(.., place)| *place).collect()
            }
            None => {
                let first = self.by_path.partition_point(|(path, _)| &**path < beginning);
                let rest = self.by_path.get(first..).unwrap_or_default().iter();
                let covered = rest.take_while(|(path, _)| path.starts_with(beginning));
                covered.map(|(_, place)| *place).collect()
            }
        };
        places.into_iter().filter_map(|place| self.all.get(place).cloned()).collect()
    }
}
