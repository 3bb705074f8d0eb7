//! `RuledBytes`: the content of one answer, counted for the rules that its request matched.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::outcome::Outcome;
use crate::policy::Policy;
use crate::policy::rules::RuleUse;

/// Bytes that are counted for rules when this is dropped.
#[derive(Debug)]
pub(super) struct RuledBytes {
    policy: Arc<Policy>,
    sent: u64,
}

impl RuledBytes {
    /// Counts a request that was answered, and begins to count what is sent. `awaited` is the time
    /// that the origin took.
    pub(super) fn begin(
        policy: Arc<Policy>,
        outcome: Option<Outcome>,
        awaited: Option<Duration>,
    ) -> Self {
        if let (Some(effects), Some(outcome)) = (policy.effects.as_deref(), outcome) {
            effects.count(use_of(outcome), awaited);
        }
        Self { policy, sent: 0 }
    }

    pub(super) const fn add(&mut self, bytes: u64) {
        self.sent += bytes;
    }
}

impl Drop for RuledBytes {
    fn drop(&mut self) {
        if let (Some(effects), true) = (self.policy.effects.as_deref(), self.sent > 0) {
            effects.count_sent(self.sent);
        }
    }
}

const fn use_of(outcome: Outcome) -> RuleUse {
    match outcome {
        Outcome::Hit | Outcome::Stale => RuleUse::Hit,
        Outcome::Miss | Outcome::Revalidated => RuleUse::Miss,
        Outcome::Uncacheable | Outcome::Bypass => RuleUse::Uncached,
        Outcome::Synthetic | Outcome::Purge => RuleUse::Own,
    }
}
