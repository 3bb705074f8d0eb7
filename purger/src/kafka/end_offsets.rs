//! Asks the brokers for the end of each assigned partition, on a thread of its own because these
//! calls block. Proxies' leases and the lag that operators see are computed from the answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;
use settings::StartAt;
use tokio::time::Instant;

use super::assignment::Assignment;
use super::client::{PATIENCE, brokers_answer, committed, partition_at};
use super::cursor::Cursors;
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

impl EndOffsetPoller {
    /// Polls until `stop` is set.
    #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
    pub fn run(self, stop: &AtomicBool) {
        let (mut stuck, mut fallen) = (HashMap::new(), HashSet::new());
        let mut counts_due = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let partitions = self.assignment.partitions();
            let reached = if partitions.is_empty() {
                brokers_answer(&self.consumer.current(), Some(&self.topic)).is_ok()
            } else {
                partitions.iter().all(|partition| self.look(partition, &mut stuck, &mut fallen))
            };
            self.assignment.connection.note_question(reached);
            let is_uncounted = |partition: &Arc<Partition>| !partition.is_counted();
            if reached && (Instant::now() >= counts_due || partitions.iter().any(is_uncounted)) {
                self.count(&partitions);
                counts_due = Instant::now() + COUNTS;
            }
            let woken = Instant::now() + self.interval;
            let has_news = || {
                self.assignment
                    .partitions()
                    .iter()
                    .any(|partition| partition.last_end_offset().is_none())
            };
            while Instant::now() < woken
                && !stop.load(Ordering::Relaxed)
                && !(reached && has_news())
            {
                std::thread::sleep(NAP);
            }
        }
    }

    /// Asks about one partition; returns whether the brokers answered.
    fn look(
        &self,
        partition: &Arc<Partition>,
        stuck: &mut HashMap<(String, i32), i64>,
        fallen: &mut HashSet<(String, i32)>,
    ) -> bool {
        let log = &partition.log;
        let read_to = partition.progress().read_to;
        let asked = Instant::now();
        let (low, high) = match self.consumer.watermarks(log) {
            Ok(watermarks) => watermarks,
            Err(error) => {
                tracing::debug!(%error, topic = log.topic, partition = log.partition, "cannot learn the end of a partition");
                return false;
            }
        };
        // Twice: a new leader of an old broker may not know the end yet (KIP-207).
        let fell = (log.topic.clone(), log.partition);
        if high >= read_to {
            fallen.remove(&fell);
        } else if fallen.insert(fell) {
            return true;
        } else {
            partition.record_truncation(high);
            return true; // the consumer reopens it
        }
        if !partition.has_begun() {
            partition.begin_at(self.beginning(partition, low, high));
        }
        partition.record_end_offset(EndOffset { at: asked, high });
        self.look_beyond(partition, high, stuck);
        true
    }

    /// Returns the offset at which the consumer begins: the committed one, else the configured
    /// beginning.
    fn beginning(&self, partition: &Partition, low: i64, high: i64) -> i64 {
        let log = &partition.log;
        let found = partition_at(&log.topic, log.partition, Offset::Invalid)
            .and_then(|list| committed(&self.consumer.current(), &list));
        let offset = found.ok().and_then(|list| {
            let found = list.find_partition(&log.topic, log.partition)?;
            found.offset().to_raw().filter(|offset| *offset >= low && *offset <= high)
        });
        offset.unwrap_or(match self.start {
            StartAt::Earliest => low,
            StartAt::Latest => high,
        })
    }

    /// Skips an end of the log that holds no record. The log may end in an offset that the consumer
    /// never receives, such as a transaction's marker. If the end is not reached from one question
    /// to the next, a cursor reads there.
    fn look_beyond(
        &self,
        partition: &Arc<Partition>,
        high: i64,
        stuck: &mut HashMap<(String, i32), i64>,
    ) {
        let key = (partition.log.topic.clone(), partition.log.partition);
        let read_to = partition.progress().read_to;
        if read_to >= high || partition.is_full() {
            stuck.remove(&key);
        } else if stuck.insert(key, read_to) == Some(read_to)
            && self.cursors.is_empty_between(&partition.log, read_to, high)
        {
            partition.skip_to(high);
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

const NAP: Duration = Duration::from_millis(10);
/// Interval between two questions for the number of partitions.
const COUNTS: Duration = Duration::from_secs(10);
