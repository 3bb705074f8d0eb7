//! Counters of the purger.

use std::time::Duration;

use process::metrics::BOUNDS;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use purge_protocol::log::Start;

#[derive(Debug, Default)]
pub struct PurgerMetrics {
    pub events: Events,
    pub deliveries: Deliveries,
    /// From the time in the event until every proxy that keeps up has confirmed.
    pub event_to_applied: Ages,
    pub starts: Starts,
    pub catch_ups: Counter,
    /// Records that expired before their pending work was written.
    pub owed_expired: Counter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOutcome {
    Purge,
    Ignored(&'static str),
    DeadLetter(&'static str),
}

#[derive(Debug, Default)]
pub struct Events(Family<EventLabels, Counter>);

#[derive(Debug, Default)]
pub struct Deliveries {
    counts: Family<OutcomeLabels, Counter>,
    durations: Ages,
}

#[derive(Debug)]
pub struct Ages(Histogram);

#[derive(Debug, Default)]
pub struct Starts(Family<OutcomeLabels, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    topic: String,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

impl PurgerMetrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register("events", "Records read, by outcome", self.events.0.clone());
        registry.register(
            "deliveries",
            "Requests to proxies, by outcome",
            self.deliveries.counts.clone(),
        );
        registry.register(
            "delivery_duration_seconds",
            "Time of one request to a proxy",
            self.deliveries.durations.0.clone(),
        );
        registry.register(
            "event_to_applied_seconds",
            "From the time in the event until every proxy that keeps up confirmed it",
            self.event_to_applied.0.clone(),
        );
        registry.register(
            "starts",
            "Proxies that began at a log's end and validate what they stored before, by reason",
            self.starts.0.clone(),
        );
        registry.register(
            "catch_ups",
            "Times that a proxy had to catch up from Kafka",
            self.catch_ups.clone(),
        );
        registry.register(
            "owed_expired",
            "Times records expired before their dead letter, delayed purge or receipt was written",
            self.owed_expired.clone(),
        );
    }
}

impl Events {
    pub fn add(&self, topic: &str, outcome: EventOutcome) {
        let (outcome, reason) = match outcome {
            EventOutcome::Purge => ("purge", ""),
            EventOutcome::Ignored(reason) => ("ignored", reason),
            EventOutcome::DeadLetter(reason) => ("dead_letter", reason),
        };
        self.0.get_or_create(&EventLabels { topic: topic.to_owned(), outcome, reason }).inc();
    }
}

impl Deliveries {
    pub fn add(&self, outcome: &'static str, took: Option<Duration>) {
        self.counts.get_or_create(&OutcomeLabels { outcome }).inc();
        self.durations.record(took.unwrap_or_default());
    }
}

impl Ages {
    pub fn record(&self, age: Duration) {
        self.0.observe(age.as_secs_f64());
    }
}

impl Default for Ages {
    fn default() -> Self {
        Self(Histogram::new(BOUNDS.into_iter().chain([30.0, 60.0, 300.0])))
    }
}

impl Starts {
    pub fn add(&self, start: Start) {
        let outcome = match start {
            Start::Adopt => "adopt",
            Start::Expired => "expired",
            Start::Replaced => "replaced",
            Start::Deadline => "deadline",
            Start::Refused => "refused",
        };
        self.0.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}
