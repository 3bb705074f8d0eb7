//! `Clocks`: the clocks by which the times in the file were written.
//!
//! Each opening of the store writes the times of its own even clock
//! ([`Clock::now`](process::clock::Clock::now)), which began at the wall time of its start. By how
//! much the wall clock was corrected since then is kept in the journal. A response's version names
//! the opening that has written it, so a later opening can tell when that was, though the clock was
//! wrong then.
//!
//! The journal also keeps the last wall time that an opening was sure of. If the clock is behind it
//! at the next opening, one of the two was wrong: nothing that was written before has a known age.

use std::collections::BTreeMap;

use super::codec::{Cursor, Put as _};
use process::timestamp::Timestamp;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clocks {
    /// By opening, without those whose wall clock was never set.
    corrections: BTreeMap<u32, Correction>,
    /// Times that were written by openings before this one say nothing.
    unknown_before: u32,
    /// The last wall time that was seen, in milliseconds.
    seen: u64,
}

/// The correction of the wall clock during one opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Correction {
    /// Milliseconds by which it was ahead of the even clock in the end; negative: behind.
    by: i64,
    /// The sum of all that it was set back, not positive. Earlier openings may have used the clock
    /// while it was ahead by that.
    back: i64,
}

impl Clocks {
    /// Returns the milliseconds to be added to the even clock of an opening to get the wall time,
    /// or less where that is not certain; `None`: unknown.
    pub(crate) fn correction_of(&self, opening: u32) -> Option<i64> {
        let own = self.corrections.get(&opening).map_or(0, |it| it.by);
        let later = self.corrections.range(opening.saturating_add(1)..).map(|(_, it)| it.back);
        (opening >= self.unknown_before).then(|| later.fold(own, i64::saturating_add))
    }

    /// Notes by how much the wall clock of the present opening was corrected; says whether that is
    /// new.
    pub(crate) fn correct(&mut self, opening: u32, by: i64) -> bool {
        let known = self.corrections.get(&opening).copied().unwrap_or_default();
        if known.by == by {
            return false;
        }
        let step = by.saturating_sub(known.by).min(0);
        let correction = Correction { by, back: known.back.saturating_add(step) };
        self.corrections.insert(opening, correction);
        if self.corrections.len() > CORRECTIONS_MAX
            && let Some((oldest, _)) = self.corrections.pop_first()
        {
            self.unknown_before = self.unknown_before.max(oldest + 1);
        }
        true
    }

    /// Returns whether the wall clock shows a time before one that an earlier opening has seen.
    pub(crate) fn is_behind(&self, wall: Timestamp) -> bool {
        wall.as_millis().saturating_add(TOLERANCE_MILLIS) < self.seen
    }

    /// Takes the wall clock of this opening to be right from now on. If it is behind an earlier
    /// one, the earlier one was wrong.
    pub(crate) fn see(&mut self, opening: u32, wall: Timestamp) {
        if self.is_behind(wall) {
            self.unknown_before = opening;
        }
        self.seen = wall.as_millis();
    }

    /// Notes the wall time after the clock was set during the opening that has seen it.
    pub(crate) const fn see_anew(&mut self, wall: Timestamp) {
        self.seen = wall.as_millis();
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(self.seen);
        out.put_u32(self.unknown_before);
        for (opening, correction) in &self.corrections {
            out.put_u32(*opening);
            out.put_u64(correction.by.cast_unsigned());
            out.put_u64(correction.back.cast_unsigned());
        }
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<Self> {
        let (seen, unknown_before) = (cursor.u64()?, cursor.u32()?);
        let mut corrections = BTreeMap::new();
        while !cursor.is_at_end() {
            let opening = cursor.u32()?;
            let (by, back) = (cursor.u64()?.cast_signed(), cursor.u64()?.cast_signed());
            corrections.insert(opening, Correction { by, back });
        }
        Some(Self { corrections, unknown_before, seen })
    }
}

/// Openings whose clocks were corrected; nothing is known of older ones.
const CORRECTIONS_MAX: usize = 64;
/// Times that lie in the future by less are taken for the present: the clocks of two processes tick
/// at different moments.
pub(crate) const TOLERANCE_MILLIS: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_read_back() {
        let mut clocks = Clocks::default();
        assert!(clocks.correct(3, -5) && !clocks.correct(3, -5) && clocks.correct(7, i64::MAX));
        clocks.see(8, Timestamp::from_secs(9));
        let mut bytes = Vec::new();
        clocks.encode(&mut bytes);
        assert_eq!(Clocks::decode(&mut Cursor(&bytes)), Some(clocks));
    }

    #[test]
    fn of_too_many_corrected_openings_the_oldest_are_unknown() {
        let mut clocks = Clocks::default();
        for opening in 1..=100 {
            clocks.correct(opening, 1);
        }
        let known = [36, 37, 100, 101].map(|it| clocks.correction_of(it));
        assert_eq!(known, [None, Some(1), Some(1), Some(0)]);
    }

    /// Either the clock was ahead at the start of the opening in which it was set back, or it was
    /// so before: nobody knows.
    #[test]
    fn a_clock_that_is_set_back_lowers_all_earlier_times_and_one_that_is_set_forward_does_not() {
        let mut clocks = Clocks::default();
        clocks.correct(2, 50);
        clocks.correct(3, -30);
        assert_eq!([1, 2, 3].map(|it| clocks.correction_of(it).unwrap()), [-30, 20, -30]);
        clocks.correct(3, 10);
        assert_eq!([1, 2, 3].map(|it| clocks.correction_of(it).unwrap()), [-30, 20, 10]);
    }

    #[test]
    fn a_clock_that_is_behind_an_earlier_one_makes_earlier_times_unknown_for_good() {
        let mut clocks = Clocks::default();
        clocks.see(1, Timestamp::from_secs(1000));
        assert!(clocks.is_behind(Timestamp::from_secs(900)));
        assert!(!clocks.is_behind(Timestamp::from_millis(999_500)), "another tick");
        clocks.see(2, Timestamp::from_secs(900));
        assert_eq!((clocks.correction_of(1), clocks.correction_of(2)), (None, Some(0)));
    }
}
