//! The meaning of a proxy's answer to a batch.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use purge_protocol::log::{Applied, LogStatus, Refusal};

/// A proxy's answer, by what the sender does about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    Applied(Applied),
    /// There is a gap before the batch, or the proxy does not know the log: go back to its
    /// position.
    Gap(LogStatus),
    /// The proxy asks for a pause, of this length if it says so.
    Wait(Option<Duration>),
    /// The proxy refuses the content of the batch: split it until a single purge is refused.
    Refused(Refusal),
    /// The proxy denies access, which an operator has to mend. Keep trying, so that no purge is
    /// lost.
    NotAllowed(String),
    /// There was no answer within this time.
    Late(Duration),
    /// Another server answered, or the proxy failed: try again.
    Failed(String),
}

impl DeliveryOutcome {
    pub fn of(status: StatusCode, fields: &HeaderMap, body: &[u8]) -> Self {
        let text = || {
            let text = String::from_utf8_lossy(body);
            let short: String = text.trim().chars().take(TEXT_MAX).collect();
            format!("{status}: {short}")
        };
        match status {
            StatusCode::OK => match serde_json::from_slice(body) {
                Ok(applied) => Self::Applied(applied),
                Err(error) => Self::Failed(format!("200 without an answer to a batch: {error}")),
            },
            StatusCode::CONFLICT => match serde_json::from_slice(body) {
                Ok(log_status) => Self::Gap(log_status),
                Err(error) => Self::Failed(format!("409 without a log_status: {error}")),
            },
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Self::Wait(retry_after(fields))
            }
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => match serde_json::from_slice(body) {
                Ok(refusal) => Self::Refused(refusal),
                // A TLS port or an intermediary answers anything in this way; no purge may be given
                // up for that.
                Err(_no_refusal) => Self::Failed(format!("no proxy's answer: {}", text())),
            },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::NotAllowed(text()),
            _ => Self::Failed(text()),
        }
    }

    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Applied(_) => "applied",
            Self::Gap(_) => "hole",
            Self::Wait(_) => "wait",
            Self::Refused(_) => "refused",
            Self::NotAllowed(_) => "not_allowed",
            Self::Late(_) | Self::Failed(_) => "failed",
        }
    }
}

/// Reads `Retry-After` in seconds and ignores a date.
fn retry_after(fields: &HeaderMap) -> Option<Duration> {
    let value = fields.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(value.trim().parse().ok()?).min(RETRY_AFTER_MAX))
}

const TEXT_MAX: usize = 300;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, body: &str) -> &'static str {
        DeliveryOutcome::of(
            StatusCode::from_u16(status).unwrap(),
            &HeaderMap::new(),
            body.as_bytes(),
        )
        .as_str()
    }

    #[test]
    fn an_answer_means_one_thing() {
        for (status, body, expected) in [
            (200, r#"{"instance":"i","next":5}"#, "applied"),
            (200, "<html>", "failed"),
            (409, r#"{"instance":"i","state":"current","positions":[]}"#, "hole"),
            (409, "", "failed"),
            (429, "", "wait"),
            (503, "", "wait"),
            (400, r#"{"proxy":"i","detail":"d"}"#, "refused"),
            (413, r#"{"proxy":"i","detail":"d","offset":3,"status":413}"#, "refused"),
            (400, "", "failed"),
            (400, "<html>The plain HTTP request was sent to HTTPS port</html>", "failed"),
            (400, r#"{"detail":"d"}"#, "failed"),
            (413, "", "failed"),
            (422, "", "failed"),
            (401, "", "not_allowed"),
            (403, "", "not_allowed"),
            (404, "", "failed"),
            (500, "", "failed"),
        ] {
            assert_eq!(outcome(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_pause_is_bounded() {
        let fields = |value: &'static str| {
            let mut fields = HeaderMap::new();
            fields.insert("retry-after", value.parse().unwrap());
            fields
        };
        assert_eq!(retry_after(&fields("3")), Some(Duration::from_secs(3)));
        assert_eq!(retry_after(&fields("99999999")), Some(RETRY_AFTER_MAX));
        assert_eq!(retry_after(&fields("soon")), None);
    }
}
