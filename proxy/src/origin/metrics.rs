//! What happened between us and the origin.

use http::Response;
use tokio::time::Instant;

use super::{OriginBody, OriginError};
use crate::metrics::{Counter, Histogram};

/// Exchanges with the origin.
#[derive(Debug, Default)]
pub struct OriginMetrics {
    /// Responses by the hundreds of their status code: 1xx to 5xx.
    pub responses: [Counter; 5],
    /// Failures by [`OriginError::reason`], in the order of [`REASONS`].
    pub failures: [Counter; REASONS.len()],
    /// Requests that were sent once more.
    pub retries: Counter,
    /// From the request to the response's head.
    pub first_byte: Histogram,
}

impl OriginMetrics {
    pub(super) fn count(
        &self,
        result: &Result<Response<OriginBody>, OriginError>,
        started: Instant,
    ) {
        match result {
            Ok(response) => {
                self.first_byte.record(started.elapsed(), 1);
                let class = usize::from(response.status().as_u16() / 100).saturating_sub(1);
                if let Some(counter) = self.responses.get(class) {
                    counter.add(1);
                }
            }
            Err(error) => {
                let place = REASONS.iter().position(|reason| *reason == error.reason());
                if let Some(counter) = place.and_then(|place| self.failures.get(place)) {
                    counter.add(1);
                }
            }
        }
    }

    /// All responses and failures.
    pub fn requests(&self) -> u64 {
        self.responses.iter().chain(&self.failures).map(Counter::value).sum()
    }
}

/// The reasons of failures, as in [`OriginError::reason`].
pub const REASONS: [&str; 12] = [
    "resolve",
    "refused",
    "unreachable",
    "connect_timeout",
    "busy",
    "first_byte_timeout",
    "body_timeout",
    "broken",
    "malformed",
    "incomplete",
    "request_body",
    "abandoned",
];
