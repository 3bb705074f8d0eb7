//! `Recurring`: a failure that is said at once, then once a minute with a count, and when it ends.

use std::time::Duration;

use tokio::time::Instant;

/// Decides which failures of one kind are said. It knows no clock: it is told the time.
#[derive(Debug, Default)]
pub struct Recurring {
    said: Option<Instant>,
    unsaid: u64,
    /// Failures since it last worked.
    failures: u64,
}

impl Recurring {
    /// Notes a failure. Returns the number of failures since the last one that was said, if this
    /// one is to be said.
    pub fn fail(&mut self, now: Instant) -> Option<u64> {
        self.unsaid += 1;
        self.failures += 1;
        if self.said.is_some_and(|said| now.saturating_duration_since(said) < PAUSE) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }

    /// Notes that it works. Returns the number of failures if it had failed before.
    pub fn recover(&mut self) -> Option<u64> {
        let failures = std::mem::take(&mut self.failures);
        if failures == 0 {
            return None;
        }
        (self.said, self.unsaid) = (None, 0);
        Some(failures)
    }

    pub const fn is_failing(&self) -> bool {
        self.failures > 0
    }
}

/// Between two lines about the same failure.
pub const PAUSE: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_said_at_once_then_each_minute_and_its_end() {
        let (start, mut trouble) = (Instant::now(), Recurring::default());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(trouble.recover(), None);
        assert_eq!(trouble.fail(after(0)), Some(1));
        for second in 1..60 {
            assert_eq!(trouble.fail(after(second)), None);
        }
        assert_eq!(trouble.fail(after(60)), Some(60), "with those that were not said");
        assert_eq!(trouble.recover(), Some(61));
        assert_eq!(trouble.recover(), None);
        assert_eq!(trouble.fail(after(61)), Some(1), "the next one is new");
    }
}
