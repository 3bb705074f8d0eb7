//! The group's consumer: one thread that polls, always, so that the group never takes it for dead. What it reads goes into
//! the partitions' windows; when one of those is full, that partition pauses and the others go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use tokio::time::Instant;

use super::assignment::{Assignment, store_offset};
use super::cause::{LOG_LIMITER, code_words, words};
use super::context::GroupConsumer;
use crate::partition::Partition;

#[derive(Debug)]
pub struct ConsumerLoop {
    consumer: GroupConsumer,
    assignment: Arc<Assignment>,
    stored: BTreeMap<(String, i32), i64>,
    paused: BTreeSet<(String, i32)>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// librdkafka cannot go on, such as a static member that another one has replaced. The process ends, loudly.
    #[error("Kafka cannot go on: {}: {reason}{}", code_words(*code), advice(*code))]
    Fatal { code: RDKafkaErrorCode, reason: String },
}

impl ConsumerLoop {
    pub fn new(consumer: GroupConsumer, assignment: Arc<Assignment>) -> Self {
        let (stored, paused) = (BTreeMap::new(), BTreeSet::new());
        Self { consumer, assignment, stored, paused }
    }

    /// Polls until `stop` is set, hands each record of an assigned partition to `sink`, then leaves the group.
    pub fn run(
        mut self,
        stop: &AtomicBool,
        sink: impl Fn(&Arc<Partition>, &BorrowedMessage<'_>),
    ) -> Result<(), ConsumeError> {
        let consumer = self.consumer.clone();
        let mut chores_due = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            match consumer.poll(POLL) {
                Some(Ok(message)) => self.take(&message, &sink),
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

    fn take(
        &self,
        message: &BorrowedMessage<'_>,
        sink: &impl Fn(&Arc<Partition>, &BorrowedMessage<'_>),
    ) {
        self.assignment.connection.set_up(true);
        // A record of a partition that was revoked is read again by whoever has it now.
        match self.assignment.find(message.topic(), message.partition()) {
            Some(partition) if partition.is_discontinuous_at(message.offset()) => {
                let again = self.assignment.reopen(&partition, message.offset());
                sink(&again, message);
            }
            Some(partition) => sink(&partition, message),
            None => {}
        }
    }

    /// Stores what may be committed, pauses what is full, resumes what is not.
    fn keep_up(&mut self) {
        self.assignment.reopen_truncated(&self.consumer);
        let partitions = self.assignment.partitions();
        for partition in &partitions {
            let key = (partition.log.topic.clone(), partition.log.partition);
            let committable = partition.committable();
            if committable.is_some() && self.stored.get(&key).copied() != committable {
                store_offset(&self.consumer, partition);
                self.stored.extend(committable.map(|committable| (key.clone(), committable)));
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
        if let Some(repeated) = LOG_LIMITER.admit(&text) {
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
        let deadline = Instant::now() + self.assignment.drain_timeout() + LEAVE;
        while !self.assignment.partitions().is_empty() && Instant::now() < deadline {
            drop(self.consumer.poll(POLL)); // a record that comes now is read again by whoever comes next
        }
        let _served = self.consumer.poll(POLL); // and the group is told
    }
}

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
/// How long leaving the group may take, beside draining.
const LEAVE: Duration = Duration::from_secs(3);
