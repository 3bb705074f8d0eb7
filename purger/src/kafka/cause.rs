//! Errors of librdkafka: their text, a limit on how often they are logged, and the latest ones for
//! commands that report them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::Instant;

/// The latest errors of one client, newest last. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Causes(Arc<Mutex<Vec<String>>>);

#[derive(Debug, Default)]
pub struct LogLimiter(Mutex<HashMap<String, Similar>>);

#[derive(Debug)]
struct Similar {
    logged: Instant,
    suppressed: u64,
}

pub static LOG_LIMITER: LazyLock<LogLimiter> = LazyLock::new(LogLimiter::default);

impl Causes {
    /// Keeps an error. Of errors that differ only in numbers, the last is kept.
    pub fn add(&self, cause: &str) {
        let mut causes = self.0.lock();
        let without_numbers = without_numbers(cause);
        causes.retain(|known| self::without_numbers(known) != without_numbers);
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
    /// Returns whether to log a message, as the number of similar messages suppressed since the
    /// last one. Messages are similar if they differ only in numbers.
    pub fn admit(&self, text: &str) -> Option<u64> {
        let mut messages = self.0.lock();
        let now = Instant::now();
        if messages.len() > MESSAGES_MAX {
            messages.retain(|_, similar| now - similar.logged < PAUSE);
        }
        let without_numbers = without_numbers(text);
        let has_room = messages.len() <= MESSAGES_MAX;
        match messages.get_mut(&without_numbers) {
            Some(similar) if now - similar.logged < PAUSE => {
                similar.suppressed += 1;
                None
            }
            Some(similar) => {
                similar.logged = now;
                Some(std::mem::take(&mut similar.suppressed))
            }
            None if !has_room => None,
            None => {
                messages.insert(without_numbers, Similar { logged: now, suppressed: 0 });
                Some(0)
            }
        }
    }
}

/// Returns the text without numbers and without librdkafka's remarks on times and repetitions.
fn without_numbers(text: &str) -> String {
    let text = text.split(" (after ").next().unwrap_or(text);
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Returns librdkafka's text for an error, without its symbolic name.
pub fn words(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| error.to_string(), code_words)
}

/// Returns librdkafka's text for a code, such as `Topic authorization failed`.
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
const MESSAGES_MAX: usize = 256;
const PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn repeated_messages_are_logged_twice_a_minute_and_counted() {
        let messages = LogLimiter::default();
        let text = |ms: u32| {
            format!(
                "ssl://10.0.0.1:9093/1: SSL handshake failed: wrong version (after {ms}ms in state SSL_HANDSHAKE)"
            )
        };
        assert_eq!(messages.admit(&text(3)), Some(0));
        for ms in 0..500 {
            assert_eq!(messages.admit(&text(ms)), None);
        }
        assert_eq!(messages.admit("SASL authentication error"), Some(0), "news is told");
        tokio::time::advance(PAUSE).await;
        assert_eq!(messages.admit(&text(7)), Some(500));
        assert_eq!(messages.admit(&text(8)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn similars_take_no_more_memory_than_they_may() {
        let messages = LogLimiter::default();
        let name = |number: usize| {
            number.to_string().bytes().map(|b| char::from(b + 49)).collect::<String>()
        };
        for number in 0..10_000 {
            messages.admit(&name(number));
        }
        assert!(messages.0.lock().len() <= MESSAGES_MAX + 1);
        tokio::time::advance(PAUSE).await;
        assert_eq!(messages.admit("news"), Some(0));
    }

    #[test]
    fn error_texts_omit_symbolic_names() {
        let error = KafkaError::MetadataFetch(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert_eq!(words(&error), "Topic authorization failed");
    }
}
