//! Stored responses of other URLs that are of use for a request, by what they declare about their
//! queries (`No-Vary-Search`).

use super::decision::{Decision, Plan};
use crate::field::range::RangeSpec;
use crate::freshness::Uncacheable;
use crate::invalidation::Invalidation;
use crate::key::Key;
use crate::key::vary::VariantHash;
use crate::lookup::{Found, usable_by_search};
use crate::request::RequestHead;
use crate::store::Store;
use process::timestamp::Timestamp;

/// The decision by the stored response of an equivalent URL.
pub(super) struct Equivalent {
    /// That of the URL.
    pub(super) key: Key,
    pub(super) decision: Decision,
    pub(super) variant: Option<VariantHash>,
}

/// Returns whether other URLs may be equivalent to that of a request.
pub(super) fn may_exist(invalidation: &Invalidation, head: &RequestHead) -> bool {
    let searches = invalidation.ids().searches();
    head.policy.heeds_search_variance && !searches.of(head.key.host()).is_empty()
}

/// Returns what the best stored response of an equivalent URL decides, where that is better than
/// what was decided on. `is_loaded` says that what is on disk for its own URL is at hand already.
#[cold]
pub(super) fn best(
    (store, invalidation): (&dyn Store, &Invalidation),
    (head, is_loaded): (&RequestHead, bool),
    own: &Decision,
    decide: &dyn Fn(Found) -> Decision,
    now: Timestamp,
) -> Option<Equivalent> {
    if let Decision::Forward(_, Plan::FetchUncollapsed(why)) = own
        && *why != Uncacheable::Authorization
    {
        return None; // what is known to be uncacheable are the responses of this URL
    }
    let is_on_disk = || store.cold().is_some_and(|cold| cold.holds(head.key.hash()));
    let is_only_fresh_wanted = is_loaded || is_on_disk(); // its own may be fresh
    let range = || RangeSpec::only_one(&head.method, &head.fields);
    let mut best: Option<Equivalent> = None;
    usable_by_search(store, invalidation, head, range, now, |key, lookup| {
        let decision = decide(lookup.found);
        let rank = rank(&decision);
        let so_far = best.as_ref().map_or(own, |best| &best.decision);
        if rank < self::rank(so_far) && (rank == HIT || !is_only_fresh_wanted) {
            let (key, variant) = (key.clone(), lookup.variant);
            best = Some(Equivalent { key, decision, variant });
        }
        rank == HIT
    });
    if best.as_ref().is_some_and(|best| rank(&best.decision) < VALIDATION) {
        invalidation.ids().searches().shared.add(1);
    }
    best
}

/// The use of what is stored for a decision: the lower, the better.
const fn rank(decision: &Decision) -> u8 {
    match decision {
        Decision::Hit(_) => HIT,
        Decision::HitStale(_) => HIT + 1,
        Decision::HitAccepted(_) => HIT + 2,
        Decision::Forward(_, Plan::Fetch(Some(_))) => VALIDATION,
        Decision::Forward(..) | Decision::Unsatisfiable => VALIDATION + 1,
    }
}

const HIT: u8 = 0;
const VALIDATION: u8 = 3;
