//! `Storable`: the head of a response that may be stored and shared, with its variant and its tags.

use std::borrow::Cow;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, SET_COOKIE};
use http::{Response, StatusCode};

use super::Fetcher;
use super::parts::{ArrivedPart, Completion};
use super::places;
use super::request::FetchRequest;
use super::tags::{self, ResponseTags};
use crate::compression::form::ContentForm;
use crate::freshness::deception::is_deceptive;
use crate::freshness::stored_fields::{freshen, stored_fields};
use crate::freshness::{ExchangeTimes, Freshness, Uncacheable, judge_ruled};
use crate::invalidation::RunningFetch;
use crate::key::vary::Variant;
use crate::origins::OriginBody;
use crate::policy::Policy;
use crate::policy::rules::{ResponseTerms, edited};
use crate::request::RequestHead;
use crate::store::journal::JournalEntry;
use crate::store::selection::names_under;
use crate::store::{self, Body, Content, Fields, NewEntry, Show};

/// Returns the form of content as it is received: whether compressed forms of it may be made.
pub(super) fn form_as_received(
    policy: &Policy,
    status: StatusCode,
    fields: &HeaderMap,
    length: Option<u64>,
) -> ContentForm {
    match &policy.compression {
        Some(rules) if rules.applies_to(status, fields, length) => ContentForm::Compressible,
        _ => ContentForm::AsReceived,
    }
}

/// Returns the variant of its URL that a response with these fields is.
pub(super) fn variant_of(
    fetcher: &Fetcher,
    request: &RequestHead,
    fields: &HeaderMap,
    form: ContentForm,
) -> Result<Option<Variant>, Uncacheable> {
    let known = names_under(&*fetcher.store, &request.key);
    let selecting = request.policy.selecting(fields, known)?;
    let selected_by = match form {
        ContentForm::Compressible => request.fields_of_plain(),
        ContentForm::AsReceived | ContentForm::Compressed(_) => Cow::Borrowed(&request.fields),
    };
    Variant::selected(selecting, &selected_by).map_err(|_matches_nothing| Uncacheable::VaryStar)
}

/// The head of a response that may be stored.
pub(super) struct Storable {
    pub(super) fields: HeaderMap,
    pub(super) freshness: Freshness,
    pub(super) variant: Option<Variant>,
    pub(super) tags: ResponseTags,
    /// No client gets `Set-Cookie`, not even the one whose request was sent.
    pub(super) strips_cookies: bool,
    /// `None` where the whole arrives.
    pub(super) part: Option<ArrivedPart>,
}

impl Storable {
    /// Decides whether a response is stored (RFC 9111 §3).
    pub(super) fn judge(
        fetcher: &Fetcher,
        request: &FetchRequest,
        response: &Response<OriginBody>,
        exchange: ExchangeTimes,
        completion: Option<&Completion>,
    ) -> Result<Self, Uncacheable> {
        let part = ArrivedPart::of(fetcher, request, response, completion)?;
        let policy = &request.head.policy;
        let received = exchange.wall_time;
        let joined = part.as_ref().and_then(|part| part.joined.as_ref());
        let joined = joined
            .and_then(|joined| joined.base.response())
            .map(|base| edited::undone(base.fields.to_map(Show::All, 0)))
            .map(|base| freshen(&base, response.headers(), received));
        let head = joined.as_ref().unwrap_or_else(|| response.headers());
        // A part is stored under the terms of the whole (RFC 9111 §3.3).
        let status = if part.is_some() { StatusCode::OK } else { response.status() };
        let ruled = request.head.judge(status, head);
        let terms = ruled.as_ref().map(|ruled| ruled.lifetimes).unwrap_or_default();
        if ruled.as_ref().is_some_and(|ruled| ruled.is_uncacheable) {
            return Err(Uncacheable::RuleBypass);
        }
        let is_error = status.is_client_error() || status.is_server_error();
        if is_error && !policy.cache.asset_grace.is_zero() {
            return Err(Uncacheable::RuleBypass); // a file of another deployment may come back
        }
        let (defaults, facts) = (&policy.freshness, &request.facts);
        let freshness = judge_ruled(defaults, &terms, facts, status, head, exchange)?;
        if policy.cache.deception_armor && is_deceptive(request.head.key.path(), status, head) {
            return Err(Uncacheable::ContentType);
        }
        let mut fields = joined.unwrap_or_else(|| stored_fields(response.headers(), received));
        if part.is_some() {
            fields.remove(CONTENT_RANGE); // written anew for each part that is sent
        }
        let length = match &part {
            Some(part) => part.range.complete(),
            None => response.body().length(),
        };
        let form = form_as_received(policy, status, &fields, length);
        let storable = Self::of(fetcher, &request.head, fields, (freshness, form), ruled.as_ref())?;
        match response.body().length() {
            Some(length) if length > fetcher.limits.object_bytes_max => Err(Uncacheable::TooLarge),
            _ => Ok(Self { part, ..storable }),
        }
    }

    /// Adds the form, the variant and the tags to a head that may be stored.
    pub(super) fn of(
        fetcher: &Fetcher,
        request: &RequestHead,
        mut fields: HeaderMap,
        (freshness, form): (Freshness, ContentForm),
        ruled: Option<&ResponseTerms>,
    ) -> Result<Self, Uncacheable> {
        fields.remove(CONTENT_LENGTH); // written anew from the content itself
        edited::remove_notes(&mut fields);
        let added = ruled.map_or(&[][..], |ruled| &ruled.tags);
        let mut tags =
            tags::of(&fields, added, &request.key, &request.policy.tags, &fetcher.invalidation);
        fetcher.metrics.folds.note(&tags, &request.key, fetcher.clock.now());
        tags.ids.extend(places::of(&fields, request, &fetcher.invalidation));
        if let Some(named) = places::deployment(&fields, &request.policy) {
            let (metrics, invalidation) = (&fetcher.metrics, &fetcher.invalidation);
            let (named, now) = ((&request.key, named), fetcher.clock.now());
            metrics.other_deployments.note(&tags.ids, named, invalidation, now);
        }
        let variance = request.policy.search_variance(&fields);
        let class = variance.and_then(|variance| {
            let sequence = || fetcher.invalidation.sequence();
            let keep = |new| fetcher.journal.append(JournalEntry::Declaration(new));
            fetcher.invalidation.ids().declare(&request.key, &variance, sequence, keep)
        });
        tags.ids.extend(class);
        form.describe(&mut fields);
        let variant = variant_of(fetcher, request, &fields, form)?;
        let strips_cookies = ruled.is_some_and(|ruled| ruled.strips_cookies);
        if strips_cookies {
            fields.remove(SET_COOKIE);
        }
        if let Some(ruled) = ruled {
            ruled.edit(&mut fields);
        }
        Ok(Self { fields, freshness, variant, tags, part: None, strips_cookies })
    }

    /// Makes the entry that is stored once its content is complete.
    pub(super) fn into_entry(
        self,
        request: &RequestHead,
        birth: &RunningFetch,
        status: StatusCode,
    ) -> NewEntry {
        let part = self.part.and_then(|part| part.stored_part());
        let is_completed = status == StatusCode::PARTIAL_CONTENT && part.is_none();
        NewEntry {
            key: request.key.clone(),
            variant: self.variant,
            provenance: birth.provenance(self.tags.ids),
            content: Content::Response(store::StoredResponse {
                status: if is_completed { StatusCode::OK } else { status },
                fields: Fields::copy_of(&self.fields, &|name| request.policy.is_hidden(name)),
                freshness: self.freshness,
                body: Body::Empty,
                part: part.map(Box::new),
            }),
        }
    }
}
