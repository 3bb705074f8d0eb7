//! Errors of fetches.

use http::StatusCode;

use crate::origins::OriginError;

/// The reason for which a request that went to the origin has no response.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the origin server gave no usable response: {0}")]
    Origin(#[from] OriginError),
    /// As many requests are at the origin as may be. The client may try again.
    #[error("too many requests are waiting for the origin server")]
    Overloaded,
}

/// Returns whether a stale response may be served in place of one with this status (RFC 5861 §4).
pub(super) const fn is_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}
