//! Parts (206): asked for one at a time, kept as one contiguous part, and completed (RFC 9111 §3.3, §3.4).
//!
//! Bytes of two responses are put together only when both have the same strong validator, and no purge has come between them.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use super::exchange::Fetch;
use super::request::AskedRange;
use crate::field::content_range::ContentRange;
use crate::field::range::RangeSpec;
use crate::freshness::partial::{same_strong_validator, strong_validator};
use crate::freshness::{State, Uncacheable};
use crate::invalidation::Verdict;
use crate::origins::OriginBody;
use crate::store::selection::select;
use crate::store::{self, Show, Stored};

/// A stored part, and the one gap that is missing to the whole.
#[derive(Clone, Debug)]
pub(super) struct Completion {
    base: Arc<Stored>,
    gap: ContentRange,
    validator: HeaderValue,
}

/// Stored bytes that belong before and behind those that arrive.
#[derive(Debug, Default)]
pub(super) struct Margins {
    pub(super) before: Vec<Bytes>,
    pub(super) behind: Vec<Bytes>,
}

/// A part that arrives.
#[derive(Debug)]
pub(super) struct Arrived {
    /// Which.
    pub(super) range: ContentRange,
    /// The stored part that it is put together with, and what both are then.
    pub(super) joined: Option<(Arc<Stored>, ContentRange)>,
}

impl Completion {
    /// The stored part.
    pub(super) const fn base(&self) -> &Arc<Stored> {
        &self.base
    }

    /// What is asked for: the gap, of the same representation, else the whole.
    pub(super) fn asked(&self) -> AskedRange {
        let spec = RangeSpec::From { first: self.gap.first(), last: self.gap.last() };
        AskedRange { spec, condition: Some(self.validator.clone()) }
    }

    /// Returns whether this is an answer to that: the gap to the byte, or something else than a part.
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

impl Arrived {
    /// What is stored; `None`: the whole.
    pub(super) fn stored_part(&self) -> Option<ContentRange> {
        let part = self.joined.as_ref().map_or(self.range, |(_, union)| *union);
        (!part.is_whole()).then_some(part)
    }

    /// The stored bytes around those that arrive.
    pub(super) fn margins(&self) -> Margins {
        let joined = self.joined.as_ref();
        let Some(base) = joined.and_then(|(base, _)| base.response()) else {
            return Margins::default();
        };
        let Some(part) = base.part.as_deref() else { return Margins::default() };
        let start = part.first();
        let slices = |from: u64, to: u64| {
            let range = from.saturating_sub(start)..to.saturating_sub(start);
            base.body.slices(&range).collect()
        };
        Margins {
            before: slices(start, self.range.first().max(start)),
            behind: slices((self.range.last() + 1).max(start), part.last() + 1),
        }
    }
}

impl Fetch {
    /// Returns the stored part that would be the whole with one more, where the whole is wanted.
    pub(super) fn completion(&self) -> Option<Completion> {
        let base = self.stored_part().filter(|_| self.request.range.is_none())?;
        let response = base.response()?;
        let gap = response.part.as_deref()?.missing()?;
        let fields = response.fields.to_map(Show::All, 0);
        let validator = strong_validator(&fields, response.freshness.received())?.value().clone();
        Some(Completion { base, gap, validator })
    }

    /// Reads which part has arrived. One that nobody asked for, or whose length is not the one it states, is not
    /// stored.
    pub(super) fn arrived(
        &self,
        response: &Response<OriginBody>,
        completion: Option<Completion>,
    ) -> Result<Option<Arrived>, Uncacheable> {
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Ok(None);
        }
        let range = part_of(response).ok_or(Uncacheable::Range)?;
        if let Some(Completion { base, .. }) = completion {
            let union = union_with(&base, range).ok_or(Uncacheable::Range)?;
            return Ok(Some(Arrived { range, joined: Some((base, union)) }));
        }
        if self.request.range.is_none() {
            return Err(Uncacheable::Range);
        }
        let joined = self.stored_part().and_then(|base| {
            let has_same_bytes = base.response().is_some_and(|own| has_same_bytes(own, response));
            let union = union_with(&base, range).filter(|_| has_same_bytes)?;
            Some((base, union))
        });
        Ok(Some(Arrived { range, joined }))
    }

    /// Returns a fresh stored part of the variant that the request selects.
    fn stored_part(&self) -> Option<Arc<Stored>> {
        let fetcher = &self.fetcher;
        let head = &self.request.head;
        let stored = select(&*fetcher.store, &head.key, &head.fields).stored?;
        let is_valid =
            fetcher.invalidation.verdict(&stored.provenance, &head.key) == Verdict::Valid;
        let now = fetcher.clock.now();
        let is_usable = stored.response().is_some_and(|response| {
            response.part.is_some() && response.freshness.state(now, None) == State::Fresh
        });
        (is_valid && is_usable).then_some(stored)
    }
}

/// The part that a 206 is: a single one, of a whole whose length is known, and as long as it says.
fn part_of(response: &Response<OriginBody>) -> Option<ContentRange> {
    let range = ContentRange::of(response.headers())?;
    let is_sound = range.complete().is_some() && response.body().length() == Some(range.len());
    is_sound.then_some(range)
}

fn union_with(base: &Stored, range: ContentRange) -> Option<ContentRange> {
    base.response()?.part.as_deref()?.union(range)
}

/// Returns whether a stored part and one that arrives are of the same representation, byte for byte.
fn has_same_bytes(base: &store::StoredResponse, response: &Response<OriginBody>) -> bool {
    let fields: HeaderMap = base.fields.to_map(Show::All, 0);
    same_strong_validator(&fields, response.headers(), base.freshness.received())
}
