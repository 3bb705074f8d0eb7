//! Purged URLs, as the URLs under which responses to requests for them are stored.

use purge_protocol::CanonicalUrl;
use purge_protocol::request::Target;

use super::count::Count;
use crate::policy::LiveSettings;

/// The targets of a purge; a URL whose query is filtered stands there as it is written and as it is
/// stored.
#[derive(Debug, Default)]
pub(super) struct StoredUrls {
    pub(super) targets: Vec<Target>,
    /// For each, its place among what was named.
    owners: Vec<usize>,
}

impl StoredUrls {
    /// Adds what the filters leave of URLs. A URL as it is written may have been stored under
    /// other settings, and be used again under these.
    pub(super) fn of(named: &[Target], settings: Option<&LiveSettings>) -> Self {
        let mut all = Self::default();
        for (owner, target) in named.iter().enumerate() {
            all.add(owner, target.clone());
            if let (Target::Url(url), Some(settings)) = (target, settings) {
                for other in others(url, settings) {
                    all.add(owner, Target::Url(other));
                }
            }
        }
        all
    }

    /// Adds the counts of all forms of a URL up.
    pub(super) fn add_up(&self, counts: Vec<Count>) -> Vec<Count> {
        let mut sums: Vec<Count> = Vec::with_capacity(counts.len());
        for (owner, count) in self.owners.iter().zip(counts) {
            match sums.get_mut(*owner) {
                Some(sum) => *sum = sum.and(count),
                None => sums.push(count),
            }
        }
        sums
    }

    fn add(&mut self, owner: usize, target: Target) {
        self.targets.push(target);
        self.owners.push(owner);
    }
}

/// Returns the other URLs under which responses to requests for this one may be stored.
pub(super) fn others(url: &CanonicalUrl, settings: &LiveSettings) -> Vec<CanonicalUrl> {
    if !url.path().contains('?') {
        return Vec::new();
    }
    let paths = settings.current().policies.stored_paths(url.host(), url.path());
    paths.iter().filter_map(|path| CanonicalUrl::from_parts(url.host(), path).ok()).collect()
}
