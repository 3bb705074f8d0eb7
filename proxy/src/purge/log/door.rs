//! How the purge log is answered over HTTP: 200 with what was applied, 409 with the standing, problems with the reason.

use http::{Response, StatusCode};

use super::metrics::Outcome;
use super::reading::{self, BatchError};
use super::{PurgeLog, Rejected};
use crate::purge::door::{json, problem};
use crate::response::body::ResponseBody;
use crate::timestamp::Timestamp;

impl PurgeLog {
    /// Bytes that a batch may have.
    pub const fn max_body(&self) -> u64 {
        self.rules.log.max_body
    }

    /// Answers `GET`.
    pub fn show(&self) -> Response<ResponseBody> {
        document(StatusCode::OK, &self.standing())
    }

    /// Counts a batch that was not even read.
    pub fn refused(&self) {
        self.metrics.count(Outcome::Refused);
    }

    /// Answers `POST`: a batch whose head was received at that moment.
    pub async fn answer(&self, text: &[u8], received: Timestamp) -> Response<ResponseBody> {
        let sound = match reading::read(text, &self.rules) {
            Ok(sound) => sound,
            Err(error) => {
                self.refused();
                tracing::debug!(%error, "a batch of the purge log is refused");
                return refuse(&error);
            }
        };
        match self.apply(sound, received).await {
            Ok(applied) => document(StatusCode::OK, &applied),
            Err(Rejected::Hole(standing)) => document(StatusCode::CONFLICT, &standing),
            Err(error @ Rejected::Partitions(_)) => {
                self.refused();
                problem(StatusCode::BAD_REQUEST, &error.to_string())
            }
            Err(Rejected::Journal(error)) => {
                tracing::error!(%error, "a batch of the purge log is not acknowledged");
                problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
            }
        }
    }
}

/// Answers as RFC 9457 says; the member `offset` names the purge that is to blame.
fn refuse(error: &BatchError) -> Response<ResponseBody> {
    let status =
        if error.is_too_large() { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
    let mut document = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": error.to_string(),
    });
    if let (Some(offset), Some(members)) = (error.offset(), document.as_object_mut()) {
        members.insert("offset".to_owned(), offset.into());
    }
    json(status, document.to_string().into_bytes(), "application/problem+json")
}

fn document(status: StatusCode, value: &impl serde::Serialize) -> Response<ResponseBody> {
    json(status, serde_json::to_vec(value).unwrap_or_default(), "application/json")
}
