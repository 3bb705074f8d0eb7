//! The page `/metrics`: the purger's counters, and gauges that are computed for each request.

use std::fmt;
use std::sync::atomic::AtomicU64;

use process::stderr;
use process::usage::{ProcessMetric, ProcessMetricValue, ProcessUsage};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::delivery::fleet::Fleet;
use crate::delivery::target::TargetState;
use crate::partition::pending::WorkKind;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabels {
    topic: String,
    partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PendingLabels {
    topic: String,
    partition: i32,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabels {
    sink: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

pub(super) fn page(fleet: &Fleet) -> Result<String, fmt::Error> {
    let mut all = Registry::default();
    let registry = all.sub_registry_with_prefix("shellac_purger");
    register_counts(registry, fleet);
    register_partitions(registry, fleet);
    register_connection(registry, fleet);
    register_targets(registry, fleet);
    register_process(&mut all);
    register_log(&mut all);
    let mut text = String::new();
    encode(&mut text, &all)?;
    Ok(text)
}

/// Registers what became of the program's log.
fn register_log(registry: &mut Registry) {
    let dropped = Family::<SinkLabels, Counter>::default();
    dropped.get_or_create(&SinkLabels { sink: "program" }).inc_by(stderr::dropped());
    registry.register(
        "shellac_log_dropped",
        "Lines of logs that found no room, or could not be written",
        dropped,
    );
}

/// Registers what this process uses.
fn register_process(registry: &mut Registry) {
    for ProcessMetric { name, help, value } in ProcessUsage::read().metrics() {
        match value {
            ProcessMetricValue::CounterOf(value) => {
                let counter = Counter::<f64, AtomicU64>::default();
                counter.inc_by(value);
                registry.register(name, help, counter);
            }
            ProcessMetricValue::GaugeOf(value) => {
                let gauge = Gauge::<f64, AtomicU64>::default();
                gauge.set(value);
                registry.register(name, help, gauge);
            }
            ProcessMetricValue::Gauge(value) => {
                let gauge = Gauge::<i64>::default();
                gauge.set(value.try_into().unwrap_or(i64::MAX));
                registry.register(name, help, gauge);
            }
        }
    }
}

fn register_counts(registry: &mut Registry, fleet: &Fleet) {
    let context = fleet.context();
    context.metrics.register(registry);
    let counter = |value: u64| {
        let counter = Counter::<u64, AtomicU64>::default();
        counter.inc_by(value);
        counter
    };
    registry.register(
        "dead_letters",
        "Records given up",
        counter(context.dead_letters.written.value()),
    );
    registry.register(
        "producers_remade",
        "Producers that failed and were replaced",
        counter(context.dead_letters.producers_remade()),
    );
    let receipts = context.receipts.as_ref().map_or(0, |receipts| receipts.written.value());
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
    registry.register(
        "kafka_clients_replaced",
        "Clients that no broker answered any more and that were replaced",
        counter(kafka.replaced_clients.value()),
    );
}

fn register_partitions(registry: &mut Registry, fleet: &Fleet) {
    let lag = Family::<PartitionLabels, Gauge>::default();
    let lag_seconds = Family::<PartitionLabels, Gauge<f64, AtomicU64>>::default();
    let held = Family::<PartitionLabels, Gauge>::default();
    let held_bytes = Family::<PartitionLabels, Gauge>::default();
    let owing = Family::<PendingLabels, Gauge>::default();
    let deferred = Family::<PartitionLabels, Gauge>::default();
    let paused = Family::<PartitionLabels, Gauge>::default();
    let now = fleet.context().wall_time();
    let mut oldest = 0_f64;
    let partitions = fleet.assignment().partitions();
    for partition in &partitions {
        let progress = partition.progress();
        let labels = PartitionLabels {
            topic: partition.log.topic.clone(),
            partition: partition.log.partition,
        };
        let behind = progress.high.map_or(0, |high| (high - progress.committable).max(0));
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
        for (kind, count) in WorkKind::ALL.into_iter().zip(progress.pending) {
            let (PartitionLabels { topic, partition }, kind) = (labels.clone(), kind.as_str());
            owing.get_or_create(&PendingLabels { topic, partition, kind }).set(whole(count));
        }
    }
    registry.register(
        "kafka_lag",
        "Records that are not confirmed by every proxy that keeps up",
        lag,
    );
    registry.register(
        "kafka_lag_seconds",
        "Age of the oldest such record, by the time in its event",
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
        "Those of them that are not held in memory and will be read from Kafka again",
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
    let is_connected = fleet.assignment().connection.is_up();
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
