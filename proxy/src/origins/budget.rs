//! `ExtraBudget`: how many requests may be sent besides the ones that were asked for, as a part of
//! those of the last seconds.

use parking_lot::Mutex;
use tokio::time::Instant;

/// Counts over a sliding window of [`SECONDS`].
#[derive(Debug)]
pub(super) struct ExtraBudget {
    began: Instant,
    window: Mutex<BudgetWindow>,
}

#[derive(Debug, Default)]
struct BudgetWindow {
    seconds: [BudgetSecond; SECONDS],
    /// The second that was counted last.
    now: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct BudgetSecond {
    requests: u64,
    extras: u64,
}

impl Default for ExtraBudget {
    fn default() -> Self {
        Self { began: Instant::now(), window: Mutex::default() }
    }
}

impl ExtraBudget {
    /// Counts a request that was asked for.
    pub(super) fn deposit(&self) {
        let mut window = self.window.lock();
        window.current(self.began).requests += 1;
    }

    /// Takes an additional one. Returns `false` if there are as many as this percentage of the
    /// requests, and [`EXTRAS_MIN`].
    pub(super) fn withdraw(&self, percent: u32) -> bool {
        let mut window = self.window.lock();
        window.current(self.began);
        let sum = |value: fn(&BudgetSecond) -> u64| window.seconds.iter().map(value).sum::<u64>();
        let allowed = sum(|second| second.requests) * u64::from(percent) / 100;
        let is_allowed = percent > 0 && sum(|second| second.extras) < allowed + EXTRAS_MIN;
        window.current(self.began).extras += u64::from(is_allowed);
        is_allowed
    }
}

impl BudgetWindow {
    /// Returns the counts of this second, and forgets those that have left the window.
    fn current(&mut self, began: Instant) -> &mut BudgetSecond {
        let now = began.elapsed().as_secs();
        for second in (self.now + 1..=now).rev().take(SECONDS) {
            *self.at(second) = BudgetSecond::default();
        }
        self.now = now;
        self.at(now)
    }

    #[expect(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "the remainder is below the length"
    )]
    fn at(&mut self, second: u64) -> &mut BudgetSecond {
        &mut self.seconds[(second % SECONDS as u64) as usize]
    }
}

const SECONDS: usize = 10;
/// Additional requests in a window that are allowed whatever the number of requests.
const EXTRAS_MIN: u64 = 10;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn withdrawn(budget: &ExtraBudget, percent: u32) -> usize {
        (0..1000).filter(|_| budget.withdraw(percent)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_of_the_requests_may_be_sent_again_and_a_few_always() {
        let budget = ExtraBudget::default();
        assert_eq!(withdrawn(&budget, 20), 10);
        assert_eq!(withdrawn(&budget, 20), 0);
        (0..500).for_each(|_| budget.deposit());
        assert_eq!(withdrawn(&budget, 20), 100);
        assert_eq!(withdrawn(&budget, 0), 0, "none are none");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_counted_ten_seconds_ago_is_forgotten() {
        let budget = ExtraBudget::default();
        (0..500).for_each(|_| budget.deposit());
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(withdrawn(&budget, 20), 110);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(withdrawn(&budget, 20), 0, "those 110 count for ten seconds");
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(withdrawn(&budget, 20), 10);
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(withdrawn(&budget, 20), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_failure_adds_no_more_than_its_percentage() {
        let budget = ExtraBudget::default();
        let mut extras = 0;
        for _ in 0..6000 {
            budget.deposit();
            extras += usize::from(budget.withdraw(20));
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert!((1200..=1270).contains(&extras), "{extras}");
    }
}
