//! What happens now, in bounded memory: counters by second, latencies of hits and misses, the URLs,
//! tags and purges that cost most.
//!
//! Requests pay for none of it but for the latency, which is taken of few hits. A sampler reads the
//! counters once a second.

pub mod counts;
pub mod hit_timer;
pub mod latency;
pub mod purges;
pub mod recent_latency;
pub mod series;
pub mod slots;
pub mod snapshot;
pub mod space_saving;
pub mod streams;
pub mod tags;
pub mod urls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use self::counts::{Figure, FigureCounts};
use self::hit_timer::HitTimer;
use self::latency::LatencyHistogram;
use self::purges::RecentPurges;
use self::series::{FigureReading, Series};
use self::streams::EventStreams;
use self::tags::TagUses;
use self::urls::UrlUses;
use process::clock::Clock;
use process::timestamp::Timestamp;

/// Returns a time as RFC 3339 says.
pub fn moment(at: Timestamp) -> String {
    let at = std::time::UNIX_EPOCH + Duration::from_millis(at.as_millis());
    humantime::format_rfc3339_millis(at).to_string()
}

#[derive(Debug)]
pub struct Live {
    pub hits: HitTimer,
    /// Time to the head of responses that the origin was asked for.
    pub misses: LatencyHistogram,
    /// Time by which workers came late to a timer.
    pub lag: LatencyHistogram,
    pub urls: UrlUses,
    pub purges: RecentPurges,
    pub tags: TagUses,
    pub streams: Arc<EventStreams>,
    hits_per_timed: AtomicU64,
    series: Mutex<Series>,
    number: watch::Sender<u64>,
}

impl Live {
    pub fn new(clock: &Clock) -> Self {
        Self {
            hits: HitTimer::new(clock.clone()),
            misses: LatencyHistogram::default(),
            lag: LatencyHistogram::default(),
            urls: UrlUses::default(),
            purges: RecentPurges::default(),
            tags: TagUses::default(),
            streams: Arc::default(),
            hits_per_timed: AtomicU64::new(1),
            series: Mutex::new(Series::new(clock.now())),
            number: watch::Sender::new(0),
        }
    }

    /// Adds the seconds since the last call, given the counters as they are at `now`, and tells
    /// those who watch.
    pub fn sample(&self, now: Timestamp, counts: FigureCounts) {
        let reading =
            FigureReading { counts, hits: self.hits.times(), misses: self.misses.counts() };
        let mut series = self.series.lock();
        if let Some(number) = series.sample(now, &reading) {
            let (sum, _) = series.sum(1);
            let [timed, _] = series.latencies(1).map(|buckets| buckets.total());
            let hits = sum[Figure::Hits] + sum[Figure::Stale];
            let each = hits.checked_div(timed).unwrap_or(1).max(1);
            self.hits_per_timed.store(each, Ordering::Relaxed);
            drop(series);
            self.number.send_replace(number);
        }
    }

    /// Returns the number of hits for which one that is timed stands.
    pub fn hits_per_timed(&self) -> u64 {
        self.hits_per_timed.load(Ordering::Relaxed)
    }

    /// Returns the number of seconds since the start, and learns of the next ones.
    pub fn numbers(&self) -> watch::Receiver<u64> {
        self.number.subscribe()
    }

    pub fn with_series<T>(&self, read: impl FnOnce(&Series) -> T) -> T {
        read(&self.series.lock())
    }
}
