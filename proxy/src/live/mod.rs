//! What happens now, in bounded memory: counters by second, and latencies of hits and misses.
//!
//! Requests pay for none of it but for the latency, which is taken of few hits. A sampler reads the
//! counters once a second.

pub mod counts;
pub mod hit_timer;
pub mod latency;
pub mod recent_latency;
pub mod series;
pub mod snapshot;
pub mod streams;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use self::counts::Counts;
use self::hit_timer::HitTimer;
use self::latency::LatencyHistogram;
use self::series::{Reading, Series};
use self::streams::Streams;
use process::clock::Clock;
use process::timestamp::Timestamp;

#[derive(Debug)]
pub struct Live {
    pub hits: HitTimer,
    /// Time to the head of responses that the origin was asked for.
    pub misses: LatencyHistogram,
    pub streams: Arc<Streams>,
    series: Mutex<Series>,
    number: watch::Sender<u64>,
}

impl Live {
    pub fn new(clock: &Clock) -> Self {
        Self {
            hits: HitTimer::new(clock.clone()),
            misses: LatencyHistogram::default(),
            streams: Arc::default(),
            series: Mutex::new(Series::new(clock.now())),
            number: watch::Sender::new(0),
        }
    }

    /// Adds the seconds since the last call, given the counters as they are at `now`, and tells
    /// those who watch.
    pub fn sample(&self, now: Timestamp, counts: Counts) {
        let reading = Reading { counts, hits: self.hits.times(), misses: self.misses.counts() };
        if let Some(number) = self.series.lock().sample(now, reading) {
            self.number.send_replace(number);
        }
    }

    /// Returns the number of seconds since the start, and learns of the next ones.
    pub fn numbers(&self) -> watch::Receiver<u64> {
        self.number.subscribe()
    }

    pub fn with_series<T>(&self, read: impl FnOnce(&Series) -> T) -> T {
        read(&self.series.lock())
    }
}
