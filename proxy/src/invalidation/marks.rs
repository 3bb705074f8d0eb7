//! `Marks`: when something was last purged, hard and soft; and the verdict that follows for a
//! response.

use std::sync::atomic::{AtomicU64, Ordering};

use purge_protocol::PurgeMode;

use super::Sequence;
use process::timestamp::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// None of its tags was purged since its request was sent.
    Valid,
    Soft(Timestamp),
    /// A purge of it may have been missed: it may be used once the origin has confirmed it, and not
    /// stale.
    Unproven,
    /// Hard-purged: never used again.
    Purged,
}

impl Verdict {
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Purged, _) | (_, Self::Purged) => Self::Purged,
            (Self::Unproven, _) | (_, Self::Unproven) => Self::Unproven,
            (Self::Soft(one), Self::Soft(two)) => Self::Soft(one.min(two)),
            (Self::Soft(at), Self::Valid) | (Self::Valid, Self::Soft(at)) => Self::Soft(at),
            (Self::Valid, Self::Valid) => Self::Valid,
        }
    }
}

/// The last hard and the last soft purge of one thing. Zero: never.
#[derive(Debug, Default)]
pub(super) struct Marks {
    hard: AtomicU64,
    soft: AtomicU64,
    /// The time of the last soft purge in milliseconds. Written before `soft`.
    soft_at: AtomicU64,
}

impl Marks {
    /// Records a purge. Only under the lock of `RunningFetches`: a later sequence never becomes
    /// visible before an earlier one.
    pub(super) fn raise(&self, mode: PurgeMode, sequence: Sequence, now: Timestamp) {
        match mode {
            PurgeMode::Hard => self.hard.store(sequence.0, Ordering::Release),
            PurgeMode::Soft => {
                self.soft_at.store(now.as_millis(), Ordering::Relaxed);
                self.soft.store(sequence.0, Ordering::Release); // pairs with the acquire in `verdict`
            }
        }
    }

    pub(super) fn verdict(&self, born: Sequence) -> Verdict {
        if self.hard.load(Ordering::Acquire) > born.0 {
            Verdict::Purged
        } else if self.soft.load(Ordering::Acquire) > born.0 {
            Verdict::Soft(Timestamp::from_millis(self.soft_at.load(Ordering::Relaxed)))
        } else {
            Verdict::Valid
        }
    }

    /// Returns whether nothing but the purge `own` has happened since then.
    pub(super) fn has_only(&self, since: Sequence, own: Sequence) -> bool {
        [&self.hard, &self.soft].iter().all(|mark| {
            let purged = mark.load(Ordering::Acquire);
            purged <= since.0 || purged == own.0
        })
    }

    /// The later of both purges.
    pub(super) fn latest(&self) -> Sequence {
        Sequence(self.hard.load(Ordering::Acquire).max(self.soft.load(Ordering::Acquire)))
    }
}
