//! Counters and histograms for hot paths, sharded by thread and added up only for a page of
//! metrics.
//!
//! The metrics crate encodes them (`admin/metrics.rs`); here nothing hashes a label or takes a
//! lock.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// The number of those that are there.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct GaugeEntry<'a>(&'a Gauge);

impl Gauge {
    pub fn enter(&self) -> GaugeEntry<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        GaugeEntry(self)
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for GaugeEntry<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One `T` a thread, so that cores do not share cache lines; [`Sharded::sum`] adds them up.
#[derive(Debug)]
pub struct Sharded<T> {
    shards: Box<[Shard<T>]>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard<T>(T);

impl<T: Default> Default for Sharded<T> {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect() }
    }
}

impl<T> Sharded<T> {
    #[expect(
        clippy::indexing_slicing,
        reason = "the remainder is below the length, which is not zero"
    )]
    pub fn own(&self) -> &T {
        &self.shards[thread_number() % self.shards.len()].0
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.shards.iter().map(|shard| &shard.0)
    }

    pub fn sum(&self, value: impl Fn(&T) -> u64) -> u64 {
        self.shards.iter().map(|shard| value(&shard.0)).sum()
    }
}

/// Durations by bucket. The bounds suit hits of microseconds as well as renders of seconds.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_nanos: AtomicU64,
}

impl Histogram {
    /// Counts a duration `weight` times: a sample of one in `weight` stands for all.
    pub fn record(&self, duration: Duration, weight: u64) {
        let seconds = duration.as_secs_f64();
        let place = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(weight, Ordering::Relaxed);
        }
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).saturating_mul(weight);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The counts, one more than [`BOUNDS`]: the last is for what exceeds them all.
    pub fn counts(&self) -> [u64; BOUNDS.len() + 1] {
        self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed))
    }

    pub fn sum_nanos(&self) -> u64 {
        self.sum_nanos.load(Ordering::Relaxed)
    }

    /// Adds the counts of another one.
    pub fn absorb(&self, other: &Self) {
        for (own, other) in self.buckets.iter().zip(other.counts()) {
            own.fetch_add(other, Ordering::Relaxed);
        }
        self.sum_nanos.fetch_add(other.sum_nanos(), Ordering::Relaxed);
    }

    pub fn reset(&self) {
        for value in self.buckets.iter().chain([&self.sum_nanos]) {
            value.store(0, Ordering::Relaxed);
        }
    }
}

fn thread_number() -> usize {
    thread_local!(static NUMBER: Cell<Option<usize>> = const { Cell::new(None) });
    NUMBER.with(|number| {
        if let Some(own) = number.get() {
            return own;
        }
        let own = THREADS.fetch_add(1, Ordering::Relaxed);
        number.set(Some(own));
        own
    })
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

const SHARDS: usize = 16;

/// Upper bounds of the histogram's buckets, in seconds: OpenTelemetry's advice from 5 ms on, finer
/// ones before, where hits are.
pub const BOUNDS: [f64; 19] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75,
    1.0, 2.5, 5.0, 7.5, 10.0,
];
