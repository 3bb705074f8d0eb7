//! The only reader of wall time: a coarse clock that costs one load to read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::timestamp::Timestamp;

/// Wall time at a resolution of [`Clock::TICK`], or a time set by hand. Clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    millis: Arc<AtomicU64>,
}

impl Clock {
    /// How far behind the system's clock it may be.
    pub const TICK: Duration = Duration::from_millis(5);

    /// Starts a clock at the system's time that goes on evenly: it does not jump when the system's is set. A thread moves it
    /// until its last clone is gone.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one reader of the wall clock, in a thread of its own"
    )]
    pub fn system() -> Self {
        let clock = Self::manual(SystemTime::now().into());
        let (begun, started) = (clock.now(), Instant::now());
        let hand = Arc::downgrade(&clock.millis);
        let tick = move || {
            while let Some(millis) = hand.upgrade() {
                let now = begun.plus(started.elapsed());
                millis.store(now.as_millis(), Ordering::Relaxed);
                drop(millis);
                thread::sleep(Self::TICK);
            }
        };
        if let Err(error) = thread::Builder::new().name("clock".into()).spawn(tick) {
            tracing::error!(%error, "cannot start the clock: time stands still");
        }
        clock
    }

    /// Makes a clock that stands until it is moved: for tests.
    pub fn manual(now: Timestamp) -> Self {
        Self { millis: Arc::new(AtomicU64::new(now.as_millis())) }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::Relaxed))
    }

    /// Moves a manual clock forward.
    pub fn advance(&self, span: Duration) {
        self.millis.store(self.now().plus(span).as_millis(), Ordering::Relaxed);
    }
}
