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
}

impl Clock {
    /// The most by which it lags behind the system's clock.
    pub const TICK: Duration = Duration::from_millis(5);

    /// Starts a clock at the system's time. A thread moves it until its last clone is gone.
    pub fn system() -> Self {
        let clock = Self { is_manual: false, ..Self::manual(wall_clock().into()) };
        let (begun, started) = (clock.now(), since_boot());
        let hands = Arc::downgrade(&clock.hands);
        let tick = move || {
            while let Some(hands) = hands.upgrade() {
                hands.follow(begun, started);
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
        let hands = Hands { even: AtomicU64::new(now.as_millis()), correction: AtomicI64::new(0) };
        Self { hands: Arc::new(hands), is_manual: true }
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
    /// Moves to the present. The system corrects both of its clocks alike where it only makes them
    /// faster or slower, so that they move against each other when one is set.
    fn follow(&self, begun: Timestamp, started: Duration) {
        let before = since_boot();
        let wall = Timestamp::from(wall_clock());
        let after = since_boot();
        let now = begun.plus(after.saturating_sub(started));
        self.even.store(now.as_millis(), Ordering::Relaxed);
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

#[expect(clippy::disallowed_methods, reason = "in a thread of its own")]
fn pause() {
    thread::sleep(Clock::TICK);
}

/// Time between two readings in a row, unless the thread is interrupted.
const READING_MAX: Duration = Duration::from_millis(2);
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
        let hands = Hands { even: AtomicU64::new(0), correction: AtomicI64::new(0) };
        let is_about = |found: Timestamp, expected: Timestamp| {
            found >= expected && found.since(expected) < Duration::from_secs(30)
        };
        let mut followed = false;
        while !followed {
            hands.follow(wall.plus(ahead), up); // again if it was interrupted
            followed = hands.correction.load(Ordering::Relaxed) != 0;
        }
        let hands = Arc::new(hands);
        let clock = Clock { hands: Arc::clone(&hands), is_manual: false };
        assert!(is_about(clock.now(), wall.plus(ahead)), "{clock:?}");
        assert!(is_about(clock.wall(), wall) || wall.since(clock.wall()) < Duration::from_secs(1));
        let correction = clock.correction();
        hands.follow(wall.plus(ahead).plus(Duration::from_millis(3)), up);
        assert_eq!(clock.correction(), correction, "no step");
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
