//! `Http2Connection`: a connection that many requests share, as long as the server takes new ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use super::driver::Driver;
use super::fault::before_head;
use super::progress::StreamProgress;
use super::shared::{Http2Limits, Http2State};
use super::wire::{Wire, WireState};
use crate::origins::error::OriginError;

/// Dropping it lets the connection end after its last stream.
#[derive(Debug)]
pub(in crate::origins) struct Http2Connection {
    /// The lock keeps requests in the order of their streams.
    sender: Mutex<SendRequest<Bytes>>,
    pub(super) shared: Arc<Http2State>,
    streams_max: usize,
}

/// The right to one request on a connection. Dropping it leaves room for another.
#[derive(Debug)]
pub(in crate::origins) struct StreamClaim {
    pub(super) connection: Arc<Http2Connection>,
    /// Another request was answered on the connection before.
    pub(in crate::origins) is_reused: bool,
    /// So it was, and there was none on it when this one came.
    pub(in crate::origins) was_idle: bool,
}

impl Http2Connection {
    /// Begins HTTP/2 on a new connection, and drives it in a task of its own.
    pub(in crate::origins) async fn begin<T>(
        stream: T,
        limits: &Http2Limits,
    ) -> Result<Self, OriginError>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let wire = Arc::new(WireState::new());
        let shared = Arc::new(Http2State::new(Arc::clone(&wire)));
        let streams_max = limits.streams_max.min(STREAMS_MAX);
        let window = STREAM_WINDOW.saturating_mul(u32::try_from(streams_max).unwrap_or(u32::MAX));
        let (sender, mut connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_max_send_streams(streams_max.min(STREAMS_BEFORE_SETTINGS))
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(window.min(WINDOW_MAX))
            .max_header_list_size(limits.head_bytes_max)
            .max_send_buffer_size(SEND_BUFFER_BYTES)
            .max_concurrent_reset_streams(RESETS_REMEMBERED)
            .reset_stream_duration(RESET_REMEMBERED_FOR)
            // Frames on streams that are forgotten are answered with resets. They are no fault of
            // the server: it cannot know yet that a client has left.
            .max_local_error_reset_streams(None)
            .handshake(Wire::new(stream, wire))
            .await
            .map_err(|error| before_head(error, shared.condition()))?;
        let pings = connection.ping_pong();
        tokio::spawn(Driver::new(connection, pings, Arc::clone(&shared), limits));
        Ok(Self { sender: Mutex::new(sender), shared, streams_max })
    }

    /// Waits until the server has said how many requests it takes at once, but not for long: one
    /// that is busy may not have come to it. Fails if the connection has ended: the server may not
    /// speak HTTP/2.
    pub(in crate::origins) async fn settled(&self) -> Result<(), OriginError> {
        let _busy = timeout(SETTINGS_PATIENCE, self.shared.settled.notified()).await;
        let mut cx = Context::from_waker(Waker::noop());
        let ready = self.sender.lock().poll_ready(&mut cx);
        match ready {
            Poll::Ready(Err(error)) => Err(before_head(error, self.shared.condition())),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Takes one of the streams that the server allows.
    pub(in crate::origins) fn claim(self: &Arc<Self>) -> Option<StreamClaim> {
        let allowed = self.allowed()?.min(self.streams_max);
        let taken = self.shared.claimed.try_update(Ordering::AcqRel, Ordering::Acquire, |open| {
            (open < allowed).then_some(open + 1)
        });
        let before = taken.ok()?;
        if before == 0 {
            *self.shared.changed.lock() = Instant::now();
        }
        let is_reused = self.shared.has_answered.load(Ordering::Acquire);
        let was_idle = is_reused && before == 0;
        Some(StreamClaim { connection: Arc::clone(self), is_reused, was_idle })
    }

    /// Returns the number of requests that the server allows at once, if it takes new ones.
    pub(super) fn allowed(&self) -> Option<usize> {
        let is_stuck = |since: Instant| since.elapsed() > STUCK_AFTER;
        (self.takes_requests() && !self.shared.wire.blocked().is_some_and(is_stuck))
            .then(|| self.sender.lock().current_max_send_streams())
    }

    /// Returns whether it may be given further requests. `idle_max` is the time for which it may
    /// have none.
    pub(in crate::origins) fn is_worth_keeping(&self, idle_max: Duration) -> bool {
        let is_idle = self.open() == 0 && self.shared.changed.lock().elapsed() >= idle_max;
        !is_idle && self.takes_requests()
    }

    /// Returns whether the server has sent no GOAWAY, and no fault has ended the connection.
    pub(in crate::origins) fn takes_requests(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        !matches!(self.sender.lock().poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    pub(in crate::origins) fn open(&self) -> usize {
        self.shared.claimed.load(Ordering::Acquire)
    }

    pub(super) fn send(
        &self,
        head: Request<()>,
        is_last: bool,
        progress: &Arc<StreamProgress>,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let sender = self.sender.lock();
        // A handle waits for its own last stream to open. This one is asked whether it is ready
        // with no waker, so it must have none.
        let (response, stream) = sender.clone().send_request(head, is_last)?;
        self.shared.wire.announce(response.stream_id().as_u32(), Arc::clone(progress));
        Ok((response, stream))
    }
}

impl Drop for StreamClaim {
    fn drop(&mut self) {
        let shared = &self.connection.shared;
        if shared.claimed.fetch_sub(1, Ordering::AcqRel) == 1 {
            *shared.changed.lock() = Instant::now();
        }
    }
}

/// Bytes of one response that the server may send before its reader has taken them. As much as is
/// read ahead of an HTTP/1 connection; at 1 ms to the server it allows 250 MB a second.
const STREAM_WINDOW: u32 = 256 << 10;
/// The largest window (RFC 9113 §6.9.1). A connection's window is that of all its streams, so that
/// responses nobody reads hold up no other.
const WINDOW_MAX: u32 = (1 << 31) - 1;
/// Bytes of one request that the library holds until they are written.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// Streams that were reset, of which frames may still come, at a few hundred bytes each.
const RESETS_REMEMBERED: usize = 1024;
/// The time for such frames to come.
const RESET_REMEMBERED_FOR: Duration = Duration::from_secs(10);
pub(super) const STREAMS_MAX: usize = 4096;
/// Requests on a connection whose server has not said how many it takes. RFC 9113 §6.5.2 recommends
/// no fewer.
pub(super) const STREAMS_BEFORE_SETTINGS: usize = 100;
const SETTINGS_PATIENCE: Duration = Duration::from_millis(250);
/// Further requests go on another connection when the socket has taken no bytes for so long.
const STUCK_AFTER: Duration = Duration::from_millis(250);
