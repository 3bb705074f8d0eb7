//! The group's consumer: one thread that polls, always, so that the group never takes it for dead. What it reads goes into
//! the partitions' windows; when one of those is full, that partition pauses and the others go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use process::metrics::Counter;
use purge_protocol::log::LogId;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;
use tokio::time::Instant;

use super::cause::{COMPLAINTS, Causes, code_words, words};
use super::context::{Group, GroupConsumer};
use crate::intake::Intake;
use crate::memory::Memory;
use crate::partition::Partition;
use crate::partition::window::Limits;

/// The partitions that the group has given to this purger.
#[derive(Debug)]
pub struct Assignment {
    partitions: Mutex<BTreeMap<(String, i32), Arc<Partition>>>,
    changed: watch::Sender<()>,
    limits: Limits,
    memory: Memory,
    /// The cluster's name, where the operator gave one.
    cluster: String,
    /// How long a revoked partition waits for proxies to confirm what was read of it.
    drain_timeout: Duration,
    /// Whether a broker can be reached.
    pub is_connected: AtomicBool,
    /// What is wrong, as far as librdkafka says.
    pub causes: Causes,
    /// What happened.
    pub metrics: ConsumerMetrics,
}

/// What the consumer counts.
#[derive(Debug, Default)]
pub struct ConsumerMetrics {
    /// Commits that went well.
    pub commits: Counter,
    /// Commits that did not.
    pub failed_commits: Counter,
    /// Times that the group changed this purger's partitions.
    pub rebalances: Counter,
    /// Times that a partition was paused because its window was full.
    pub pauses: Counter,
}

/// The thread's own.
#[derive(Debug)]
pub struct Reader {
    consumer: GroupConsumer,
    assignment: Arc<Assignment>,
    intake: Intake,
    stored: BTreeMap<(String, i32), i64>,
    paused: BTreeSet<(String, i32)>,
}

/// Why consuming ended.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// librdkafka cannot go on, such as a static member that another one has replaced. The process ends, loudly.
    #[error("Kafka cannot go on: {}: {reason}{}", code_words(*code), advice(*code))]
    Fatal {
        /// librdkafka's code.
        code: RDKafkaErrorCode,
        /// Its words.
        reason: String,
    },
}

impl Assignment {
    /// Makes one without partitions.
    pub fn new(
        cluster: String,
        (limits, memory): (Limits, Memory),
        session_timeout: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            partitions: Mutex::default(),
            changed: watch::Sender::new(()),
            limits,
            memory,
            cluster,
            drain_timeout: (session_timeout / 3).min(DRAIN_MAX),
            is_connected: AtomicBool::new(true),
            causes: Causes::default(),
            metrics: ConsumerMetrics::default(),
        })
    }

    /// All partitions, in order.
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.lock().values().map(Arc::clone).collect()
    }

    /// Watches partitions come and go.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn find(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        self.partitions.lock().get(&(topic.to_owned(), partition)).map(Arc::clone)
    }

    /// Opens partitions anew whose logs end before what was read of them: they were cut, or replaced. Their consumer asks for an
    /// offset that is not there yet, and would go on with whatever comes to be there.
    fn reopen_fallen(&self, consumer: &BaseConsumer<Group>) {
        for partition in self.partitions() {
            let Some(high) = partition.take_fallen_end() else { continue };
            self.reopen(&partition, high);
            let log = &partition.log;
            let sought = consumer.seek(&log.topic, log.partition, Offset::Beginning, SEEK_TIMEOUT);
            if let Err(error) = sought {
                tracing::error!(
                    error = words(&error),
                    topic = log.topic,
                    "cannot go to a log's beginning"
                );
            }
        }
    }

    /// Notes partitions that were given. Called on the polling thread.
    pub(super) fn assign(&self, consumer: &BaseConsumer<Group>, given: &TopicPartitionList) {
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

    /// Opens a partition anew, because what comes now does not follow on what was read: its topic was replaced, its log was
    /// cut, or records expired before they were read. Every proxy is asked where it stands, and that is compared with the log.
    fn reopen(&self, partition: &Arc<Partition>, offset: i64) -> Arc<Partition> {
        let log = &partition.log;
        tracing::warn!(
            topic = log.topic,
            partition = log.partition,
            read_to = partition.progress().read_to,
            offset,
            "a record does not follow on what was read: its topic was replaced, or records expired"
        );
        partition.closing.cancel();
        let again = partition.anew(offset);
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
            partition.set_memory(bytes, self.memory.of_owed(count));
        }
    }

    /// The operator's name for the cluster, else its own id, else a name that stands for "the only one there is".
    fn cluster_of(&self, consumer: &BaseConsumer<Group>) -> String {
        if !self.cluster.is_empty() {
            return self.cluster.clone();
        }
        consumer.client().fetch_cluster_id(CLUSTER_ID_TIMEOUT).unwrap_or_else(|| "kafka".to_owned())
    }

    /// Waits until what was read of these partitions is confirmed, or the deadline comes; commits; then lets them go. Called
    /// on the polling thread.
    #[expect(
        clippy::disallowed_methods,
        reason = "the polling thread has nothing else to do meanwhile"
    )]
    pub(super) fn revoke(&self, consumer: &BaseConsumer<Group>, taken: &TopicPartitionList) {
        self.metrics.rebalances.add(1);
        let keys: Vec<(String, i32)> = taken.to_topic_map().into_keys().collect();
        let leaving: Vec<Arc<Partition>> =
            keys.iter().filter_map(|(topic, number)| self.find(topic, *number)).collect();
        let deadline = Instant::now() + self.drain_timeout;
        while leaving.iter().any(|partition| !is_drained(partition)) && Instant::now() < deadline {
            std::thread::sleep(DRAIN_PAUSE);
        }
        for partition in &leaving {
            store(consumer, partition);
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

impl Reader {
    /// Makes the thread's part.
    pub fn new(consumer: GroupConsumer, assignment: Arc<Assignment>, intake: Intake) -> Self {
        let (stored, paused) = (BTreeMap::new(), BTreeSet::new());
        Self { consumer, assignment, intake, stored, paused }
    }

    /// Polls until it is told to stop, then gives everything back to the group.
    pub fn run(mut self, stop: &AtomicBool) -> Result<(), ConsumeError> {
        let consumer = self.consumer.clone();
        let mut chores_due = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            match consumer.poll(POLL) {
                Some(Ok(message)) => self.take(&message),
                Some(Err(error)) => self.complain(&error)?,
                None => {}
            }
            if Instant::now() >= chores_due {
                self.check_fatal()?;
                self.keep_up();
                chores_due = Instant::now() + CHORES;
            }
        }
        self.leave();
        Ok(())
    }

    fn take(&self, message: &BorrowedMessage<'_>) {
        self.assignment.is_connected.store(true, Ordering::Relaxed);
        // A record of a partition that was revoked is read again by whoever has it now.
        match self.assignment.find(message.topic(), message.partition()) {
            Some(partition) if partition.is_torn_by(message.offset()) => {
                let again = self.assignment.reopen(&partition, message.offset());
                self.intake.take(&again, message);
            }
            Some(partition) => self.intake.take(&partition, message),
            None => {}
        }
    }

    /// Stores what may be committed, pauses what is full, resumes what is not.
    fn keep_up(&mut self) {
        self.assignment.reopen_fallen(&self.consumer);
        let partitions = self.assignment.partitions();
        for partition in &partitions {
            let key = (partition.log.topic.clone(), partition.log.partition);
            let watermark = partition.watermark();
            if watermark.is_some() && self.stored.get(&key).copied() != watermark {
                store(&self.consumer, partition);
                self.stored.extend(watermark.map(|watermark| (key.clone(), watermark)));
            }
            self.pace(key, partition.is_full());
        }
        let is_ours = |key: &(String, i32)| {
            partitions.iter().any(|p| p.log.topic == key.0 && p.log.partition == key.1)
        };
        self.stored.retain(|key, _| is_ours(key));
        self.paused.retain(is_ours);
    }

    fn pace(&mut self, key: (String, i32), is_full: bool) {
        if is_full == self.paused.contains(&key) {
            return;
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(&key.0, key.1);
        let done = if is_full { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        match done {
            Ok(()) if is_full => {
                self.assignment.metrics.pauses.add(1);
                tracing::warn!(
                    topic = key.0,
                    partition = key.1,
                    "too much is waiting for proxies: reading pauses"
                );
                self.paused.insert(key);
            }
            Ok(()) => {
                tracing::info!(topic = key.0, partition = key.1, "reading goes on");
                self.paused.remove(&key);
            }
            Err(error) => {
                tracing::warn!(error = words(&error), "cannot pause or resume a partition");
            }
        }
    }

    /// Says what is wrong, now and then while it stays so.
    fn complain(&self, error: &KafkaError) -> Result<(), ConsumeError> {
        self.check_fatal()?;
        let text = words(error);
        if let Some(repeated) = COMPLAINTS.admit(&text) {
            tracing::warn!(error = text, repeated, "reading from Kafka");
        }
        Ok(())
    }

    /// librdkafka may have ended for good without an event that says so.
    fn check_fatal(&self) -> Result<(), ConsumeError> {
        let fatal = self.consumer.client().fatal_error();
        fatal.map_or(Ok(()), |(code, reason)| Err(ConsumeError::Fatal { code, reason }))
    }

    /// Confirms what can be confirmed, commits, and leaves the group.
    fn leave(&self) {
        self.consumer.unsubscribe(); // revokes all partitions, by a callback on this thread
        let deadline = Instant::now() + self.assignment.drain_timeout + LEAVE;
        while !self.assignment.partitions().is_empty() && Instant::now() < deadline {
            drop(self.consumer.poll(POLL)); // a record that comes now is read again by whoever comes next
        }
        let _served = self.consumer.poll(POLL); // and the group is told
    }
}

/// Returns whether all that was read is confirmed and done.
fn is_drained(partition: &Partition) -> bool {
    let progress = partition.progress();
    progress.watermark >= progress.read_to
}

/// Tells librdkafka what may be committed. It takes the offset of the last record that is done, and adds one.
fn store(consumer: &BaseConsumer<Group>, partition: &Partition) {
    let Some(watermark) = partition.watermark().filter(|watermark| *watermark > 0) else { return };
    let log = &partition.log;
    match consumer.store_offset(&log.topic, log.partition, watermark - 1) {
        // With an error of state the partition was revoked meanwhile: whoever has it now begins at the last commit.
        Ok(()) | Err(KafkaError::StoreOffset(RDKafkaErrorCode::State)) => {}
        Err(error) => tracing::debug!(%error, topic = log.topic, "cannot store an offset"),
    }
}

fn commit(consumer: &BaseConsumer<Group>) {
    match consumer.commit_consumer_state(CommitMode::Sync) {
        // Nothing new to commit is no failure.
        Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
        Err(error) => {
            tracing::warn!(
                error = words(&error),
                "cannot commit before partitions leave: they will be read again"
            );
        }
    }
}

/// Returns a list of one partition at an offset.
pub fn at(topic: &str, partition: i32, offset: Offset) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, offset)?;
    Ok(list)
}

/// What to do about a fatal error.
const fn advice(code: RDKafkaErrorCode) -> &'static str {
    match code {
        RDKafkaErrorCode::FencedInstanceId => {
            "; another purger has the same name in the group: set purger.instance, or \"none\""
        }
        _ => "",
    }
}

/// How long one poll waits: what is to be stored or paused waits no longer.
const POLL: Duration = Duration::from_millis(20);
const CHORES: Duration = Duration::from_millis(20);
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long leaving the group may take, beside draining.
const LEAVE: Duration = Duration::from_secs(3);
/// librdkafka seeks by itself when it may not wait.
const SEEK_TIMEOUT: Duration = Duration::ZERO;
const DRAIN_PAUSE: Duration = Duration::from_millis(5);
const CLUSTER_ID_TIMEOUT: Duration = Duration::from_millis(200);
