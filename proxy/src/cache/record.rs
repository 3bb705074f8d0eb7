//! `RequestRecord`: what became of one request.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::outcome::Outcome;
use crate::client::peer::ListenerId;
use crate::client::received::Received;
use crate::field::cache_status::{CacheStatus, Forwarded};
use crate::invalidation::Sequence;
use crate::key::vary::VariantHash;
use crate::origins::OriginId;
use crate::policy::{Policy, SiteId};
use crate::reason::Reason;
use crate::request::details::RequestDetails;
use process::timestamp::Timestamp;

/// Stands for a status where the client left before there was one, as nginx has it.
pub const CLIENT_LEFT: u16 = 499;

/// What became of one request. The cache makes it with the response; the front completes it when
/// the last byte has left, or the client has.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    pub listener: Option<ListenerId>,
    /// The site, where its requests are counted apart.
    pub site: Option<SiteId>,
    /// The policy that the matching rules made.
    pub ruled: Option<Arc<Policy>>,
    /// `None` when the client left before there was a response.
    pub outcome: Option<Outcome>,
    pub status: Option<StatusCode>,
    /// The reason of a forward, whether its response was stored or shared, and the detail.
    pub cache_status: Option<CacheStatus>,
    /// The hash of the primary key; `None` when the request could not be read.
    pub key: Option<u64>,
    pub variant: Option<VariantHash>,
    /// `None` when the request was not forwarded.
    pub origin: Option<OriginId>,
    /// For a fetch, the last purge before it; for a purge, the last one when it was done.
    pub purges: Option<Sequence>,
    pub started: Timestamp,
    /// From the request's head to the response's; `None` when it was answered at once.
    pub first_byte: Option<Duration>,
    pub received: Received,
    /// Bytes of content that were handed to the connection.
    pub sent: u64,
    pub is_complete: bool,
    /// The reason for which the content broke off, unless the client left.
    pub broken: Option<Reason>,
    /// `None` where no sink asks for them.
    pub details: Option<Box<RequestDetails>>,
}

impl RequestRecord {
    /// Makes the record of a request with this outcome, when its response is made at `now`.
    pub fn new(outcome: Outcome, cache_status: Option<CacheStatus>, now: Timestamp) -> Self {
        Self { outcome: Some(outcome), cache_status, ..Self::unanswered(now) }
    }

    /// Returns whether the response was stored, and nothing was waited for.
    pub fn is_of_store(&self) -> bool {
        self.outcome.is_some_and(Outcome::is_of_store)
    }

    /// Makes the record of a request that has no response yet.
    pub fn unanswered(started: Timestamp) -> Self {
        Self {
            listener: None,
            site: None,
            ruled: None,
            outcome: None,
            status: None,
            cache_status: None,
            key: None,
            variant: None,
            origin: None,
            purges: None,
            started,
            first_byte: None,
            received: Received::default(),
            sent: 0,
            is_complete: false,
            broken: None,
            details: None,
        }
    }

    /// Returns the status code, or 499 if the client left before the answer.
    pub fn status_code(&self) -> u16 {
        self.status.map_or(CLIENT_LEFT, |status| status.as_u16())
    }

    /// Returns what is known of the exchange with the origin, where there was one.
    pub const fn forwarded(&self) -> Option<&Forwarded> {
        match &self.cache_status {
            Some(CacheStatus::Forward(forwarded)) => Some(forwarded),
            Some(CacheStatus::Hit { .. } | CacheStatus::Refused(_)) | None => None,
        }
    }

    /// Returns why it was answered so, or not to the end. A plain hit has no reason, and neither
    /// has a miss whose response is stored.
    pub fn reason(&self) -> Option<Reason> {
        let left = (!self.is_complete).then_some(Reason::ClientLeft);
        self.broken.or(left).or_else(|| self.cache_status.as_ref()?.detail())
    }
}
