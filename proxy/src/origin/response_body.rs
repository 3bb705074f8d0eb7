//! `OriginBody`: the content of a response from the origin. It holds the connection and gives it back at its end.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::error::OriginError;
use super::pool::Lease;
use crate::request::hop_by_hop;

/// Content as it arrives. Dropped before its end, the connection is closed.
#[derive(Debug)]
pub struct OriginBody {
    incoming: Incoming,
    lease: Arc<Mutex<Option<Lent>>>,
    /// How often it was asked for content, for its guard.
    polls: Arc<AtomicU64>,
    idle_timeout: Duration,
    deadline: Instant,
    alarm: Pin<Box<Sleep>>,
    is_failed: bool,
}

/// The connection, and the permit for the exchange.
type Lent = (Lease, OwnedSemaphorePermit);

impl OriginBody {
    pub(super) fn new(
        incoming: Incoming,
        lease: Lent,
        idle_timeout: Duration,
        deadline: Instant,
    ) -> Self {
        let alarm = Box::pin(tokio::time::sleep_until(deadline.min(Instant::now() + idle_timeout)));
        let lease = Arc::new(Mutex::new(Some(lease)));
        let polls = Arc::default();
        let body = Self { incoming, lease, polls, idle_timeout, deadline, alarm, is_failed: false };
        body.give_back_at_end();
        body
    }

    /// Closes the connection when nobody asks for content for `patience`: a client that takes none over HTTP/2 is not noticed
    /// otherwise, and would hold it as long as it likes.
    pub fn guard(&self, patience: Duration) {
        let lease = Arc::downgrade(&self.lease);
        let polls = Arc::clone(&self.polls);
        tokio::spawn(async move {
            loop {
                let before = polls.load(Ordering::Relaxed);
                tokio::time::sleep(patience).await;
                let Some(lease) = lease.upgrade() else { return };
                if polls.load(Ordering::Relaxed) == before {
                    drop(lease.lock().take());
                    return;
                }
            }
        });
    }

    /// Bytes of content, if the head told.
    pub fn length(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// Keeps the connection out of the pool: it was handed over to a tunnel.
    pub fn into_tunnel(self) {
        drop(self.lease.lock().take());
    }

    fn give_back_at_end(&self) {
        if self.incoming.is_end_stream() {
            self.give_back();
        }
    }

    fn give_back(&self) {
        let lent = self.lease.lock().take();
        if let Some((lease, _permit)) = lent {
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
        this.polls.fetch_add(1, Ordering::Relaxed);
        if Instant::now() >= this.deadline {
            this.is_failed = true;
            return Poll::Ready(Some(Err(OriginError::BodyTimeout)));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) else {
            ready!(this.alarm.as_mut().poll(cx));
            this.is_failed = true;
            return Poll::Ready(Some(Err(OriginError::BodyTimeout)));
        };
        match frame {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    hop_by_hop::remove_from_trailers(trailers);
                }
                this.alarm.as_mut().reset(this.deadline.min(Instant::now() + this.idle_timeout));
                this.give_back_at_end();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.is_failed = true;
                Poll::Ready(Some(Err(OriginError::content(error))))
            }
            None => {
                this.give_back();
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
