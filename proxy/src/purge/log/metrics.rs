//! Batches of the purge log by what became of them.

use purge_protocol::log::LogState;

use super::{Figures, PurgeLog};
use crate::metrics::family::{Family, Sample};
use process::metrics::Counter;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchOutcome {
    Applied,
    Started,
    Heartbeat,
    /// All of it was applied before.
    Repeated,
    /// Refused: purges before it are missing.
    Gap,
    Refused,
    /// Applied, but not durable.
    Failed,
}

impl BatchOutcome {
    pub const ALL: [Self; 7] = [
        Self::Applied,
        Self::Started,
        Self::Heartbeat,
        Self::Repeated,
        Self::Gap,
        Self::Refused,
        Self::Failed,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Started => "started",
            Self::Heartbeat => "heartbeat",
            Self::Repeated => "repeated",
            Self::Gap => "hole",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Default)]
pub struct LogMetrics {
    outcomes: [Counter; BatchOutcome::ALL.len()],
    pub purges: Counter,
    /// Purges that were skipped: they had been applied before.
    pub skipped: Counter,
}

impl LogMetrics {
    pub(super) fn count(&self, outcome: BatchOutcome) {
        if let Some(counter) = self.outcomes.get(outcome as usize) {
            counter.add(1);
        }
    }

    pub fn outcomes(&self) -> impl Iterator<Item = (BatchOutcome, u64)> {
        BatchOutcome::ALL.into_iter().zip(self.outcomes.each_ref().map(Counter::value))
    }
}

pub(crate) fn families(log: &PurgeLog) -> Vec<Family> {
    let figures = log.figures();
    let state = |(state, name): (LogState, &str)| {
        Sample::gauge("state", name, u64::from(figures.log_status.state == state))
    };
    let batches = log
        .metrics
        .outcomes()
        .map(|(outcome, count)| Sample::counter([("outcome", outcome.as_str().to_owned())], count));
    let counter = |name, help, value: &Counter| Family::counter(name, help, value.value());
    let mut all = vec![
        Family::labelled(
            "shellac_purge_log_state",
            "How stored responses are treated",
            STATES.into_iter().map(state),
        ),
        Family::gauge(
            "shellac_purge_log_quarantined",
            "Whether what was recovered has to be validated",
            figures.is_catching_up,
        ),
        Family::gauge(
            "shellac_purge_log_degraded",
            "1 while no purger has renewed the lease",
            figures.is_degraded,
        ),
        Family::labelled("shellac_purge_log_batches", "Batches by what became of them", batches),
        counter("shellac_purge_log_purges", "Purges that were applied", &log.metrics.purges),
        counter(
            "shellac_purge_log_purges_skipped",
            "Purges that had been applied before",
            &log.metrics.skipped,
        ),
    ];
    all.extend(purge_log_gauges(&figures));
    all.push(rewarm_family(log));
    all
}

/// Returns the families that have samples only after a purger has been there.
fn purge_log_gauges(figures: &Figures) -> Vec<Family> {
    let ages = [
        (
            "shellac_purge_log_clean_age_seconds",
            "Time since the moment up to which all purges have arrived",
            figures.clean_age,
        ),
        (
            "shellac_purge_log_last_batch_age_seconds",
            "Time since a purger has been there",
            figures.last_batch_age,
        ),
    ];
    let known = ages.into_iter().filter_map(|(name, help, age)| Some((name, help, age?)));
    let mut all: Vec<_> =
        known.map(|(name, help, age)| Family::gauge(name, help, age.as_secs())).collect();
    let positions = figures.log_status.positions.iter().map(|position| {
        let log = &position.log;
        let labels = [
            ("cluster", log.cluster.clone()),
            ("topic", log.topic.clone()),
            ("partition", log.partition.to_string()),
        ];
        Sample::labelled_gauge(labels, u64::try_from(position.next).unwrap_or(0))
    });
    if positions.len() > 0 {
        let help = "All purges below this offset have been applied";
        all.push(Family::labelled("shellac_purge_log_position", help, positions));
    }
    all
}

fn rewarm_family(log: &PurgeLog) -> Family {
    let rewarming = log.rewarming();
    let rewarmed = [
        ("queued", &rewarming.queued),
        ("fetched", &rewarming.fetched),
        ("needless", &rewarming.needless),
        ("cancelled", &rewarming.cancelled),
        ("dropped", &rewarming.dropped),
        ("failed", &rewarming.failed),
    ];
    let rewarmed = rewarmed
        .into_iter()
        .map(|(outcome, count)| Sample::counter([("outcome", outcome.to_owned())], count.value()));
    Family::labelled("shellac_rewarm", "Fetches that purges wanted", rewarmed)
}

const STATES: [(LogState, &str); 4] = [
    (LogState::Unattended, "unattended"),
    (LogState::CatchingUp, "catching-up"),
    (LogState::Current, "current"),
    (LogState::Degraded, "degraded"),
];
