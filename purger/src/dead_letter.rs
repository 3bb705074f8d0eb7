//! Dead letters: records that cannot be read or carried out, written to a topic of their own with
//! their bytes and the reason.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use process::metrics::Counter;
use process::timestamp::Timestamp;
use rdkafka::message::{Headers as _, Message};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

use crate::backoff::Backoff;
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
    /// Bytes of value, headers and key that were left out, because the topic takes no records of
    /// that size. `detail` says what.
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

    /// Leaves out a part of the record, because the letter is too large for its topic: half of the
    /// value and, when nothing is left of it, the headers, then the key. Returns whether there was
    /// anything to leave out.
    fn shrink(&mut self) -> bool {
        let value = self.value_bytes().unwrap_or_default();
        let left_out = if !value.is_empty() {
            let kept = value.get(..CUT_BYTES.min(value.len() / 2)).unwrap_or_default();
            self.value = Some(STANDARD.encode(kept));
            value.len() - kept.len()
        } else if !self.headers.is_empty() {
            let headers = std::mem::take(&mut self.headers);
            self.note_missing(&format!("its {} headers", headers.len()));
            headers.iter().map(|(name, value)| name.len() + value.len()).sum()
        } else if let Some(key) = self.key.take() {
            self.note_missing("its key");
            key.len()
        } else {
            return false;
        };
        self.missing_bytes += left_out as u64;
        true
    }

    fn note_missing(&mut self, what: &str) {
        self.detail.push_str("; left out, as it is too large: ");
        self.detail.push_str(what);
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
        let mut letter = letter.clone();
        let mut backoff = Backoff::new(SHRINK_PAUSE_MAX);
        loop {
            let json = serde_json::to_vec(&letter).unwrap_or_default();
            let key = letter.key_bytes();
            let Err(error) = self.producer.insist(&self.topic, key.as_deref(), &json).await else {
                break;
            };
            if !letter.shrink() {
                tracing::error!(%error, topic, partition, offset, "a dead letter is too large for its topic, even without the record: it is in the log only");
                break;
            }
            sleep(backoff.wait()).await;
        }
        if letter.missing_bytes > 0 {
            let (missing_bytes, detail) = (letter.missing_bytes, letter.detail);
            tracing::warn!(
                topic,
                partition,
                offset,
                missing_bytes,
                detail,
                "a dead letter was cut"
            );
        }
        self.written.add(1);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Most bytes that are kept of a value too large for its topic: in base64 they fit into Kafka's
/// default record limit.
const CUT_BYTES: usize = 512 << 10;
/// Longest pause before a smaller letter is tried.
const SHRINK_PAUSE_MAX: Duration = Duration::from_secs(1);

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
    fn a_letter_becomes_smaller_until_nothing_of_the_record_is_left() {
        let mut letter = letter(Some(&vec![b'x'; 2 * CUT_BYTES + 9]));
        letter.headers.push(("h".to_owned(), STANDARD.encode("value")));
        assert!(letter.shrink());
        assert_eq!(letter.value_bytes().unwrap().len(), CUT_BYTES);
        assert_eq!(letter.missing_bytes, CUT_BYTES as u64 + 9);
        let mut steps = 1;
        let mut before = CUT_BYTES;
        while letter.value.as_ref().is_some_and(|value| !value.is_empty()) {
            assert!(letter.shrink() && letter.key.is_some() && !letter.headers.is_empty());
            let now = letter.value_bytes().unwrap().len();
            assert!(now < before);
            (before, steps) = (now, steps + 1);
        }
        assert!(steps <= 22, "{steps}");
        assert!(letter.shrink() && letter.headers.is_empty());
        assert!(letter.detail.ends_with("left out, as it is too large: its 1 headers"));
        assert!(letter.shrink() && letter.key.is_none());
        assert!(letter.detail.ends_with("its key"));
        assert!(letter.missing_bytes > 2 * CUT_BYTES as u64 + 9);
        assert!(!letter.shrink(), "there is nothing left");
    }
}
