//! `Sequence`: the order of purges.

/// A position in the order of all purges of this proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub(super) u64);

impl Sequence {
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The sequence of this number, where a store has kept it.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}
