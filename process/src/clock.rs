//! The only reader of the wall clock: a coarse clock that costs one load to read.
//!
//! [`Clock::now`] runs steadily from the time at which the clock was made. It counts the time that
//! the machine is suspended, and ignores changes of the wall clock. Ages, lifetimes and time-outs
//! are differences of it. [`Clock::wall`] follows the wall clock, for times that other programs
//! write or read.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::timestamp::Timestamp;

/// Time at a resolution of [`Clock::TICK`], or a time set by hand. Clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    hands: Arc<Hands>,
    is_manual: bool,
}

#[derive(Debug)]
struct Hands {
    /// Steady time in milliseconds since 1970.
    even: AtomicU64,
    /// Milliseconds by which the wall clock is ahead; negative means behind.
    correction: AtomicI64,
    /// The reading of [`coarse_millis`] at the last move.
    moved: AtomicU64,
    /// The steady time at the start, and the time since the machine started then.
    start: (Timestamp, Duration),
}

impl Clock {
    /// The time between two moves. It lags behind the system's clock by more where the process was
    /// stopped or its thread had to wait for a processor: see [`Clock::present`].
    pub const TICK: Duration = Duration::from_millis(5);

    /// Starts a clock at the system's time. A thread moves it until its last clone is gone.
    pub fn system() -> Self {
        let clock = Self { is_manual: false, ..Self::manual(wall_clock().into()) };
        let hands = Arc::downgrade(&clock.hands);
        let tick = move || {
            while let Some(hands) = hands.upgrade() {
                hands.follow();
                drop(hands);
                pause();
            }
        };
        if let Err(error) = thread::Builder::new().name("clock".into()).spawn(tick) {
            tracing::error!(%error, "cannot start the clock: time stands still");
        }
        clock
    }

    /// Makes a clock for tests, which stands until it is moved.
    pub fn manual(now: Timestamp) -> Self {
        Self { hands: Arc::new(Hands::starting((now, since_boot()))), is_manual: true }
    }

    /// Returns the time, for decisions on what has run out. A process that was stopped and goes on
    /// has the time of the stop until the clock's thread runs again: where that may be, this moves
    /// the clock first. It costs one reading of the system's coarse clock more than
    /// [`Clock::now`], and no system call.
    pub fn present(&self) -> Timestamp {
        if !self.is_manual && self.hands.is_late() {
            self.hands.follow();
        }
        self.now()
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.hands.even.load(Ordering::Relaxed))
    }

    /// Returns the time of the wall clock as it is set at present.
    pub fn wall(&self) -> Timestamp {
        self.now().moved(self.correction())
    }

    /// Returns the time of the wall clock since 1970 without its lag, for what other programs put
    /// in order. It costs more than one load.
    pub fn exact_wall(&self) -> Duration {
        if self.is_manual {
            return Duration::from_millis(self.wall().as_millis());
        }
        wall_clock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    /// Returns the milliseconds by which the wall clock was set forward since the start; negative
    /// means back.
    pub fn correction(&self) -> i64 {
        self.hands.correction.load(Ordering::Relaxed)
    }

    pub fn advance(&self, span: Duration) {
        self.hands.even.store(self.now().plus(span).as_millis(), Ordering::Relaxed);
    }

    /// Sets the wall clock of a manual clock forward by these milliseconds, or back.
    pub fn set_wall(&self, by: i64) {
        self.hands.correction.fetch_add(by, Ordering::Relaxed);
    }
}

impl Hands {
    fn starting(start: (Timestamp, Duration)) -> Self {
        Self {
            even: AtomicU64::new(start.0.as_millis()),
            correction: AtomicI64::new(0),
            moved: AtomicU64::new(coarse_millis()),
            start,
        }
    }

    /// Returns whether the last move is longer ago than [`LAG_MAX_MILLIS`].
    fn is_late(&self) -> bool {
        coarse_millis().saturating_sub(self.moved.load(Ordering::Relaxed)) > LAG_MAX_MILLIS
    }

    /// Moves to the present. The system corrects both of its clocks alike where it only makes them
    /// faster or slower, so that they move against each other when one is set.
    fn follow(&self) {
        let moved = coarse_millis();
        let before = since_boot();
        let wall = Timestamp::from(wall_clock());
        let after = since_boot();
        let (begun, started) = self.start;
        let now = begun.plus(after.saturating_sub(started));
        self.even.fetch_max(now.as_millis(), Ordering::Relaxed);
        self.moved.store(moved, Ordering::Relaxed);
        if after.saturating_sub(before) > READING_MAX {
            return; // the thread was interrupted between the two
        }
        let known = self.correction.load(Ordering::Relaxed);
        let correction =
            wall.as_millis().cast_signed().saturating_sub(now.as_millis().cast_signed());
        if correction.abs_diff(known) > NOISE_MILLIS {
            self.correction.store(correction, Ordering::Relaxed);
            let seconds = Duration::from_millis(correction.abs_diff(known));
            let direction = if correction > known { "forward" } else { "back" };
            tracing::warn!(by = ?seconds, direction, "the wall clock was set");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Returns the time since the machine started, including time suspended.
fn since_boot() -> Duration {
    clock_gettime(ClockId::Boottime).try_into().unwrap_or_default()
}

/// Returns the time of the system's coarse clock, which is up to 10 ms old and stands while the
/// machine is suspended.
fn coarse_millis() -> u64 {
    let time = Duration::try_from(clock_gettime(ClockId::MonotonicCoarse)).unwrap_or_default();
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "in a thread of its own")]
fn pause() {
    thread::sleep(Clock::TICK);
}

/// Time between two readings in a row, unless the thread is interrupted.
const READING_MAX: Duration = Duration::from_millis(2);
/// A move that is longer ago than this, by the coarse clock, was missed.
const LAG_MAX_MILLIS: u64 = 20;
/// Differences up to this come from rounding and from the time between two readings.
const NOISE_MILLIS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_evenly_whatever_is_done_to_the_wall_clock() {
        let start = Timestamp::from_secs(1000);
        let clock = Clock::manual(start);
        for (by, wall) in [(-3_600_000, 0), (3_600_000, 1000), (5_000, 1005)] {
            clock.set_wall(by);
            assert_eq!(clock.now(), start);
            assert_eq!(clock.wall(), Timestamp::from_secs(wall), "{by}");
        }
        clock.advance(Duration::from_secs(10));
        assert_eq!(
            (clock.now(), clock.wall()),
            (start.plus(Duration::from_secs(10)), Timestamp::from_secs(1015))
        );
    }

    /// A clock that was an hour ahead when it was made, and is set right by the system.
    #[test]
    fn the_wall_clock_is_followed_and_small_differences_are_not() {
        let (wall, up) = (Timestamp::from(wall_clock()), since_boot());
        let ahead = Duration::from_hours(1);
        let hands = Hands::starting((wall.plus(ahead), up));
        let is_about = |found: Timestamp, expected: Timestamp| {
            found >= expected && found.since(expected) < Duration::from_secs(30)
        };
        let mut followed = false;
        while !followed {
            hands.follow(); // again if it was interrupted
            followed = hands.correction.load(Ordering::Relaxed) != 0;
        }
        let hands = Arc::new(hands);
        let clock = Clock { hands: Arc::clone(&hands), is_manual: false };
        assert!(is_about(clock.now(), wall.plus(ahead)), "{clock:?}");
        assert!(is_about(clock.wall(), wall) || wall.since(clock.wall()) < Duration::from_secs(1));
        let correction = clock.correction();
        let slightly = wall.plus(ahead).plus(Duration::from_millis(3));
        let hands = Hands::starting((slightly, up));
        hands.correction.store(correction, Ordering::Relaxed);
        hands.follow();
        assert_eq!(hands.correction.load(Ordering::Relaxed), correction, "no step");
    }

    /// The process was stopped for a minute: no thread has moved the clock since.
    #[test]
    fn the_present_is_never_the_time_at_which_the_process_was_stopped() {
        let minute = Duration::from_mins(1);
        let (stopped, up) = (Timestamp::from_secs(1000), since_boot());
        let hands = Hands::starting((stopped, up.saturating_sub(minute)));
        hands.moved.store(coarse_millis().saturating_sub(60_000), Ordering::Relaxed);
        let clock = Clock { hands: Arc::new(hands), is_manual: false };
        assert_eq!(clock.now(), stopped);
        assert!(clock.present() >= stopped.plus(minute), "{clock:?}");
        assert!(clock.now() >= stopped.plus(minute), "{clock:?}");
        assert!(!clock.hands.is_late());
    }

    #[test]
    fn a_system_clock_moves() {
        let clock = Clock::system();
        let before = clock.now();
        while clock.now() == before {
            thread::yield_now();
        }
        assert_eq!(clock.correction(), 0);
    }
}
