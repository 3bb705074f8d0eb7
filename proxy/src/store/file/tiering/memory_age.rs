//! `MemoryAge`: the time for which memory keeps a response that is not in the file. A response with
//! a shorter life is not written.
//!
//! A response of a short life is written for nothing if memory keeps it until its end, and lost if
//! memory does not, see `benches/README.md`. So memory says how old those were that it had to
//! evict.

use std::sync::atomic::{AtomicU64, Ordering};

use process::timestamp::Timestamp;

/// The mean age at which memory has evicted, the latest evictions counting most.
#[derive(Debug)]
pub(crate) struct MemoryAge {
    millis: AtomicU64,
}

impl Default for MemoryAge {
    fn default() -> Self {
        Self { millis: AtomicU64::new(u64::MAX) }
    }
}

impl MemoryAge {
    /// Notes that a response which was received at this time is evicted.
    pub(crate) fn note(&self, received: Timestamp, now: Timestamp) {
        let age = now.as_millis().saturating_sub(received.as_millis());
        let mean = self.millis.load(Ordering::Relaxed);
        let mean = if mean == u64::MAX { age } else { mean - mean / SHARE + age / SHARE };
        self.millis.store(mean, Ordering::Relaxed); // a note that is lost in a race changes little
    }

    /// Returns whether memory most likely keeps a response for so many milliseconds.
    pub(crate) fn covers(&self, millis: u64) -> bool {
        millis <= self.millis.load(Ordering::Relaxed)
    }
}

/// Each eviction counts for this part of the mean.
const SHARE: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_evicted_young_says_that_memory_is_short() {
        let memory_age = MemoryAge::default();
        assert!(memory_age.covers(59_000), "nothing was evicted");
        let evict = |age: u64| {
            memory_age.note(Timestamp::from_secs(1000 - age), Timestamp::from_secs(1000));
        };
        evict(20);
        assert!(memory_age.covers(20_000) && !memory_age.covers(20_001));
        (0..100).for_each(|_| evict(5));
        assert!(memory_age.covers(5_000) && !memory_age.covers(6_000));
        (0..100).for_each(|_| evict(40));
        assert!(memory_age.covers(39_000) && !memory_age.covers(41_000));
    }
}
