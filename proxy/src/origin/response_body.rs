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
use super::is_over;
use super::metrics::OriginMetrics;
use super::pool::Lease;
use crate::request::hop_by_hop;

/// Content as it arrives. Dropped before its end, the connection is closed.
#[derive(Debug)]
pub struct OriginBody {
    incoming: Incoming,
    lease: Arc<Mutex<Option<Lent>>>,
    /// How often it gave content, for its guard; [`WAITING`] while its reader waits for the origin.
    taken: Arc<AtomicU64>,
    taken_count: u64,
    limits: ContentLimits,
    metrics: Arc<OriginMetrics>,
    alarm: Pin<Box<Sleep>>,
    /// Whether the alarm is running: only while the origin is waited for.
    is_waiting: bool,
    is_failed: bool,
    is_early: bool,
}

/// How long the content of a response may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContentLimits {
    /// Between two pieces.
    pub(super) idle_timeout: Duration,
    /// When the exchange ends, however well it goes.
    pub(super) deadline: Option<Instant>,
}

/// The connection, and the permit for the exchange.
type Lent = (Lease, OwnedSemaphorePermit);

impl OriginBody {
    pub(super) fn new(
        incoming: Incoming,
        lease: Lent,
        limits: ContentLimits,
        metrics: Arc<OriginMetrics>,
    ) -> Self {
        let is_early = lease.0.is_spoiled();
        let body = Self {
            incoming,
            is_early,
            lease: Arc::new(Mutex::new(Some(lease))),
            taken: Arc::new(AtomicU64::new(1)),
            taken_count: 1,
            limits,
            metrics,
            alarm: Box::pin(tokio::time::sleep(limits.idle_timeout)),
            is_waiting: false,
            is_failed: false,
        };
        body.give_back_at_end();
        body
    }

    /// Closes the connection when nobody asks for content for `patience`: a client that takes none over HTTP/2 is not noticed
    /// otherwise, and would hold it as long as it likes.
    pub fn guard(&self, patience: Duration) {
        let lease = Arc::downgrade(&self.lease);
        let taken = Arc::clone(&self.taken);
        tokio::spawn(async move {
            loop {
                let before = taken.load(Ordering::Relaxed);
                tokio::time::sleep(patience).await;
                let Some(lease) = lease.upgrade() else { return };
                if before != WAITING && taken.load(Ordering::Relaxed) == before {
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

    /// Returns whether it came before the server had read the request: the rest of that goes nowhere.
    pub const fn is_early(&self) -> bool {
        self.is_early
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

impl OriginBody {
    /// Ready when the origin was waited for too long. Time that the reader takes does not count.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_waiting {
            self.is_waiting = true;
            let due = Instant::now() + self.limits.idle_timeout;
            let due = self.limits.deadline.map_or(due, |deadline| deadline.min(due));
            self.alarm.as_mut().reset(due);
        }
        self.alarm.as_mut().poll(cx)
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
        let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) else {
            this.taken.store(WAITING, Ordering::Relaxed);
            ready!(this.poll_alarm(cx));
            let is_over = is_over(this.limits.deadline);
            return this.fail(if is_over {
                OriginError::TotalTimeout
            } else {
                OriginError::IdleTimeout
            });
        };
        this.is_waiting = false;
        this.taken_count += 1;
        this.taken.store(this.taken_count, Ordering::Relaxed);
        match frame {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    hop_by_hop::remove_from_trailers(trailers);
                }
                this.give_back_at_end();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => this.fail(OriginError::content(error)),
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

/// Nobody is to blame but the origin.
const WAITING: u64 = 0;
