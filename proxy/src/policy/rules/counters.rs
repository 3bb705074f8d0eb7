//! The counters of each rule.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use process::metrics::Sharded;
use serde_json::{Value, json};
use settings::RuleSettings;

use crate::metrics::family::{Family, Sample};

/// The kind of an answer, as far as rules are compared by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleUse {
    Hit,
    Miss,
    /// The cache was bypassed, or the response was not stored.
    Uncached,
    /// A rule has answered, or an error was.
    Own,
}

/// The counts of one rule.
#[derive(Debug, Default)]
pub(super) struct RuleCounters(Sharded<RuleCounts>);

#[derive(Debug, Default)]
struct RuleCounts {
    uses: [AtomicU64; USES.len()],
    sent: AtomicU64,
    origin_nanos: AtomicU64,
}

impl RuleCounters {
    pub(super) fn count(&self, used: RuleUse, origin: Option<Duration>) {
        let own = self.0.own();
        if let Some(count) = own.uses.get(used as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(time) = origin {
            let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            own.origin_nanos.fetch_add(nanos, Ordering::Relaxed);
        }
    }

    pub(super) fn count_sent(&self, bytes: u64) {
        self.0.own().sent.fetch_add(bytes, Ordering::Relaxed);
    }

    fn used(&self, used: RuleUse) -> u64 {
        let count = |counts: &RuleCounts| counts.uses.get(used as usize).map_or(0, value);
        self.0.sum(count)
    }

    fn requests(&self) -> u64 {
        USES.into_iter().map(|(used, _)| self.used(used)).sum()
    }

    fn sent(&self) -> u64 {
        self.0.sum(|counts| value(&counts.sent))
    }

    fn origin_nanos(&self) -> u64 {
        self.0.sum(|counts| value(&counts.origin_nanos))
    }

    /// The counts of a rule, for `shellac rules list`.
    pub(super) fn document(&self, rule: &RuleSettings) -> Value {
        json!({
            "name": rule.name,
            "preset": rule.preset,
            "matches": self.requests(),
            "hits": self.used(RuleUse::Hit),
            "misses": self.used(RuleUse::Miss),
            "uncached": self.used(RuleUse::Uncached),
            "own": self.used(RuleUse::Own),
            "sent_bytes": self.sent(),
            "origin_ms": self.origin_nanos() / 1_000_000,
        })
    }
}

/// Returns the families of all rules that some request has matched. Names are the operator's, and
/// as many as there are rules.
pub(super) fn families<'c>(
    rules: impl Iterator<Item = (&'c RuleSettings, &'c Arc<RuleCounters>)>,
) -> Vec<Family> {
    let used: Vec<_> = rules.filter(|(_, counters)| counters.requests() > 0).collect();
    let name = |rule: &RuleSettings| ("rule", rule.name.clone());
    let requests = used.iter().flat_map(|(rule, counters)| {
        USES.into_iter().map(move |(used, word)| {
            Sample::counter([name(rule), ("cache", word.to_owned())], counters.used(used))
        })
    });
    let sent = used.iter().map(|(rule, counters)| Sample::counter([name(rule)], counters.sent()));
    let origin =
        used.iter().map(|(rule, counters)| Sample::seconds([name(rule)], counters.origin_nanos()));
    vec![
        Family::labelled("shellac_rule_requests", "Requests that a rule matched", requests),
        Family::labelled("shellac_rule_sent_bytes", "Bytes of content sent to these", sent),
        Family::labelled(
            "shellac_rule_origin_seconds",
            "Time for which responses to these were awaited from an origin",
            origin,
        ),
    ]
}

fn value(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

const USES: [(RuleUse, &str); 4] = [
    (RuleUse::Hit, "hit"),
    (RuleUse::Miss, "miss"),
    (RuleUse::Uncached, "uncached"),
    (RuleUse::Own, "own"),
];
