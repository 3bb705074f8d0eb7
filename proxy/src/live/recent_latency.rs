//! `RecentLatency`: the latencies of the last one to two periods.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::latency::LatencyHistogram;

/// Two halves: one is added to, the other is of the period before.
#[derive(Debug, Default)]
pub struct RecentLatency {
    halves: [LatencyHistogram; 2],
    current: AtomicUsize,
}

impl RecentLatency {
    pub fn record(&self, duration: Duration) {
        if let Some(half) = self.halves.get(self.current.load(Ordering::Relaxed)) {
            half.record(duration);
        }
    }

    /// Begins the next period: what is older than the last one is forgotten.
    pub fn turn(&self) {
        let other = 1 - self.current.load(Ordering::Relaxed).min(1);
        if let Some(half) = self.halves.get(other) {
            half.clear();
        }
        self.current.store(other, Ordering::Relaxed);
    }

    pub fn quantile(&self, part: f64) -> Option<f64> {
        let [mut counts, other] = self.halves.each_ref().map(LatencyHistogram::counts);
        counts.add(&other);
        counts.quantile(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_remembered_until_the_next_one_has_ended() {
        let recent = RecentLatency::default();
        recent.record(Duration::from_millis(90));
        recent.turn();
        assert!(recent.quantile(0.95).is_some());
        recent.record(Duration::from_micros(50));
        recent.turn();
        assert!(recent.quantile(1.0).unwrap() < 0.001, "what was slow is forgotten");
        recent.turn();
        assert_eq!(recent.quantile(0.5), None);
    }
}
