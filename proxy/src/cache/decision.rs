//! What is to be done with a request, given what is stored: pure, and a table of tests.

use std::sync::Arc;

use crate::freshness::{Policy, RequestFacts, State, Uncacheable};
use crate::invalidation::Verdict;
use crate::store::{Content, Stored};
use crate::timestamp::Timestamp;

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Answer from the store.
    Hit(Arc<Stored>),
    /// Answer from the store, and validate meanwhile (RFC 5861 §3).
    HitStale(Arc<Stored>),
    /// Fetch a response that others may share; this stale one may be validated, or stand in when the origin fails.
    Fetch(ForwardReason, Option<Arc<Stored>>),
    /// Fetch a response that nobody should wait for; it may be stored all the same.
    FetchAlone(ForwardReason, Uncacheable),
    /// Send the request as it is; nothing is stored.
    Pass(ForwardReason, Uncacheable),
    /// The client wants a stored response only, and there is none to give (RFC 9111 §5.2.1.7).
    Unsatisfiable,
}

/// Why a request goes to the origin (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardReason {
    /// The cache was configured not to handle it.
    Bypass,
    /// Its method is not answered from a cache.
    Method,
    /// Nothing is stored under its URL.
    UriMiss,
    /// Something is stored under its URL, but for other selecting fields.
    VaryMiss,
    /// It says that it does not want a stored response.
    Request,
    /// What is stored is stale.
    Stale,
}

impl ForwardReason {
    /// The value of `fwd`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
        }
    }
}

/// What the store has for a request.
#[derive(Clone, Debug)]
pub enum Found {
    /// Nothing under its URL, or nothing for its selecting fields.
    Nothing(ForwardReason),
    /// This, and what purges make of it.
    Stored(Arc<Stored>, Verdict),
}

/// Decides. The request may be answered from a cache at all: that is decided before the look-up.
pub fn decide(found: Found, facts: &RequestFacts, policy: &Policy, now: Timestamp) -> Decision {
    let (stored, soft_purged) = match found {
        Found::Nothing(reason) => return miss(reason, None, facts),
        Found::Stored(_, Verdict::Purged) => return miss(ForwardReason::UriMiss, None, facts),
        Found::Stored(stored, Verdict::Soft(at)) => (stored, Some(at)),
        Found::Stored(stored, Verdict::Valid) => (stored, None),
    };
    let response = match &stored.content {
        Content::Response(response) => response,
        Content::Uncacheable { until, .. } if *until <= now || soft_purged.is_some() => {
            return miss(ForwardReason::UriMiss, None, facts);
        }
        Content::Uncacheable { .. } if facts.directives.only_if_cached => {
            return Decision::Unsatisfiable;
        }
        Content::Uncacheable { reason, .. } => {
            return Decision::FetchAlone(ForwardReason::UriMiss, *reason);
        }
    };
    if facts.has_authorization && !response.freshness.allows_sharing() {
        return alone(ForwardReason::Request, Uncacheable::Authorization, facts);
    }
    let freshness = &response.freshness;
    if !facts.directives.permit(freshness, now, soft_purged, policy) {
        return miss(ForwardReason::Request, Some(stored), facts);
    }
    match freshness.state(now, soft_purged) {
        State::Fresh => Decision::Hit(stored),
        State::StaleWhileRevalidate => Decision::HitStale(stored),
        State::Stale => miss(ForwardReason::Stale, Some(stored), facts),
    }
}

fn miss(reason: ForwardReason, stale: Option<Arc<Stored>>, facts: &RequestFacts) -> Decision {
    if facts.directives.only_if_cached {
        Decision::Unsatisfiable
    } else if facts.directives.no_store {
        Decision::Pass(reason, Uncacheable::RequestNoStore)
    } else if facts.has_authorization {
        Decision::FetchAlone(reason, Uncacheable::Authorization)
    } else {
        Decision::Fetch(reason, stale)
    }
}

const fn alone(reason: ForwardReason, why: Uncacheable, facts: &RequestFacts) -> Decision {
    if facts.directives.only_if_cached {
        Decision::Unsatisfiable
    } else {
        Decision::FetchAlone(reason, why)
    }
}
