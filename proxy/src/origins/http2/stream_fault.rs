//! `StreamFault`: why a stream ended, with its code (RFC 9113 §7).

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The library's error. Its reason is passed on: a stream that the server resets is reset towards
/// the client with the same code.
#[derive(Clone, Debug)]
pub struct StreamFault(pub(super) Arc<h2::Error>);

#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum ConnectionFault {
    #[error("the server answered with HTTP/1")]
    NotHttp2,
    #[error("the server did not answer a PING")]
    Silent,
}

impl fmt::Display for StreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for StreamFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
