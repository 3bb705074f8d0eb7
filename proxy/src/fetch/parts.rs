//! Parts (206): asked for one at a time, kept as one contiguous part, and completed (RFC 9111 §3.3,
//! §3.4).
//!
//! Bytes of two responses are put together only when both have the same strong validator and no
//! purge has come between them.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use super::Fetcher;
use super::request::{AskedRange, FetchRequest};
use crate::field::content_range::ContentRange;
use crate::field::range::RangeSpec;
use crate::freshness::Uncacheable;
use crate::freshness::partial::{same_strong_validator, strong_validator};
use crate::lookup::look_up;
use crate::origins::OriginBody;
use crate::request::RequestHead;
use crate::store::{self, Body, Show, Stored};

/// A stored part, and the one gap between it and the whole.
#[derive(Clone, Debug)]
pub(super) struct Completion {
    base: Arc<Stored>,
    gap: ContentRange,
    validator: HeaderValue,
}

#[derive(Debug)]
pub(super) struct ArrivedPart {
    pub(super) range: ContentRange,
    pub(super) joined: Option<JoinedPart>,
}

/// A stored part that an arriving one is put together with.
#[derive(Debug)]
pub(super) struct JoinedPart {
    pub(super) base: Arc<Stored>,
    /// Both parts as one.
    union: ContentRange,
}

impl Completion {
    /// Returns how a stored part becomes the whole by one more part.
    pub(super) fn of(base: Arc<Stored>) -> Option<Self> {
        let response = base.response()?;
        let gap = response.part.as_deref()?.missing()?;
        let fields = response.fields.to_map(Show::All, 0);
        let validator = strong_validator(&fields, response.freshness.received())?.value().clone();
        Some(Self { base, gap, validator })
    }

    pub(super) const fn base(&self) -> &Arc<Stored> {
        &self.base
    }

    /// Asks for the gap of the same representation, else the whole.
    pub(super) fn asked(&self) -> AskedRange {
        let spec = RangeSpec::From { first: self.gap.first(), last: self.gap.last() };
        AskedRange { spec, condition: Some(self.validator.clone()) }
    }

    /// Returns whether a response answers that: with exactly the gap, or with anything but a part.
    pub(super) fn is_answered_by(&self, response: &Response<OriginBody>) -> bool {
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                part_of(response) == Some(self.gap)
                    && self.base.response().is_some_and(|base| has_same_bytes(base, response))
            }
            status => status != StatusCode::RANGE_NOT_SATISFIABLE,
        }
    }
}

impl ArrivedPart {
    /// Reads the part that a 206 is; `None` for any other response. A part that was not asked for,
    /// or whose length is not the one it states, is not stored.
    pub(super) fn of(
        fetcher: &Fetcher,
        request: &FetchRequest,
        response: &Response<OriginBody>,
        completion: Option<&Completion>,
    ) -> Result<Option<Self>, Uncacheable> {
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Ok(None);
        }
        let range = part_of(response).ok_or(Uncacheable::Range)?;
        if let Some(completion) = completion {
            let joined = JoinedPart::of(Arc::clone(&completion.base), range);
            return joined
                .ok_or(Uncacheable::Range)
                .map(|joined| Some(Self { range, joined: Some(joined) }));
        }
        if request.range.is_none() {
            return Err(Uncacheable::Range);
        }
        let joined = stored_part(fetcher, &request.head)
            .filter(|base| base.response().is_some_and(|own| has_same_bytes(own, response)))
            .and_then(|base| JoinedPart::of(base, range));
        Ok(Some(Self { range, joined }))
    }

    /// Returns the part that is stored; `None`: the whole.
    pub(super) fn stored_part(&self) -> Option<ContentRange> {
        let part = self.joined.as_ref().map_or(self.range, |joined| joined.union);
        (!part.is_whole()).then_some(part)
    }

    /// Returns the stored bytes before and after the arriving ones.
    pub(super) fn surroundings(&self) -> (Vec<Bytes>, Vec<Bytes>) {
        let base = self.joined.as_ref().and_then(|joined| joined.base.response());
        let Some(base) = base else { return Default::default() };
        let Some(part) = base.part.as_deref() else { return Default::default() };
        let start = part.first();
        let slices = |from: u64, to: u64| {
            let range = from.saturating_sub(start)..to.saturating_sub(start);
            base.body.slices(&range).collect()
        };
        let before = slices(start, self.range.first().max(start));
        let after = slices((self.range.last() + 1).max(start), part.last() + 1);
        (before, after)
    }
}

impl JoinedPart {
    fn of(base: Arc<Stored>, range: ContentRange) -> Option<Self> {
        let union = base.response()?.part.as_deref()?.union(range)?;
        Some(Self { base, union })
    }
}

/// Returns the fresh stored part of the variant that a request selects, if its bytes are at hand to
/// be put together with others: those in the file would have to be waited for.
pub(super) fn stored_part(fetcher: &Fetcher, request: &RequestHead) -> Option<Arc<Stored>> {
    let found = look_up(&*fetcher.store, &[], &fetcher.invalidation, request).found;
    let is_at_hand = |stored: &Arc<Stored>| {
        let response = stored.response().filter(|response| response.part.is_some());
        response.is_some_and(|part| !matches!(part.body, Body::Deferred(_)))
    };
    found.fresh(fetcher.clock.now()).filter(is_at_hand)
}

/// Returns the part that a 206 is: a single one, of a whole whose length is known, and as long as
/// it states.
fn part_of(response: &Response<OriginBody>) -> Option<ContentRange> {
    let range = ContentRange::of(response.headers())?;
    let is_sound = range.complete().is_some() && response.body().length() == Some(range.len());
    is_sound.then_some(range)
}

/// Returns whether a stored part and one that arrives are of the same representation, byte for
/// byte.
fn has_same_bytes(base: &store::StoredResponse, response: &Response<OriginBody>) -> bool {
    let fields: HeaderMap = base.fields.to_map(Show::All, 0);
    same_strong_validator(&fields, response.headers(), base.freshness.received())
}
