//! Batches of the purge log by what became of them.

use process::metrics::Counter;

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It moved the position.
    Applied,
    /// It set the position.
    Started,
    /// It covered nothing, and renewed the lease.
    Heartbeat,
    /// All of it was applied before.
    Repeated,
    /// What came before it is missing.
    Hole,
    /// It was malformed, or too large.
    Refused,
    /// It was applied, but could not be made durable.
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Applied,
        Self::Started,
        Self::Heartbeat,
        Self::Repeated,
        Self::Hole,
        Self::Refused,
        Self::Failed,
    ];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Started => "started",
            Self::Heartbeat => "heartbeat",
            Self::Repeated => "repeated",
            Self::Hole => "hole",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What came over the purge log.
#[derive(Debug, Default)]
pub struct LogMetrics {
    outcomes: [Counter; Outcome::ALL.len()],
    /// Purges that were applied.
    pub purges: Counter,
    /// Purges that were skipped: they had been applied before.
    pub skipped: Counter,
}

impl LogMetrics {
    pub(super) fn count(&self, outcome: Outcome) {
        if let Some(counter) = self.outcomes.get(outcome as usize) {
            counter.add(1);
        }
    }

    /// Batches by outcome.
    pub fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::ALL.into_iter().zip(self.outcomes.each_ref().map(Counter::value))
    }
}
