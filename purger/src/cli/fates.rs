//! The fate of an event: a receipt with the responses that each proxy purged, or a dead letter.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use settings::Config;
use tokio::sync::mpsc;

use super::topic::{BrokerClient, BrokerError};
use crate::dead_letter::DeadLetter;
use crate::kafka::cause::words;
use crate::kafka::context::PlainContext;
use crate::kafka::producer::Written;
use crate::receipt::Receipt;

/// Reads the topics of receipts and dead letters from their ends on.
pub(super) struct FateReader {
    consumer: BaseConsumer<PlainContext>,
    receipts: String,
    dead_letters: String,
}

#[derive(Debug)]
pub(super) enum EventFate {
    /// The brokers answer about the topics.
    Listening,
    Receipt(Receipt),
    GivenUp(DeadLetter),
}

enum Heard<'a> {
    Record(BorrowedMessage<'a>),
    End,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FateReaderError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("{}", words(.0))]
    Kafka(#[from] KafkaError),
}

impl FateReader {
    /// Finds the ends of the topics, before the event is written; `None`: there are no topics.
    /// Blocks.
    pub(super) fn open(config: &Config) -> Result<Option<Self>, FateReaderError> {
        let (receipts, dead_letters) = (&config.purger.receipts, &config.purger.dead_letter);
        let topics = [receipts, dead_letters].into_iter().filter(|topic| !topic.is_empty());
        let mut list = TopicPartitionList::new();
        let broker = BrokerClient::connect(config)?;
        for topic in topics {
            for extent in broker.partitions(topic)? {
                let (partition, end) = (extent.log.partition, Offset::Offset(extent.high));
                list.add_partition_offset(topic, partition, end)?;
            }
        }
        if list.count() == 0 {
            return Ok(None);
        }
        let consumer = broker.cursors.consumer()?;
        consumer.assign(&list)?;
        let (receipts, dead_letters) = (receipts.clone(), dead_letters.clone());
        Ok(Some(Self { consumer, receipts, dead_letters }))
    }

    /// Sends an event's fates from a thread of its own until the receiver is dropped.
    pub(super) fn listen(self, topic: String, written: Written) -> mpsc::Receiver<EventFate> {
        let (sender, receiver) = mpsc::channel(FATES_MAX);
        drop(tokio::task::spawn_blocking(move || {
            let mut is_listening = false;
            while !sender.is_closed() {
                let Some(heard) = self.poll() else { continue };
                if !std::mem::replace(&mut is_listening, true)
                    && sender.blocking_send(EventFate::Listening).is_err()
                {
                    return;
                }
                if let Heard::Record(record) = heard
                    && let Some(fate) = self.fate(&record, &topic, written)
                    && sender.blocking_send(fate).is_err()
                {
                    return;
                }
            }
        }));
        receiver
    }

    /// `None`: nothing is heard.
    fn poll(&self) -> Option<Heard<'_>> {
        match self.consumer.poll(POLL)? {
            Ok(record) => Some(Heard::Record(record)),
            Err(KafkaError::PartitionEOF(_)) => Some(Heard::End),
            Err(error) => {
                tracing::debug!(error = words(&error), "cannot read receipts and dead letters");
                None
            }
        }
    }

    fn fate(
        &self,
        record: &BorrowedMessage<'_>,
        topic: &str,
        written: Written,
    ) -> Option<EventFate> {
        let value = record.payload()?;
        let place = (topic, written.partition, written.offset);
        if record.topic() == self.receipts {
            let receipt: Receipt = serde_json::from_slice(value).ok()?;
            let log = &receipt.log;
            let is_meant = (log.topic.as_str(), log.partition, receipt.offset) == place;
            return is_meant.then_some(EventFate::Receipt(receipt));
        }
        if record.topic() == self.dead_letters {
            let letter: DeadLetter = serde_json::from_slice(value).ok()?;
            let is_meant = (letter.topic.as_str(), letter.partition, letter.offset) == place;
            return is_meant.then_some(EventFate::GivenUp(letter));
        }
        None
    }
}

const POLL: Duration = Duration::from_millis(50);
/// One event has one receipt, and a dead letter for each proxy that refuses it.
const FATES_MAX: usize = 64;
