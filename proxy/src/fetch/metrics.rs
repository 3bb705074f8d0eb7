//! What happened on the way from the origin into the store.

use crate::freshness::Uncacheable;
use process::metrics::Counter;

/// Fetches, their followers, and what was not stored.
#[derive(Debug, Default)]
pub struct FetchMetrics {
    /// Requests that were served by another's fetch.
    pub collapsed: Counter,
    /// Requests that waited for another's fetch in vain: the response was for its leader only.
    pub collapsed_uncacheable: Counter,
    /// Requests that lost patience with another's fetch.
    pub collapsed_late: Counter,
    /// Requests that got a stale response at once, because the last fetch of their URL ran out of time.
    pub stale_at_once: Counter,
    /// Validations in the background.
    pub background: Counter,
    /// Stored responses that a 304 freshened.
    pub validated: Counter,
    /// Fetches that were cancelled because nobody waits for them any more, and their responses are not stored.
    pub cancelled: Counter,
    /// Fetches that failed.
    pub failed: Counter,
    /// Requests that were refused, or served stale, because too many were at the origin.
    pub overloaded: Counter,
    /// Redirects to the URL over https that the client has asked for already, behind a peer that is not trusted.
    pub untrusted_redirects: Counter,
    uncacheable: [Counter; Uncacheable::ALL.len()],
}

impl FetchMetrics {
    /// Counts a response that was not stored.
    pub fn uncacheable(&self, reason: Uncacheable) {
        if let Some(counter) = self.uncacheable.get(reason.index()) {
            counter.add(1);
        }
    }

    /// Responses that were not stored, by reason.
    pub fn not_stored(&self) -> impl Iterator<Item = (Uncacheable, u64)> {
        Uncacheable::ALL.into_iter().zip(self.uncacheable.iter().map(Counter::value))
    }
}
