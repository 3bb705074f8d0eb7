//! `HitTimer`: the latency of a few hits, since a clock is too dear to be read for each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::latency::{Buckets, LatencyHistogram};
use process::clock::Clock;
use process::timestamp::Timestamp;

/// Times the first hit of each period. All other requests pay for two loads.
#[derive(Debug)]
pub struct HitTimer {
    clock: Clock,
    /// The time of the next one, in milliseconds.
    due: AtomicU64,
    times: LatencyHistogram,
}

impl HitTimer {
    pub fn new(clock: Clock) -> Self {
        Self { clock, due: AtomicU64::new(0), times: LatencyHistogram::default() }
    }

    /// Begins to time a request, if one is due.
    pub fn begin(&self) -> Option<Instant> {
        let is_due = self.clock.now().as_millis() >= self.due.load(Ordering::Relaxed);
        is_due.then(Instant::now)
    }

    /// Notes that a request that was timed was a hit. Those of several threads may be due at once.
    #[cold]
    pub fn end(&self, begun: Instant) {
        self.times.record(begun.elapsed());
        let next: Timestamp = self.clock.now().plus(PERIOD);
        self.due.store(next.as_millis(), Ordering::Relaxed);
    }

    pub const fn histogram(&self) -> &LatencyHistogram {
        &self.times
    }

    pub fn times(&self) -> Buckets {
        self.times.counts()
    }
}

/// 100 hits a second: the slowest hundredth of ten seconds are ten of them.
const PERIOD: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_hit_of_a_period_is_timed_and_other_requests_take_no_turn() {
        let clock = Clock::manual(Timestamp::from_secs(1));
        let timer = HitTimer::new(clock.clone());
        assert!(timer.begin().is_some(), "a miss");
        let begun = timer.begin().unwrap();
        tokio::time::advance(Duration::from_micros(300)).await;
        timer.end(begun);
        assert!(timer.begin().is_none());
        let quantile = timer.times().quantile(0.5).unwrap();
        assert!((0.00025..=0.0004).contains(&quantile), "{quantile}");
        clock.advance(PERIOD);
        assert!(timer.begin().is_some());
        assert_eq!(timer.times().total(), 1);
    }
}
