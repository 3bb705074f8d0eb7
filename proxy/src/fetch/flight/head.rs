//! The head of a flight's response, and its meaning for the readers.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use crate::fetch::HeldResponse;
use crate::freshness::{Freshness, Uncacheable};
use crate::invalidation::Provenance;
use crate::key::Key;
use crate::key::vary::Variant;
use crate::origins::OriginError;
use crate::store::Stored;

/// The meaning of a head for the readers of a flight.
#[derive(Clone, Debug)]
pub enum HeadOutcome {
    /// A response for every reader whose request selects its variant.
    Shared(Arc<SharedHead>),
    Validated(Arc<Stored>),
    /// The origin failed; this stale response may be served (RFC 5861 §4).
    StaleIfError(Arc<HeldResponse>),
    /// A response for the leader only: every other reader goes to the origin on its own.
    Unshared(Uncacheable),
    /// There is no response.
    Failed(OriginError),
}

#[derive(Debug)]
pub struct SharedHead {
    /// The key of the URL that was asked for, or of an equivalent one.
    pub key: Key,
    pub status: StatusCode,
    pub fields: HeaderMap,
    pub variant: Option<Variant>,
    /// The tags, and the purge sequence at which the request was sent.
    pub provenance: Provenance,
    /// Bytes of content, if known.
    pub length: Option<u64>,
    /// `None` when it will be stored.
    pub not_stored: Option<Uncacheable>,
    /// `None` when it is not stored.
    pub freshness: Option<Freshness>,
    /// The stored part whose bytes are sent with those that arrive: a purge of it counts, too.
    pub base: Option<Arc<Stored>>,
    /// A number for this content, if compressed forms of it are made.
    pub source: Option<u64>,
    /// Fields for the leader only: `private` and `no-cache` name them (RFC 9111 §5.2.2.4,
    /// §5.2.2.7).
    pub personal: HeaderMap,
}
