//! `Slots`: something for each of the last ten seconds, six times.

use std::collections::VecDeque;

use process::timestamp::Timestamp;

/// What is a minute old is forgotten, ten seconds at a time.
#[derive(Debug)]
pub struct Slots<T> {
    /// By the number of the ten seconds since 1970.
    slots: VecDeque<(u64, T)>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: VecDeque::new() }
    }
}

impl<T> Slots<T> {
    /// Returns that of the present, which is made if there is none.
    pub fn current(&mut self, now: Timestamp, make: impl FnOnce() -> T) -> Option<&mut T> {
        let number = now.as_secs() / SLOT_SECONDS;
        self.forget(now);
        if self.slots.back().is_none_or(|(last, _)| *last < number) {
            self.slots.push_back((number, make()));
        }
        self.slots.back_mut().map(|(_, slot)| slot)
    }

    fn forget(&mut self, now: Timestamp) {
        let oldest = (now.as_secs() / SLOT_SECONDS).saturating_sub(SLOTS - 1);
        while self.slots.front().is_some_and(|(number, _)| *number < oldest) {
            self.slots.pop_front();
        }
    }

    /// Returns those of the last minute.
    pub fn recent(&self, now: Timestamp) -> impl Iterator<Item = &T> {
        let oldest = (now.as_secs() / SLOT_SECONDS).saturating_sub(SLOTS - 1);
        self.slots.iter().filter(move |(number, _)| *number >= oldest).map(|(_, slot)| slot)
    }
}

/// Returns the seconds that [`Slots::recent`] is of, for one that has run for so long.
pub fn window_seconds(now: Timestamp, uptime_seconds: u64) -> u64 {
    let whole = (SLOTS - 1) * SLOT_SECONDS + now.as_secs() % SLOT_SECONDS;
    whole.min(uptime_seconds).max(1)
}

const SLOT_SECONDS: u64 = 10;
const SLOTS: u64 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_remembered() {
        let mut slots = Slots::default();
        for second in [0, 5, 10, 59] {
            let slot = slots.current(Timestamp::from_secs(second), || 0);
            *slot.unwrap() += 1;
        }
        let sum = |second| slots.recent(Timestamp::from_secs(second)).sum::<u32>();
        assert_eq!([sum(59), sum(60), sum(70), sum(120)], [4, 2, 1, 0]);
    }

    #[test]
    fn the_window_is_no_longer_than_the_proxy_has_run() {
        assert_eq!(window_seconds(Timestamp::from_secs(59), 1000), 59);
        assert_eq!(window_seconds(Timestamp::from_secs(60), 1000), 50);
        assert_eq!(window_seconds(Timestamp::from_secs(60), 0), 1);
    }
}
