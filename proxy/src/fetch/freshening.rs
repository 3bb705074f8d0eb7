//! A newer head for a stored response: from a 304 (RFC 9111 §4.3.4), or from a 200 to HEAD (§4.3.5).

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use super::exchange::Storable;
use super::{Fetcher, tags};
use crate::freshness::stored_fields::freshen;
use crate::freshness::validation::head_agrees;
use crate::freshness::{Exchange, Freshness, RequestFacts, Uncacheable, judge};
use crate::invalidation::{RunningFetch, Verdict};
use crate::key::vary::Variant;
use crate::request::RequestHead;
use crate::store::selection::{names_under, select};
use crate::store::{self, Body, Content, Fields, NewEntry, Removal, Show, Stored};

/// The head that arrived.
pub(super) struct Newer<'a> {
    pub(super) head: &'a HeaderMap,
    pub(super) birth: &'a RunningFetch,
    pub(super) exchange: Exchange,
}

impl Fetcher {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.5
    //# When a cache makes an inbound HEAD request for a target URI and
    //# receives a 200 (OK) response, the cache SHOULD update or invalidate
    //# each of its stored GET responses that could have been chosen for that
    //# request
    /// Updates the stored response that a HEAD request selects by the answer to it, or takes it out where they disagree.
    pub fn apply_head(
        &self,
        request: &RequestHead,
        birth: &RunningFetch,
        (status, head): (StatusCode, &HeaderMap),
        exchange: Exchange,
    ) {
        if status != StatusCode::OK {
            return;
        }
        let selected = select(&*self.store, &request.key, &request.fields);
        let Some(stored) = selected.stored else { return };
        let Some(old) = stored.response().filter(|old| old.status == StatusCode::OK) else {
            return;
        };
        // What may have missed a purge needs more than a head that looks alike.
        let verdict = self.invalidation.verdict(&stored.provenance, &request.key);
        let is_valid = matches!(verdict, Verdict::Valid | Verdict::Soft(_));
        let is_lagging = self.is_lagging(request, head, stored.provenance.ids());
        if !is_valid || is_lagging || !self.may_confirm(&stored, birth) {
            return;
        }
        let mut described = old.fields.to_map(Show::All, 1);
        described.insert(CONTENT_LENGTH, HeaderValue::from(old.body.length()));
        if head_agrees(&described, head) {
            let facts = RequestFacts { method: Method::GET, ..request.facts() };
            let newer = Newer { head, birth, exchange };
            self.freshen((request, &facts), &stored, old, &newer);
        } else {
            self.store.remove(&stored, Removal::Replaced);
        }
    }

    /// Stores a response anew with a newer head; `None` when that says that it is not to be stored any more.
    pub(super) fn freshen(
        &self,
        (request, facts): (&RequestHead, &RequestFacts),
        stale: &Arc<Stored>,
        old: &store::StoredResponse,
        newer: &Newer<'_>,
    ) -> Option<Arc<Stored>> {
        let Newer { head, birth, exchange } = *newer;
        let fields = freshen(&old.fields.to_map(Show::All, 0), head, exchange.wall_time);
        let freshness = judge(&request.policy.freshness, facts, old.status, &fields, exchange);
        match freshness.and_then(|freshness| self.belongings(request, fields, freshness)) {
            Ok(accepted) => {
                let draft = self.draft(request, birth, old.status, accepted);
                let stored = self.store.freshen(stale, draft).ok()?;
                self.remove_if_purged(&stored);
                if !self.may_confirm(stale, birth) {
                    self.store.remove(&stored, Removal::Purged);
                }
                Some(stored)
            }
            Err(reason) => {
                self.metrics.uncacheable(reason);
                self.store.remove(stale, Removal::Replaced);
                None
            }
        }
    }

    /// Returns whether no purge has overtaken this validation: the new head may no longer carry the tag that was purged.
    pub(super) fn may_confirm(&self, stale: &Stored, birth: &RunningFetch) -> bool {
        self.invalidation.may_confirm(&stale.provenance, birth.born(), &stale.key)
    }

    /// What belongs to a response that may be stored: its variant and its tags.
    pub(super) fn belongings(
        &self,
        request: &RequestHead,
        mut fields: HeaderMap,
        freshness: Freshness,
    ) -> Result<Storable, Uncacheable> {
        fields.remove(CONTENT_LENGTH); // said anew from the content itself
        let tags = tags::of(&fields, &request.key, &request.policy.tags, &self.invalidation)?;
        let mut selecting = names_under(&*self.store, &request.key);
        selecting.extend_from_slice(request.policy.cookies.selecting());
        let variant = Variant::of(&fields, &request.fields, &selecting)
            .map_err(|_matches_nothing| Uncacheable::VaryStar)?;
        Ok(Storable { fields, freshness, variant, tags, arrived: None })
    }

    /// What is stored once its content is complete.
    pub(super) fn draft(
        &self,
        request: &RequestHead,
        birth: &RunningFetch,
        status: StatusCode,
        accepted: Storable,
    ) -> NewEntry {
        let part = accepted.arrived.and_then(|arrived| arrived.stored_part());
        let is_completed = status == StatusCode::PARTIAL_CONTENT && part.is_none();
        NewEntry {
            key: request.key.clone(),
            variant: accepted.variant,
            provenance: birth.provenance(accepted.tags),
            content: Content::Response(store::StoredResponse {
                status: if is_completed { StatusCode::OK } else { status },
                fields: Fields::copy_of(&accepted.fields, &|name| request.policy.is_hidden(name)),
                freshness: accepted.freshness,
                body: Body::Empty,
                part: part.map(Box::new),
            }),
        }
    }
}
