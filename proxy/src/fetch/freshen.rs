//! A newer head for a stored response: from a 304 (RFC 9111 §4.3.4), or from a 200 to HEAD
//! (§4.3.5).

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};
use http::{Method, StatusCode};

use super::request::FetchRequest;
use super::storable::{Storable, form_as_received};
use super::{Fetcher, revision};
use crate::compression::form::ContentForm;
use crate::freshness::stored_fields::freshen as freshened_fields;
use crate::freshness::validation::head_agrees;
use crate::freshness::{ExchangeTimes, Freshness, RequestFacts, Uncacheable, judge_ruled};
use crate::invalidation::{RunningFetch, Verdict};
use crate::key::vary::{self, VaryStar};
use crate::lookup::{Found, look_up};
use crate::policy::rules::{ResponseTerms, edited};
use crate::request::RequestHead;
use crate::store::{self, Removal, Show, Stored};

#[derive(Clone, Copy)]
pub(super) struct NewHead<'a> {
    pub(super) fields: &'a HeaderMap,
    pub(super) birth: &'a RunningFetch,
    pub(super) exchange: ExchangeTimes,
}

//= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.5
//# When a cache makes an inbound HEAD request for a target URI and
//# receives a 200 (OK) response, the cache SHOULD update or invalidate
//# each of its stored GET responses that could have been chosen for that
//# request
/// Updates the stored response that a HEAD request selects by the response to it, or removes it
/// where the two disagree.
pub(super) fn freshen_by_head(
    fetcher: &Fetcher,
    request: &RequestHead,
    birth: &RunningFetch,
    status: StatusCode,
    fields: &HeaderMap,
    exchange: ExchangeTimes,
) {
    if status != StatusCode::OK {
        return;
    }
    // A response that may have missed a purge needs more than a head that looks alike.
    let found = look_up(&*fetcher.store, &[], &fetcher.invalidation, request).found;
    let Found::Stored(stored, Verdict::Valid | Verdict::Soft(_)) = found else { return };
    let Some(old) = stored.response().filter(|old| old.status == StatusCode::OK) else { return };
    let tags = stored.provenance.ids();
    if revision::is_lagging(&fetcher.invalidation, &request.policy.tags, fields, tags)
        || !may_confirm(fetcher, &stored, birth)
    {
        return;
    }
    let mut described = old.fields.to_map(Show::All, 1);
    ContentForm::restore(&mut described);
    if let ContentForm::Compressed(_) = old.fields.form() {
        if !fields.contains_key(ETAG) && !fields.contains_key(LAST_MODIFIED) {
            return; // the length of the plain form is not known here
        }
        described.extend(fields.get(CONTENT_LENGTH).map(|length| (CONTENT_LENGTH, length.clone())));
    } else {
        described.insert(CONTENT_LENGTH, HeaderValue::from(old.body.length()));
    }
    if head_agrees(&described, fields) {
        let facts = RequestFacts { method: Method::GET, ..request.facts() };
        let new = NewHead { fields, birth, exchange };
        freshen(fetcher, request, &facts, &stored, old, new);
    } else {
        fetcher.store.remove(&stored, Removal::Replaced);
    }
}

/// Stores a response anew with a newer head; `None` when that forbids storing it any longer.
pub(super) fn freshen(
    fetcher: &Fetcher,
    request: &RequestHead,
    facts: &RequestFacts,
    stale: &Arc<Stored>,
    old: &store::StoredResponse,
    new: NewHead<'_>,
) -> Option<Arc<Stored>> {
    let NewHead { fields, birth, exchange } = new;
    let Judged { fields, ruled, freshness } = judged(request, facts, old, fields, exchange);
    // Compression may have been switched on since it was stored.
    let form = match old.fields.form() {
        ContentForm::AsReceived if old.part.is_none() => {
            form_as_received(&request.policy, old.status, &fields, Some(old.body.length()))
        }
        form => form,
    };
    let storable = freshness.and_then(|freshness| {
        Storable::of(fetcher, request, fields, (freshness, form), ruled.as_ref())
    });
    match storable {
        Ok(storable) => {
            let entry = storable.into_entry(request, birth, old.status);
            let stored = fetcher.store.freshen(stale, entry).ok()?;
            fetcher.remove_if_purged(&stored);
            if !may_confirm(fetcher, stale, birth) {
                fetcher.store.remove(&stored, Removal::Purged);
            }
            Some(stored)
        }
        Err(reason) => {
            fetcher.metrics.uncacheable(reason);
            fetcher.store.remove(stale, Removal::Replaced);
            None
        }
    }
}

/// Returns whether a 304 lets the response that it confirms be shared any longer.
pub(super) fn may_share(
    request: &FetchRequest,
    old: &store::StoredResponse,
    not_modified: &HeaderMap,
    exchange: ExchangeTimes,
) -> bool {
    let judged = judged(&request.head, &request.facts, old, not_modified, exchange);
    judged.freshness.is_ok() && !matches!(vary::named(&judged.fields), Err(VaryStar::Star))
}

/// A stored response with a newer head.
struct Judged {
    fields: HeaderMap,
    ruled: Option<ResponseTerms>,
    /// The reason, where it may not be stored.
    freshness: Result<Freshness, Uncacheable>,
}

fn judged(
    request: &RequestHead,
    facts: &RequestFacts,
    old: &store::StoredResponse,
    newer: &HeaderMap,
    exchange: ExchangeTimes,
) -> Judged {
    let mut received = edited::undone(old.fields.to_map(Show::All, 0));
    ContentForm::restore(&mut received);
    let fields = freshened_fields(&received, newer, exchange.wall_time);
    let ruled = request.judge(old.status, &fields);
    let terms = ruled.as_ref().map(|ruled| ruled.lifetimes).unwrap_or_default();
    let freshness = if ruled.as_ref().is_some_and(|ruled| ruled.is_uncacheable) {
        Err(Uncacheable::RuleBypass)
    } else {
        judge_ruled(&request.policy.freshness, &terms, facts, old.status, &fields, exchange)
    };
    Judged { fields, ruled, freshness }
}

/// Returns whether no purge has overtaken this validation: the new head may no longer carry the tag
/// that was purged.
pub(super) fn may_confirm(fetcher: &Fetcher, stale: &Stored, birth: &RunningFetch) -> bool {
    fetcher.invalidation.may_confirm(&stale.provenance, birth.born(), &stale.key)
}
