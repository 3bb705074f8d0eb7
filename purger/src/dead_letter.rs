//! Dead letters: records that cannot be read or carried out, written to a topic of their own with
//! their bytes and the reason.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use process::metrics::Counter;
use process::timestamp::Timestamp;
use rdkafka::message::{Headers as _, Message};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::kafka::producer::Producer;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub code: String,
    pub detail: String,
    /// Milliseconds since 1970 at which the record was given up.
    pub time_ms: u64,
    /// The record's key, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The record's value, in base64; absent when it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The record's headers, values in base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Bytes of the value that were cut off, because the topic takes no records of that size.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing_bytes: u64,
}

#[derive(Clone, Debug)]
pub struct DeadLetters {
    topic: String,
    producer: Producer,
    pub written: Arc<Counter>,
}

impl DeadLetter {
    pub fn of<M: Message>(message: &M, code: &str, detail: &str, now: Timestamp) -> Self {
        let headers = message.headers();
        let headers = headers.iter().flat_map(|headers| headers.iter());
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            code: code.to_owned(),
            detail: detail.to_owned(),
            time_ms: now.as_millis(),
            key: message.key().map(|key| STANDARD.encode(key)),
            value: message.payload().map(|value| STANDARD.encode(value)),
            headers: headers
                .map(|header| {
                    (header.key.to_owned(), STANDARD.encode(header.value.unwrap_or_default()))
                })
                .collect(),
            missing_bytes: 0,
        }
    }

    pub fn key_bytes(&self) -> Option<Vec<u8>> {
        STANDARD.decode(self.key.as_ref()?).ok()
    }

    pub fn value_bytes(&self) -> Option<Vec<u8>> {
        STANDARD.decode(self.value.as_ref()?).ok()
    }

    /// Cuts the value down to its first `bytes_max` bytes.
    fn cut(&mut self, bytes_max: usize) {
        let value = self.value_bytes().unwrap_or_default();
        let kept = value.get(..bytes_max).unwrap_or(&value);
        self.missing_bytes = (value.len() - kept.len()) as u64;
        self.value = Some(STANDARD.encode(kept));
    }
}

impl DeadLetters {
    /// Makes a writer to this topic; without a topic dead letters are logged only.
    pub fn new(topic: &str, producer: Producer) -> Self {
        Self { topic: topic.to_owned(), producer, written: Arc::default() }
    }

    /// Returns how often the producer was replaced. The purger writes everything through one
    /// producer.
    pub fn producers_remade(&self) -> u64 {
        self.producer.remade()
    }

    /// Writes a dead letter; returns when all replicas have it, however long Kafka is unavailable.
    pub async fn write(&self, letter: &DeadLetter) {
        let DeadLetter { topic, partition, offset, code, detail, .. } = letter;
        tracing::warn!(topic, partition, offset, code, detail, "a record was given up");
        if self.topic.is_empty() {
            self.written.add(1);
            return;
        }
        let key = letter.key_bytes();
        let mut letter = letter.clone();
        loop {
            let json = serde_json::to_vec(&letter).unwrap_or_default();
            match self.producer.insist(&self.topic, key.as_deref(), &json).await {
                Ok(_written) => break,
                Err(error) if letter.missing_bytes > 0 => {
                    tracing::error!(%error, topic, partition, offset, "a dead letter is too large for its topic, even cut: it is in the log only");
                    break;
                }
                Err(_too_large) => letter.cut(CUT_BYTES),
            }
        }
        self.written.add(1);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Bytes that are kept of a value too large for its topic: in base64 they fit into Kafka's default
/// record limit.
const CUT_BYTES: usize = 512 << 10;

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp as RecordTime;
    use rdkafka::message::OwnedMessage;

    use super::*;

    fn letter(value: Option<&[u8]>) -> DeadLetter {
        let message = OwnedMessage::new(
            value.map(<[u8]>::to_vec),
            Some(b"site-1".to_vec()),
            "t".to_owned(),
            RecordTime::NotAvailable,
            2,
            7,
            None,
        );
        DeadLetter::of(
            &message,
            "not_json",
            "expected value at column 1",
            Timestamp::from_millis(5),
        )
    }

    #[test]
    fn a_dead_letter_holds_the_bytes_whatever_they_are() {
        let bytes: Vec<u8> = (0..=255).collect();
        let json = serde_json::to_string(&letter(Some(&bytes))).unwrap();
        let read: DeadLetter = serde_json::from_str(&json).unwrap();
        assert_eq!(read.value_bytes(), Some(bytes));
        assert_eq!(read.key_bytes().as_deref(), Some(&b"site-1"[..]));
        assert_eq!((read.partition, read.offset, read.time_ms), (2, 7, 5));
        assert_eq!(letter(None).value_bytes(), None, "a tombstone is no empty value");
    }

    #[test]
    fn a_letter_that_is_cut_counts_the_missing_bytes() {
        let mut letter = letter(Some(&[b'x'; 100]));
        letter.cut(60);
        assert_eq!((letter.value_bytes().unwrap().len(), letter.missing_bytes), (60, 40));
    }
}
