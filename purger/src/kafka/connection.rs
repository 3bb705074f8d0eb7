//! `Connection`: whether the brokers can be reached, and the errors that librdkafka reports
//! meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::Instant;

use super::cause::{Causes, LOG_LIMITER, words};

/// The state of one client's connection. Clones share it.
#[derive(Clone, Debug)]
pub struct Connection {
    is_up: Arc<AtomicBool>,
    /// The time of the last answer to a question, or of the client's start.
    answered: Arc<Mutex<Instant>>,
    pub causes: Causes,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            is_up: Arc::new(AtomicBool::new(true)),
            answered: Arc::new(Mutex::new(Instant::now())),
            causes: Causes::default(),
        }
    }
}

impl Connection {
    pub fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    pub(super) fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::Relaxed);
    }

    /// Notes whether the brokers have answered a question.
    pub(super) fn note_question(&self, is_answered: bool) {
        self.set_up(is_answered);
        if is_answered {
            self.begin_silence();
        }
    }

    /// Returns the time for which no question has been answered.
    pub(super) fn silence(&self) -> Duration {
        self.answered.lock().elapsed()
    }

    /// Counts [`Self::silence`] from now on.
    pub(super) fn begin_silence(&self) {
        *self.answered.lock() = Instant::now();
    }

    /// Keeps an error as a cause and logs it, though not as often as librdkafka repeats it.
    pub(super) fn note_error(&self, error: &KafkaError, reason: &str) {
        self.causes.add(reason);
        let is_down = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure)
        );
        let is_news = !is_down || self.is_up.swap(false, Ordering::Relaxed);
        if is_news && let Some(repeated) = LOG_LIMITER.admit(reason) {
            let then = if is_down {
                "no broker can be reached: trying again until one can"
            } else {
                "Kafka"
            };
            tracing::warn!(error = words(error), reason, repeated, "{then}");
        }
    }
}
