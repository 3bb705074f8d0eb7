//! Latencies by bucket, five to a decade, from a microsecond to 100 seconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::metrics::family::{OfHistogram, Sample};

/// Durations by bucket.
#[derive(Debug)]
pub struct LatencyHistogram {
    buckets: [AtomicU64; BUCKETS],
    sum_nanos: AtomicU64,
}

/// The numbers of a [`LatencyHistogram`]. The last is of what exceeds every bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets([u64; BUCKETS]);

impl Default for LatencyHistogram {
    fn default() -> Self {
        let buckets = std::array::from_fn(|_| AtomicU64::new(0));
        Self { buckets, sum_nanos: AtomicU64::new(0) }
    }
}

impl Default for Buckets {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl LatencyHistogram {
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let place = BOUNDS_NANOS.partition_point(|bound| *bound < nanos);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Returns it as one of the page of metrics.
    #[expect(clippy::cast_precision_loss, reason = "a sum of durations for a graph")]
    pub(crate) fn sample(&self) -> Sample<OfHistogram> {
        let sum = self.sum_nanos.load(Ordering::Relaxed) as f64 / 1e9;
        Sample::buckets(bounds_seconds().collect(), self.counts().counts(), sum)
    }

    pub fn counts(&self) -> Buckets {
        Buckets(self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed)))
    }

    pub fn clear(&self) {
        let all = self.buckets.iter().chain([&self.sum_nanos]);
        all.for_each(|value| value.store(0, Ordering::Relaxed));
    }
}

impl Buckets {
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = *self;
        for (own, earlier) in difference.0.iter_mut().zip(earlier.0) {
            *own = own.saturating_sub(earlier);
        }
        difference
    }

    pub fn add(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own = own.saturating_add(other);
        }
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Returns the seconds within which this part of the durations lies, or `None` if there are
    /// none. What lies within a bucket is taken for evenly spread.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "durations are counted in far fewer")]
        let wanted = (part * total as f64).max(f64::MIN_POSITIVE);
        let (mut below, mut from) = (0.0, 0.0);
        for (count, to) in self.0.into_iter().zip(bounds_seconds()) {
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            let count = count as f64;
            if count > 0.0 && below + count >= wanted {
                return Some(from + (to - from) * (wanted - below) / count);
            }
            (below, from) = (below + count, to);
        }
        Some(from)
    }

    /// Returns the numbers as if there had been `whole` durations, of which these are a sample.
    pub fn scaled_to(&self, whole: u64) -> Vec<u64> {
        let total = u128::from(self.total().max(1));
        let scaled = |count: u64| {
            let scaled = (u128::from(count) * u128::from(whole) + total / 2) / total;
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        self.0.iter().map(|count| scaled(*count)).collect()
    }

    pub fn counts(&self) -> Vec<u64> {
        self.0.to_vec()
    }
}

/// Returns the upper bounds of the buckets but the last, which has none.
pub fn bounds_seconds() -> impl Iterator<Item = f64> {
    #[expect(clippy::cast_precision_loss, reason = "all of them are exact")]
    BOUNDS_NANOS.into_iter().map(|nanos| nanos as f64 / 1e9)
}

#[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
const fn bounds_nanos() -> [u64; BUCKETS - 1] {
    let mut bounds = [0; BUCKETS - 1];
    let (mut place, mut decade) = (0, 1);
    while place < bounds.len() {
        bounds[place] = STEPS[place % STEPS.len()] * decade;
        place += 1;
        if place % STEPS.len() == 0 {
            decade *= 10;
        }
    }
    bounds
}

const BUCKETS: usize = 42;
/// The first decade, in nanoseconds: the preferred numbers R5 of ISO 3.
const STEPS: [u64; 5] = [1000, 1600, 2500, 4000, 6300];
const BOUNDS_NANOS: [u64; BUCKETS - 1] = bounds_nanos();

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: &[u64]) -> Buckets {
        let histogram = LatencyHistogram::default();
        for micros in micros {
            histogram.record(Duration::from_micros(*micros));
        }
        histogram.counts()
    }

    #[test]
    fn bounds_go_from_a_microsecond_to_a_hundred_seconds() {
        let bounds: Vec<f64> = bounds_seconds().collect();
        assert_eq!(bounds.len(), BUCKETS - 1);
        assert_eq!((bounds[0], bounds[1], bounds[40]), (1e-6, 1.6e-6, 100.0));
        assert!(bounds.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn a_duration_is_in_the_bucket_whose_bound_it_does_not_exceed() {
        for (micros, place) in [(0, 0), (1, 0), (2, 2), (100_000, 25), (200_000_000, 41)] {
            let counts = of(&[micros]).counts();
            assert_eq!(counts.iter().position(|count| *count == 1), Some(place), "{micros}");
        }
    }

    #[test]
    fn quantiles_lie_in_the_bucket_of_their_duration() {
        assert_eq!(of(&[]).quantile(0.5), None);
        let mut micros = vec![50; 98];
        micros.extend([90_000, 90_000]);
        let counts = of(&micros);
        let [half, most] = [0.5, 0.99].map(|part| counts.quantile(part).unwrap());
        assert!((40e-6..=63e-6).contains(&half), "{half}");
        assert!((0.063..=0.1).contains(&most), "{most}");
        assert_eq!(of(&[400_000_000]).quantile(0.5), Some(100.0), "no bound: the highest");
    }

    #[test]
    fn a_sample_stands_for_the_whole() {
        let scaled = of(&[50, 50, 90_000]).scaled_to(3000);
        assert_eq!(scaled.iter().sum::<u64>(), 3000);
        assert_eq!(scaled.iter().copied().max(), Some(2000));
        assert_eq!(of(&[]).scaled_to(10).iter().sum::<u64>(), 0);
    }

    #[test]
    fn differences_and_sums_are_by_bucket() {
        let [one, both] = [of(&[50]), of(&[50, 90_000])];
        let mut sum = both.since(&one);
        assert_eq!(sum, of(&[90_000]));
        sum.add(&one);
        assert_eq!(sum, both);
    }
}
