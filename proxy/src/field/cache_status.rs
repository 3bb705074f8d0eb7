//! `Cache-Status` (RFC 9211): how the cache handled a request, with the reason.

use http::{HeaderName, HeaderValue, StatusCode};

use crate::reason::Reason;

pub const NAME: HeaderName = HeaderName::from_static("cache-status");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// Answered from the store, with this many seconds of freshness left (RFC 9211 §2.1, §2.4).
    Hit {
        /// Negative when stale.
        ttl: i64,
        detail: Option<Reason>,
    },
    /// Forwarded (RFC 9211 §2.2).
    Forward(Forwarded),
    Refused(Reason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    pub reason: ForwardReason,
    /// `fwd-status` (§2.3).
    pub status: Option<StatusCode>,
    /// `stored` (§2.5).
    pub is_stored: bool,
    /// `collapsed` (§2.6).
    pub is_collapsed: bool,
    /// `detail` (§2.8): a token.
    pub detail: Option<Reason>,
}

/// The reason for which a request goes to the origin (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardReason {
    /// The cache was configured not to handle it.
    Bypass,
    /// Its method is not answered from a cache.
    Method,
    /// No response is stored under its URL.
    UriMiss,
    /// Responses are stored under its URL, but for other selecting fields.
    VaryMiss,
    /// The client does not want a stored response.
    Request,
    Stale,
    /// A part is stored, and not the one that is asked for.
    Partial,
}

impl ForwardReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

impl Forwarded {
    pub const fn new(reason: ForwardReason) -> Self {
        Self { reason, status: None, is_stored: false, is_collapsed: false, detail: None }
    }
}

impl CacheStatus {
    /// Returns why it was answered so, where there is more to say than hit or miss.
    pub const fn detail(&self) -> Option<Reason> {
        match self {
            Self::Hit { detail, .. } | Self::Forward(Forwarded { detail, .. }) => *detail,
            Self::Refused(reason) => Some(*reason),
        }
    }

    /// Returns the member of the list. Its parts are tokens and numbers, so nothing needs quoting.
    pub fn value(&self, name: &str) -> HeaderValue {
        let mut text = Vec::with_capacity(64);
        text.extend_from_slice(name.as_bytes());
        match self {
            Self::Hit { ttl, detail } => {
                text.extend_from_slice(b"; hit; ttl=");
                text.extend_from_slice(itoa::Buffer::new().format(*ttl).as_bytes());
                push_parameter(&mut text, b"; detail=", detail.map(Reason::as_str));
            }
            Self::Forward(forward) => forward.push(&mut text),
            Self::Refused(detail) => {
                push_parameter(&mut text, b"; detail=", Some(detail.as_str()));
            }
        }
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
            .unwrap_or_else(|_| HeaderValue::from_static("shellac"))
    }
}

impl Forwarded {
    fn push(self, text: &mut Vec<u8>) {
        push_parameter(text, b"; fwd=", Some(self.reason.as_str()));
        push_parameter(text, b"; fwd-status=", self.status.as_ref().map(StatusCode::as_str));
        if self.is_stored {
            text.extend_from_slice(b"; stored");
        }
        if self.is_collapsed {
            text.extend_from_slice(b"; collapsed");
        }
        push_parameter(text, b"; detail=", self.detail.map(Reason::as_str));
    }
}

fn push_parameter(text: &mut Vec<u8>, name: &[u8], value: Option<&str>) {
    if let Some(value) = value {
        text.extend_from_slice(name);
        text.extend_from_slice(value.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_a_structured_field() {
        let forward = Forwarded {
            reason: ForwardReason::UriMiss,
            status: Some(StatusCode::OK),
            is_stored: true,
            is_collapsed: true,
            detail: Some(Reason::NoStore),
        };
        for (status, text) in [
            (CacheStatus::Hit { ttl: 112, detail: None }, "shellac; hit; ttl=112"),
            (
                CacheStatus::Hit { ttl: -3, detail: Some(Reason::StaleWhileRevalidate) },
                "shellac; hit; ttl=-3; detail=stale_while_revalidate",
            ),
            (
                CacheStatus::Forward(forward),
                "shellac; fwd=uri-miss; fwd-status=200; stored; collapsed; detail=no_store",
            ),
            (CacheStatus::Refused(Reason::Limit), "shellac; detail=limit"),
        ] {
            let value = status.value("shellac");
            assert_eq!(value, text);
            sfv::Parser::new(value.as_bytes()).parse::<sfv::List>().unwrap();
        }
    }
}
