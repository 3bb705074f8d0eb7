//! `Connection`: whether the brokers can be reached, and the errors that librdkafka reports
//! meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::cause::{Causes, LOG_LIMITER, words};

/// The state of one client's connection. Clones share it.
#[derive(Clone, Debug)]
pub struct Connection {
    is_up: Arc<AtomicBool>,
    pub causes: Causes,
}

impl Default for Connection {
    fn default() -> Self {
        Self { is_up: Arc::new(AtomicBool::new(true)), causes: Causes::default() }
    }
}

impl Connection {
    pub fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    pub(super) fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::Relaxed);
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
