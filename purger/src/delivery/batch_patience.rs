//! `BatchPatience`: how long a proxy may take for a batch, and when it gets smaller ones. Pure.

use std::time::Duration;

/// Doubles with each batch that is not answered in time by a proxy that answers otherwise, up to
/// [`TIMES_MAX`] times the configured time.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchPatience {
    least: Duration,
    current: Duration,
    /// Batches in a row that were not answered in time.
    late: u32,
}

impl BatchPatience {
    pub(super) const fn new(least: Duration) -> Self {
        Self { least, current: least, late: 0 }
    }

    pub(super) const fn current(self) -> Duration {
        self.current
    }

    pub(super) const fn late(self) -> u32 {
        self.late
    }

    /// Returns whether more time did not help, so that batches are to be smaller.
    pub(super) const fn is_exhausted(self) -> bool {
        self.late >= 2
    }

    pub(super) fn note_late(&mut self) {
        self.late += 1;
        self.current = (self.current * 2).min(self.least * TIMES_MAX);
    }

    /// Notes that a batch with purges was answered after this time.
    pub(super) fn note_answer(&mut self, after: Duration) {
        self.late = 0;
        self.current = (after * 2).clamp(self.least, self.least * TIMES_MAX);
    }
}

const TIMES_MAX: u32 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_late_answers_and_shrinks_with_prompt_ones() {
        let seconds = Duration::from_secs;
        let mut patience = BatchPatience::new(seconds(5));
        for (current, is_exhausted) in
            [(5, false), (10, false), (20, true), (40, true), (60, true), (60, true)]
        {
            let now = (patience.current(), patience.is_exhausted());
            assert_eq!(now, (seconds(current), is_exhausted));
            patience.note_late();
        }
        patience.note_answer(seconds(9));
        assert_eq!((patience.current(), patience.is_exhausted()), (seconds(18), false));
        patience.note_answer(seconds(1));
        assert_eq!(patience.current(), seconds(5));
    }
}
