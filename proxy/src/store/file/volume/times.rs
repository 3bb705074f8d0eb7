//! `Times`: what the times in the file mean by the clock of this opening ([`Clocks`]).

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::freshness::Freshness;
use crate::store::file::format::clocks::{Clocks, TOLERANCE_MILLIS};
use process::clock::Clock;

#[derive(Debug)]
pub(crate) struct Times {
    clock: Clock,
    /// The first opening that this process counts for; later ones are its own, too.
    opening: u32,
    known: Mutex<KnownTimes>,
    /// Times that the wall clock was found to have been set.
    turns: AtomicU64,
}

#[derive(Debug)]
struct KnownTimes {
    clocks: Clocks,
    is_sure: bool,
}

impl Times {
    pub(crate) fn new(clock: Clock, clocks: Clocks, opening: u32) -> Self {
        let known = Mutex::new(KnownTimes { clocks, is_sure: false });
        Self { clock, opening, known, turns: AtomicU64::new(0) }
    }

    /// Notes how the wall clock stands; `newest` is the last opening that this process counts for.
    /// Returns what is to be kept, if that is new.
    pub(crate) fn note(&self, newest: u32, is_sure: bool) -> Option<Clocks> {
        let mut known = self.known.lock();
        let (correction, wall) = (self.clock.correction(), self.clock.wall());
        let was_sure = known.is_sure;
        known.is_sure |= is_sure;
        let openings = self.opening..=newest.max(self.opening);
        let mut is_new = false;
        for opening in openings {
            is_new |= known.clocks.correct(opening, correction);
        }
        if was_sure {
            known.clocks.see_anew(wall);
        } else if is_sure {
            known.clocks.see(self.opening, wall);
        }
        self.turns.fetch_add(u64::from(is_new), Ordering::Relaxed);
        (is_new || is_sure).then(|| known.clocks.clone())
    }

    /// Returns a number that rises whenever the wall clock is found to have been set.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    pub(crate) const fn is_of_earlier(&self, version: u64) -> bool {
        version != 0 && opening_of(version) < self.opening
    }

    /// Returns the milliseconds by which our time is ahead of that by which the response of this
    /// version was written; `None`: unknown.
    pub(crate) fn shift_of(&self, version: u64) -> Option<i64> {
        if !self.is_of_earlier(version) {
            return Some(0);
        }
        let KnownTimes { clocks, .. } = &*self.known.lock();
        let own = clocks.correction_of(self.opening)?;
        let known = clocks
            .correction_of(opening_of(version))
            .filter(|_| !clocks.is_behind(self.clock.wall()));
        known.map(|correction| correction.saturating_sub(own))
    }

    /// Returns the freshness of the response of this version, by our time. Its age is unknown if it
    /// seems to come from the future.
    pub(crate) fn judged(&self, version: u64, written: Freshness) -> Freshness {
        if !self.is_of_earlier(version) {
            return written;
        }
        let now = self.clock.now();
        let latest = now.as_millis().saturating_add(TOLERANCE_MILLIS);
        let moved = self.shift_of(version).map(|by| written.moved(by));
        moved
            .filter(|it| it.received().as_millis() <= latest)
            .unwrap_or_else(|| written.of_unknown_age(now))
    }
}

const fn opening_of(version: u64) -> u32 {
    (version >> 32) as u32
}
