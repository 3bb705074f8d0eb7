//! From a request to the stored response that may answer it: primary key, then variant (RFC 9111 §4.1).

use std::sync::Arc;

use crate::field::cache_status::ForwardReason;
use crate::field::range::RangeSpec;
use crate::freshness::State;
use crate::invalidation::{Invalidation, Verdict};
use crate::key::vary::Variant;
use crate::request::RequestHead;
use crate::store::selection::{Selected, select, select_by_language};
use crate::store::{Store, Stored};
use process::timestamp::Timestamp;

/// What was found, and what the request selects.
#[derive(Debug)]
pub struct Lookup {
    /// What the store has.
    pub found: Found,
    /// The hash of the selecting values, zero where the URL is not known to vary.
    pub selection: u64,
}

impl Lookup {
    /// Where no variant matches: takes a fresh one that another order of languages has selected, if it is in the language that
    /// this request names first.
    pub(crate) fn or_by_language(
        mut self,
        store: &dyn Store,
        invalidation: &Invalidation,
        request: &RequestHead,
        now: Timestamp,
    ) -> Self {
        if matches!(self.found, Found::Nothing(ForwardReason::VaryMiss))
            && let Some(stored) = select_by_language(store, &request.key, &request.fields)
            && let Some(response) = stored.response()
            && response.freshness.state(now, None) == State::Fresh
            && invalidation.verdict(&stored.provenance, &request.key) == Verdict::Valid
        {
            self.found = Found::Stored(stored, Verdict::Valid);
        }
        self
    }
}

/// What the store has for a request.
#[derive(Clone, Debug)]
pub enum Found {
    /// Nothing under its URL, or nothing for its selecting fields.
    Nothing(ForwardReason),
    /// This, and what purges make of it.
    Stored(Arc<Stored>, Verdict),
}

impl Found {
    /// Leaves a stored part out where the request asks for anything but bytes of it.
    pub(crate) fn fitting(self, request: &RequestHead, now: Timestamp) -> Self {
        let Self::Stored(stored, verdict) = &self else { return self };
        let Some(response) = stored.response() else { return self };
        let Some(part) = response.part.as_deref() else { return self };
        let is_fresh =
            *verdict == Verdict::Valid && response.freshness.state(now, None) == State::Fresh;
        let asked = RangeSpec::only_one(&request.method, &request.fields);
        if is_fresh && asked.is_some_and(|asked| asked.is_within(*part)) {
            self
        } else {
            Self::Nothing(ForwardReason::Partial)
        }
    }
}

/// Looks a request up: in the store, and among `recalled`, which the store has handed out for this request. What turns out to be purged stays for the purge itself to count and remove.
pub fn look_up(
    (store, recalled): (&dyn Store, &[Arc<Stored>]),
    invalidation: &Invalidation,
    request: &RequestHead,
) -> Lookup {
    let Selected { stored, selection, is_known } = select(store, &request.key, &request.fields);
    let is_it = |stored: &&Arc<Stored>| {
        let is_variant = |variant: &Variant| variant.matches(&request.fields);
        stored.key == request.key && stored.variant.as_deref().is_none_or(is_variant)
    };
    let is_known = is_known || recalled.iter().any(|stored| stored.key == request.key);
    let found = stored.or_else(|| recalled.iter().find(is_it).map(Arc::clone));
    let found = match found {
        None if is_known => Found::Nothing(ForwardReason::VaryMiss),
        None => Found::Nothing(ForwardReason::UriMiss),
        Some(stored) => {
            let verdict = invalidation.verdict(&stored.provenance, &request.key);
            Found::Stored(stored, verdict)
        }
    };
    Lookup { found, selection }
}
