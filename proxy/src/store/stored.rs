//! `Stored`: a stored response, or the memory that a URL's responses cannot be stored, with all
//! that a hit needs.

use std::sync::atomic::{AtomicU32, Ordering};

use http::StatusCode;

use super::body::{Body, SHARED_BYTES, allocated};
use super::fields::Fields;
use crate::compression::form::ContentForm;
use crate::field::content_range::ContentRange;
use crate::freshness::{Freshness, Uncacheable};
use crate::invalidation::Provenance;
use crate::key::Key;
use crate::key::vary::Variant;
use process::timestamp::Timestamp;

/// One stored response. Everything in it is immutable but for the marks of use.
#[derive(Debug)]
pub struct Stored {
    pub key: Key,
    /// `None` if the response does not vary.
    pub variant: Option<Box<Variant>>,
    /// Its place in the order of purges, and its tags.
    pub provenance: Provenance,
    pub content: Content,
    /// Bytes with everything that belongs to the response.
    pub(super) cost: u64,
    /// Second of the last report of a use to the policy.
    pub(in crate::store) touched: AtomicU32,
    /// Seconds in which the response was used.
    uses: AtomicU32,
    /// Unique in a store that has a file; zero: it is in memory only.
    pub version: u64,
}

#[derive(Debug)]
pub enum Content {
    Response(StoredResponse),
    /// Responses of this URL cannot be stored: nobody needs to wait for one (hit-for-miss).
    Uncacheable {
        reason: Uncacheable,
        /// The time from which on requests wait for one fetch again.
        until: Timestamp,
    },
}

#[derive(Clone, Debug)]
pub struct StoredResponse {
    pub status: StatusCode,
    /// Its fields, as they are shown to clients, without those that are ours.
    pub fields: Fields,
    pub freshness: Freshness,
    pub body: Body,
    /// The range of a partial response (206). The length of the whole is always known.
    pub part: Option<Box<ContentRange>>,
}

/// A response that is not stored yet; the writer has its body.
#[derive(Debug)]
pub struct NewEntry {
    pub key: Key,
    pub variant: Option<Variant>,
    /// Its place in the order of purges.
    pub provenance: Provenance,
    /// Without the body of a response, which the writer has.
    pub content: Content,
}

impl Content {
    pub(in crate::store) fn take_body(&mut self) -> Body {
        match self {
            Self::Response(response) => std::mem::take(&mut response.body),
            Self::Uncacheable { .. } => Body::Empty,
        }
    }
}

impl Stored {
    pub(in crate::store) fn new(mut draft: NewEntry, body: Body, now_secs: u32) -> Self {
        if let Content::Response(response) = &mut draft.content {
            response.body = body;
        }
        let mut stored = Self {
            key: draft.key,
            variant: draft.variant.map(Box::new),
            provenance: draft.provenance,
            content: draft.content,
            cost: 0,
            touched: AtomicU32::new(now_secs),
            uses: AtomicU32::new(0),
            version: 0,
        };
        stored.cost = stored.measure();
        stored
    }

    /// Notes a use, and returns whether it is the first in this second: the policy hears of those
    /// only.
    pub(super) fn note_use(&self, now_secs: u32) -> bool {
        let is_first = self.touched.load(Ordering::Relaxed) != now_secs;
        if is_first {
            self.touched.store(now_secs, Ordering::Relaxed);
            self.uses.fetch_add(1, Ordering::Relaxed);
        }
        is_first
    }

    /// Returns the number of seconds in which it, or the one that it has replaced, was used.
    pub fn uses(&self) -> u32 {
        self.uses.load(Ordering::Relaxed)
    }

    /// Returns the second of the last use, or of the storing.
    pub fn last_use(&self) -> u32 {
        self.touched.load(Ordering::Relaxed)
    }

    /// Takes over the uses of the one that it replaces.
    pub(super) fn inherit(&self, old: &Self) {
        self.uses.fetch_max(old.uses(), Ordering::Relaxed);
    }

    /// Returns the response; `None` for the memory of an uncacheable one.
    pub const fn response(&self) -> Option<&StoredResponse> {
        match &self.content {
            Content::Response(response) => Some(response),
            Content::Uncacheable { .. } => None,
        }
    }

    /// The form of its content.
    pub fn form(&self) -> ContentForm {
        self.response().map_or(ContentForm::AsReceived, |response| response.fields.form())
    }

    /// Returns the time from which on nothing can use the response.
    pub fn useless_after(&self) -> Timestamp {
        match &self.content {
            Content::Response(response) => response.freshness.useless_after(),
            Content::Uncacheable { until, .. } => *until,
        }
    }

    /// Returns the lower half of the version, unique under the key.
    pub(in crate::store) const fn short_version(&self) -> u32 {
        (self.version & 0xffff_ffff) as u32
    }

    /// Returns the bytes that the response takes, with everything that belongs to it.
    pub const fn cost(&self) -> u64 {
        self.cost
    }

    fn measure(&self) -> u64 {
        let variant =
            self.variant.as_ref().map_or(0, |variant| allocated(variant.heap_bytes()) + 48);
        let content = match &self.content {
            Content::Uncacheable { .. } => 0,
            Content::Response(response) => {
                allocated(response.fields.heap_bytes()) + SHARED_BYTES + response.body.heap_bytes()
            }
        };
        allocated(size_of::<Self>() + 16)
            + INDEX_BYTES
            + allocated(self.key.heap_bytes())
            + variant
            + content
            + allocated(self.provenance.heap_bytes())
    }
}

/// The map's slot at its usual load and the policy's entry: measured, see `benches/memory.rs`.
const INDEX_BYTES: u64 = 240;
