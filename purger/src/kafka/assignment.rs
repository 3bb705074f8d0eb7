//! `Assignment`: the partitions that the group has assigned to this purger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use process::metrics::Counter;
use purge_protocol::log::LogId;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;
use tokio::time::Instant;

use super::cause::words;
use super::connection::Connection;
use crate::memory::Memory;
use crate::partition::Partition;
use crate::partition::window::WindowLimits;

#[derive(Debug)]
pub struct Assignment {
    partitions: Mutex<BTreeMap<(String, i32), Arc<Partition>>>,
    changed: watch::Sender<()>,
    limits: WindowLimits,
    memory: Memory,
    /// The configured name; may be empty.
    cluster: String,
    drain_timeout: Duration,
    pub connection: Connection,
    pub metrics: ConsumerMetrics,
}

#[derive(Debug, Default)]
pub struct ConsumerMetrics {
    pub commits: Counter,
    pub failed_commits: Counter,
    pub rebalances: Counter,
    /// Times that a partition was paused because its window was full.
    pub pauses: Counter,
    /// Clients that no broker answered any more and that were replaced.
    pub replaced_clients: Counter,
}

impl Assignment {
    /// Makes an assignment without partitions.
    pub fn new(
        cluster: String,
        (limits, memory): (WindowLimits, Memory),
        session_timeout: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            partitions: Mutex::default(),
            changed: watch::Sender::new(()),
            limits,
            memory,
            cluster,
            drain_timeout: (session_timeout / 3).min(DRAIN_MAX),
            connection: Connection::default(),
            metrics: ConsumerMetrics::default(),
        })
    }

    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.lock().values().map(Arc::clone).collect()
    }

    /// Returns the longest time that a revoked partition waits for proxies to confirm its records.
    pub(super) const fn drain_timeout(&self) -> Duration {
        self.drain_timeout
    }

    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn find(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        self.partitions.lock().get(&(topic.to_owned(), partition)).map(Arc::clone)
    }

    /// Reopens partitions whose logs end before the last record read: they were cut or replaced.
    /// The consumer is positioned at an offset that does not exist yet, and would continue with
    /// unrelated records. Reopens partitions that have lost records behind those that were read.
    pub(super) fn reopen_broken<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>) {
        for partition in self.partitions() {
            if let Some(offset) = partition.take_loss() {
                self.reopen(&partition, offset).begin_at(offset);
                seek(consumer, &partition.log, Offset::Offset(offset));
                continue;
            }
            let Some(high) = partition.take_truncation() else { continue };
            self.reopen(&partition, high);
            seek(consumer, &partition.log, Offset::Beginning);
        }
    }

    pub(super) fn assign<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        given: &TopicPartitionList,
    ) {
        self.metrics.rebalances.add(1);
        let cluster = self.cluster_of(consumer);
        let mut partitions = self.partitions.lock();
        for (topic, number) in given.to_topic_map().into_keys() {
            let log = LogId { cluster: cluster.clone(), topic: topic.clone(), partition: number };
            partitions.insert((topic, number), Partition::open(log, self.limits));
        }
        self.share_memory(&partitions);
        drop(partitions);
        self.changed.send_replace(());
    }

    /// Reopens a partition whose next record does not follow on the last one: its topic was
    /// replaced, its log was cut, or records were lost before they were read. Every proxy is
    /// located again.
    pub(super) fn reopen(&self, partition: &Arc<Partition>, offset: i64) -> Arc<Partition> {
        let log = &partition.log;
        tracing::warn!(
            topic = log.topic,
            partition = log.partition,
            read_to = partition.progress().read_to,
            offset,
            "a record does not follow the last one: its topic was replaced, or records expired or are damaged"
        );
        partition.closing.cancel();
        let again = partition.reopened(offset);
        let key = (log.topic.clone(), log.partition);
        let mut partitions = self.partitions.lock();
        partitions.insert(key, Arc::clone(&again));
        self.share_memory(&partitions);
        drop(partitions);
        self.changed.send_replace(());
        again
    }

    /// Gives each partition its share of the process's memory.
    fn share_memory(&self, partitions: &BTreeMap<(String, i32), Arc<Partition>>) {
        let count = partitions.len();
        let bytes = self.memory.of_window(count).min(self.limits.bytes);
        for partition in partitions.values() {
            partition.set_memory(bytes, self.memory.of_pending(count));
        }
    }

    /// Returns the configured name of the cluster, else its id, else `kafka`.
    fn cluster_of<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>) -> String {
        if !self.cluster.is_empty() {
            return self.cluster.clone();
        }
        consumer.client().fetch_cluster_id(CLUSTER_ID_TIMEOUT).unwrap_or_else(|| "kafka".to_owned())
    }

    /// Waits until the records of these partitions are confirmed or the deadline has passed,
    /// commits, and removes the partitions. Called on the polling thread.
    #[expect(
        clippy::disallowed_methods,
        reason = "the polling thread has nothing else to do meanwhile"
    )]
    pub(super) fn revoke<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        taken: &TopicPartitionList,
    ) {
        self.metrics.rebalances.add(1);
        let keys: Vec<(String, i32)> = taken.to_topic_map().into_keys().collect();
        let leaving: Vec<Arc<Partition>> =
            keys.iter().filter_map(|(topic, number)| self.find(topic, *number)).collect();
        let deadline = Instant::now() + self.drain_timeout;
        while leaving.iter().any(|partition| !is_drained(partition)) && Instant::now() < deadline {
            std::thread::sleep(DRAIN_PAUSE);
        }
        for partition in &leaving {
            store_offset(consumer, partition);
            partition.closing.cancel();
            partition.revoked.cancel();
        }
        commit(consumer);
        let mut partitions = self.partitions.lock();
        partitions.retain(|key, _| !keys.contains(key));
        self.share_memory(&partitions);
        drop(partitions);
        self.changed.send_replace(());
    }
}

fn seek<C: ConsumerContext>(consumer: &BaseConsumer<C>, log: &LogId, offset: Offset) {
    if let Err(error) = consumer.seek(&log.topic, log.partition, offset, SEEK_TIMEOUT) {
        let error = words(&error);
        tracing::error!(error, topic = log.topic, partition = log.partition, "cannot seek");
    }
}

/// Returns whether every record that was read is confirmed and has no pending work.
fn is_drained(partition: &Partition) -> bool {
    let progress = partition.progress();
    progress.committable >= progress.read_to
}

/// Stores the committable offset in librdkafka, which takes the offset of the last record and adds
/// one.
pub(super) fn store_offset<C: ConsumerContext>(consumer: &BaseConsumer<C>, partition: &Partition) {
    let Some(committable) = partition.committable().filter(|committable| *committable > 0) else {
        return;
    };
    let log = &partition.log;
    match consumer.store_offset(&log.topic, log.partition, committable - 1) {
        // State: the partition was revoked meanwhile, and its new owner begins at the last commit.
        Ok(()) | Err(KafkaError::StoreOffset(RDKafkaErrorCode::State)) => {}
        Err(error) => tracing::debug!(%error, topic = log.topic, "cannot store an offset"),
    }
}

fn commit<C: ConsumerContext>(consumer: &BaseConsumer<C>) {
    match consumer.commit_consumer_state(CommitMode::Sync) {
        // NoOffset: there is nothing new to commit.
        Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
        Err(error) => {
            tracing::warn!(
                error = words(&error),
                "cannot commit before partitions are revoked: their records will be read again"
            );
        }
    }
}

const DRAIN_MAX: Duration = Duration::from_secs(5);
/// librdkafka seeks by itself when it may not wait.
const SEEK_TIMEOUT: Duration = Duration::ZERO;
const DRAIN_PAUSE: Duration = Duration::from_millis(5);
const CLUSTER_ID_TIMEOUT: Duration = Duration::from_millis(200);
