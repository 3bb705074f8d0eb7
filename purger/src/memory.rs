//! `Memory`: the process's budget for what grows with partitions, proxies and what they missed
//! (`purger.memory`), and its shares. Pure.
//!
//! | share | for | divided among |
//! |---|---|---|
//! | 1/2 | records that are held for proxies that keep up | assigned partitions |
//! | 1/8 | delays, receipts and dead letters that are not written yet | assigned partitions |
//! | 1/8 | batches on their way | proxies |
//! | 1/8 | cursors of proxies that catch up | open cursors, of which there are as many as fit |
//! | 1/16 | records that the group's consumer has fetched | |

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(u64);

impl Memory {
    /// A budget in bytes; at least 64 MiB are expected.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes of records that are held for one of the assigned partitions.
    pub fn of_window(self, partitions: usize) -> u64 {
        self.share(2, partitions)
    }

    /// Bytes of pending work for the records of one of the assigned partitions.
    pub fn of_pending(self, partitions: usize) -> u64 {
        self.share(8, partitions)
    }

    /// Bytes of one batch. One batch of more than [`SMALL_BATCH_BYTES`] at a time is in flight to a
    /// proxy.
    pub fn of_batch(self, targets: usize) -> usize {
        let share = usize::try_from(self.share(8, targets)).unwrap_or(usize::MAX);
        share.clamp(SMALL_BATCH_BYTES, BATCH_BYTES_MAX)
    }

    /// Cursors that may be open at once.
    pub fn cursors(self) -> usize {
        usize::try_from(self.share(8, 1) / CURSOR_BYTES).unwrap_or(usize::MAX).clamp(1, CURSORS_MAX)
    }

    /// Bytes that the group's consumer may have fetched and not handed over.
    pub fn of_consumer(self) -> u64 {
        self.share(16, 1).min(CONSUMER_BYTES_MAX)
    }

    fn share(self, part: u64, among: usize) -> u64 {
        self.0 / part / u64::try_from(among).unwrap_or(u64::MAX).max(1)
    }
}

/// Batches up to this size are not counted: with 20 proxies and 12 partitions they take 15 MiB at
/// most.
pub const SMALL_BATCH_BYTES: usize = 64 << 10;
/// Half of what a proxy takes by default (`purge.log.max_body`).
const BATCH_BYTES_MAX: usize = 2 << 20;
/// A cursor's fetched records (2 MiB and one answer), what librdkafka takes besides, and three
/// folds of 1 MiB and one record each, in maps and encoded.
const CURSOR_BYTES: u64 = 18 << 20;
const CURSORS_MAX: usize = 32;
/// More does not make reading faster.
const CONSUMER_BYTES_MAX: u64 = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_together_stay_within_the_budget() {
        for total in [64_u64 << 20, 512 << 20, 16 << 30] {
            let memory = Memory::new(total);
            for (partitions, targets) in [(0, 0), (1, 1), (12, 20), (500, 100)] {
                let of_partitions = memory.of_window(partitions) + memory.of_pending(partitions);
                let batches = memory.of_batch(targets) as u64 * targets as u64;
                let cursors = memory.cursors() as u64 * CURSOR_BYTES;
                let sum = of_partitions * partitions as u64 + batches + cursors;
                let sum = sum + memory.of_consumer();
                assert!(sum <= total + (CURSOR_BYTES / 2), "{total} {partitions} {targets}: {sum}");
            }
        }
    }
}
