//! `Cursor`: reads one partition from an offset on, without a group, for proxies that catch up and
//! for single records.

use std::time::Duration;

use purge_protocol::log::LogId;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message as _, OwnedMessage};
use rdkafka::{ClientConfig, Offset};
use settings::{KafkaSettings, PurgerSettings, SaslMechanism};
use tokio::time::Instant;

use super::cause::words;
use super::client;
use super::context::{PlainContext, TokenSource};
use crate::partition::window::fingerprint;

#[derive(Debug)]
pub struct Cursors {
    kafka: KafkaSettings,
    purger: PurgerSettings,
    tokens: TokenSource,
}

pub struct Cursor {
    consumer: BaseConsumer<PlainContext>,
    log: LogId,
    /// The offset behind the last record read.
    next: i64,
    /// librdkafka could not read what follows.
    is_doubtful: bool,
    /// Read behind a damaged record, and not returned yet.
    behind: Option<CursorItem>,
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("log", &self.log).finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub enum CursorItem {
    Record(Box<OwnedMessage>),
    End,
}

/// The content of a range of offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// At least one record that can be read.
    Records,
    /// No record, as in the range of a transaction's marker.
    Nothing,
    /// Records that have expired, or are damaged, and no other.
    Lost,
}

/// A cursor's failure to read. The caller decides whether to retry.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// The log does not hold that offset: records may have expired unread.
    #[error("the log does not hold offset {0}")]
    OutOfRange(i64),
    /// A record cannot be read. The cursor goes on behind it.
    #[error("the record at offset {0} cannot be read: it is damaged")]
    Damaged(i64),
    /// The brokers do not answer: retry.
    #[error("no answer from the brokers within {0:?}")]
    Silence(Duration),
    #[error("{}", words(.0))]
    Kafka(#[from] KafkaError),
}

impl Cursors {
    pub const fn new(kafka: KafkaSettings, purger: PurgerSettings, tokens: TokenSource) -> Self {
        Self { kafka, purger, tokens }
    }

    /// Opens a cursor at an offset. Blocks.
    pub fn open(&self, log: &LogId, offset: i64) -> Result<Cursor, CursorError> {
        let consumer = self.consumer()?;
        consumer.assign(&client::partition_at(
            &log.topic,
            log.partition,
            Offset::Offset(offset),
        )?)?;
        Ok(Cursor { consumer, log: log.clone(), next: offset, is_doubtful: false, behind: None })
    }

    /// Makes a consumer that reads nothing yet. Blocks.
    pub fn consumer(&self) -> Result<BaseConsumer<PlainContext>, KafkaError> {
        self.create(&client::cursor(&self.kafka, &self.purger))
    }

    /// Makes a client that asks where logs end, behind open transactions. Blocks.
    pub fn end_client(&self) -> Result<BaseConsumer<PlainContext>, KafkaError> {
        self.create(&client::end_client(&self.kafka, &self.purger))
    }

    /// Makes a client that reads and commits a group's offsets without being a member. Blocks.
    pub fn offset_client(&self, group: &str) -> Result<BaseConsumer<PlainContext>, KafkaError> {
        self.create(&client::offset_client(&self.kafka, group))
    }

    fn create(&self, config: &ClientConfig) -> Result<BaseConsumer<PlainContext>, KafkaError> {
        let consumer: BaseConsumer<PlainContext> =
            config.create_with_context(PlainContext::plain(self.tokens.clone()))?;
        // librdkafka asks for a token when it is polled, which some callers never do. Without one
        // it connects to no broker.
        if self.kafka.sasl_mechanism == SaslMechanism::OauthBearer && self.kafka.security.has_sasl()
        {
            drop(consumer.poll(TOKEN_WAIT));
        }
        Ok(consumer)
    }

    /// Looks at the offsets of a log from `from` on and below `to`. Blocks.
    pub fn look_between(&self, log: &LogId, from: i64, to: i64) -> Result<Between, CursorError> {
        let mut cursor = self.open(log, from)?;
        let mut lost = false;
        let has_record = loop {
            match cursor.next(client::PATIENCE) {
                Ok(CursorItem::Record(record)) => break record.offset() < to,
                Ok(CursorItem::End) => break false,
                Err(CursorError::Damaged(_)) => lost = true,
                Err(CursorError::OutOfRange(_)) => {
                    let (low, _high) = cursor.watermarks()?;
                    lost = true;
                    break low < to;
                }
                Err(error) => return Err(error),
            }
        };
        Ok(match (has_record, lost) {
            (true, _) => Between::Records,
            (false, true) => Between::Lost,
            (false, false) => Between::Nothing,
        })
    }

    /// Returns the fingerprint of the record at this offset, if there is one. Blocks.
    pub fn fingerprint_at(&self, log: &LogId, offset: i64) -> Result<Option<u64>, CursorError> {
        match self.open(log, offset)?.next(client::PATIENCE)? {
            CursorItem::Record(record) if record.offset() == offset => {
                Ok(Some(fingerprint(offset, record.key(), record.payload())))
            }
            CursorItem::Record(_) | CursorItem::End => Ok(None),
        }
    }

    /// Returns the oldest offset of the log and the one behind its newest. Blocks.
    pub fn watermarks(&self, log: &LogId) -> Result<(i64, i64), KafkaError> {
        client::watermarks(&self.consumer()?, &log.topic, log.partition, client::PATIENCE)
    }
}

impl Cursor {
    /// Returns whether the brokers answer the cursor. Blocks.
    pub(super) fn is_answered(&self) -> bool {
        self.watermarks().is_ok()
    }

    fn watermarks(&self) -> Result<(i64, i64), KafkaError> {
        let Self { consumer, log, .. } = self;
        client::watermarks(consumer, &log.topic, log.partition, client::PATIENCE)
    }

    /// Reads the next record. Blocks up to `patience`.
    pub fn next(&mut self, patience: Duration) -> Result<CursorItem, CursorError> {
        if let Some(item) = self.behind.take() {
            return Ok(item);
        }
        let item = self.poll(patience)?;
        let expected = self.next;
        let is_gap = match &item {
            CursorItem::Record(record) => {
                self.next = record.offset() + 1;
                record.offset() > expected
            }
            CursorItem::End => true,
        };
        if std::mem::take(&mut self.is_doubtful) && is_gap {
            self.behind = Some(item);
            return Err(CursorError::Damaged(expected));
        }
        Ok(item)
    }

    fn poll(&mut self, patience: Duration) -> Result<CursorItem, CursorError> {
        let deadline = Instant::now() + patience;
        let mut unreadable = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.consumer.poll(left.min(POLL)) {
                Some(Ok(message)) => return Ok(CursorItem::Record(Box::new(message.detach()))),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(CursorItem::End),
                Some(Err(error)) => match error.rdkafka_error_code() {
                    Some(
                        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
                    ) => {
                        return Err(CursorError::OutOfRange(-1));
                    }
                    Some(code) if is_unreadable(code) => {
                        self.is_doubtful = true;
                        unreadable += 1;
                        if unreadable == UNREADABLE_MAX {
                            return Ok(CursorItem::End);
                        }
                    }
                    // librdkafka retries by itself.
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

/// Returns whether librdkafka could not read what a broker sent. It passes over a record with a
/// broken checksum. Of a record larger than a fetch, older brokers send a part first, which may not
/// be a valid message; it is read whole afterwards. A damaged record at the end of a log is fetched
/// again and again, without any pause.
pub(super) const fn is_unreadable(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::BadCompression)
}

/// Times that the same record cannot be read until it counts as the end of the log.
const UNREADABLE_MAX: u32 = 10;
const POLL: Duration = Duration::from_millis(100);
/// Time for librdkafka to ask for a token, which it does when a client is made.
const TOKEN_WAIT: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use process::clock::Clock;
    use settings::Security;

    use super::*;

    /// The client asks for a token before it contacts a broker, so no broker is needed.
    #[test]
    fn a_client_that_is_only_asked_has_a_token_or_says_why_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let kafka = KafkaSettings {
            brokers: vec!["127.0.0.1:1".to_owned()],
            security: Security::SaslPlaintext,
            sasl_mechanism: SaslMechanism::OauthBearer,
            token_file: Some(file.clone()),
            ..KafkaSettings::default()
        };
        let tokens = TokenSource { file: Some(file.clone()), clock: Clock::system() };
        let cursors = Cursors::new(kafka, PurgerSettings::default(), tokens);
        let consumers = || [cursors.consumer().unwrap(), cursors.offset_client("g").unwrap()];
        let has_failed = |consumer: &BaseConsumer<PlainContext>| {
            let causes = consumer.context().connection.causes.all();
            causes.iter().any(|cause| cause.contains("cannot read") && cause.contains("token"))
        };
        for consumer in consumers() {
            assert!(has_failed(&consumer), "{:?}", consumer.context().connection.causes.all());
        }
        std::fs::write(&file, "opaque").unwrap();
        for consumer in consumers() {
            assert!(!has_failed(&consumer), "{:?}", consumer.context().connection.causes.all());
        }
    }
}
