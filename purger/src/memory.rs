//! `Memory`: the process's budget for what grows with partitions, proxies and what they missed
//! (`purger.memory`), and its shares. Pure.
//!
//! | share | for | divided among |
//! |---|---|---|
//! | 1/8, at least one cursor | cursors of proxies that catch up | open cursors, as many as fit |
//! | 1/8 | what allocators keep and cannot use | |
//! | the rest: 5/8 | records that are held for proxies that keep up | assigned partitions |
//! | 1/8 | delays, receipts and dead letters that are not written yet | assigned partitions |
//! | 1/8 | batches on their way | proxies |
//! | 1/8 | records that the group's consumer has fetched | |

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(u64);

impl Memory {
    /// A budget in bytes; at least 64 MiB are expected.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes of records that are held for one of the assigned partitions.
    pub fn of_window(self, partitions: usize) -> u64 {
        self.of_rest(10, partitions)
    }

    /// Bytes of pending work for the records of one of the assigned partitions.
    pub fn of_pending(self, partitions: usize) -> u64 {
        self.of_rest(2, partitions)
    }

    /// Bytes of the batches that are in flight to one proxy.
    pub fn of_target(self, targets: usize) -> usize {
        let share = usize::try_from(self.of_rest(2, targets)).unwrap_or(usize::MAX);
        share.min(2 * BATCH_BYTES_MAX)
    }

    /// Bytes of one batch. Two of these are in flight to a proxy, or more smaller ones.
    pub fn of_batch(self, targets: usize) -> usize {
        self.of_target(targets) / 2
    }

    /// Cursors that may be open at once.
    pub fn cursors(self) -> usize {
        usize::try_from(self.of_cursors() / CURSOR_BYTES).unwrap_or(usize::MAX).min(CURSORS_MAX)
    }

    /// Bytes that the group's consumer may have fetched and not handed over.
    pub fn of_consumer(self) -> u64 {
        self.of_rest(2, 1).min(CONSUMER_BYTES_MAX)
    }

    fn of_cursors(self) -> u64 {
        (self.0 / 8).max(CURSOR_BYTES)
    }

    fn of_rest(self, sixteenths: u64, among: usize) -> u64 {
        let rest = (self.0 - self.0 / 8).saturating_sub(self.of_cursors());
        rest / 16 * sixteenths / u64::try_from(among).unwrap_or(u64::MAX).max(1)
    }
}

/// Half of what a proxy takes by default (`purge.log.max_body`).
const BATCH_BYTES_MAX: usize = 2 << 20;
/// A cursor's fetched records (2 MiB and one answer), the buffers of librdkafka, a fold of 1 MiB
/// and one record in a map, and three folds that are encoded.
const CURSOR_BYTES: u64 = 18 << 20;
const CURSORS_MAX: usize = 32;
/// More does not make reading faster.
const CONSUMER_BYTES_MAX: u64 = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_together_stay_within_the_budget() {
        for total in [64_u64 << 20, 128 << 20, 512 << 20, 16 << 30] {
            let memory = Memory::new(total);
            for (partitions, targets) in [(0, 0), (1, 1), (3, 3), (12, 20), (500, 100)] {
                let of_partitions = memory.of_window(partitions) + memory.of_pending(partitions);
                let batches = memory.of_target(targets) * targets;
                let cursors = memory.cursors() as u64 * CURSOR_BYTES;
                let sum = of_partitions * partitions as u64 + batches as u64 + cursors;
                let sum = sum + memory.of_consumer() + total / 8;
                assert!(sum <= total, "{total} {partitions} {targets}: {sum}");
            }
        }
    }

    #[test]
    fn the_least_budget_has_one_cursor_and_batches_worth_sending() {
        let memory = Memory::new(64 << 20);
        assert_eq!(memory.cursors(), 1);
        assert!(memory.of_batch(20) > 100_000);
        assert_eq!(Memory::new(1 << 40).of_batch(3), BATCH_BYTES_MAX);
    }
}
