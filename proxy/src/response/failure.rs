//! Errors as responses: status code, `Proxy-Status` (RFC 9209) and a small page.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    RETRY_AFTER,
};
use http::{Response, StatusCode};

use super::body::ResponseBody;
use crate::fetch::FetchError;
use crate::framing::Violation;
use crate::origins::OriginError;
use crate::reason::Reason;
use crate::request::refusal::Refusal;
use crate::request::trace;
use crate::tls::ServerTlsError;

/// Why a request gets no response but an error of ours.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProxyError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("The origin server gave no usable response: {0}.")]
    Origin(#[from] OriginError),
    /// A limit was reached. The client may try again.
    #[error("Too many requests are waiting for the origin server.")]
    Overloaded,
    #[error("The proxy is shutting down.")]
    ShuttingDown,
}

impl From<FetchError> for ProxyError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Origin(error) => Self::Origin(error),
            FetchError::Overloaded => Self::Overloaded,
        }
    }
}

impl ProxyError {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Refused(refusal) => status_of(*refusal),
            Self::Origin(error) => error.status(),
            Self::Overloaded | Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub const fn reason(&self) -> Reason {
        match self {
            Self::Refused(refusal) => refusal.reason(),
            Self::Origin(error) => error.reason(),
            Self::Overloaded => Reason::Limit,
            Self::ShuttingDown => Reason::Draining,
        }
    }

    /// Returns the value of `Proxy-Status`. Where a limit was reached, `details` names it (RFC 9209
    /// §2.1.5).
    fn proxy_status(&self, name: &str) -> String {
        let kind = self.proxy_status_type();
        match self {
            Self::Origin(OriginError::Tls { error: ServerTlsError::Timeout, .. }) => {
                format!("{name}; error={kind}; details=\"connect_timeout in the TLS handshake\"")
            }
            Self::Origin(error) if let Some(setting) = error.setting() => {
                format!("{name}; error={kind}; details=\"{setting}\"")
            }
            Self::Origin(OriginError::Tls { error, .. }) if let Some(alert) = error.alert() => {
                format!("{name}; error={kind}; alert-id={alert}")
            }
            Self::Origin(OriginError::Unavailable(why)) => {
                format!("{name}; error={kind}; details=\"{why}\"")
            }
            _ => format!("{name}; error={kind}"),
        }
    }

    /// Returns the error type of RFC 9209 §2.3.
    fn proxy_status_type(&self) -> &'static str {
        match self {
            Self::Refused(
                Refusal::PurgeForbidden | Refusal::AdminForbidden | Refusal::Unauthorized,
            ) => "http_request_denied",
            Self::Refused(Refusal::Loop(_)) => "proxy_loop_detected",
            Self::Refused(Refusal::Unclaimed) => "destination_not_found",
            Self::Refused(_) => "http_request_error",
            Self::Origin(error) => error.proxy_status_type(),
            Self::Overloaded | Self::ShuttingDown => "connection_limit_reached",
        }
    }
}

const fn status_of(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::MethodNotAllowed | Refusal::PurgeOff => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::PurgeForbidden | Refusal::AdminForbidden => StatusCode::FORBIDDEN,
        Refusal::Unauthorized => StatusCode::UNAUTHORIZED,
        Refusal::Host(_) | Refusal::Connection | Refusal::Malformed => StatusCode::BAD_REQUEST,
        Refusal::Framing(violation) => status_of_malformed(violation),
        Refusal::Loop(_) => StatusCode::LOOP_DETECTED,
        Refusal::Unclaimed => StatusCode::NOT_FOUND,
        Refusal::UriTooLong { .. } => StatusCode::URI_TOO_LONG,
        Refusal::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::OnlyIfCached | Refusal::NotStored => StatusCode::GATEWAY_TIMEOUT,
    }
}

const fn status_of_malformed(violation: Violation) -> StatusCode {
    match violation {
        Violation::TransferCoding => StatusCode::NOT_IMPLEMENTED,
        Violation::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        Violation::TargetTooLong => StatusCode::URI_TOO_LONG,
        Violation::HeadTooLarge | Violation::TooManyFields => {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        }
        _ => StatusCode::BAD_REQUEST,
    }
}

/// Makes the response to a request with these fields. `name` is ours, in `Proxy-Status`.
pub fn respond(error: &ProxyError, fields: &HeaderMap, name: &str) -> Response<ResponseBody> {
    let id = trace::request_id(fields);
    let status = error.status();
    let wants_json = fields.get(ACCEPT).is_some_and(|accept| contains(accept.as_bytes(), b"json"));
    let (content_type, page) =
        if wants_json { json(status, error, &id) } else { html(status, error, &id) };
    let mut response = Response::new(ResponseBody::whole(Bytes::from(page)));
    *response.status_mut() = status;
    let map = response.headers_mut();
    map.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    map.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    insert_text(map, HeaderName::from_static("x-request-id"), &id);
    insert_text(map, PROXY_STATUS, &error.proxy_status(name));
    match error {
        ProxyError::Overloaded
        | ProxyError::ShuttingDown
        | ProxyError::Origin(OriginError::Busy) => {
            map.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        ProxyError::Refused(Refusal::MethodNotAllowed | Refusal::PurgeOff) => {
            map.insert(ALLOW, HeaderValue::from_static(METHODS));
        }
        ProxyError::Refused(Refusal::Unauthorized) => {
            map.insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        ProxyError::Origin(OriginError::Unavailable(why)) => {
            insert_text(map, RETRY_AFTER, &whole_seconds(why.retry_after).to_string());
        }
        ProxyError::Refused(_) | ProxyError::Origin(_) => {}
    }
    if closes_connection(error) {
        map.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Returns the number of seconds after which the time is over, at least one.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).max(1)
}

/// Makes the response to OPTIONS that goes no further (RFC 9110 §7.6.2).
pub fn options() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
    response
}

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Returns whether the connection ends: after a request that was not understood, or not read to its
/// end, the beginning of the next one is unknown.
const fn closes_connection(error: &ProxyError) -> bool {
    matches!(
        error,
        ProxyError::ShuttingDown
            | ProxyError::Origin(
                OriginError::SendTimeout
                    | OriginError::RequestTooLarge
                    | OriginError::RequestStalled
                    | OriginError::RequestBroken
            )
            | ProxyError::Refused(
                Refusal::Framing(_)
                    | Refusal::Host(_)
                    | Refusal::Connection
                    | Refusal::MethodNotAllowed
                    | Refusal::Malformed
                    | Refusal::BodyTooLarge { .. }
                    | Refusal::UriTooLong { .. }
            )
    )
}

fn json(status: StatusCode, error: &ProxyError, id: &str) -> (&'static str, String) {
    let page = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": error.to_string(),
        "code": error.reason().as_str(),
        "request_id": id,
    });
    ("application/problem+json", format!("{page}\n"))
}

fn html(status: StatusCode, error: &ProxyError, id: &str) -> (&'static str, String) {
    let title = status.canonical_reason().unwrap_or("Error");
    let code = status.as_u16();
    let reason = error.reason().as_str();
    let sentence = escape(&error.to_string());
    let page = format!(
        "<!doctype html><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>{title}</title>\
         <style>body{{font:1.1em/1.5 system-ui;max-width:34em;margin:15vh auto;padding:0 1em;color-scheme:light dark}}</style>\
         <h1>{code} {title}</h1><p>{sentence}<p><small>{reason} · request {id}</small>\n"
    );
    ("text/html; charset=utf-8", page)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn insert_text(map: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        map.insert(name, value);
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
