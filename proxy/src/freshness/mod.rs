//! Freshness of stored responses (RFC 9111), computed once, when a response is stored.
//!
//! Everything here is pure: heads and a time go in, answers come out. There is no clock, no store,
//! no connection and no configuration file. One file per section of RFC 9111, or per smaller RFC:
//!
//! ```text
//! response head ──► response_directives §5.2.2 ──► storable §3 ──► Freshness ──► state, age, ttl
//!                   ├ targeted   RFC 9213          ├ lifetime §4.2.1, §4.2.2     (integers only)
//!                   └ surrogate  Edge Architecture ├ age      §4.2.3
//!                                                  └ stale    §4.2.4, RFC 5861
//! request head  ──► request_directives §5.2.1
//! 304, HEAD     ──► validation §4.3 ──► stored_fields §3.1, §3.2 ──► storable, once more
//! POST, PUT ... ──► invalidation §4.4
//! 206           ──► content_range, partial §3.4
//! ```
//!
//! Not here: which stored response answers a request (`key`), preconditions and ranges of the
//! client (`response`).

pub(crate) mod directive;
pub mod request_directives;
pub mod response_directives;
pub mod uncacheable;
pub(crate) mod status_code;
pub mod storable;
pub mod deception;
pub mod stored_fields;
mod lifetime;
mod age;
mod stale;
pub mod validation;
pub mod partial;
pub mod invalidation;
#[cfg(test)]
pub(crate) mod tests;

use std::ops::RangeInclusive;
use std::time::Duration;

use http::StatusCode;

use crate::field::delta_seconds::DeltaSeconds;
use process::timestamp::Timestamp;

pub use age::ExchangeTimes;
pub use request_directives::RequestDirectives;
pub use response_directives::ResponseDirectives;
pub use storable::{RequestFacts, has_explicit_lifetime, judge, judge_ruled};
pub use uncacheable::Uncacheable;

/// The operator's choices for responses in which the origin server states none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FreshnessRules {
    /// Freshness lifetime of a response that states none. Zero: none is invented but by
    /// `heuristic`.
    pub default_ttl: Duration,
    /// The lifetime where `default_ttl` is zero, by the time since `Last-Modified`.
    pub heuristic: Option<Heuristic>,
    /// Go before `default_ttl`: the first whose status codes include the response's.
    pub ttl_by_status: Vec<(RangeInclusive<u16>, Duration)>,
    /// Window of stale-while-revalidate (RFC 5861 §3) for a response that had a lifetime but states
    /// no window.
    pub stale_while_revalidate: Duration,
    /// The longest such window that a response can state.
    pub max_stale_while_revalidate: Duration,
    /// Window of stale-if-error (RFC 5861 §4) for a response that states none.
    pub stale_if_error: Duration,
    /// Time for which a stale response that has a validator is kept, to be validated by a 304
    /// instead of fetched whole.
    pub keep: Duration,
    /// The least window of stale-if-error, for hashed files; zero for all others.
    pub asset_grace: Duration,
    /// A client's `no-cache`, `max-age` and `min-fresh` are ignored: clients cannot force a request
    /// to the origin server. What spares it one (`max-stale`, `only-if-cached`) and `no-store`
    /// count.
    pub ignore_client_no_cache: bool,
}

/// A lifetime that grows with the time since the last change (RFC 9111 §4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heuristic {
    /// Hundredths of that time.
    pub share: u32,
    pub max: Duration,
}

impl FreshnessRules {
    /// Returns the lifetime that the operator gives to responses of this status code that state
    /// none.
    pub(crate) fn ttl_of(&self, status: StatusCode) -> Option<Duration> {
        let of_status = |(codes, _): &&(RangeInclusive<u16>, _)| codes.contains(&status.as_u16());
        self.ttl_by_status.iter().find(of_status).map(|(_, ttl)| *ttl)
    }
}

/// The operator's choices for one response, whatever the origin server states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuledTerms {
    /// Freshness lifetime from the arrival on.
    pub ttl: Option<Duration>,
    /// The same, for a response that states none.
    pub ttl_if_silent: Option<Duration>,
    pub stale_while_revalidate: Option<Duration>,
    pub stale_if_error: Option<Duration>,
    /// What forbids to store, to share, or to use without validation is ignored: `private`,
    /// `no-store`, `no-cache`, `must-revalidate`, and `Authorization` in the request.
    pub force: bool,
    /// `Set-Cookie` does not keep the response from being stored.
    pub shares_cookies: bool,
}

/// The use that a stored response has at one moment (RFC 9111 §4.2, §4.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staleness {
    /// It may answer.
    Fresh,
    /// Answers, and is validated in the background (RFC 5861 §3).
    StaleWhileRevalidate,
    Stale,
}

/// The integers that decide on the reuse of one stored response.
///
/// A soft purge at time T makes a response stale from T on. It can only shorten a lifetime, and the
/// windows of RFC 5861 are counted from whichever end came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// The arrival of the head: `response_time` of RFC 9111 §4.2.3.
    received: Timestamp,
    /// `received` + `lifetime` - initial age. Invariant: derived, see [`Freshness::new`].
    fresh_until: Timestamp,
    /// `corrected_initial_age` of RFC 9111 §4.2.3, in milliseconds so that a second is not counted
    /// twice.
    initial_age_millis: u64,
    /// `freshness_lifetime` of RFC 9111 §4.2.1; zero for `no-cache`.
    lifetime: DeltaSeconds,
    /// Zero where being stale is forbidden.
    stale_while_revalidate: DeltaSeconds,
    /// Zero where being stale is forbidden.
    stale_if_error: DeltaSeconds,
    /// Zero without a validator.
    keep: DeltaSeconds,
    /// `immutable` (RFC 8246).
    immutable: bool,
    /// A directive of RFC 9111 §3.5 allows it to answer requests with `Authorization`.
    sharing: bool,
    /// The response allows that it answers stale to a client that accepts that.
    may_be_stale: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) received: Timestamp,
    pub(crate) initial_age_millis: u64,
    pub(crate) lifetime: DeltaSeconds,
    pub(crate) stale_while_revalidate: DeltaSeconds,
    pub(crate) stale_if_error: DeltaSeconds,
    pub(crate) keep: DeltaSeconds,
    pub(crate) immutable: bool,
    pub(crate) sharing: bool,
    pub(crate) may_be_stale: bool,
}

const _: () = assert!(size_of::<Freshness>() <= 56, "one per stored response in memory");

impl Freshness {
    /// Fixes the end of freshness: `response_is_fresh = (freshness_lifetime > current_age)` (RFC
    /// 9111 §4.2).
    pub(crate) fn new(terms: Terms) -> Self {
        let Terms { received, initial_age_millis, lifetime, .. } = terms;
        let stale_in = received.as_millis().saturating_add(lifetime.as_millis());
        Self {
            received,
            fresh_until: Timestamp::from_millis(stale_in.saturating_sub(initial_age_millis)),
            initial_age_millis,
            lifetime,
            stale_while_revalidate: terms.stale_while_revalidate,
            stale_if_error: terms.stale_if_error,
            keep: terms.keep,
            immutable: terms.immutable,
            sharing: terms.sharing,
            may_be_stale: terms.may_be_stale,
        }
    }

    /// Returns the current age in whole seconds (RFC 9111 §4.2.3), for `Age`.
    pub fn age(&self, now: Timestamp) -> DeltaSeconds {
        DeltaSeconds::from_secs(self.age_millis(now) / 1000)
    }

    /// Returns the remaining freshness in seconds, not positive when stale: `ttl` of `Cache-Status`
    /// (RFC 9211 §2.4).
    ///
    /// Until a soft purge, `ttl` + `Age` is the freshness lifetime.
    pub fn ttl(&self, now: Timestamp, soft_purged: Option<Timestamp>) -> i64 {
        let own = i64::from(self.lifetime.as_secs()) - i64::from(self.age(now).as_secs());
        let since_purge = |purged| i64::try_from(now.since(purged).as_secs()).unwrap_or(i64::MAX);
        match soft_purged.filter(|purged| *purged <= now) {
            Some(purged) => own.min(-since_purge(purged)),
            None => own,
        }
    }

    /// Returns whether the response may answer now.
    pub fn state(&self, now: Timestamp, soft_purged: Option<Timestamp>) -> Staleness {
        let now = now.max(self.received);
        let fresh_until = self.fresh_until(soft_purged);
        if now < fresh_until {
            Staleness::Fresh
        } else if now < later(fresh_until, self.stale_while_revalidate) {
            Staleness::StaleWhileRevalidate
        } else {
            Staleness::Stale
        }
    }

    /// Returns whether the response may answer instead of an error of the origin server (RFC 5861
    /// §4).
    ///
    /// Never stale where RFC 9111 §4.2.4 forbids it: the window is then zero.
    pub fn may_serve_on_error(&self, now: Timestamp, soft_purged: Option<Timestamp>) -> bool {
        let end = later(self.fresh_until(soft_purged), self.stale_if_error);
        now.max(self.received) < end
    }

    /// Returns whether the response may answer this long after its freshness, to a client that
    /// accepts it (RFC 9111 §4.2.4, §5.2.1.2): as long as it is kept, and never where the origin
    /// server forbids it.
    pub fn may_be_stale_for(&self, now: Timestamp, span: DeltaSeconds) -> bool {
        let now = now.max(self.received);
        self.may_be_stale && now <= later(self.fresh_until, span) && now < self.useless_after()
    }

    /// Returns when the store may drop the response: nothing can use it from then on.
    pub fn useless_after(&self) -> Timestamp {
        let window = self.stale_while_revalidate.max(self.stale_if_error);
        let to_validate = later(self.fresh_until.max(self.received), self.keep);
        later(self.fresh_until, window).max(to_validate)
    }

    /// Returns whether the response does not change while fresh (RFC 8246 §2): a reload needs no
    /// validation.
    pub fn is_immutable(&self) -> bool {
        self.immutable
    }

    /// Returns whether the response may answer a request with `Authorization` (RFC 9111 §3.5).
    pub fn allows_sharing(&self) -> bool {
        self.sharing
    }

    /// Returns when the head of the response arrived.
    pub fn received(&self) -> Timestamp {
        self.received
    }

    /// Returns the freshness lifetime (RFC 9111 §4.2.1).
    pub fn lifetime(&self) -> DeltaSeconds {
        self.lifetime
    }

    /// Returns the same as four words, for a store that keeps it in a file.
    pub fn to_words(self) -> [u64; 4] {
        let pair = |high: DeltaSeconds, low: DeltaSeconds| {
            u64::from(high.as_secs()) << 32 | u64::from(low.as_secs())
        };
        [
            self.received.as_millis(),
            self.initial_age_millis << 3
                | u64::from(self.may_be_stale) << 2
                | u64::from(self.sharing) << 1
                | u64::from(self.immutable),
            pair(self.lifetime, self.stale_while_revalidate),
            pair(self.stale_if_error, self.keep),
        ]
    }

    /// Returns what [`Freshness::to_words`] was given; any words make a valid `Freshness`.
    pub fn from_words([received, age, windows, more]: [u64; 4]) -> Self {
        let high = |pair: u64| DeltaSeconds::from_secs(pair >> 32);
        let low = |pair: u64| DeltaSeconds::from_secs(pair & u64::from(u32::MAX));
        Self::new(Terms {
            received: Timestamp::from_millis(received),
            initial_age_millis: age >> 3,
            lifetime: high(windows),
            stale_while_revalidate: low(windows),
            stale_if_error: high(more),
            keep: low(more),
            immutable: age & 1 == 1,
            sharing: age & 2 == 2,
            may_be_stale: age & 4 == 4,
        })
    }

    /// Returns the same by a clock that is ahead by this number of milliseconds, or behind.
    #[must_use]
    pub fn moved(&self, by: i64) -> Self {
        let (received, fresh_until) = (self.received.moved(by), self.fresh_until.moved(by));
        Self { received, fresh_until, ..*self }
    }

    /// Returns the freshness of a response of unknown age: it is stale, answers nothing by itself,
    /// and is kept to be validated.
    #[must_use]
    pub fn of_unknown_age(&self, now: Timestamp) -> Self {
        Self::new(Terms {
            received: now,
            initial_age_millis: DeltaSeconds::MAX.as_millis(),
            lifetime: DeltaSeconds::ZERO,
            stale_while_revalidate: DeltaSeconds::ZERO,
            stale_if_error: DeltaSeconds::ZERO,
            keep: self.keep,
            immutable: self.immutable,
            sharing: self.sharing,
            may_be_stale: false,
        })
    }

    fn age_millis(&self, now: Timestamp) -> u64 {
        let resident = now.as_millis().saturating_sub(self.received.as_millis());
        self.initial_age_millis.saturating_add(resident)
    }

    fn fresh_until(&self, soft_purged: Option<Timestamp>) -> Timestamp {
        soft_purged.map_or(self.fresh_until, |purged| purged.min(self.fresh_until))
    }
}

fn later(moment: Timestamp, span: DeltaSeconds) -> Timestamp {
    Timestamp::from_millis(moment.as_millis().saturating_add(span.as_millis()))
}
