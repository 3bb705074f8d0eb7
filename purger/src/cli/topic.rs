//! Topics from the outside, for commands: their partitions, and where in them a moment is.

use std::time::Duration;

use purge_protocol::log::LogId;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use shellac::clock::Clock;
use shellac::config::Config;

use crate::kafka::client::PATIENCE;
use crate::kafka::context::{Plain, Tokens};
use crate::kafka::cursor::Cursors;

/// The brokers, for a command that reads.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) cursors: Cursors,
    consumer: Consumer,
    cluster: String,
}

struct Consumer(BaseConsumer<Plain>);

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Consumer")
    }
}

/// A partition and what it holds.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    /// Which one.
    pub(super) log: LogId,
    /// The oldest offset.
    pub(super) low: i64,
    /// Behind the newest.
    pub(super) high: i64,
}

/// Where to begin to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// At the oldest record.
    Earliest,
    /// At the next one.
    Latest,
    /// So long ago.
    Ago(Duration),
    /// At this offset of every partition.
    Offset(i64),
}

impl std::str::FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ago = |text: &str| humantime::parse_duration(text).ok();
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            _ => text
                .strip_prefix('-')
                .and_then(ago)
                .map(Self::Ago)
                .or_else(|| text.parse().ok().filter(|offset| *offset >= 0).map(Self::Offset))
                .ok_or_else(|| format!("{text:?} is no place in a topic: write \"earliest\", \"latest\", \"-15m\" or an offset")),
        }
    }
}

impl Broker {
    /// Connects.
    pub(super) fn connect(config: &Config) -> Result<Self, KafkaError> {
        let tokens = Tokens { file: config.kafka.token_file.clone(), clock: Clock::system() };
        let cursors = Cursors::new(config.kafka.clone(), config.purger.clone(), tokens);
        let consumer = Consumer(cursors.consumer()?);
        let cluster = match config.kafka.cluster.as_str() {
            "" => String::new(),
            named => named.to_owned(),
        };
        let mut broker = Self { cursors, consumer, cluster };
        broker.consumer.0.fetch_metadata(None, PATIENCE)?;
        if broker.cluster.is_empty() {
            let own = broker.consumer.0.client().fetch_cluster_id(Duration::ZERO);
            broker.cluster = own.unwrap_or_else(|| "kafka".to_owned());
        }
        Ok(broker)
    }

    /// The partitions of a topic; none: it does not exist. A broker that just started, or was busy, is asked again.
    pub(super) fn partitions(&self, topic: &str) -> Result<Vec<Extent>, KafkaError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.partitions_now(topic) {
                Err(error) if attempt < ATTEMPTS => {
                    tracing::debug!(%error, topic, "asking again");
                }
                result => return result,
            }
        }
    }

    fn partitions_now(&self, topic: &str) -> Result<Vec<Extent>, KafkaError> {
        let metadata = self.consumer.0.fetch_metadata(Some(topic), PATIENCE)?;
        let found = metadata.topics().iter().filter(|found| found.name() == topic);
        let mut extents = Vec::new();
        for partition in found.flat_map(rdkafka::metadata::MetadataTopic::partitions) {
            let log = LogId {
                cluster: self.cluster.clone(),
                topic: topic.to_owned(),
                partition: partition.id(),
            };
            let (low, high) = self.consumer.0.fetch_watermarks(topic, partition.id(), PATIENCE)?;
            extents.push(Extent { log, low, high });
        }
        Ok(extents)
    }

    /// The partitions of several topics.
    pub(super) fn all(&self, topics: &[String]) -> Result<Vec<Extent>, KafkaError> {
        let mut all = Vec::new();
        for topic in topics {
            all.extend(self.partitions(topic)?);
        }
        Ok(all)
    }

    /// Where to begin in a partition. Brokers that know no times (before 0.10.1) begin at the oldest record.
    pub(super) fn offset(&self, extent: &Extent, from: From, now_ms: u64) -> i64 {
        match from {
            From::Earliest => extent.low,
            From::Latest => extent.high,
            From::Offset(offset) => offset.clamp(extent.low, extent.high),
            From::Ago(ago) => {
                let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
                let then = i64::try_from(now_ms.saturating_sub(ago)).unwrap_or(i64::MAX);
                let mut list = TopicPartitionList::new();
                let log = &extent.log;
                let asked =
                    list.add_partition_offset(&log.topic, log.partition, Offset::Offset(then));
                let found = asked.and_then(|()| self.consumer.0.offsets_for_times(list, PATIENCE));
                let offset = found.ok().and_then(|list| {
                    match list.find_partition(&log.topic, log.partition)?.offset() {
                        Offset::Offset(offset) => Some(offset),
                        Offset::End => Some(extent.high),
                        _ => None,
                    }
                });
                offset.unwrap_or(extent.low)
            }
        }
    }

    /// The consumer itself, for offsets and metadata.
    pub(super) const fn consumer(&self) -> &BaseConsumer<Plain> {
        &self.consumer.0
    }
}

const ATTEMPTS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_word_a_time_ago_or_an_offset() {
        assert_eq!("-15m".parse(), Ok(From::Ago(Duration::from_mins(15))));
        assert_eq!("earliest".parse(), Ok(From::Earliest));
        assert_eq!("18811".parse(), Ok(From::Offset(18811)));
        for text in ["", "15m", "-5", "yesterday", "--5m"] {
            assert!(text.parse::<From>().unwrap_err().contains("earliest"), "{text}");
        }
    }
}
