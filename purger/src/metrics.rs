//! What the purger counts, and the page that tells it.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use process::metrics::BOUNDS;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use purge_protocol::log::Start;

use crate::delivery::fleet::Fleet;
use crate::delivery::target::TargetState;
use crate::partition::owed::Kind;

/// Everything that is counted as it happens.
#[derive(Debug, Default)]
pub struct PurgerMetrics {
    /// Records by topic and outcome.
    pub events: Events,
    /// Requests to proxies by outcome.
    pub deliveries: Deliveries,
    /// From the change, as its event tells, until every proxy that keeps up has confirmed.
    pub event_to_applied: Ages,
    /// Proxies that began at a log's end.
    pub starts: Starts,
    /// Times that a proxy had to read from Kafka what it missed.
    pub catch_ups: Counter,
    /// Times that records expired before what the purger owed for them was written.
    pub owed_expired: Counter,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOutcome {
    /// It is delivered.
    Purge,
    /// It asks for nothing here.
    Ignored(&'static str),
    /// It went to the dead letters.
    DeadLetter(&'static str),
}

/// Records by topic and outcome.
#[derive(Debug, Default)]
pub struct Events(Family<EventLabels, Counter>);

/// Requests to proxies by outcome, and how long they took.
#[derive(Debug, Default)]
pub struct Deliveries {
    counts: Family<OutcomeLabels, Counter>,
    durations: Ages,
}

/// A histogram of durations.
#[derive(Debug)]
pub struct Ages(Histogram);

/// Starts by reason.
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabels {
    topic: String,
    partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OwedLabels {
    topic: String,
    partition: i32,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

impl Events {
    /// Counts a record.
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
    /// Counts a request.
    pub fn add(&self, outcome: &'static str, took: Option<Duration>) {
        self.counts.get_or_create(&OutcomeLabels { outcome }).inc();
        self.durations.record(took.unwrap_or_default());
    }
}

impl Ages {
    /// Counts a duration.
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
    /// Counts a start.
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

/// Writes everything in the `OpenMetrics` format.
///
/// # Errors
/// The encoder's, which has none for text.
pub fn page(fleet: &Fleet) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("shellac_purger");
    register_counts(&mut registry, fleet);
    register_partitions(&mut registry, fleet);
    register_connection(&mut registry, fleet);
    register_targets(&mut registry, fleet);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn register_counts(registry: &mut Registry, fleet: &Fleet) {
    let common = fleet.common();
    let own = &common.metrics;
    let counter = |value: u64| {
        let counter = Counter::<u64, AtomicU64>::default();
        counter.inc_by(value);
        counter
    };
    registry.register("events", "Records read, by what became of them", own.events.0.clone());
    registry.register(
        "deliveries",
        "Requests to proxies, by outcome",
        own.deliveries.counts.clone(),
    );
    registry.register(
        "delivery_duration_seconds",
        "Time of one request to a proxy",
        own.deliveries.durations.0.clone(),
    );
    registry.register(
        "event_to_applied_seconds",
        "From the time in the event until all proxies that keep up confirmed it",
        own.event_to_applied.0.clone(),
    );
    registry.register(
        "starts",
        "Proxies that began at a log's end and validate what they stored before, by reason",
        own.starts.0.clone(),
    );
    registry.register(
        "catch_ups",
        "Times a proxy had to be given from Kafka what it missed",
        own.catch_ups.clone(),
    );
    registry.register(
        "owed_expired",
        "Times records expired before their dead letter, delayed purge or receipt was written",
        own.owed_expired.clone(),
    );
    registry.register(
        "dead_letters",
        "Records given up",
        counter(common.dead_letters.written.value()),
    );
    registry.register(
        "producers_remade",
        "Producers made anew, because the one before had failed for good",
        counter(common.dead_letters.producers_remade()),
    );
    let receipts = common.receipts.as_ref().map_or(0, |receipts| receipts.written.value());
    registry.register("receipts", "Receipts written", counter(receipts));
    let kafka = &fleet.assignment().metrics;
    registry.register("kafka_commits", "Commits of offsets", counter(kafka.commits.value()));
    registry.register(
        "kafka_failed_commits",
        "Commits of offsets that failed",
        counter(kafka.failed_commits.value()),
    );
    registry.register(
        "kafka_rebalances",
        "Times the group changed this purger's partitions",
        counter(kafka.rebalances.value()),
    );
    registry.register(
        "kafka_pauses",
        "Times a partition was paused because proxies were slow",
        counter(kafka.pauses.value()),
    );
}

fn register_partitions(registry: &mut Registry, fleet: &Fleet) {
    let lag = Family::<PartitionLabels, Gauge>::default();
    let lag_seconds = Family::<PartitionLabels, Gauge<f64, AtomicU64>>::default();
    let held = Family::<PartitionLabels, Gauge>::default();
    let held_bytes = Family::<PartitionLabels, Gauge>::default();
    let owing = Family::<OwedLabels, Gauge>::default();
    let deferred = Family::<PartitionLabels, Gauge>::default();
    let paused = Family::<PartitionLabels, Gauge>::default();
    let now = fleet.common().wall_time();
    let mut oldest = 0_f64;
    let partitions = fleet.assignment().partitions();
    for partition in &partitions {
        let progress = partition.progress();
        let labels = PartitionLabels {
            topic: partition.log.topic.clone(),
            partition: partition.log.partition,
        };
        let behind = progress.high.map_or(0, |high| (high - progress.watermark).max(0));
        let age = progress.oldest.and_then(|time| now.duration_since(time).ok());
        let age = age.map_or(0.0, |age| age.as_secs_f64());
        oldest = oldest.max(age);
        lag.get_or_create(&labels).set(behind);
        lag_seconds.get_or_create(&labels).set(age);
        held.get_or_create(&labels).set(whole(progress.held));
        let bytes = i64::try_from(progress.held_bytes).unwrap_or(i64::MAX);
        held_bytes.get_or_create(&labels).set(bytes);
        deferred.get_or_create(&labels).set(whole(progress.deferred));
        paused.get_or_create(&labels).set(i64::from(partition.is_full()));
        for (kind, count) in Kind::ALL.into_iter().zip(progress.owing) {
            let (PartitionLabels { topic, partition }, kind) = (labels.clone(), kind.as_str());
            owing.get_or_create(&OwedLabels { topic, partition, kind }).set(whole(count));
        }
    }
    registry.register(
        "kafka_lag",
        "Records that are not confirmed by every proxy that keeps up",
        lag,
    );
    registry.register(
        "kafka_lag_seconds",
        "Age of the oldest such record, as its event tells",
        lag_seconds,
    );
    registry.register("backlog", "Records held for proxies", held);
    registry.register(
        "backlog_bytes",
        "Bytes of records held for proxies, half of purger.memory over all partitions at most",
        held_bytes,
    );
    registry.register(
        "owing",
        "Records whose dead letter, delayed purge or receipt is not written yet",
        owing,
    );
    registry.register(
        "owing_deferred",
        "Those of them that are not held in memory, and will be read from Kafka again",
        deferred,
    );
    registry.register("paused", "1 while reading pauses, because proxies are slow", paused);
    let seconds = Gauge::<f64, AtomicU64>::default();
    seconds.set(oldest);
    registry.register(
        "oldest_unacked_seconds",
        "Age of the oldest record that some proxy which keeps up has not confirmed",
        seconds,
    );
}

fn register_connection(registry: &mut Registry, fleet: &Fleet) {
    let gauge = |value: i64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        gauge
    };
    registry.register(
        "kafka_assigned_partitions",
        "Partitions of this purger",
        gauge(whole(fleet.assignment().partitions().len())),
    );
    let is_connected = fleet.assignment().is_connected.load(std::sync::atomic::Ordering::Relaxed);
    registry.register(
        "kafka_connected",
        "1 while the brokers answer",
        gauge(i64::from(is_connected)),
    );
}

fn register_targets(registry: &mut Registry, fleet: &Fleet) {
    let states = Family::<StateLabels, Gauge>::default();
    for state in TargetState::ALL {
        states.get_or_create(&StateLabels { state: state.as_str() }).set(0);
    }
    for target in fleet.targets() {
        let state = target.report().state;
        states.get_or_create(&StateLabels { state: state.as_str() }).inc();
    }
    registry.register("targets", "Proxies by state", states);
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
