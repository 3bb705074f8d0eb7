//! `Reachability`: whether any server of an origin can be connected to.

use std::sync::atomic::{AtomicU64, Ordering};

use process::timestamp::Timestamp;

use super::error::OriginError;
use super::failures::PAUSE;

/// The last failure to connect to any server of an origin. It concerns all URLs of this origin
/// only.
#[derive(Debug, Default)]
pub struct Reachability {
    /// Milliseconds; 0 after a success.
    failed_at: AtomicU64,
}

impl Reachability {
    pub fn note_answer(&self) {
        self.failed_at.store(0, Ordering::Relaxed);
    }

    /// Notes a failed exchange. Only a failure to connect counts.
    pub fn note_error(&self, error: &OriginError, now: Timestamp) {
        if error.is_unreachable() {
            self.failed_at.store(now.as_millis(), Ordering::Relaxed);
        }
    }

    pub fn is_lost(&self, now: Timestamp) -> bool {
        let at = Timestamp::from_millis(self.failed_at.load(Ordering::Relaxed));
        at <= now && now.since(at) < PAUSE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_to_connect_counts_until_an_answer_or_a_pause() {
        let (reachability, now) = (Reachability::default(), Timestamp::from_secs(1_000));
        let refused = OriginError::Refused { server: "app:80".to_owned() };
        reachability.note_error(&OriginError::HeadTimeout, now);
        assert!(!reachability.is_lost(now));
        reachability.note_error(&refused, now);
        assert!(reachability.is_lost(now) && !reachability.is_lost(now.plus(PAUSE)));
        reachability.note_error(&OriginError::HeadTimeout, now);
        assert!(reachability.is_lost(now), "no answer yet");
        reachability.note_answer();
        assert!(!reachability.is_lost(now));
    }
}
