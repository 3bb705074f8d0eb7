//! The purge log over HTTP: 200 with what was applied, 409 with the log status, problems with the
//! reason.

use http::{Response, StatusCode};
use purge_protocol::log::Refusal;

use super::metrics::BatchOutcome;
use super::reading;
use super::{NotForgotten, PurgeLog, Rejected};
use crate::purge::endpoint::{json, problem};
use crate::response::body::ResponseBody;
use process::timestamp::Timestamp;

#[derive(Debug)]
pub struct PurgeLogEndpoint<'a>(pub &'a PurgeLog);

impl PurgeLogEndpoint<'_> {
    /// Bytes that a batch may have.
    pub fn max_body(&self) -> u64 {
        self.0.settings.current().purge.log.max_body
    }

    pub fn show(&self) -> Response<ResponseBody> {
        document(StatusCode::OK, &self.0.log_status())
    }

    /// Answers a batch that was not read, because it exceeds [`Self::max_body`] or broke off.
    pub fn refuse_unread(&self, status: StatusCode, detail: &str) -> Response<ResponseBody> {
        self.refuse(status, detail, None)
    }

    /// Answers `POST`: a batch whose head was received at that moment.
    pub async fn answer(&self, text: &[u8], received: Timestamp) -> Response<ResponseBody> {
        let batch = match reading::read(text, &self.0.settings.current().purge) {
            Ok(batch) => batch,
            Err(error) => {
                tracing::debug!(%error, "a batch of the purge log is refused");
                let status = if error.is_too_large() {
                    StatusCode::PAYLOAD_TOO_LARGE
                } else {
                    StatusCode::BAD_REQUEST
                };
                return self.refuse(status, &error.to_string(), error.offset());
            }
        };
        match self.0.apply(batch, received).await {
            Ok(applied) => document(StatusCode::OK, &applied),
            Err(Rejected::Gap(log_status)) => document(StatusCode::CONFLICT, &log_status),
            // Splitting the batch would not help, and its purges must not be given up: the purger
            // tries again.
            Err(error @ Rejected::Partitions(_)) => {
                self.0.metrics.count(BatchOutcome::Refused);
                problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
            }
            Err(Rejected::Journal(error)) => {
                tracing::error!(%error, "a batch of the purge log is not acknowledged");
                problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
            }
        }
    }

    /// Answers `DELETE`: an order to forget a topic.
    pub async fn forget(&self, query: Option<&str>) -> Response<ResponseBody> {
        let topic = query.and_then(|query| query.strip_prefix("topic="));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let Some(topic) = topic.filter(|name| !name.is_empty() && name.bytes().all(is_name)) else {
            let detail = "The parameter topic is the name of a Kafka topic: ?topic=cache-purge";
            return problem(StatusCode::BAD_REQUEST, detail);
        };
        match self.0.forget_topic(topic).await {
            Ok(partitions) => document(
                StatusCode::OK,
                &serde_json::json!({ "topic": topic, "partitions": partitions }),
            ),
            Err(error) => {
                let status = match error {
                    NotForgotten::Attended(_) => StatusCode::CONFLICT,
                    NotForgotten::Journal(_) => StatusCode::SERVICE_UNAVAILABLE,
                };
                problem(status, &error.to_string())
            }
        }
    }

    /// Refuses a batch with a [`Refusal`] in a problem document (RFC 9457).
    fn refuse(
        &self,
        status: StatusCode,
        detail: &str,
        offset: Option<i64>,
    ) -> Response<ResponseBody> {
        self.0.metrics.count(BatchOutcome::Refused);
        let refusal = Refusal { proxy: self.0.instance.clone(), detail: detail.to_owned(), offset };
        let problem = Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            refusal,
        };
        let text = serde_json::to_vec(&problem).unwrap_or_default();
        json(status, text, "application/problem+json")
    }
}

#[derive(serde::Serialize)]
struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    #[serde(flatten)]
    refusal: Refusal,
}

fn document(status: StatusCode, value: &impl serde::Serialize) -> Response<ResponseBody> {
    json(status, serde_json::to_vec(value).unwrap_or_default(), "application/json")
}
