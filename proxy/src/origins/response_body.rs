//! `OriginBody`: the content of a response from the origin. It gives the connection back at its
//! end.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::content::ResponseContent;
use super::error::OriginError;
use super::metrics::OriginMetrics;
use super::phases::OriginPhase;
use super::server::connection::ServerConnection;
use super::slots::RequestSlot;
use crate::field::hop_by_hop;

/// Content as it arrives. Dropping it before its end closes the connection.
#[derive(Debug)]
pub struct OriginBody {
    incoming: ResponseContent,
    /// The first frame, or the end, if it had arrived with the head.
    ahead: Poll<Option<Box<Frame<Bytes>>>>,
    connection: Option<Lent>,
    limits: ContentLimits,
    metrics: Arc<OriginMetrics>,
    begun: Instant,
    alarm: Pin<Box<Sleep>>,
    /// The alarm runs only while the origin is waited for.
    is_waiting: bool,
    is_failed: bool,
    is_early: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ContentLimits {
    pub(super) idle_timeout: Duration,
    /// The end of the exchange, even if it makes progress.
    pub(super) deadline: Option<Instant>,
    pub(super) is_grpc: bool,
    /// It has pauses by nature, so that the limit is `stream_idle_timeout`.
    pub(super) is_stream: bool,
}

impl ContentLimits {
    const fn idle_error(&self) -> OriginError {
        if self.is_stream { OriginError::StreamIdleTimeout } else { OriginError::IdleTimeout }
    }
}

type Lent = (ServerConnection, RequestSlot);

impl OriginBody {
    pub(super) fn new(
        incoming: ResponseContent,
        connection: Lent,
        limits: ContentLimits,
        metrics: Arc<OriginMetrics>,
    ) -> Self {
        let is_early = connection.0.is_spoiled();
        let mut body = Self {
            incoming,
            ahead: Poll::Pending,
            is_early,
            connection: Some(connection),
            limits,
            metrics,
            begun: Instant::now(),
            alarm: Box::pin(tokio::time::sleep(limits.idle_timeout)),
            is_waiting: false,
            is_failed: false,
        };
        body.give_back_at_end();
        body
    }

    /// Looks at what has arrived with the head, and never waits. Fails if it is broken: no byte of
    /// the response has reached a client, who gets a better answer.
    pub(super) async fn look_ahead(mut self) -> Result<Self, OriginError> {
        let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut self.incoming).poll_frame(cx))).await;
        self.ahead = match first {
            Poll::Pending => Poll::Pending,
            Poll::Ready(frame) => Poll::Ready(frame.transpose()?.map(Box::new)),
        };
        Ok(self)
    }

    pub fn length(&self) -> Option<u64> {
        self.size_hint().exact()
    }

    /// Returns whether the response came before the server had read the request, whose rest is not
    /// sent.
    pub const fn is_early(&self) -> bool {
        self.is_early
    }

    /// Keeps the connection out of the pool: a tunnel has it now.
    pub fn into_tunnel(mut self) {
        if let Some((connection, _slot)) = self.connection.take() {
            connection.into_tunnel();
        }
    }

    fn give_back_at_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some((connection, _slot)) = self.connection.take() {
            self.metrics.phases.end(OriginPhase::Transfer, self.begun);
            connection.give_back();
        }
    }
}

impl OriginBody {
    /// Ready when the origin was waited for too long. Time that the reader takes does not count,
    /// nor does time in which the origin may wait for the client.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_waiting {
            self.is_waiting = true;
            let due = Instant::now() + self.limits.idle_timeout;
            let due = self.limits.deadline.map_or(due, |deadline| deadline.min(due));
            self.alarm.as_mut().reset(due);
        }
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            if !self.incoming.may_wait_for_request() || is_over(self.limits.deadline) {
                return Poll::Ready(());
            }
            let due = Instant::now() + self.limits.idle_timeout;
            self.alarm.as_mut().reset(self.limits.deadline.map_or(due, |end| end.min(due)));
        }
    }

    fn fail(&mut self, error: OriginError) -> Poll<Option<Result<Frame<Bytes>, OriginError>>> {
        self.is_failed = true;
        self.metrics.count_broken_off(&error);
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = OriginError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OriginError>>> {
        let this = self.get_mut();
        if this.is_failed {
            return Poll::Ready(None);
        }
        if is_over(this.limits.deadline) {
            return this.fail(OriginError::TotalTimeout);
        }
        let next = match std::mem::replace(&mut this.ahead, Poll::Pending) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| Ok(*frame))),
            Poll::Pending => Pin::new(&mut this.incoming).poll_frame(cx),
        };
        let Poll::Ready(frame) = next else {
            ready!(this.poll_alarm(cx));
            let is_over = is_over(this.limits.deadline);
            return this.fail(if is_over {
                OriginError::TotalTimeout
            } else {
                this.limits.idle_error()
            });
        };
        this.is_waiting = false;
        match frame {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    if this.limits.is_grpc {
                        hop_by_hop::remove(trailers); // the rest is metadata, for the client
                    } else {
                        hop_by_hop::remove_from_trailers(trailers);
                    }
                }
                this.give_back_at_end();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => this.fail(error),
            None => {
                this.give_back();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.ahead {
            Poll::Ready(frame) => frame.is_none(),
            Poll::Pending => self.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.incoming.size_hint();
        if let Poll::Ready(Some(frame)) = &self.ahead {
            let ahead = frame.data_ref().map_or(0, |data| data.len() as u64);
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper + ahead);
            }
            hint.set_lower(hint.lower() + ahead);
        }
        hint
    }
}

pub(super) fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}
