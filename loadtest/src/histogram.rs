//! Latencies, corrected for coordinated omission: counted from when a request *should* have been
//! sent.
//!
//! A generator that waits for an answer before it sends the next request stops asking while the
//! server is slow, and so measures one bad request where users would have met hundreds. Here the
//! schedule goes on; see [`Timing`].

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// When the schedule wanted it sent.
    pub(crate) intended: Instant,
    /// When a connection was free and it was sent.
    pub(crate) sent: Instant,
    /// When the last byte of its answer was here.
    pub(crate) answered: Instant,
}

impl Timing {
    pub(crate) fn latency(&self) -> Duration {
        self.answered.saturating_duration_since(self.intended)
    }

    pub(crate) fn service(&self) -> Duration {
        self.answered.saturating_duration_since(self.sent)
    }

    /// Returns how late it was sent: large when connections or the generator's own CPU do not
    /// suffice.
    pub(crate) fn lag(&self) -> Duration {
        self.sent.saturating_duration_since(self.intended)
    }
}

/// A histogram of durations from 1 µs to [`RECORDED_MAX`], three significant digits; about 200 KiB.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// Makes an empty one.
    pub(crate) fn new() -> Self {
        let micros_max = micros(RECORDED_MAX);
        Self(Histogram::new_with_bounds(1, micros_max, 3).expect("1 < RECORDED_MAX, 3 digits"))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(micros(latency));
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary {
            count: self.0.len(),
            p50_us: self.0.value_at_quantile(0.50),
            p90_us: self.0.value_at_quantile(0.90),
            p99_us: self.0.value_at_quantile(0.99),
            p999_us: self.0.value_at_quantile(0.999),
            max_us: self.0.max(),
        }
    }
}

const RECORDED_MAX: Duration = Duration::from_mins(10);

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Percentiles in microseconds; all zero when nothing was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) max_us: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One connection, a request every 10 ms, 1 ms of work each; the server stalls for one second
    /// at request 100.
    fn stalled_run() -> Vec<Timing> {
        let start = Instant::now();
        let mut free = start;
        (0..200)
            .map(|index| {
                let intended = start + Duration::from_millis(10 * index);
                let sent = free.max(intended);
                let work = if index == 100 { 1000 } else { 1 };
                free = sent + Duration::from_millis(work);
                Timing { intended, sent, answered: free }
            })
            .collect()
    }

    fn summary_of(latency: impl Fn(&Timing) -> Duration) -> Summary {
        let mut latencies = Latencies::new();
        for timing in &stalled_run() {
            latencies.record(latency(timing));
        }
        latencies.summary()
    }

    #[tokio::test]
    async fn a_stall_delays_all_requests_that_should_have_been_sent_meanwhile() {
        let corrected = summary_of(Timing::latency);

        assert_eq!(corrected.count, 200);
        assert!(corrected.p90_us > 700_000, "{corrected:?}");
    }

    #[tokio::test]
    async fn without_the_correction_the_stall_is_one_request() {
        let uncorrected = summary_of(Timing::service);

        assert_eq!(uncorrected.p99_us, 1000);
        assert!(uncorrected.max_us > 990_000, "{uncorrected:?}");
    }

    #[tokio::test]
    async fn latency_is_lag_and_service_time() {
        for timing in stalled_run() {
            assert_eq!(timing.latency(), timing.lag() + timing.service());
        }
    }

    #[test]
    fn what_is_too_long_to_record_counts_as_the_maximum() {
        let mut latencies = Latencies::new();

        latencies.record(Duration::from_hours(10));

        assert_eq!(latencies.summary().count, 1);
        assert!(latencies.summary().max_us >= 600_000_000);
    }
}
