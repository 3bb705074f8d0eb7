//! `Series`: the counters of each of the last 900 seconds, and the latencies of the last 60.

use std::collections::VecDeque;

use super::counts::{Figure, FigureCounts};
use super::latency::Buckets;
use process::timestamp::Timestamp;

/// All counters at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct FigureReading {
    pub counts: FigureCounts,
    pub hits: Buckets,
    pub misses: Buckets,
}

/// The newest second is last.
#[derive(Debug)]
pub struct Series {
    last: FigureReading,
    until: Timestamp,
    seconds: VecDeque<FigureCounts>,
    /// Of hits and of misses.
    latencies: VecDeque<[Buckets; 2]>,
    number: u64,
}

impl Series {
    /// Begins with counters that are zero at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            last: FigureReading::default(),
            until: now,
            seconds: VecDeque::new(),
            latencies: VecDeque::new(),
            number: 0,
        }
    }

    /// Adds the seconds up to `now`, and returns the number of the last one. What was counted in
    /// several, as the sampler was late, is spread over them. Less than half a second is left to
    /// the next call.
    pub fn sample(&mut self, now: Timestamp, reading: &FigureReading) -> Option<u64> {
        let elapsed = u64::try_from(now.since(self.until).as_millis()).unwrap_or(u64::MAX);
        let passed = elapsed.saturating_add(500) / 1000;
        if passed == 0 {
            return None;
        }
        let difference = reading.counts.since(&self.last.counts);
        let kept = passed.min(SECONDS as u64);
        for place in 0..kept {
            push(&mut self.seconds, difference.part(place, kept), SECONDS);
        }
        let latencies =
            [reading.hits.since(&self.last.hits), reading.misses.since(&self.last.misses)];
        for _ in 1..kept.min(LATENCY_SECONDS as u64) {
            push(&mut self.latencies, Default::default(), LATENCY_SECONDS);
        }
        push(&mut self.latencies, latencies, LATENCY_SECONDS);
        self.number = self.number.saturating_add(passed);
        (self.last, self.until) = (*reading, now);
        Some(self.number)
    }

    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The end of the newest second.
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// Returns the sums of the last seconds, and how many of these there were.
    pub fn sum(&self, seconds: usize) -> (FigureCounts, usize) {
        let mut sum = FigureCounts::default();
        let newest = self.seconds.iter().rev().take(seconds);
        let there = newest.inspect(|second| sum.add(second)).count();
        (sum, there)
    }

    /// Returns the latencies of hits and misses of the last seconds.
    pub fn latencies(&self, seconds: usize) -> [Buckets; 2] {
        let mut sum = [Buckets::default(); 2];
        for second in self.latencies.iter().rev().take(seconds) {
            for (sum, buckets) in sum.iter_mut().zip(second) {
                sum.add(buckets);
            }
        }
        sum
    }

    /// Returns a value of each of the last seconds, the newest last.
    pub fn each(&self, seconds: usize, value: impl Fn(&FigureCounts) -> u64) -> Vec<u64> {
        let skipped = self.seconds.len().saturating_sub(seconds);
        self.seconds.iter().skip(skipped).map(value).collect()
    }

    /// The same of one figure.
    pub fn figure(&self, seconds: usize, figure: Figure) -> Vec<u64> {
        self.each(seconds, |counts| counts[figure])
    }
}

fn push<T>(ring: &mut VecDeque<T>, value: T, most: usize) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(value);
}

/// The seconds of a series: a quarter of an hour. They take 110 kB.
pub const SECONDS: usize = 900;
/// The seconds whose latencies are kept. They take 40 kB.
pub const LATENCY_SECONDS: usize = 60;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::live::latency::LatencyHistogram;

    const START: Timestamp = Timestamp::from_secs(100);

    fn reading(hits: u64) -> FigureReading {
        let mut counts = FigureCounts::default();
        counts[Figure::Hits] = hits;
        FigureReading { counts, ..FigureReading::default() }
    }

    fn after(millis: u64) -> Timestamp {
        START.plus(Duration::from_millis(millis))
    }

    #[test]
    fn each_second_has_what_was_counted_in_it() {
        let mut series = Series::new(START);
        assert_eq!(series.sample(after(1000), &reading(5)), Some(1));
        assert_eq!(series.sample(after(2004), &reading(5)), Some(2));
        assert_eq!(series.sample(after(2990), &reading(12)), Some(3));
        assert_eq!(series.figure(900, Figure::Hits), [5, 0, 7]);
        assert_eq!(series.figure(2, Figure::Hits), [0, 7]);
        let (sum, there) = series.sum(10);
        assert_eq!((sum[Figure::Hits], there), (12, 3));
    }

    #[test]
    fn a_late_sample_is_spread_and_an_early_one_waits() {
        let mut series = Series::new(START);
        assert_eq!(series.sample(after(400), &reading(4)), None);
        assert_eq!(series.sample(after(3100), &reading(10)), Some(3));
        assert_eq!(series.figure(900, Figure::Hits), [3, 3, 4]);
        assert_eq!(series.sample(after(3100), &reading(99)), None, "time stands still");
    }

    #[test]
    fn no_more_than_a_quarter_of_an_hour_is_kept() {
        let mut series = Series::new(START);
        for second in 1..=1000 {
            series.sample(after(second * 1000), &reading(second));
        }
        assert_eq!(series.sum(2000).1, SECONDS);
        let slept = after(10_000_000);
        assert_eq!(series.sample(slept, &reading(10_000)), Some(10_000));
        let (sum, there) = series.sum(SECONDS);
        assert_eq!((sum[Figure::Hits], there), (9000, SECONDS));
        assert_eq!(series.until(), slept);
    }

    #[test]
    fn latencies_are_of_the_last_seconds_only() {
        let mut series = Series::new(START);
        let [hits, misses] = [LatencyHistogram::default(), LatencyHistogram::default()];
        for second in 1..=70 {
            hits.record(Duration::from_micros(50));
            if second == 1 || second == 65 {
                misses.record(Duration::from_millis(80));
            }
            let (hits, misses) = (hits.counts(), misses.counts());
            let reading = FigureReading { hits, misses, ..FigureReading::default() };
            series.sample(after(second * 1000), &reading);
        }
        let totals = |seconds| series.latencies(seconds).map(|buckets| buckets.total());
        assert_eq!(totals(5), [5, 0]);
        assert_eq!(totals(10), [10, 1]);
        assert_eq!(totals(1000), [60, 1]);
    }
}
