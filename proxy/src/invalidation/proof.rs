//! `Proof`: which responses may have missed a purge. The origin has to confirm them before they are
//! used.

use super::Sequence;

/// The sequences below which responses are unproven. It changes under the lock of
/// [`super::Invalidation`].
#[derive(Debug, Default)]
pub(super) struct Proof {
    lost: Sequence,
    /// Purges were missed and are being delivered; zero: none are.
    catching_up: Sequence,
}

impl Proof {
    /// Marks everything born before `next` as unproven for good.
    pub(super) const fn mark_all(&mut self, next: Sequence) {
        self.lost = next;
    }

    /// Marks everything born before `next` as unproven until [`Self::end_catch_up`].
    pub(super) const fn begin_catch_up(&mut self, next: Sequence) {
        self.catching_up = next;
    }

    /// Trusts again what was only waiting for missed purges.
    pub(super) const fn end_catch_up(&mut self) {
        self.catching_up = Sequence(0);
    }

    /// Leaves unproven for good what was waiting for missed purges.
    pub(super) fn abandon_catch_up(&mut self) {
        self.lost = self.start();
        self.catching_up = Sequence(0);
    }

    pub(super) fn restore(&mut self, until: Sequence) {
        self.lost = self.lost.max(until);
    }

    pub(super) const fn is_catching_up(&self) -> bool {
        self.catching_up.0 > 0
    }

    /// Returns the first sequence from which responses are proven.
    pub(super) fn start(&self) -> Sequence {
        self.lost.max(self.catching_up)
    }
}
