//! `Failures`: the URLs whose last fetch failed. Background fetches of them pause, and requests
//! that have a stale response do not wait for them.
//!
//! The state belongs to one URL of one origin: other URLs are fetched as before.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;

use super::error::OriginError;
use crate::tls::ServerTlsError;
use process::metrics::Counter;
use process::timestamp::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchFailure {
    /// The time ran out, at the origin or on the way there. The next fetch is likely to wait as
    /// long.
    TimedOut,
    Error,
}

/// URLs whose last fetch failed, by the hash of their primary key.
#[derive(Debug, Default)]
pub struct Failures {
    /// URLs in the table. While it is 0, the lock is not taken.
    known: AtomicUsize,
    table: Mutex<FailureTable>,
    pub forgotten: Counter,
}

#[derive(Debug, Default)]
struct FailureTable {
    urls: HashMap<u64, FailedUrl>,
    /// The same URLs, the one that was noted first in front.
    by_age: BTreeMap<u64, u64>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct FailedUrl {
    number: u64,
    noted: Timestamp,
    failed: Option<Timestamp>,
    has_timed_out: bool,
}

impl FetchFailure {
    pub const fn of(error: &OriginError) -> Self {
        match error {
            OriginError::HeadTimeout
            | OriginError::SendTimeout
            | OriginError::TotalTimeout
            | OriginError::ConnectTimeout { .. }
            | OriginError::Tls { error: ServerTlsError::Timeout, .. }
            | OriginError::Busy => Self::TimedOut,
            _ => Self::Error,
        }
    }

    pub fn of_status(status: StatusCode) -> Self {
        if status == StatusCode::GATEWAY_TIMEOUT { Self::TimedOut } else { Self::Error }
    }
}

impl Failures {
    pub fn note(&self, url: u64, failure: FetchFailure, now: Timestamp) {
        let has_timed_out = failure == FetchFailure::TimedOut;
        self.enter(url, now, Some(now), has_timed_out);
    }

    /// Notes that a fetch of this URL has taken longer than `collapse_patience`.
    pub fn note_late(&self, url: u64, now: Timestamp) {
        self.enter(url, now, None, true);
    }

    pub fn clear(&self, url: u64) {
        if self.known.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut table = self.table.lock();
        table.remove(url);
        self.known.store(table.urls.len(), Ordering::Relaxed);
    }

    /// Returns whether a fetch of this URL failed within [`PAUSE`]. Then none begins in the
    /// background.
    pub fn is_paused(&self, url: u64, now: Timestamp) -> bool {
        self.find(url).and_then(|entry| entry.failed).is_some_and(|at| is_within(PAUSE, at, now))
    }

    /// Returns whether the last fetch of this URL ran out of time within [`TIMED_OUT_FOR`].
    pub fn has_timed_out(&self, url: u64, now: Timestamp) -> bool {
        self.find(url)
            .is_some_and(|entry| entry.has_timed_out && is_within(TIMED_OUT_FOR, entry.noted, now))
    }

    /// URLs whose last fetch failed within [`TIMED_OUT_FOR`]: a gauge.
    pub fn count(&self, now: Timestamp) -> usize {
        let mut table = self.table.lock();
        table.forget_expired(now);
        self.known.store(table.urls.len(), Ordering::Relaxed);
        table.urls.len()
    }

    fn find(&self, url: u64) -> Option<FailedUrl> {
        if self.known.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.table.lock().urls.get(&url).copied()
    }

    fn enter(&self, url: u64, noted: Timestamp, failed: Option<Timestamp>, has_timed_out: bool) {
        let mut table = self.table.lock();
        let before = table.remove(url);
        table.forget_expired(noted);
        if table.urls.len() >= URLS_MAX {
            table.forget_oldest();
            self.forgotten.add(1);
        }
        let failed = failed.or_else(|| before.and_then(|entry| entry.failed));
        let number = table.next;
        table.next += 1;
        table.urls.insert(url, FailedUrl { number, noted, failed, has_timed_out });
        table.by_age.insert(number, url);
        self.known.store(table.urls.len(), Ordering::Relaxed);
    }
}

impl FailureTable {
    fn remove(&mut self, url: u64) -> Option<FailedUrl> {
        let entry = self.urls.remove(&url)?;
        self.by_age.remove(&entry.number);
        Some(entry)
    }

    fn forget_expired(&mut self, now: Timestamp) {
        while let Some((_, url)) = self.by_age.first_key_value()
            && self.urls.get(url).is_none_or(|entry| !is_within(TIMED_OUT_FOR, entry.noted, now))
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, url)) = self.by_age.pop_first() {
            self.urls.remove(&url);
        }
    }
}

/// A moment in the future does not count: the clock was set back since.
fn is_within(span: Duration, moment: Timestamp, now: Timestamp) -> bool {
    moment <= now && now.since(moment) < span
}

/// The pause of background fetches of a URL after a failure.
pub const PAUSE: Duration = Duration::from_secs(1);

/// The time for which the stale response of a URL is served without waiting, after a fetch ran out
/// of time. Each further time-out begins it anew, and a success ends it.
pub const TIMED_OUT_FOR: Duration = Duration::from_secs(30);

/// URLs in the table, about 100 bytes each. The one that was noted first makes room for a new one.
pub const URLS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn later(millis: u64) -> Timestamp {
        NOW.plus(Duration::from_millis(millis))
    }

    #[test]
    fn a_failure_concerns_its_url_alone() {
        let failures = Failures::default();
        failures.note(1, FetchFailure::Error, NOW);
        assert!(failures.is_paused(1, NOW) && !failures.is_paused(2, NOW));
        assert!(!failures.has_timed_out(1, NOW), "an error comes soon");
        failures.clear(2);
        assert!(failures.is_paused(1, later(999)) && !failures.is_paused(1, later(1_000)));
        failures.clear(1);
        assert!(!failures.is_paused(1, NOW));
        assert_eq!(failures.count(NOW), 0);
    }

    #[test]
    fn a_time_out_is_remembered_until_the_next_result_and_not_for_ever() {
        let failures = Failures::default();
        failures.note(1, FetchFailure::TimedOut, NOW);
        assert!(failures.has_timed_out(1, later(29_999)));
        assert!(!failures.has_timed_out(1, later(30_000)));
        failures.note(1, FetchFailure::TimedOut, later(20_000));
        assert!(failures.has_timed_out(1, later(49_999)), "it begins anew");
        failures.note(1, FetchFailure::Error, later(21_000));
        assert!(!failures.has_timed_out(1, later(21_000)), "the last one did not time out");
    }

    #[test]
    fn a_late_fetch_is_no_failure_yet_and_may_be_tried_at_once() {
        let failures = Failures::default();
        failures.note_late(1, NOW);
        assert!(failures.has_timed_out(1, NOW) && !failures.is_paused(1, NOW));
        failures.note(1, FetchFailure::TimedOut, NOW);
        failures.note_late(1, later(1));
        assert!(failures.is_paused(1, later(1)), "the pause goes on");
    }

    #[test]
    fn a_clock_that_was_set_back_ends_what_is_remembered() {
        let failures = Failures::default();
        failures.note(1, FetchFailure::TimedOut, later(60_000));
        assert!(!failures.is_paused(1, NOW) && !failures.has_timed_out(1, NOW));
    }

    #[test]
    fn the_oldest_makes_room() {
        let failures = Failures::default();
        let urls = u64::try_from(URLS_MAX).unwrap();
        for url in 0..urls {
            failures.note(url, FetchFailure::Error, NOW);
        }
        failures.note(0, FetchFailure::Error, NOW); // it is the newest now
        failures.note(urls, FetchFailure::Error, NOW);
        assert!(failures.is_paused(0, NOW) && failures.is_paused(urls, NOW));
        assert!(!failures.is_paused(1, NOW) && failures.is_paused(2, NOW));
        assert_eq!((failures.count(NOW), failures.forgotten.value()), (URLS_MAX, 1));
        assert_eq!(failures.count(later(30_000)), 0, "what is over needs no room");
    }

    #[test]
    fn time_outs_are_told_from_other_failures() {
        let server = || "s:1".to_owned();
        for error in [
            OriginError::HeadTimeout,
            OriginError::Busy,
            OriginError::ConnectTimeout { server: server() },
            OriginError::Tls { server: server(), error: ServerTlsError::Timeout },
        ] {
            assert_eq!(FetchFailure::of(&error), FetchFailure::TimedOut, "{error}");
        }
        assert_eq!(
            FetchFailure::of(&OriginError::Refused { server: server() }),
            FetchFailure::Error
        );
        assert_eq!(FetchFailure::of_status(StatusCode::GATEWAY_TIMEOUT), FetchFailure::TimedOut);
        assert_eq!(FetchFailure::of_status(StatusCode::SERVICE_UNAVAILABLE), FetchFailure::Error);
    }
}
