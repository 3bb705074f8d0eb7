//! `OriginError`: the ways in which an exchange with the origin fails, and the answers of the proxy
//! to them.

use std::error::Error;
use std::sync::Arc;

use http::StatusCode;

use super::health::Unavailable;
use super::http2::StreamFault;
use super::names::NoAnswer;
use super::request_body::RequestBodyError;
use super::tcp_connector::ConnectError;
use crate::framing::Violation;
use crate::reason::Reason;
use crate::tls::ServerTlsError;

pub type Cause = Arc<dyn Error + Send + Sync>;

/// A failed exchange. No byte of it has reached a client unless the variant says so.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OriginError {
    #[error("the name of {server} cannot be resolved")]
    Resolve {
        server: String,
        #[source]
        source: NoAnswer,
    },
    #[error("{server} refused the connection")]
    Refused { server: String },
    #[error("{server} cannot be reached")]
    Unreachable {
        server: String,
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The TLS handshake failed: no byte of the request was sent.
    #[error("{server}: {error}")]
    Tls { server: String, error: ServerTlsError },
    #[error("{server} accepted no connection in time")]
    ConnectTimeout { server: String },
    /// All connections are in use, and the queue is full or the wait in it was too long.
    #[error("all connections to it are in use")]
    Busy,
    /// No server may get a request.
    #[error("{0}")]
    Unavailable(Unavailable),
    #[error("the server did not read the request in time")]
    SendTimeout,
    #[error("no response came in time")]
    HeadTimeout,
    /// The body stalled. The client may have part of it.
    #[error("the response stalled")]
    IdleTimeout,
    /// An event stream or a call in which nothing moved, in either direction.
    #[error("nothing came on the stream")]
    StreamIdleTimeout,
    #[error("no byte moved in the tunnel")]
    TunnelTimeout,
    /// The whole exchange took too long. The client may have part of the body.
    #[error("the exchange took too long")]
    TotalTimeout,
    #[error("the connection broke before the response")]
    Broken(#[source] Cause),
    /// The server says that it has not processed the request: it may be sent again (RFC 9113 §8.7).
    #[error("the server did not take the request: {0}")]
    Unprocessed(#[source] StreamFault),
    /// The server reset the stream before the response.
    #[error("the server ended the exchange: {0}")]
    Reset(#[source] StreamFault),
    #[error("the response is malformed: {0}")]
    Malformed(#[source] Cause),
    /// The server switched protocols without being asked to (RFC 9110 §7.8).
    #[error("the server switched protocols unasked")]
    Switched,
    /// The bytes can be read in more than one way, or are no response (RFC 9112).
    #[error("the response is malformed: {0}")]
    Framing(Violation),
    /// The server answered 304 to a request without conditions.
    #[error("it says that nothing has changed, but was not asked")]
    Unasked,
    /// The connection broke within the body. The client may have part of it.
    #[error("the response is incomplete")]
    Incomplete(#[source] Cause),
    /// The client's content exceeds the limit. Chunked content is only known to be at its end.
    #[error("the request's content is too long")]
    RequestTooLarge,
    #[error("the request's content stalled")]
    RequestStalled,
    #[error("the request's content broke off")]
    RequestBroken,
    /// This process has no file descriptor left. That says nothing of the server.
    #[error(
        "the proxy has no file descriptor left: raise the limit on open files, or lower limits.max_connections"
    )]
    NoDescriptors,
    /// The request line would be malformed. The rules for both protocols refuse such a request
    /// earlier; this is the last check.
    #[error("the request cannot be written")]
    Unwritable,
    /// The fetch ended without a result: its reader was too slow, or the proxy is shutting down.
    #[error("the fetch was abandoned")]
    Abandoned,
}

impl OriginError {
    /// Returns whether it is the origin's doing, or a limit of ours that it met; else the client's.
    pub const fn is_of_origin(&self) -> bool {
        !matches!(self, Self::RequestTooLarge | Self::RequestBroken | Self::Abandoned)
    }

    pub(super) fn connecting(server: &str, error: ConnectError) -> Self {
        let server = server.to_owned();
        let source = match error {
            ConnectError::Resolve(source) => {
                return Self::Resolve { server, source };
            }
            ConnectError::Connect(source) => source,
        };
        if matches!(source.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) {
            return Self::NoDescriptors;
        }
        match source.kind() {
            // no Unix socket of that name: nobody listens
            std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound => {
                Self::Refused { server }
            }
            std::io::ErrorKind::TimedOut => Self::ConnectTimeout { server },
            _ => Self::Unreachable { server, source: Arc::new(source) },
        }
    }

    pub(super) fn head(source: hyper::Error) -> Self {
        if let Some(violation) = violation_of(&source) {
            Self::Framing(violation)
        } else if source.is_parse() || source.is_parse_too_large() {
            Self::Malformed(Arc::new(source))
        } else if let Some(error) = ServerTlsError::of_exchange(&source) {
            Self::Tls { server: "the server".to_owned(), error }
        } else if source.is_user() {
            let error = source.source().and_then(<dyn Error>::downcast_ref);
            error.map_or(Self::RequestBroken, Self::of_request)
        } else {
            Self::Broken(Arc::new(source))
        }
    }

    pub(super) const fn of_request(error: &RequestBodyError) -> Self {
        match error {
            RequestBodyError::TooLarge => Self::RequestTooLarge,
            RequestBodyError::Stalled => Self::RequestStalled,
            RequestBodyError::Broken(_)
            | RequestBodyError::Cancelled
            | RequestBodyError::Trailers(_)
            | RequestBodyError::Abandoned => Self::RequestBroken,
        }
    }

    pub(super) fn content(source: hyper::Error) -> Self {
        match violation_of(&source) {
            Some(violation) => Self::Framing(violation),
            None => Self::Incomplete(Arc::new(source)),
        }
    }

    /// Returns whether the exchange failed because no server could be connected to.
    pub const fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_)
                | Self::Resolve { .. }
                | Self::Refused { .. }
                | Self::Unreachable { .. }
                | Self::ConnectTimeout { .. }
                | Self::Tls { .. }
        )
    }

    /// Returns whether the content of the request failed on its way from the client.
    pub(super) const fn is_of_request_content(&self) -> bool {
        matches!(self, Self::RequestBroken | Self::RequestTooLarge | Self::RequestStalled)
    }

    pub const fn status(&self) -> StatusCode {
        match self {
            Self::ConnectTimeout { .. }
            | Self::Tls { error: ServerTlsError::Timeout, .. }
            | Self::SendTimeout
            | Self::HeadTimeout
            | Self::IdleTimeout
            | Self::StreamIdleTimeout
            | Self::TunnelTimeout
            | Self::TotalTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Busy | Self::NoDescriptors | Self::Unavailable(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestStalled => StatusCode::REQUEST_TIMEOUT,
            Self::RequestBroken | Self::Unwritable => StatusCode::BAD_REQUEST,
            Self::Resolve { .. }
            | Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Broken(_)
            | Self::Unprocessed(_)
            | Self::Reset(_)
            | Self::Malformed(_)
            | Self::Framing(_)
            | Self::Unasked
            | Self::Switched
            | Self::Incomplete(_)
            | Self::Abandoned => StatusCode::BAD_GATEWAY,
        }
    }

    /// The error type of RFC 9209 §2.3.
    pub const fn proxy_status_type(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "dns_error",
            Self::Refused { .. } => "connection_refused",
            Self::Unreachable { .. } => "destination_ip_unroutable",
            Self::Tls { error, .. } => error.proxy_status_type(),
            Self::ConnectTimeout { .. } => "connection_timeout",
            Self::Busy => "connection_limit_reached",
            Self::Unavailable(_) => "destination_unavailable",
            Self::SendTimeout => "connection_write_timeout",
            Self::HeadTimeout
            | Self::IdleTimeout
            | Self::StreamIdleTimeout
            | Self::TunnelTimeout => "connection_read_timeout",
            Self::TotalTimeout => "http_response_timeout",
            Self::Broken(_) | Self::Unprocessed(_) | Self::Reset(_) => "connection_terminated",
            Self::Malformed(_) | Self::Framing(_) | Self::Unasked | Self::Switched => {
                "http_protocol_error"
            }
            Self::Incomplete(_) => "http_response_incomplete",
            Self::RequestTooLarge
            | Self::RequestStalled
            | Self::RequestBroken
            | Self::Unwritable => "http_request_error",
            Self::NoDescriptors | Self::Abandoned => "proxy_internal_error",
        }
    }

    pub const fn reason(&self) -> Reason {
        match self {
            Self::Resolve { .. } => Reason::Resolve,
            Self::Refused { .. } => Reason::ConnectRefused,
            Self::Unreachable { .. } => Reason::Unreachable,
            Self::Tls { error, .. } => error.reason(),
            Self::ConnectTimeout { .. } => Reason::ConnectTimeout,
            Self::Busy => Reason::Busy,
            Self::NoDescriptors => Reason::Descriptors,
            Self::Unavailable(_) => Reason::Unavailable,
            Self::SendTimeout => Reason::SendTimeout,
            Self::HeadTimeout => Reason::FirstByteTimeout,
            Self::IdleTimeout => Reason::IdleTimeout,
            Self::StreamIdleTimeout => Reason::StreamIdleTimeout,
            Self::TunnelTimeout => Reason::TunnelTimeout,
            Self::TotalTimeout => Reason::TotalTimeout,
            Self::Broken(_) => Reason::Broken,
            Self::Unprocessed(_) => Reason::Unprocessed,
            Self::Reset(_) => Reason::Reset,
            Self::Malformed(_) | Self::Framing(_) | Self::Unasked | Self::Switched => {
                Reason::Malformed
            }
            Self::Incomplete(_) => Reason::Incomplete,
            Self::RequestStalled => Reason::RequestStalled,
            Self::RequestTooLarge | Self::RequestBroken => Reason::RequestBody,
            Self::Unwritable => Reason::Unwritable,
            Self::Abandoned => Reason::Abandoned,
        }
    }

    pub const fn setting(&self) -> Option<&'static str> {
        match self {
            Self::ConnectTimeout { .. } | Self::Tls { error: ServerTlsError::Timeout, .. } => {
                Some("connect_timeout")
            }
            Self::HeadTimeout => Some("first_byte_timeout"),
            Self::SendTimeout | Self::IdleTimeout => Some("idle_timeout"),
            Self::StreamIdleTimeout => Some("stream_idle_timeout"),
            Self::TunnelTimeout => Some("limits.tunnel_timeout"),
            Self::TotalTimeout => Some("total_timeout"),
            Self::RequestStalled => Some("limits.body_timeout"),
            _ => None,
        }
    }
}

/// Returns the rule that the response broke, if [`super::server_stream`] found one.
fn violation_of(error: &hyper::Error) -> Option<Violation> {
    let source = error.source()?.downcast_ref::<std::io::Error>()?;
    source.get_ref()?.downcast_ref::<Violation>().copied()
}
