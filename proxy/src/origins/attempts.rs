//! `Attempts`: the retries of a request, and the conditions under which they are safe (RFC 9110
//! §9.2.2).

use http::{Method, Request, StatusCode};

use super::error::OriginError;
use super::request_body::RequestBody;
use super::sending::SendProgress;

/// An extension of a request for a hashed file: a server that does not have it may be of another
/// deployment than the page that names it, so one more is asked.
#[derive(Clone, Copy, Debug)]
pub struct RetryMissing;

#[derive(Debug)]
pub(super) struct Attempts {
    left: u32,
    /// One other server is asked where this one does not have what is asked for.
    retries_missing: bool,
    /// An idle connection broke. That is not counted, once, and the next connection is a new one.
    idle_was_lost: bool,
}

#[derive(Debug)]
pub(super) enum Failed {
    /// The request was not written; it comes back for another attempt.
    Unsent(OriginError, Box<Request<RequestBody>>),
    /// The connection was given the request, and the exchange got this far.
    Sent(OriginError, SendProgress),
}

impl Failed {
    pub(super) fn map(self, change: impl FnOnce(OriginError) -> OriginError) -> Self {
        match self {
            Self::Unsent(error, request) => Self::Unsent(change(error), request),
            Self::Sent(error, extent) => Self::Sent(change(error), extent),
        }
    }

    pub(super) fn into_error(self) -> OriginError {
        match self {
            Self::Unsent(error, _) | Self::Sent(error, _) => error,
        }
    }
}

impl Attempts {
    pub(super) const fn new(retries: u32, retries_missing: bool) -> Self {
        Self { left: retries, retries_missing, idle_was_lost: false }
    }

    /// Returns whether another server is asked after this status, whatever is left.
    pub(super) fn retries_missing(&self, status: StatusCode) -> bool {
        let is_missing = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
        self.retries_missing && (is_missing || status.is_server_error())
    }

    pub(super) const fn use_up_missing(&mut self) {
        self.retries_missing = false;
    }

    pub(super) const fn may_reuse(&self) -> bool {
        !self.idle_was_lost
    }

    /// Notes that a connection was lost. Returns whether it was idle before, for the first time:
    /// that is not counted.
    pub(super) const fn lose_idle(&mut self, is_reused: bool) -> bool {
        let is_first = is_reused && !self.idle_was_lost;
        self.idle_was_lost |= is_reused;
        is_first
    }

    pub(super) const fn is_left(&self) -> bool {
        self.left > 0
    }

    pub(super) const fn use_up(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

/// Returns whether a request without content may be sent again after its connection broke.
pub(super) fn may_send_again(method: &Method, extent: SendProgress, is_reused: bool) -> bool {
    match extent {
        SendProgress::Nothing => true,
        SendProgress::Sent => method.is_safe() || is_reused && method.is_idempotent(),
        SendProgress::Answered => false,
    }
}

pub(super) fn copy_of(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}
