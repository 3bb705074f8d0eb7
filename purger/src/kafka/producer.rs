//! Writes records that must not be lost: dead letters, receipts, delayed purges. Tried until it is done.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use shellac::config::Kafka;
use tokio::time::sleep;

use super::client;
use super::context::{Plain, Tokens};
use crate::delivery::backoff::Backoff;

/// A producer. Clones share one.
#[derive(Clone)]
pub struct Producer {
    inner: FutureProducer<Plain>,
    kafka: Kafka,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("brokers", &self.kafka.brokers).finish_non_exhaustive()
    }
}

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl Producer {
    /// Makes a producer; connects when it is first used.
    pub fn new(kafka: &Kafka, tokens: Tokens) -> Result<Self, KafkaError> {
        let inner = client::producer(kafka)
            .set("compression.codec", "gzip")
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
            .create_with_context(Plain::new(tokens))?;
        Ok(Self { inner, kafka: kafka.clone() })
    }

    /// Writes a record once; returns where it is, on all replicas.
    pub async fn write(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: &[u8],
    ) -> Result<Written, KafkaError> {
        let mut record = FutureRecord::to(topic).payload(value);
        if let Some(key) = key {
            record = record.key(key);
        }
        let sent = self.inner.send(record, Timeout::Never).await;
        let delivery = sent.map_err(|(error, _record)| error)?;
        Ok(Written { partition: delivery.partition, offset: delivery.offset })
    }

    /// Writes a record with headers once.
    pub async fn write_with_headers(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: &[u8],
        headers: OwnedHeaders,
    ) -> Result<Written, KafkaError> {
        let mut record = FutureRecord::to(topic).payload(value).headers(headers);
        if let Some(key) = key {
            record = record.key(key);
        }
        let sent = self.inner.send(record, Timeout::Never).await;
        let delivery = sent.map_err(|(error, _record)| error)?;
        Ok(Written { partition: delivery.partition, offset: delivery.offset })
    }

    /// Writes a record, and tries again until it is done; only a record that is too large for its topic is given up.
    pub async fn insist(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: &[u8],
    ) -> Result<Written, KafkaError> {
        let mut backoff = Backoff::new(BACKOFF_MAX);
        loop {
            match self.write(topic, key, value).await {
                Ok(written) => return Ok(written),
                Err(error) if is_too_large(&error) => return Err(error),
                Err(error) => {
                    let pause = backoff.wait();
                    tracing::error!(%error, topic, ?pause, "cannot write to Kafka: trying again");
                    sleep(pause).await;
                }
            }
        }
    }
}

fn is_too_large(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize)
    )
}

/// What a record of 64 MiB grows to in a dead letter.
const RECORD_BYTES_MAX: usize = 100_000_000;
const BACKOFF_MAX: Duration = Duration::from_secs(30);
