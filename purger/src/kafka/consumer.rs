//! The group's consumer: one thread that polls without interruption, so that the group never
//! considers it dead. When a partition's window is full, that partition pauses and the others go
//! on.

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
use super::cursor::is_unreadable;
use super::group_consumer::GroupConsumer;
use crate::partition::Partition;
use process::threads;

#[derive(Debug)]
pub struct ConsumerLoop {
    consumer: GroupConsumer,
    assignment: Arc<Assignment>,
    stored: BTreeMap<(String, i32), i64>,
    paused: BTreeSet<(String, i32)>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// librdkafka has failed for good, for example because another static member has the same name.
    /// The process ends.
    #[error("Kafka cannot go on: {}: {reason}{}", code_words(*code), advice(*code))]
    Fatal { code: RDKafkaErrorCode, reason: String },
}

impl ConsumerLoop {
    pub fn new(consumer: GroupConsumer, assignment: Arc<Assignment>) -> Self {
        let (stored, paused) = (BTreeMap::new(), BTreeSet::new());
        Self { consumer, assignment, stored, paused }
    }

    /// Polls until `stop` is set, hands each record of an assigned partition to `sink`, then leaves
    /// the group.
    pub fn run(
        mut self,
        stop: &AtomicBool,
        sink: impl Fn(&Arc<Partition>, &BorrowedMessage<'_>),
    ) -> Result<(), ConsumeError> {
        let mut chores_due = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let consumer = self.consumer.current();
            match consumer.poll(POLL) {
                Some(Ok(message)) => self.take(&message, &sink),
                Some(Err(error)) => self.complain(&error)?,
                None => {}
            }
            if Instant::now() >= chores_due {
                self.check_fatal()?;
                self.keep_up();
                self.replace_silent();
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
        // A record of a revoked partition is read again by the purger that has it now.
        match self.assignment.find(message.topic(), message.partition()) {
            Some(partition) if partition.is_discontinuous_at(message.offset()) => {
                let again = self.assignment.reopen(&partition, message.offset());
                sink(&again, message);
            }
            Some(partition) => sink(&partition, message),
            None => {}
        }
    }

    /// Stores committable offsets, pauses partitions that are full and resumes those that are not.
    fn keep_up(&mut self) {
        let consumer = self.consumer.current();
        self.assignment.reopen_broken(&consumer);
        let partitions = self.assignment.partitions();
        for partition in &partitions {
            let key = (partition.log.topic.clone(), partition.log.partition);
            let committable = partition.committable();
            if committable.is_some() && self.stored.get(&key).copied() != committable {
                store_offset(&consumer, partition);
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

    /// Replaces the client when no broker has answered for long and the group has taken its
    /// partitions back. A broker that has just started may name no brokers at all; librdkafka
    /// forgets all that it knows then, and never connects again (its issue 5301, found in 2.12.1).
    fn replace_silent(&self) {
        let connection = &self.assignment.connection;
        if connection.silence() < SILENCE_MAX || !self.assignment.partitions().is_empty() {
            return;
        }
        connection.begin_silence();
        match self.consumer.replace() {
            Ok(old) => {
                self.assignment.metrics.replaced_clients.add(1);
                if let Some(repeated) = LOG_LIMITER.admit("a new client") {
                    let after = SILENCE_MAX;
                    tracing::warn!(?after, repeated, "no broker answers: made a new client");
                }
                if let Err(error) = threads::start("old-consumer", move || drop(old)) {
                    tracing::warn!(%error, "closing the old client on the polling thread");
                }
            }
            Err(error) => tracing::error!(error = words(&error), "cannot make a new client"),
        }
    }

    fn pace(&mut self, key: (String, i32), is_full: bool) {
        if is_full == self.paused.contains(&key) {
            return;
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(&key.0, key.1);
        let consumer = self.consumer.current();
        let done = if is_full { consumer.pause(&list) } else { consumer.resume(&list) };
        match done {
            Ok(()) if is_full => {
                self.assignment.metrics.pauses.add(1);
                tracing::warn!(
                    topic = key.0,
                    partition = key.1,
                    "too many records wait for proxies: reading pauses"
                );
                self.paused.insert(key);
            }
            Ok(()) => {
                tracing::info!(topic = key.0, partition = key.1, "reading resumes");
                self.paused.remove(&key);
            }
            Err(error) => {
                tracing::warn!(error = words(&error), "cannot pause or resume a partition");
            }
        }
    }

    /// Logs an error, now and then while it persists.
    fn complain(&self, error: &KafkaError) -> Result<(), ConsumeError> {
        self.check_fatal()?;
        let text = words(error);
        if error.rdkafka_error_code().is_some_and(is_unreadable) {
            // Of which partition is not said.
            self.assignment.partitions().iter().for_each(|partition| partition.doubt());
        }
        if let Some(repeated) = LOG_LIMITER.admit(&text) {
            tracing::warn!(error = text, repeated, "error while reading from Kafka");
        }
        Ok(())
    }

    /// Returns a fatal error, of which librdkafka may not report an event.
    fn check_fatal(&self) -> Result<(), ConsumeError> {
        let fatal = self.consumer.current().client().fatal_error();
        fatal.map_or(Ok(()), |(code, reason)| Err(ConsumeError::Fatal { code, reason }))
    }

    /// Leaves the group: its partitions are confirmed as far as possible, committed and revoked.
    fn leave(&self) {
        let consumer = self.consumer.current();
        consumer.unsubscribe(); // revokes all partitions, by a callback on this thread
        let deadline = Instant::now() + self.assignment.drain_timeout() + LEAVE;
        while !self.assignment.partitions().is_empty() && Instant::now() < deadline {
            drop(consumer.poll(POLL)); // the next owner of the partition reads it again
        }
        let _served = consumer.poll(POLL); // so that the group learns of it
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

/// Longest wait of one poll, and so of a partition to be stored or paused.
const POLL: Duration = Duration::from_millis(20);
const CHORES: Duration = Duration::from_millis(20);
/// Time without an answer after which a client without partitions is replaced. The questions are
/// asked every second, and each may take [`PATIENCE`](super::client::PATIENCE).
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(15);
const LEAVE: Duration = Duration::from_secs(3);
