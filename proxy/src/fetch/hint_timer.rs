//! `HintTimer`: a hint for operators that may be logged once a minute.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use process::timestamp::Timestamp;

#[derive(Debug, Default)]
pub(super) struct HintTimer {
    /// In milliseconds.
    next: AtomicU64,
}

impl HintTimer {
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let (now, next) = (now.as_millis(), self.next.load(Ordering::Relaxed));
        let later = now.saturating_add(u64::try_from(PERIOD.as_millis()).unwrap_or(u64::MAX));
        let (order, failed) = (Ordering::Relaxed, Ordering::Relaxed);
        now >= next && self.next.compare_exchange(next, later, order, failed).is_ok()
    }
}

const PERIOD: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_comes_once_a_minute() {
        let timer = HintTimer::default();
        let at = Timestamp::from_secs;
        let due: Vec<_> = [1, 2, 60, 61, 62, 200].map(|second| timer.is_due(at(second))).into();
        assert_eq!(due, [true, false, false, true, false, true]);
    }
}
