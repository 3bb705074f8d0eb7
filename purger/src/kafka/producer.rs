//! Writes records that must not be lost, with retries: dead letters, receipts, delayed purges.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use process::metrics::Counter;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::util::Timeout;
use settings::KafkaSettings;
use tokio::time::{Instant, sleep};

use super::cause::{Causes, LOG_LIMITER, code_words, words};
use super::client;
use super::context::{PlainContext, TokenSource};
use crate::backoff::Backoff;

#[derive(Clone, Debug)]
pub struct Producer(Arc<ProducerInner>);

struct ProducerInner {
    current: Mutex<Current>,
    kafka: KafkaSettings,
    tokens: TokenSource,
    remade: Counter,
}

struct Current {
    producer: FutureProducer<PlainContext>,
    causes: Causes,
    made: Instant,
}

impl std::fmt::Debug for ProducerInner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("brokers", &self.kafka.brokers).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub partition: i32,
    pub offset: i64,
}

impl Producer {
    /// Makes a producer, which connects at its first use.
    pub fn new(kafka: &KafkaSettings, tokens: TokenSource) -> Result<Self, KafkaError> {
        let current = Mutex::new(Current::make(kafka, tokens.clone())?);
        let remade = Counter::default();
        Ok(Self(Arc::new(ProducerInner { current, kafka: kafka.clone(), tokens, remade })))
    }

    /// Returns the number of producers that failed and were replaced.
    pub fn remade(&self) -> u64 {
        self.0.remade.value()
    }

    pub fn causes(&self) -> Vec<String> {
        self.0.current.lock().causes.all()
    }

    /// Writes a record, without retries; returns its place once all replicas have it.
    pub async fn write(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: &[u8],
    ) -> Result<Written, KafkaError> {
        self.send(with_key(FutureRecord::to(topic).payload(value), key)).await
    }

    /// Writes a record with headers, without retries.
    pub async fn write_with_headers(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: &[u8],
        headers: OwnedHeaders,
    ) -> Result<Written, KafkaError> {
        self.send(with_key(FutureRecord::to(topic).payload(value).headers(headers), key)).await
    }

    async fn send(&self, record: FutureRecord<'_, [u8], [u8]>) -> Result<Written, KafkaError> {
        let (producer, made) = {
            let current = self.0.current.lock();
            (current.producer.clone(), current.made)
        };
        let sent = producer.send(record, Timeout::Never).await;
        match sent {
            Ok(delivery) => Ok(Written { partition: delivery.partition, offset: delivery.offset }),
            Err((error, _record)) => {
                self.replace_failed(&error, made);
                Err(error)
            }
        }
    }

    /// Replaces the producer that was made then, if it has failed for good, as an idempotent one
    /// does whose sequence is broken or that was denied a right; or if it could not hand over a
    /// record for `message.timeout.ms`, as it may have forgotten all brokers (librdkafka's issue
    /// 5301).
    fn replace_failed(&self, error: &KafkaError, made: Instant) {
        let mut current = self.0.current.lock();
        if current.made != made {
            return; // replaced while the record waited
        }
        let timed_out = error
            .rdkafka_error_code()
            .filter(|code| *code == RDKafkaErrorCode::MessageTimedOut)
            .map(|code| (code, "no broker took a record in time".to_owned()));
        let Some((code, reason)) = current.producer.client().fatal_error().or(timed_out) else {
            return;
        };
        if current.made.elapsed() < REMAKE_PAUSE {
            return;
        }
        match Current::make(&self.0.kafka, self.0.tokens.clone()) {
            Ok(next) => {
                let failed = std::mem::replace(&mut *current, next);
                drop(current);
                self.0.remade.add(1);
                if let Some(repeated) = LOG_LIMITER.admit(&reason) {
                    let error = code_words(code);
                    tracing::warn!(error, reason, repeated, "replaced a producer that had failed");
                }
                drop(tokio::task::spawn_blocking(move || drop(failed))); // it waits for its thread
            }
            Err(error) => tracing::error!(error = words(&error), "cannot replace a producer"),
        }
    }

    /// Writes a record, with retries until it is written. Only a record that is too large for its
    /// topic is given up.
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
                    let error = words(&error);
                    if let Some(repeated) = LOG_LIMITER.admit(&format!("{topic}: {error}")) {
                        tracing::error!(
                            error,
                            topic,
                            repeated,
                            "cannot write to Kafka: trying again"
                        );
                    }
                    sleep(backoff.wait()).await;
                }
            }
        }
    }
}

impl Current {
    fn make(kafka: &KafkaSettings, tokens: TokenSource) -> Result<Self, KafkaError> {
        let context = PlainContext::plain(tokens);
        let causes = context.connection.causes.clone();
        let producer = client::producer(kafka)
            .set("compression.codec", "gzip")
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
            .create_with_context(context)?;
        Ok(Self { producer, causes, made: Instant::now() })
    }
}

fn with_key<'a>(
    record: FutureRecord<'a, [u8], [u8]>,
    key: Option<&'a [u8]>,
) -> FutureRecord<'a, [u8], [u8]> {
    match key {
        Some(key) => record.key(key),
        None => record,
    }
}

fn is_too_large(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize)
    )
}

/// Size of a dead letter of a record of 64 MiB.
const RECORD_BYTES_MAX: usize = 100_000_000;
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// The least time between two replacements.
const REMAKE_PAUSE: Duration = Duration::from_secs(1);
