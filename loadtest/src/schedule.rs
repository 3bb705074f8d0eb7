//! The open loop's timetable: when each request *should* be sent, whatever the answers do.
//!
//! Pure but for [`Turns`], which a thread of its own hands out at the right times. Late turns keep
//! their intended time; that is what makes the latencies honest (no coordinated omission).

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::thread::set_current_timer_slack;
use tokio::sync::Semaphore;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start: Instant,
    per_second: u32,
    total: u64,
}

impl Schedule {
    /// Plans `per_second` requests a second for `duration`; at least one.
    pub(crate) fn new(start: Instant, per_second: u32, duration: Duration) -> Self {
        let per_second = per_second.max(1);
        let total = duration.as_nanos() * u128::from(per_second) / NANOS_PER_SECOND;
        let total = u64::try_from(total).unwrap_or(u64::MAX).max(1);
        Self { start, per_second, total }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Returns when the `index`-th request should be sent.
    pub(crate) fn intended(&self, index: u64) -> Instant {
        let nanos = u128::from(index) * NANOS_PER_SECOND / u128::from(self.per_second);
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Returns when the last request should be sent.
    pub(crate) fn end(&self) -> Instant {
        self.intended(self.total.saturating_sub(1))
    }

    pub(crate) fn due(&self, now: Instant) -> u64 {
        let Some(elapsed) = now.checked_duration_since(self.start) else { return 0 };
        let due = elapsed.as_nanos() * u128::from(self.per_second) / NANOS_PER_SECOND + 1;
        u64::try_from(due).unwrap_or(u64::MAX).min(self.total)
    }
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Which request it is, from 0.
    pub(crate) index: u64,
    /// When it should be sent.
    pub(crate) intended: Instant,
}

/// Hands each turn to exactly one connection, when it is due.
#[derive(Debug)]
pub(crate) struct Turns {
    schedule: Schedule,
    due: Semaphore,
    next: AtomicU64,
}

impl Turns {
    /// Starts the pacing thread for `takers` connections. It ends with the schedule, or when the
    /// turns are closed.
    pub(crate) fn start(schedule: Schedule, takers: usize) -> Arc<Self> {
        let turns = Arc::new(Self { schedule, due: Semaphore::new(0), next: AtomicU64::new(0) });
        let paced = Arc::clone(&turns);
        thread::spawn(move || paced.pace(takers));
        turns
    }

    /// Waits for the next turn; `None` when the schedule is over or closed.
    pub(crate) async fn next(&self) -> Option<Turn> {
        self.due.acquire().await.ok()?.forget();
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.schedule.total)
            .then(|| Turn { index, intended: self.schedule.intended(index) })
    }

    /// Ends the run early: everyone who waits gets `None`.
    pub(crate) fn close(&self) {
        self.due.close();
    }

    /// Releases turns as they become due, on a thread: the runtime's timer ticks once a
    /// millisecond, which is longer than a hit takes.
    fn pace(&self, takers: usize) {
        // Linux rounds sleeps up by 50 µs; where that cannot be changed, the send lag shows it.
        set_current_timer_slack(NonZeroU64::new(1)).unwrap_or_default();
        let mut released = 0;
        while released < self.schedule.total && !self.due.is_closed() {
            let now = Instant::now();
            let due = self.schedule.due(now);
            self.release(due - released);
            released = due;
            thread::park_timeout(
                self.schedule.intended(released).saturating_duration_since(now).min(PARK_MAX),
            );
        }
        // One turn past the end for each taker, so that all of them learn that it is over.
        self.due.add_permits(takers);
    }

    fn release(&self, turns: u64) {
        self.due.add_permits(usize::try_from(turns).unwrap_or(Semaphore::MAX_PERMITS));
    }
}

/// How long closed turns may keep the pacing thread.
const PARK_MAX: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_are_spread_evenly() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 2000, Duration::from_secs(3));

        assert_eq!(schedule.total(), 6000);
        assert_eq!(schedule.intended(0), start);
        assert_eq!(schedule.intended(1), start + Duration::from_micros(500));
        assert_eq!(schedule.end(), start + Duration::from_micros(5999 * 500));
    }

    #[tokio::test]
    async fn a_request_is_due_at_its_intended_time_and_not_before() {
        let schedule =
            Schedule::new(Instant::now() + Duration::from_secs(1), 3, Duration::from_secs(10));

        for index in 0..schedule.total() {
            let intended = schedule.intended(index);
            // A pace of 3 a second rounds intended times down to whole nanoseconds.
            assert_eq!(schedule.due(intended + Duration::from_nanos(1)), index + 1);
            assert_eq!(schedule.due(intended - Duration::from_nanos(1)), index);
        }
    }

    #[tokio::test]
    async fn every_turn_is_taken_once_and_then_all_takers_stop() {
        let schedule = Schedule::new(Instant::now(), 1_000_000, Duration::from_micros(500));
        let turns = Turns::start(schedule, 2);

        let (mut first, mut second) = (Vec::new(), Vec::new());
        tokio::join!(take_all(&turns, &mut first), take_all(&turns, &mut second));
        first.append(&mut second);
        first.sort_unstable();

        assert_eq!(first, (0..500).collect::<Vec<u64>>());
    }

    async fn take_all(turns: &Turns, taken: &mut Vec<u64>) {
        while let Some(turn) = turns.next().await {
            taken.push(turn.index);
        }
    }

    #[tokio::test]
    async fn closed_turns_release_those_who_wait() {
        let schedule =
            Schedule::new(Instant::now() + Duration::from_hours(1), 1, Duration::from_secs(1));
        let turns = Turns::start(schedule, 1);

        turns.close();

        assert_eq!(turns.next().await, None);
    }
}
