//! `Held`: a stored response that a request keeps while it waits for the origin, to be validated or to stand in for an error.

use std::sync::Arc;

use super::Fetcher;
use crate::invalidation::{RunningFetch, Verdict};
use crate::store::Stored;

/// A stored response that may leave the store while it is held.
///
/// A purge strikes what is stored, and no longer finds this one then. So it counts as a running fetch: no mark is forgotten that
/// is newer, and the response is compared with them whenever it is about to be used.
#[derive(Debug)]
pub struct Held {
    stored: Arc<Stored>,
    since: RunningFetch,
}

impl Held {
    /// The response.
    pub const fn stored(&self) -> &Arc<Stored> {
        &self.stored
    }
}

impl Fetcher {
    /// Holds a response that was found in the store a moment ago; `None`: it has left it, or was hard-purged.
    pub fn hold(&self, stored: &Arc<Stored>) -> Option<Arc<Held>> {
        // In this order: what is still stored now was struck by every purge up to here.
        let since = self.invalidation.begin_fetch();
        let held = Held { stored: Arc::clone(stored), since };
        let is_usable = self.is_stored(stored) && self.verdict_of(&held) != Verdict::Purged;
        is_usable.then(|| Arc::new(held))
    }

    /// Whether a held response may still be used.
    pub(super) fn verdict_of(&self, held: &Held) -> Verdict {
        let Held { stored, since } = held;
        self.invalidation.verdict_of_held(&stored.provenance, since, &stored.key)
    }

    /// Returns whether exactly this response is in the store.
    pub(super) fn is_stored(&self, stored: &Arc<Stored>) -> bool {
        self.store.by_hash(stored.key.hash()).iter().any(|other| Arc::ptr_eq(other, stored))
    }
}
