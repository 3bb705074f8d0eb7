//! `OriginBody`: the content of a response from the origin. It holds the connection and gives it back at its end.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::error::OriginError;
use super::pool::Lease;

/// Content as it arrives. Dropped before its end, the connection is closed.
#[derive(Debug)]
pub struct OriginBody {
    incoming: Incoming,
    lease: Option<(Lease, OwnedSemaphorePermit)>,
    idle_timeout: Duration,
    deadline: Instant,
    alarm: Pin<Box<Sleep>>,
    is_failed: bool,
}

impl OriginBody {
    pub(super) fn new(
        incoming: Incoming,
        lease: (Lease, OwnedSemaphorePermit),
        idle_timeout: Duration,
        deadline: Instant,
    ) -> Self {
        let alarm = Box::pin(tokio::time::sleep_until(deadline.min(Instant::now() + idle_timeout)));
        let mut body =
            Self { incoming, lease: Some(lease), idle_timeout, deadline, alarm, is_failed: false };
        body.give_back_at_end();
        body
    }

    /// Bytes of content, if the head told.
    pub fn length(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// Keeps the connection out of the pool: it was handed over to a tunnel.
    pub fn into_tunnel(mut self) {
        self.lease = None;
    }

    fn give_back_at_end(&mut self) {
        if self.incoming.is_end_stream()
            && let Some((lease, _permit)) = self.lease.take()
        {
            lease.give_back();
        }
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
        let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) else {
            ready!(this.alarm.as_mut().poll(cx));
            this.is_failed = true;
            return Poll::Ready(Some(Err(OriginError::BodyTimeout)));
        };
        match frame {
            Some(Ok(frame)) => {
                this.alarm.as_mut().reset(this.deadline.min(Instant::now() + this.idle_timeout));
                this.give_back_at_end();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.is_failed = true;
                Poll::Ready(Some(Err(OriginError::Incomplete(Arc::new(error)))))
            }
            None => {
                if let Some((lease, _permit)) = this.lease.take() {
                    lease.give_back();
                }
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
