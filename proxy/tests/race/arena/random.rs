//! `Random`: choices that a seed repeats (`SplitMix64`).

use std::hash::{BuildHasher as _, RandomState};

/// A sequence of choices.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Returns the seed that the environment asks for, or any.
    pub(crate) fn seed() -> u64 {
        let asked = std::env::var("SHELLAC_RACE_SEED").ok().and_then(|text| text.parse().ok());
        asked.unwrap_or_else(|| RandomState::new().hash_one(0_u8))
    }

    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns another sequence, for somebody else.
    pub(crate) const fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// Returns a number below `end`.
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a usize")]
    pub(crate) const fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Returns whether an event happens that does so once in this many times.
    pub(crate) const fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Returns one of these.
    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
