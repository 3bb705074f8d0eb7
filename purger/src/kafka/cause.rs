//! What librdkafka says is wrong: in words, for logs not more often than somebody can read it, and kept for commands that ask
//! why nothing works.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::Instant;

/// The causes that one client was told, newest last. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Causes(Arc<Mutex<Vec<String>>>);

#[derive(Debug, Default)]
pub struct LogLimiter(Mutex<HashMap<String, Complaint>>);

#[derive(Debug)]
struct Complaint {
    logged: Instant,
    since_then: u64,
}

pub static LOG_LIMITER: LazyLock<LogLimiter> = LazyLock::new(LogLimiter::default);

impl Causes {
    /// Keeps a cause. Of those that differ in numbers only, the last is kept.
    pub fn add(&self, cause: &str) {
        let mut causes = self.0.lock();
        let gist = gist(cause);
        causes.retain(|known| self::gist(known) != gist);
        causes.push(cause.to_owned());
        if causes.len() > CAUSES_MAX {
            causes.remove(0);
        }
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

impl LogLimiter {
    /// Returns how many like this one were not logged since one was, if this one is to be logged. Those that differ in numbers
    /// only are alike.
    pub fn admit(&self, text: &str) -> Option<u64> {
        let mut complaints = self.0.lock();
        let now = Instant::now();
        if complaints.len() > COMPLAINTS_MAX {
            complaints.retain(|_, complaint| now - complaint.logged < PAUSE);
        }
        let gist = gist(text);
        let has_room = complaints.len() <= COMPLAINTS_MAX;
        match complaints.get_mut(&gist) {
            Some(complaint) if now - complaint.logged < PAUSE => {
                complaint.since_then += 1;
                None
            }
            Some(complaint) => {
                complaint.logged = now;
                Some(std::mem::take(&mut complaint.since_then))
            }
            None if !has_room => None,
            None => {
                complaints.insert(gist, Complaint { logged: now, since_then: 0 });
                Some(0)
            }
        }
    }
}

/// A text without its numbers and without what librdkafka says of times and repetitions.
fn gist(text: &str) -> String {
    let text = text.split(" (after ").next().unwrap_or(text);
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Says what is wrong in librdkafka's words, without the names that programs give to them.
pub fn words(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| error.to_string(), code_words)
}

/// The words for a code: `Broker: Topic authorization failed`.
pub fn code_words(code: RDKafkaErrorCode) -> String {
    let text = code.to_string();
    let inner = text.split_once(" (").and_then(|(_, inner)| inner.strip_suffix(')'));
    let inner = inner.unwrap_or(&text);
    inner
        .strip_prefix("Local: ")
        .or_else(|| inner.strip_prefix("Broker: "))
        .unwrap_or(inner)
        .to_owned()
}

const CAUSES_MAX: usize = 8;
const COMPLAINTS_MAX: usize = 256;
const PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_repeats_itself_is_logged_twice_a_minute_and_counted() {
        let complaints = LogLimiter::default();
        let text = |ms: u32| {
            format!(
                "ssl://10.0.0.1:9093/1: SSL handshake failed: wrong version (after {ms}ms in state SSL_HANDSHAKE)"
            )
        };
        assert_eq!(complaints.admit(&text(3)), Some(0));
        for ms in 0..500 {
            assert_eq!(complaints.admit(&text(ms)), None);
        }
        assert_eq!(complaints.admit("SASL authentication error"), Some(0), "news is told");
        tokio::time::advance(PAUSE).await;
        assert_eq!(complaints.admit(&text(7)), Some(500));
        assert_eq!(complaints.admit(&text(8)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn complaints_take_no_more_memory_than_they_may() {
        let complaints = LogLimiter::default();
        let name = |number: usize| {
            number.to_string().bytes().map(|b| char::from(b + 49)).collect::<String>()
        };
        for number in 0..10_000 {
            complaints.admit(&name(number));
        }
        assert!(complaints.0.lock().len() <= COMPLAINTS_MAX + 1);
        tokio::time::advance(PAUSE).await;
        assert_eq!(complaints.admit("news"), Some(0));
    }

    #[test]
    fn words_are_for_people() {
        let error = KafkaError::MetadataFetch(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert_eq!(words(&error), "Topic authorization failed");
    }
}
