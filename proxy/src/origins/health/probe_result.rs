//! `ProbeResult`: what a probe came to.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::origins::OriginError;

#[derive(Clone, Debug)]
pub struct ProbeResult {
    end: ProbeEnd,
    pub took: Duration,
}

#[derive(Clone, Debug)]
enum ProbeEnd {
    Good(StatusCode),
    /// Connected to, which is all that was asked.
    Connected,
    Status(StatusCode),
    /// The content lacks the expected text.
    Body(StatusCode),
    TimedOut(Duration),
    NotConnected(String),
    NoResponse(String),
}

impl ProbeResult {
    pub(in crate::origins) const fn good(status: StatusCode, took: Duration) -> Self {
        Self { end: ProbeEnd::Good(status), took }
    }

    pub(in crate::origins) const fn connected(took: Duration) -> Self {
        Self { end: ProbeEnd::Connected, took }
    }

    pub(in crate::origins) const fn wrong_status(status: StatusCode, took: Duration) -> Self {
        Self { end: ProbeEnd::Status(status), took }
    }

    pub(in crate::origins) const fn wrong_body(status: StatusCode, took: Duration) -> Self {
        Self { end: ProbeEnd::Body(status), took }
    }

    pub(in crate::origins) const fn timed_out(limit: Duration, took: Duration) -> Self {
        Self { end: ProbeEnd::TimedOut(limit), took }
    }

    pub(in crate::origins) fn failed(error: &OriginError, took: Duration) -> Self {
        let text = error.to_string();
        let end = match error {
            _ if error.is_unreachable() => ProbeEnd::NotConnected(text),
            _ => ProbeEnd::NoResponse(text),
        };
        Self { end, took }
    }

    pub const fn is_good(&self) -> bool {
        matches!(self.end, ProbeEnd::Good(_) | ProbeEnd::Connected)
    }

    pub const fn status(&self) -> Option<StatusCode> {
        match self.end {
            ProbeEnd::Good(status) | ProbeEnd::Status(status) | ProbeEnd::Body(status) => {
                Some(status)
            }
            _ => None,
        }
    }

    /// The place of its label in [`LABELS`].
    pub(super) const fn place(&self) -> usize {
        match self.end {
            ProbeEnd::Good(_) | ProbeEnd::Connected => 0,
            ProbeEnd::Status(_) => 1,
            ProbeEnd::Body(_) => 2,
            ProbeEnd::TimedOut(_) => 3,
            ProbeEnd::NotConnected(_) => 4,
            ProbeEnd::NoResponse(_) => 5,
        }
    }
}

impl fmt::Display for ProbeResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            ProbeEnd::Good(status) => write!(f, "{} in {:?}", status.as_u16(), self.took),
            ProbeEnd::Connected => write!(f, "connected in {:?}", self.took),
            ProbeEnd::Status(status) => write!(f, "status {} is not expected", status.as_u16()),
            ProbeEnd::Body(_) => f.write_str("the content lacks the expected text"),
            ProbeEnd::TimedOut(limit) => write!(f, "no answer within {limit:?}"),
            ProbeEnd::NotConnected(error) | ProbeEnd::NoResponse(error) => f.write_str(error),
        }
    }
}

pub(super) const LABELS: [&str; 6] = ["ok", "status", "body", "timeout", "connect", "response"];
