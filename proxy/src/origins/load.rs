//! `ServerLoad`: the requests that one server has, and how long it takes to answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use process::metrics::Counter;
use tokio::time::Instant;

use super::quantile::Quantile;

#[derive(Debug, Default)]
pub(super) struct ServerLoad {
    in_flight: AtomicUsize,
    latency: Mutex<MeanLatency>,
    /// The credit of the server where servers take turns.
    pub(super) credit: AtomicI64,
    pub(super) requests: Counter,
}

/// A moving average of the times to a response's head. The newest time counts a tenth, and more
/// after a pause.
///
/// One late response among many, as a garbage collection makes it, does not make a server slow: a
/// peak EWMA, which rises at once, took the servers of a busy machine for half as slow as one that
/// was 20 times slower. While a server has no requests, it falls towards zero: a slow server is
/// tried again after a while, with one request.
#[derive(Clone, Copy, Debug, Default)]
struct MeanLatency {
    seconds: f64,
    noted: Option<Instant>,
}

impl ServerLoad {
    /// Counts a request, unless there are as many as there may be.
    pub(super) fn begin(&self, requests_max: usize) -> bool {
        let below = |requests| (requests < requests_max).then_some(requests + 1);
        let begun = self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below);
        if begun.is_ok() {
            self.requests.add(1);
        }
        begun.is_ok()
    }

    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Notes the time to the head of a response.
    pub(super) fn answered(&self, time: Duration, now: Instant) {
        self.latency.lock().note(time.as_secs_f64(), now);
    }

    /// Notes a failure after this time. It counts as a response that was twice as slow as the
    /// others: failing quickly attracts no requests.
    pub(super) fn failed(&self, time: Duration, now: Instant) {
        let mut latency = self.latency.lock();
        latency.seconds = time.as_secs_f64().max(latency.seconds * 2.0);
        latency.noted = Some(now);
    }

    /// Notes that a response has not come within this time.
    pub(super) fn abandoned(&self, time: Duration, now: Instant) {
        let mut latency = self.latency.lock();
        if time.as_secs_f64() > latency.seconds {
            latency.note(time.as_secs_f64(), now);
        }
    }

    /// Returns the latency in seconds; 0 is unknown.
    pub(super) fn latency(&self, now: Instant) -> f64 {
        let latency = *self.latency.lock();
        if self.in_flight() > 0 { latency.seconds } else { latency.fallen(now) }
    }
}

impl MeanLatency {
    fn note(&mut self, seconds: f64, now: Instant) {
        let weight = if self.noted.is_some() { self.weight(now).min(EARLIER_MAX) } else { 0.0 };
        self.seconds = self.seconds * weight + seconds * (1.0 - weight);
        self.noted = Some(now);
    }

    fn fallen(&self, now: Instant) -> f64 {
        self.seconds * self.weight(now)
    }

    /// The weight of what was noted before.
    fn weight(&self, now: Instant) -> f64 {
        let age = self.noted.map_or(Duration::ZERO, |noted| now.duration_since(noted));
        (-age.as_secs_f64() / DECAY.as_secs_f64()).exp()
    }
}

/// Times one exchange, from the moment that it has a connection. Dropped without a result, it notes
/// that there was none in this time.
#[derive(Debug)]
pub(super) struct Stopwatch {
    load: Arc<ServerLoad>,
    /// Also counts here, as a part of all responses.
    all: Option<(Arc<Quantile>, u8)>,
    started: Instant,
    is_on: bool,
}

impl Stopwatch {
    pub(super) fn start(load: Arc<ServerLoad>, all: Option<(Arc<Quantile>, u8)>) -> Self {
        Self { load, all, started: Instant::now(), is_on: true }
    }

    pub(super) fn answered(mut self) {
        self.end(ServerLoad::answered);
    }

    pub(super) fn failed(mut self) {
        self.end(ServerLoad::failed);
    }

    pub(super) fn discard(mut self) {
        self.is_on = false;
    }

    fn end(&mut self, note: impl Fn(&ServerLoad, Duration, Instant)) {
        if std::mem::take(&mut self.is_on) {
            let now = Instant::now();
            let time = now.duration_since(self.started);
            note(&self.load, time, now);
            if let Some((all, percent)) = &self.all {
                all.note(time, *percent);
            }
        }
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        self.end(ServerLoad::abandoned);
    }
}

/// The weight of all earlier times, however short ago the last one was.
const EARLIER_MAX: f64 = 0.9;
/// The time in which the weight of an observation falls to 37 %.
const DECAY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn latency(load: &ServerLoad, now: Instant) -> u128 {
        Duration::from_secs_f64(load.latency(now) + 0.000_5).as_millis()
    }

    #[test]
    fn one_late_response_among_many_does_not_make_a_server_slow() {
        let (load, start) = (ServerLoad::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(load.begin(1));
        load.answered(50 * MILLISECOND, at(0));
        load.answered(450 * MILLISECOND, at(1));
        assert_eq!(latency(&load, at(1)), 90);
        for second in 2..60 {
            load.answered(1000 * MILLISECOND, at(second));
        }
        assert!((990..=1000).contains(&latency(&load, at(60))));
        for _ in 0..50 {
            load.answered(50 * MILLISECOND, at(60));
        }
        assert!((50..=60).contains(&latency(&load, at(60))));
    }

    #[test]
    fn a_server_without_requests_is_thought_better_of() {
        let (load, start) = (ServerLoad::default(), Instant::now());
        let later = start + Duration::from_secs(30);
        load.answered(1000 * MILLISECOND, start);
        assert_eq!(latency(&load, later), 50);
        assert!(load.begin(1));
        assert_eq!(latency(&load, later), 1000, "one request is to find out");
    }

    #[test]
    fn failing_quickly_is_no_merit() {
        let (load, start) = (ServerLoad::default(), Instant::now());
        load.answered(50 * MILLISECOND, start);
        load.failed(MILLISECOND, start);
        assert_eq!(latency(&load, start), 100);
        load.failed(500 * MILLISECOND, start);
        load.abandoned(100 * MILLISECOND, start);
        assert_eq!(latency(&load, start), 500);
        load.abandoned(1500 * MILLISECOND, start);
        assert_eq!(latency(&load, start), 600);
    }

    #[test]
    fn no_more_requests_than_allowed_begin() {
        let load = ServerLoad::default();
        assert_eq!([load.begin(2), load.begin(2), load.begin(2)], [true, true, false]);
        load.end();
        assert!(load.begin(2));
        assert_eq!((load.in_flight(), load.requests.value()), (2, 3));
    }
}
