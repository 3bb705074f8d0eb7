//! `RewarmCandidates`: of all that a purge is about to hit, what may be fetched again.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::key::Scheme;
use crate::store::Stored;

#[derive(Debug, Default)]
pub(super) struct RewarmCandidates {
    pub(super) hottest: Vec<Arc<Stored>>,
    /// The hosts of all, with the scheme that their clients use.
    pub(super) hosts: BTreeMap<Vec<u8>, Scheme>,
}

impl RewarmCandidates {
    /// Takes the `max` most requested of these responses, and the hosts of all.
    pub(super) fn among(mut found: Vec<Arc<Stored>>, max: usize) -> Self {
        let mut candidates = Self::default();
        found.retain(|stored| stored.response().is_some());
        for stored in &found {
            if candidates.hosts.len() < HOSTS_MAX
                || candidates.hosts.contains_key(stored.key.host())
            {
                candidates.hosts.insert(stored.key.host().to_vec(), stored.key.scheme());
            }
        }
        if max < found.len() {
            found.select_nth_unstable_by_key(max, |stored| Reverse(stored.uses()));
            found.truncate(max);
        }
        found.sort_by_key(|stored| Reverse(stored.uses()));
        candidates.hottest = found;
        candidates
    }
}

/// Hosts whose listed URLs one purge may have fetched again.
const HOSTS_MAX: usize = 1000;
