//! Asks the brokers for the end of each assigned partition, on a thread of its own because these
//! calls block. Proxies' leases and the lag that operators see are computed from the answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use settings::StartAt;
use tokio::time::Instant;

use super::assignment::Assignment;
use super::client::{PATIENCE, brokers_answer, committed, partition_at, watermarks};
use super::consumer::SILENCE_MAX;
use super::context::PlainContext;
use super::cursor::{Between, Cursors};
use super::group_consumer::GroupConsumer;
use crate::partition::Partition;
use crate::partition::end_offsets::EndOffset;

#[derive(Debug)]
pub struct EndOffsetPoller {
    pub consumer: GroupConsumer,
    pub assignment: Arc<Assignment>,
    pub cursors: Arc<Cursors>,
    /// The brokers are asked about it while no partition is assigned.
    pub topic: String,
    /// The beginning of a group that never committed.
    pub start: StartAt,
    pub interval: Duration,
}

type TopicPartition = (String, i32);

/// What earlier questions have shown.
#[derive(Default)]
struct Findings {
    /// The client that asks, and when it was made. The group's consumer would be told where records
    /// can be read, which is before the first open transaction.
    client: Option<(BaseConsumer<PlainContext>, Instant)>,
    /// Where reading stood at the last question, short of the log's end.
    stuck: HashMap<TopicPartition, i64>,
    /// Logs that ended before what was read, once.
    fallen: HashSet<TopicPartition>,
    /// Partitions about which no broker answers although others do, as those without a leader, and
    /// when they are asked about again.
    silent: HashMap<TopicPartition, Instant>,
}

impl EndOffsetPoller {
    /// Polls until `stop` is set.
    #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
    pub fn run(self, stop: &AtomicBool) {
        let mut findings = Findings::default();
        let mut counts_due = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let partitions = self.assignment.partitions();
            let is_uncounted = |partition: &Arc<Partition>| !partition.is_counted();
            if Instant::now() >= counts_due || partitions.iter().any(is_uncounted) {
                self.count(&partitions);
                counts_due = Instant::now() + COUNTS;
            }
            let reached = if partitions.is_empty() {
                self.is_answered(&self.topic)
            } else {
                self.look_at_all(&partitions, &mut findings)
            };
            self.assignment.connection.note_question(reached);
            let woken = Instant::now() + self.interval;
            let has_news = || {
                let is_new = |partition: &Arc<Partition>| {
                    partition.last_end_offset().is_none() && !findings.is_silent(partition)
                };
                self.assignment.partitions().iter().any(is_new)
            };
            while Instant::now() < woken
                && !stop.load(Ordering::Relaxed)
                && !(reached && has_news())
            {
                std::thread::sleep(NAP);
            }
        }
    }

    /// Asks about each partition, at last about one of those that were not answered; returns
    /// whether any is answered. Ends early when no broker answers at all.
    fn look_at_all(&self, partitions: &[Arc<Partition>], findings: &mut Findings) -> bool {
        let is_there =
            |key: &TopicPartition| partitions.iter().any(|partition| key_of(partition) == *key);
        findings.silent.retain(|key, _| is_there(key));
        let (silent, others): (Vec<_>, Vec<_>) =
            partitions.iter().partition(|partition| findings.is_silent(partition));
        let mut reached = false;
        for partition in others {
            let patience = if findings.client.is_some() { QUICK } else { PATIENCE };
            if self.look(partition, findings, patience) {
                reached = true;
            } else if self.is_answered(&partition.log.topic) {
                findings.silent.insert(key_of(partition), Instant::now() + SILENT_PAUSE);
            } else {
                findings.forget_silent_client();
                return reached;
            }
        }
        let due = |partition: &&Arc<Partition>| findings.silent.get(&key_of(partition)).copied();
        let next = silent.into_iter().min_by_key(due);
        if let Some(partition) = next
            && due(&partition).is_some_and(|due| due <= Instant::now())
        {
            if self.look(partition, findings, PATIENCE) {
                reached = true;
                findings.silent.remove(&key_of(partition));
            } else {
                findings.silent.insert(key_of(partition), Instant::now() + SILENT_PAUSE);
            }
        }
        reached
    }

    fn is_answered(&self, topic: &str) -> bool {
        brokers_answer(&self.consumer.current(), Some(topic)).is_ok()
    }

    /// Asks about one partition; returns whether the brokers answered.
    fn look(
        &self,
        partition: &Arc<Partition>,
        findings: &mut Findings,
        patience: Duration,
    ) -> bool {
        let log = &partition.log;
        let read_to = partition.progress().read_to;
        let asked = Instant::now();
        let (low, high) = match self.ends_of(partition, findings, patience) {
            Ok(watermarks) => watermarks,
            Err(error) => {
                tracing::debug!(%error, topic = log.topic, partition = log.partition, "cannot learn the end of a partition");
                return false;
            }
        };
        // Twice: a new leader of an old broker may not know the end yet (KIP-207).
        let fell = key_of(partition);
        if high >= read_to {
            findings.fallen.remove(&fell);
        } else if findings.fallen.insert(fell) {
            return true;
        } else {
            partition.record_truncation(high);
            return true; // the consumer reopens it
        }
        if !partition.has_begun()
            && let Some(offset) = self.beginning(partition)
        {
            partition.begin_at(offset);
        }
        partition.record_low(low);
        partition.record_end_offset(EndOffset { at: asked, high });
        if partition.has_begun() {
            self.look_beyond(partition, high, findings);
        }
        true
    }

    /// Returns the oldest offset of a log and the one behind its newest record, be it readable or
    /// not.
    fn ends_of(
        &self,
        partition: &Partition,
        findings: &mut Findings,
        patience: Duration,
    ) -> KafkaResult<(i64, i64)> {
        let client = match findings.client.take() {
            Some(client) => client,
            None => (self.cursors.end_client()?, Instant::now()),
        };
        let (client, _) = findings.client.insert(client);
        watermarks(client, &partition.log.topic, partition.log.partition, patience)
    }

    /// Returns the offset at which the consumer begins; `None`: the brokers do not say what is
    /// committed.
    fn beginning(&self, partition: &Partition) -> Option<i64> {
        let log = &partition.log;
        let (low, high) = self.consumer.watermarks(log).ok()?;
        let found = partition_at(&log.topic, log.partition, Offset::Invalid)
            .and_then(|list| committed(&self.consumer.current(), &list));
        begin(found, self.start, low, high)
    }

    /// Skips an end of the log that holds no record. The log may end in an offset that the consumer
    /// never receives, such as a transaction's marker or a damaged record. If the end is not
    /// reached from one question to the next, a cursor reads there.
    fn look_beyond(&self, partition: &Arc<Partition>, high: i64, findings: &mut Findings) {
        let key = key_of(partition);
        let read_to = partition.progress().read_to;
        if read_to >= high || partition.is_full() {
            findings.stuck.remove(&key);
        } else if findings.stuck.insert(key, read_to) == Some(read_to)
            && let Ok((_, readable)) = self.consumer.watermarks(&partition.log)
        {
            match self.cursors.look_between(&partition.log, read_to, readable) {
                Ok(Between::Nothing) => partition.skip_to(readable),
                Ok(Between::Lost) => partition.record_loss(readable),
                Ok(Between::Records) | Err(_) => {}
            }
        }
    }

    fn count(&self, partitions: &[Arc<Partition>]) {
        let mut counts: HashMap<&str, i32> = HashMap::new();
        for partition in partitions {
            let topic = partition.log.topic.as_str();
            let count = *counts.entry(topic).or_insert_with(|| self.partitions_of(topic));
            if count > 0 {
                partition.set_partitions(count);
            }
        }
    }

    fn partitions_of(&self, topic: &str) -> i32 {
        let metadata = self.consumer.current().fetch_metadata(Some(topic), PATIENCE);
        let count = metadata.ok().and_then(|metadata| {
            let topic = metadata.topics().iter().find(|found| found.name() == topic)?;
            i32::try_from(topic.partitions().len()).ok()
        });
        count.unwrap_or(0)
    }
}

impl Findings {
    /// Has a new client made in place of one that is not answered for long: it may have forgotten
    /// all brokers (librdkafka's issue 5301).
    fn forget_silent_client(&mut self) {
        if self.client.as_ref().is_some_and(|(_, made)| made.elapsed() >= SILENCE_MAX) {
            self.client = None;
        }
    }

    fn is_silent(&self, partition: &Partition) -> bool {
        self.silent.contains_key(&key_of(partition))
    }
}

fn key_of(partition: &Partition) -> TopicPartition {
    (partition.log.topic.clone(), partition.log.partition)
}

/// Returns the committed offset of the only partition in `found`, else the configured beginning.
/// `None`: what is committed is unknown.
fn begin(
    found: KafkaResult<TopicPartitionList>,
    start: StartAt,
    low: i64,
    high: i64,
) -> Option<i64> {
    let list = found.ok()?;
    let elements = list.elements();
    let found = elements.first()?;
    found.error().ok()?;
    let offset = found.offset().to_raw().filter(|offset| (low..=high).contains(offset));
    Some(offset.unwrap_or(match start {
        StartAt::Earliest => low,
        StartAt::Latest => high,
    }))
}

const NAP: Duration = Duration::from_millis(10);
/// Longest wait for an answer about a partition about which there were answers before.
const QUICK: Duration = Duration::from_secs(1);
/// Until a partition is asked about again of which nothing was heard.
const SILENT_PAUSE: Duration = Duration::from_secs(3);
/// Interval between two questions for the number of partitions.
const COUNTS: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use rdkafka::error::{KafkaError, RDKafkaErrorCode};

    use super::*;

    #[test]
    fn a_group_whose_offsets_are_unknown_does_not_begin_as_if_it_had_none() {
        let at = |offset| partition_at("t", 0, offset);
        let failed = || Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NotCoordinator));
        for (found, start, expected) in [
            (at(Offset::Offset(5)), StartAt::Latest, Some(5)),
            (at(Offset::Invalid), StartAt::Latest, Some(9)),
            (at(Offset::Invalid), StartAt::Earliest, Some(2)),
            (at(Offset::Offset(1)), StartAt::Earliest, Some(2)),
            (failed(), StartAt::Latest, None),
            (Ok(TopicPartitionList::new()), StartAt::Earliest, None),
        ] {
            let text = format!("{found:?} {start:?}");
            assert_eq!(begin(found, start, 2, 9), expected, "{text}");
        }
    }
}
