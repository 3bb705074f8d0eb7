//! Topics from the outside, for commands: their partitions, and the offset of a moment.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use process::clock::Clock;
use process::terminal::say;
use purge_protocol::log::LogId;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use settings::Config;

use crate::kafka::cause::words;
use crate::kafka::client::{self, PATIENCE};
use crate::kafka::context::{PlainContext, TokenSource};
use crate::kafka::cursor::{Between, Cursor, CursorError, CursorItem, Cursors};

#[derive(Debug)]
pub(super) struct BrokerClient {
    pub(super) cursors: Arc<Cursors>,
    consumer: Consumer,
    cluster: String,
}

struct Consumer(BaseConsumer<PlainContext>);

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Consumer")
    }
}

#[derive(Clone, Debug)]
pub(super) struct Extent {
    pub(super) log: LogId,
    /// The oldest offset.
    pub(super) low: i64,
    /// Behind the newest.
    pub(super) high: i64,
}

#[derive(Debug)]
pub(super) struct BrokerError {
    pub(super) error: KafkaError,
    /// Errors that it reported meanwhile, newest last.
    pub(super) causes: Vec<String>,
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&words(&self.error))?;
        self.causes.iter().try_for_each(|cause| write!(f, "; {cause}"))
    }
}

impl std::error::Error for BrokerError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadFrom {
    /// At the oldest record.
    Earliest,
    Latest,
    Ago(Duration),
    Offset(i64),
}

impl std::str::FromStr for ReadFrom {
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

impl Extent {
    /// Reads the next record of this partition that can be read, and says which are damaged.
    pub(super) fn next(&self, cursor: &mut Cursor) -> Result<CursorItem, CursorError> {
        loop {
            match cursor.next(PATIENCE) {
                Err(error @ CursorError::Damaged(_)) => {
                    let LogId { topic, partition, .. } = &self.log;
                    say(format_args!("shellac-purger: {topic}/{partition}: {error}"));
                }
                item => return item,
            }
        }
    }
}

impl BrokerClient {
    pub(super) fn connect(config: &Config) -> Result<Self, BrokerError> {
        let plain = |error| BrokerError { error, causes: Vec::new() };
        let tokens = TokenSource { file: config.kafka.token_file.clone(), clock: Clock::system() };
        let cursors = Arc::new(Cursors::new(config.kafka.clone(), config.purger.clone(), tokens));
        let consumer = Consumer(cursors.consumer().map_err(plain)?);
        let cluster = config.kafka.cluster.clone();
        let mut broker = Self { cursors, consumer, cluster };
        if let Err(error) = client::brokers_answer(&broker.consumer.0, None) {
            return Err(BrokerError { error, causes: causes_of(&broker.consumer.0) });
        }
        if broker.cluster.is_empty() {
            let own = broker.consumer.0.client().fetch_cluster_id(Duration::ZERO);
            broker.cluster = own.unwrap_or_else(|| "kafka".to_owned());
        }
        Ok(broker)
    }

    /// Returns the name of the cluster, as proxies know it.
    pub(super) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Returns the partitions of a topic; none: it does not exist. A broker that has just started,
    /// or is busy, is asked again.
    pub(super) fn partitions(&self, topic: &str) -> Result<Vec<Extent>, KafkaError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.partitions_now(topic) {
                Err(error) if attempt < ATTEMPTS && !is_final(&error) => {
                    tracing::debug!(error = words(&error), topic, "asking again");
                }
                result => return result,
            }
        }
    }

    fn partitions_now(&self, topic: &str) -> Result<Vec<Extent>, KafkaError> {
        let metadata = self.consumer.0.fetch_metadata(Some(topic), PATIENCE)?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(Vec::new());
        };
        match found.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return Ok(Vec::new());
            }
            Some(code) => return Err(KafkaError::MetadataFetch(code)),
        }
        let mut extents = Vec::new();
        for partition in found.partitions() {
            let log = LogId {
                cluster: self.cluster.clone(),
                topic: topic.to_owned(),
                partition: partition.id(),
            };
            let (low, high) =
                client::watermarks(&self.consumer.0, topic, partition.id(), PATIENCE)?;
            extents.push(Extent { log, low, high });
        }
        Ok(extents)
    }

    fn holds_nothing_between(&self, log: &LogId, from: i64, to: i64) -> bool {
        matches!(self.cursors.look_between(log, from, to), Ok(Between::Nothing))
    }

    /// Returns the number of records between a position and the end of a partition. Near the end,
    /// where only a transaction's marker may remain, a cursor checks that there are records.
    pub(super) fn lag(&self, extent: &Extent, next: i64) -> i64 {
        match extent.high - next {
            ..=0 => 0,
            lag @ 1..=MARKERS_MAX
                if self.holds_nothing_between(&extent.log, next.max(extent.low), extent.high) =>
            {
                tracing::debug!(lag, "only markers");
                0
            }
            lag => lag,
        }
    }

    pub(super) fn all(&self, topics: &[String]) -> Result<Vec<Extent>, KafkaError> {
        let mut all = Vec::new();
        for topic in topics {
            all.extend(self.partitions(topic)?);
        }
        Ok(all)
    }

    /// Returns the first offset to read. With brokers that know no times (before 0.10.1), that is
    /// the oldest record.
    pub(super) fn offset(&self, extent: &Extent, from: ReadFrom, now_ms: u64) -> i64 {
        match from {
            ReadFrom::Earliest => extent.low,
            ReadFrom::Latest => extent.high,
            ReadFrom::Offset(offset) => offset.clamp(extent.low, extent.high),
            ReadFrom::Ago(ago) => {
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

    pub(super) const fn consumer(&self) -> &BaseConsumer<PlainContext> {
        &self.consumer.0
    }
}

/// Polls for errors that librdkafka reports by itself, and returns all.
pub(super) fn causes_of(consumer: &BaseConsumer<PlainContext>) -> Vec<String> {
    for _ in 0..POLLS {
        if let Some(Err(error)) = consumer.poll(POLL) {
            let is_general = matches!(
                error.rdkafka_error_code(),
                Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure)
            );
            if !is_general {
                consumer.context().connection.causes.add(&words(&error));
            }
        }
    }
    consumer.context().connection.causes.all()
}

/// Returns whether asking again would not help.
fn is_final(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::InvalidTopic)
    )
}

const ATTEMPTS: u32 = 3;
const POLLS: u32 = 10;
const POLL: Duration = Duration::from_millis(20);
/// Offsets that may all be markers of transactions; more are taken for records.
const MARKERS_MAX: i64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_word_a_time_ago_or_an_offset() {
        assert_eq!("-15m".parse(), Ok(ReadFrom::Ago(Duration::from_mins(15))));
        assert_eq!("earliest".parse(), Ok(ReadFrom::Earliest));
        assert_eq!("18811".parse(), Ok(ReadFrom::Offset(18811)));
        for text in ["", "15m", "-5", "yesterday", "--5m"] {
            assert!(text.parse::<ReadFrom>().unwrap_err().contains("earliest"), "{text}");
        }
    }
}
