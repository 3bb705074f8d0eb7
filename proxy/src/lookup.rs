//! Looks up the stored response that may answer a request: by primary key, then by variant (RFC
//! 9111 §4.1).

use std::sync::Arc;

use crate::field::cache_status::ForwardReason;
use crate::field::range::RangeSpec;
use crate::freshness::Staleness;
use crate::invalidation::{Invalidation, Verdict};
use crate::key::vary::{Variant, VariantHash};
use crate::request::RequestHead;
use crate::store::selection::{Selected, select, select_by_language};
use crate::store::{Store, Stored};
use process::timestamp::Timestamp;

#[derive(Debug)]
pub struct Lookup {
    pub found: Found,
    /// The variant that the request selects; `None` where the URL is not known to vary.
    pub variant: Option<VariantHash>,
}

#[derive(Clone, Debug)]
pub enum Found {
    /// There is none under its URL, for its selecting fields, or for its range.
    Nothing(ForwardReason),
    Stored(Arc<Stored>, Verdict),
}

/// Finds the stored response that a request could use: a stored part only where `range` lies within
/// it and it is fresh at `now`.
pub fn usable(
    store: &dyn Store,
    loaded: &[Arc<Stored>],
    invalidation: &Invalidation,
    request: &RequestHead,
    range: impl FnOnce() -> Option<RangeSpec>,
    now: Timestamp,
) -> Lookup {
    let Lookup { found, variant } = look_up(store, loaded, invalidation, request);
    Lookup { found: found.covering(range, now), variant }
}

/// Finds the stored response for a request, in the store or among `loaded`. Purged responses are
/// left for the purge to count and remove.
pub fn look_up(
    store: &dyn Store,
    loaded: &[Arc<Stored>],
    invalidation: &Invalidation,
    request: &RequestHead,
) -> Lookup {
    let Selected { stored, variant, is_known } = select(store, &request.key, &request.fields);
    let is_it = |stored: &&Arc<Stored>| {
        let is_variant = |variant: &Variant| variant.matches(&request.fields);
        stored.key == request.key && stored.variant.as_deref().is_none_or(is_variant)
    };
    let is_known = is_known || loaded.iter().any(|stored| stored.key == request.key);
    let found = match stored.or_else(|| loaded.iter().find(is_it).map(Arc::clone)) {
        None if is_known => Found::Nothing(ForwardReason::VaryMiss),
        None => Found::Nothing(ForwardReason::UriMiss),
        Some(stored) => {
            let verdict = invalidation.verdict(&stored.provenance, &request.key);
            Found::Stored(stored, verdict)
        }
    };
    Lookup { found, variant }
}

impl Lookup {
    /// Takes a fresh variant that another order of languages has selected, where no variant
    /// matches, if it is in the language that this request names first.
    pub(crate) fn or_by_language(
        mut self,
        store: &dyn Store,
        invalidation: &Invalidation,
        request: &RequestHead,
        range: impl FnOnce() -> Option<RangeSpec>,
        now: Timestamp,
    ) -> Self {
        if matches!(self.found, Found::Nothing(ForwardReason::VaryMiss))
            && let Some(stored) = select_by_language(store, &request.key, &request.fields)
            && let Some(response) = stored.response()
            && response.freshness.state(now, None) == Staleness::Fresh
            && invalidation.verdict(&stored.provenance, &request.key) == Verdict::Valid
        {
            self.found = Found::Stored(stored, Verdict::Valid).covering(range, now);
        }
        self
    }
}

impl Found {
    /// Returns the stored response, purged or not.
    pub fn stored(self) -> Option<Arc<Stored>> {
        match self {
            Self::Nothing(_) => None,
            Self::Stored(stored, _) => Some(stored),
        }
    }

    /// Returns the stored response if it is fresh and no purge concerns it.
    pub fn fresh(self, now: Timestamp) -> Option<Arc<Stored>> {
        let Self::Stored(stored, Verdict::Valid) = self else { return None };
        let is_fresh = stored
            .response()
            .is_some_and(|response| response.freshness.state(now, None) == Staleness::Fresh);
        is_fresh.then_some(stored)
    }

    /// Leaves a stored part out where the request asks for anything but bytes of it.
    fn covering(self, range: impl FnOnce() -> Option<RangeSpec>, now: Timestamp) -> Self {
        let Self::Stored(stored, verdict) = &self else { return self };
        let Some(response) = stored.response() else { return self };
        let Some(part) = response.part.as_deref() else { return self };
        let is_fresh =
            *verdict == Verdict::Valid && response.freshness.state(now, None) == Staleness::Fresh;
        if is_fresh && range().is_some_and(|range| range.is_within(*part)) {
            self
        } else {
            Self::Nothing(ForwardReason::Partial)
        }
    }
}
