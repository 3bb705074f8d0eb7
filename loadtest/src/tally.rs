//! What a run has counted so far. Plain data; the progress line and the report read it.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Serialize;

use crate::connection::RequestError;
use crate::histogram::{Latencies, Timing};
use crate::outcome::Outcome;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) outcome: Outcome,
    pub(crate) body_bytes: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failures {
    pub(crate) count: u64,
    pub(crate) example: String,
}

/// The counters of one run. Latencies are those of complete answers below 500, which `outcomes`
/// counts, too.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) hits: Latencies,
    pub(crate) misses: Latencies,
    pub(crate) unknown: Latencies,
    /// From the actual send, all outcomes: what a generator without the correction would have
    /// shown.
    pub(crate) uncorrected: Latencies,
    pub(crate) lag: Latencies,
    pub(crate) outcomes: BTreeMap<Outcome, u64>,
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) failures: BTreeMap<&'static str, Failures>,
    pub(crate) body_bytes: u64,
}

impl Tally {
    /// Makes an empty one.
    pub(crate) fn new() -> Self {
        Self {
            hits: Latencies::new(),
            misses: Latencies::new(),
            unknown: Latencies::new(),
            uncorrected: Latencies::new(),
            lag: Latencies::new(),
            outcomes: BTreeMap::new(),
            statuses: BTreeMap::new(),
            failures: BTreeMap::new(),
            body_bytes: 0,
        }
    }

    pub(crate) fn record(&mut self, timing: Timing, result: Result<Answer, RequestError>) {
        self.lag.record(timing.lag());
        match result {
            Ok(answer) => self.record_answer(timing, answer),
            Err(error) => {
                let kind = error.kind();
                self.record_failure(kind, || format!("{:#}", anyhow::Error::from(error)));
            }
        }
    }

    fn record_answer(&mut self, timing: Timing, answer: Answer) {
        *self.statuses.entry(answer.status.as_u16()).or_default() += 1;
        self.body_bytes += answer.body_bytes;
        if answer.status.is_server_error() {
            self.record_failure("status", || answer.status.to_string());
            return;
        }
        *self.outcomes.entry(answer.outcome).or_default() += 1;
        self.uncorrected.record(timing.service());
        self.latencies_of(answer.outcome).record(timing.latency());
    }

    fn record_failure(&mut self, kind: &'static str, example: impl FnOnce() -> String) {
        let failures =
            self.failures.entry(kind).or_insert_with(|| Failures { count: 0, example: example() });
        failures.count += 1;
    }

    fn latencies_of(&mut self, outcome: Outcome) -> &mut Latencies {
        match outcome {
            Outcome::Hit | Outcome::StaleHit => &mut self.hits,
            Outcome::Collapsed | Outcome::Forwarded(_) => &mut self.misses,
            Outcome::Unknown => &mut self.unknown,
        }
    }

    pub(crate) fn answered(&self) -> u64 {
        self.outcomes.values().sum()
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().map(|failures| failures.count).sum()
    }

    pub(crate) fn hit_count(&self) -> u64 {
        self.counted(Outcome::is_hit)
    }

    /// Returns how many answers each took a request to the origin, as far as the responses say.
    pub(crate) fn forwarded_count(&self) -> u64 {
        self.counted(|outcome| matches!(outcome, Outcome::Forwarded(_) | Outcome::Unknown))
    }

    fn counted(&self, is_counted: impl Fn(Outcome) -> bool) -> u64 {
        self.outcomes
            .iter()
            .filter(|(outcome, _)| is_counted(**outcome))
            .map(|(_, count)| count)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::outcome::ForwardReason;

    fn timing() -> Timing {
        let now = Instant::now();
        Timing { intended: now, sent: now, answered: now + Duration::from_millis(1) }
    }

    fn answer(status: StatusCode, outcome: Outcome) -> Answer {
        Answer { status, outcome, body_bytes: 10 }
    }

    #[tokio::test]
    async fn hits_and_misses_are_kept_apart() {
        let mut tally = Tally::new();
        for outcome in [
            Outcome::Hit,
            Outcome::StaleHit,
            Outcome::Collapsed,
            Outcome::Forwarded(ForwardReason::Miss),
            Outcome::Unknown,
        ] {
            tally.record(timing(), Ok(answer(StatusCode::OK, outcome)));
        }

        assert_eq!((tally.answered(), tally.hit_count(), tally.forwarded_count()), (5, 2, 2));
        assert_eq!(tally.hits.summary().count, 2);
        assert_eq!(tally.misses.summary().count, 2);
        assert_eq!(tally.unknown.summary().count, 1);
        assert_eq!(tally.body_bytes, 50);
    }

    #[tokio::test]
    async fn failures_are_counted_by_kind_and_have_no_latency() {
        let mut tally = Tally::new();
        tally.record(timing(), Err(RequestError::Timeout(Duration::from_secs(1))));
        tally.record(timing(), Err(RequestError::Timeout(Duration::from_secs(1))));
        tally.record(timing(), Ok(answer(StatusCode::BAD_GATEWAY, Outcome::Unknown)));

        assert_eq!((tally.answered(), tally.failed()), (0, 3));
        assert_eq!(tally.failures["timeout"].count, 2);
        assert_eq!(tally.failures["timeout"].example, "no complete answer within 1s");
        assert_eq!(tally.failures["status"].example, "502 Bad Gateway");
        assert_eq!(tally.lag.summary().count, 3);
    }
}
