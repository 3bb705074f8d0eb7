//! `Cursor`: reads one partition from an offset on, without a group: for proxies that catch up, and to look at single records.

use std::sync::Arc;
use std::time::Duration;

use purge_protocol::log::LogId;
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message as _, OwnedMessage};
use shellac::config::{Kafka, Purger};
use tokio::time::Instant;

use super::client;
use super::consumer::at;
use super::context::{Plain, Tokens};
use crate::partition::window::fingerprint;

/// Opens cursors.
#[derive(Debug)]
pub struct Cursors {
    kafka: Kafka,
    purger: Purger,
    tokens: Tokens,
}

/// A reader of one partition.
pub struct Cursor {
    consumer: BaseConsumer<Plain>,
    log: LogId,
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("log", &self.log).finish_non_exhaustive()
    }
}

/// What a cursor found.
#[derive(Debug)]
pub enum Found {
    /// A record.
    Record(Box<OwnedMessage>),
    /// Nothing more for now.
    End,
}

/// Why a cursor found nothing. All of it blocks while it lasts; the caller is on a thread that may.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// The log does not have that offset, or no longer. Something may have been lost.
    #[error("the log does not hold offset {0}")]
    OutOfRange(i64),
    /// The brokers do not answer. To be tried again.
    #[error("no word from the brokers within {0:?}")]
    Silence(Duration),
    /// Another failure. To be tried again.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

impl Cursors {
    /// Makes the settings of cursors.
    pub const fn new(kafka: Kafka, purger: Purger, tokens: Tokens) -> Self {
        Self { kafka, purger, tokens }
    }

    /// Opens a cursor at an offset. Blocks.
    pub fn open(&self, log: &LogId, offset: i64) -> Result<Cursor, CursorError> {
        let consumer = self.consumer()?;
        consumer.assign(&at(&log.topic, log.partition, Offset::Offset(offset))?)?;
        Ok(Cursor { consumer, log: log.clone() })
    }

    /// Makes a consumer that reads nothing yet. Blocks.
    pub fn consumer(&self) -> Result<BaseConsumer<Plain>, KafkaError> {
        let context = Plain::new(self.tokens.clone());
        client::cursor(&self.kafka, &self.purger).create_with_context(context)
    }

    /// Makes a consumer that reads and commits a group's offsets without being its member. Blocks.
    pub fn bookkeeper(&self, group: &str) -> Result<BaseConsumer<Plain>, KafkaError> {
        let mut config = client::base(&self.kafka);
        for (name, value) in &self.kafka.properties {
            config.set(name, value);
        }
        config.set("group.id", group).set("enable.auto.commit", "false");
        config.create_with_context(Plain::new(self.tokens.clone()))
    }

    /// Returns whether the log has no record from `from` on and below `to`, though it reaches as far. Blocks.
    pub fn is_nothing_between(&self, log: &LogId, from: i64, to: i64) -> bool {
        let found = self.open(log, from).and_then(|cursor| cursor.next(client::PATIENCE));
        match found {
            Ok(Found::Record(record)) => record.offset() >= to,
            Ok(Found::End) => true,
            Err(_) => false,
        }
    }

    /// Returns the fingerprint of the record at this offset, if there is one. Blocks.
    pub fn fingerprint_at(&self, log: &LogId, offset: i64) -> Result<Option<u64>, CursorError> {
        match self.open(log, offset)?.next(client::PATIENCE)? {
            Found::Record(record) if record.offset() == offset => {
                Ok(Some(fingerprint(offset, record.key(), record.payload())))
            }
            Found::Record(_) | Found::End => Ok(None),
        }
    }

    /// Returns the oldest offset of the log and the one behind its newest. Blocks.
    pub fn watermarks(&self, log: &LogId) -> Result<(i64, i64), KafkaError> {
        self.consumer()?.fetch_watermarks(&log.topic, log.partition, client::PATIENCE)
    }
}

impl Cursor {
    /// Reads the next record. Blocks up to so long.
    pub fn next(&self, patience: Duration) -> Result<Found, CursorError> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.consumer.poll(left.min(POLL)) {
                Some(Ok(message)) => return Ok(Found::Record(Box::new(message.detach()))),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(Found::End),
                Some(Err(error)) => match error.rdkafka_error_code() {
                    Some(
                        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
                    ) => {
                        return Err(CursorError::OutOfRange(-1));
                    }
                    Some(
                        RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure,
                    ) => {}
                    _ => return Err(error.into()),
                },
                None => {}
            }
            if left.is_zero() {
                return Err(CursorError::Silence(patience));
            }
        }
    }
}

/// Shares the settings of cursors.
pub type Shared = Arc<Cursors>;

const POLL: Duration = Duration::from_millis(100);
