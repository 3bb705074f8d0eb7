//! Looks up the stored response that may answer a request: by primary key, then by variant (RFC
//! 9111 §4.1).

use std::sync::Arc;

use http::HeaderMap;

use crate::compression::form::ContentForm;
use crate::field::cache_status::ForwardReason;
use crate::field::range::RangeSpec;
use crate::freshness::Staleness;
use crate::invalidation::{Invalidation, Verdict};
use crate::key::Key;
use crate::key::no_vary_search;
use crate::key::vary::{Variant, VariantHash};
use crate::request::RequestHead;
use crate::store::selection::{Selected, select, select_by_language};
use crate::store::{Store, Stored, StoredResponse};
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
    let mut lookup = look_up(store, loaded, invalidation, request);
    if request.policy.compression.is_some() && lookup.found.wants_plain(now) {
        lookup = lookup.or_plain(store, loaded, invalidation, request);
    }
    Lookup { found: lookup.found.covering(range, now), variant: lookup.variant }
}

/// Finds the stored response for a request, in the store or among `loaded`. Purged responses are
/// left for the purge to count and remove.
pub fn look_up(
    store: &dyn Store,
    loaded: &[Arc<Stored>],
    invalidation: &Invalidation,
    request: &RequestHead,
) -> Lookup {
    look_up_by(store, loaded, invalidation, &request.key, &request.fields)
}

fn look_up_by(
    store: &dyn Store,
    loaded: &[Arc<Stored>],
    invalidation: &Invalidation,
    key: &Key,
    fields: &HeaderMap,
) -> Lookup {
    let Selected { stored, variant, is_known } = select(store, key, fields);
    let is_it = |stored: &&Arc<Stored>| {
        let is_variant = |variant: &Variant| variant.matches(fields);
        stored.key == *key && stored.variant.as_deref().is_none_or(is_variant)
    };
    let is_known = is_known || loaded.iter().any(|stored| stored.key == *key);
    let found = match stored.or_else(|| loaded.iter().find(is_it).map(Arc::clone)) {
        None if is_known => Found::Nothing(ForwardReason::VaryMiss),
        None => Found::Nothing(ForwardReason::UriMiss),
        Some(stored) => {
            let verdict = invalidation.verdict(&stored.provenance, key);
            Found::Stored(stored, verdict)
        }
    };
    Lookup { found, variant }
}

/// Returns the plain form that a compressed one was made of, and the variant that it is, if it is
/// stored: one validation of it renews all forms.
pub fn plain_of(
    store: &dyn Store,
    invalidation: &Invalidation,
    request: &RequestHead,
    stored: &Stored,
) -> Option<(Arc<Stored>, Option<VariantHash>)> {
    let is_compressed = matches!(stored.form(), ContentForm::Compressed(_));
    if !is_compressed || request.policy.compression.is_none() {
        return None;
    }
    let Lookup { found, variant } =
        look_up_by(store, &[], invalidation, &request.key, &request.fields_of_plain());
    match found {
        Found::Stored(plain, Verdict::Valid | Verdict::Soft(_) | Verdict::Unproven)
            if plain.form() == ContentForm::Compressible =>
        {
            Some((plain, variant))
        }
        Found::Stored(..) | Found::Nothing(_) => None,
    }
}

/// Shows the stored responses of other URLs that are equivalent by what the responses declare
/// (`No-Vary-Search`), as look-ups under these URLs, until `is_enough`. Looks at few, the newest of
/// each declaration first.
#[cold]
pub fn usable_by_search(
    store: &dyn Store,
    invalidation: &Invalidation,
    request: &RequestHead,
    range: impl Fn() -> Option<RangeSpec>,
    now: Timestamp,
    mut is_enough: impl FnMut(&Key, Lookup) -> bool,
) {
    let own = &request.key;
    let is_equivalent = |key: &Key| {
        let parts = |key: &Key| (key.scheme(), key.rules());
        let path = |key: &Key| no_vary_search::split(key.path()).0.to_vec();
        parts(key) == parts(own) && key.host() == own.host() && path(key) == path(own)
    };
    let mut other = request.clone();
    for class in invalidation.ids().search_classes(own.host(), own.path()) {
        let hashes = invalidation.ids().key_hashes(class);
        let under = hashes.iter().rev().take(EQUIVALENTS_MAX).flat_map(|hash| store.by_hash(*hash));
        let mut keys: Vec<Key> = Vec::new();
        for stored in under.filter(|stored| stored.provenance.carries(class)) {
            if is_equivalent(&stored.key) && stored.key != *own && !keys.contains(&stored.key) {
                keys.push(stored.key.clone());
            }
        }
        for key in keys {
            other.key = key;
            let lookup = usable(store, &[], invalidation, &other, &range, now);
            if let Found::Stored(stored, _) = &lookup.found
                && stored.provenance.carries(class)
                && stored.response().is_some()
                && is_enough(&other.key, lookup)
            {
                return;
            }
        }
    }
}

/// Stored responses of equivalent URLs that one look-up looks at.
const EQUIVALENTS_MAX: usize = 32;

impl Lookup {
    /// Takes the plain form instead of none, or of a compressed form that is older or was purged.
    #[cold]
    fn or_plain(
        self,
        store: &dyn Store,
        loaded: &[Arc<Stored>],
        invalidation: &Invalidation,
        request: &RequestHead,
    ) -> Self {
        let fields = request.fields_of_plain();
        let plain = look_up_by(store, loaded, invalidation, &request.key, &fields);
        let is_better = match (&plain.found, &self.found) {
            (Found::Stored(plain, _), _) if plain.form() != ContentForm::Compressible => false,
            (Found::Stored(..), Found::Nothing(_)) => true,
            (Found::Stored(_, of_plain), Found::Stored(_, own)) if of_plain != own => {
                *of_plain == Verdict::Valid
            }
            (Found::Stored(plain, _), Found::Stored(own, _)) => {
                let received = |stored: &Stored| {
                    stored.response().map(|response| response.freshness.received())
                };
                received(plain) > received(own)
            }
            (Found::Nothing(_), _) => false,
        };
        if is_better { plain } else { self }
    }

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

    /// Returns whether the plain form could be better than what was found.
    fn wants_plain(&self, now: Timestamp) -> bool {
        match self {
            Self::Nothing(reason) => *reason == ForwardReason::VaryMiss,
            Self::Stored(stored, verdict) => {
                let is_fresh = |own: &StoredResponse| {
                    *verdict == Verdict::Valid && own.freshness.state(now, None) == Staleness::Fresh
                };
                matches!(stored.form(), ContentForm::Compressed(_))
                    && !stored.response().is_some_and(is_fresh)
            }
        }
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
