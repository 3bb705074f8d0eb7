//! `RollingCounts`: good and failed requests of the last while.

use std::time::Duration;

use tokio::time::Instant;

/// Counts by tenths of the time. The oldest tenth goes as a whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct RollingCounts {
    slots: [Counts; SLOTS as usize],
    began: Instant,
    newest: u64,
    width: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) good: u32,
    pub(super) failed: u32,
}

impl RollingCounts {
    pub(super) fn new(window: Duration, now: Instant) -> Self {
        let width = (window / SLOTS).max(Duration::from_millis(1));
        Self { slots: [Counts::default(); SLOTS as usize], began: now, newest: 0, width }
    }

    pub(super) fn add(&mut self, is_good: bool, now: Instant) {
        self.turn(now);
        if let Some(slot) = self.slots.get_mut(slot_of(self.newest)) {
            let count = if is_good { &mut slot.good } else { &mut slot.failed };
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn total(&mut self, now: Instant) -> Counts {
        self.turn(now);
        self.slots.iter().fold(Counts::default(), |sum, slot| Counts {
            good: sum.good.saturating_add(slot.good),
            failed: sum.failed.saturating_add(slot.failed),
        })
    }

    /// Empties the slots that begin anew.
    fn turn(&mut self, now: Instant) {
        let elapsed = now.duration_since(self.began).as_nanos() / self.width.as_nanos();
        let number = u64::try_from(elapsed).unwrap_or(u64::MAX).max(self.newest);
        let passed = (number - self.newest).min(u64::from(SLOTS));
        for step in 0..passed {
            if let Some(slot) = self.slots.get_mut(slot_of(number - step)) {
                *slot = Counts::default();
            }
        }
        self.newest = number;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "less than SLOTS")]
fn slot_of(number: u64) -> usize {
    (number % u64::from(SLOTS)) as usize
}

const SLOTS: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_for_the_window_and_no_longer() {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let mut counts = RollingCounts::new(Duration::from_secs(10), start);
        counts.add(false, at(0));
        counts.add(true, at(5_500));

        for (millis, good, failed) in
            [(5_500, 1, 1), (9_999, 1, 1), (10_000, 1, 0), (14_999, 1, 0), (15_000, 0, 0)]
        {
            assert_eq!(counts.total(at(millis)), Counts { good, failed }, "at {millis} ms");
        }
        counts.add(false, at(100_000));
        assert_eq!(counts.total(at(100_000)), Counts { good: 0, failed: 1 });
        assert_eq!(counts.total(at(99_000)), Counts { good: 0, failed: 1 }, "time goes on");
    }
}
