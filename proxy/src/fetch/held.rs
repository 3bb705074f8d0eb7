//! `HeldResponse`: a stored response that a request keeps while it waits for the origin, to be
//! validated or to be served when the origin fails.

use std::sync::Arc;

use crate::invalidation::{Invalidation, RunningFetch, Verdict};
use crate::store::{Store, Stored};

/// A stored response that may leave the store while it is held.
///
/// A purge marks the responses that are stored and no longer finds this one then. So it counts as a
/// running fetch: newer marks are kept, and it is compared with them whenever it is about to be
/// used.
#[derive(Debug)]
pub struct HeldResponse {
    stored: Arc<Stored>,
    since: RunningFetch,
}

impl HeldResponse {
    /// Holds a response that was found in the store a moment ago; `None` when it has left the store
    /// or was hard-purged.
    pub(super) fn new(
        store: &dyn Store,
        invalidation: &Arc<Invalidation>,
        stored: &Arc<Stored>,
    ) -> Option<Arc<Self>> {
        // In this order: every purge up to here has marked what is still stored now.
        let since = invalidation.begin_fetch();
        let held = Self { stored: Arc::clone(stored), since };
        let is_usable = is_stored(store, stored) && held.verdict(invalidation) != Verdict::Purged;
        is_usable.then(|| Arc::new(held))
    }

    /// Returns whether another form of it, made while it was held, may be used.
    pub(super) fn verdict_on_form(&self, invalidation: &Invalidation, form: &Stored) -> Verdict {
        let of_form = invalidation.verdict_of_held(&form.provenance, &self.since, &form.key);
        if self.verdict(invalidation) == Verdict::Valid { of_form } else { Verdict::Purged }
    }

    pub const fn stored(&self) -> &Arc<Stored> {
        &self.stored
    }

    /// Returns whether it may still be used.
    pub(super) fn verdict(&self, invalidation: &Invalidation) -> Verdict {
        let Self { stored, since } = self;
        invalidation.verdict_of_held(&stored.provenance, since, &stored.key)
    }
}

/// Returns whether exactly this response is in the store.
pub(super) fn is_stored(store: &dyn Store, stored: &Arc<Stored>) -> bool {
    store.by_hash(stored.key.hash()).iter().any(|other| Arc::ptr_eq(other, stored))
}
