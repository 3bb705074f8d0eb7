//! `FlightReader`: reads one flight at its own pace.

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;

use super::{Flight, FlightEnd, FlightState, HeadOutcome};
use crate::origins::OriginError;
use crate::store::Body;

#[derive(Debug)]
pub enum FlightPiece {
    /// Bytes, or the trailers behind them.
    Frame(Frame<Bytes>),
    /// All content that follows is stored: this range of it.
    Stored(Body, Range<u64>),
}

/// Reads a flight at its own pace. Dropped, it no longer holds up the writer.
#[derive(Debug)]
pub struct FlightReader {
    flight: Arc<Flight>,
    slot: usize,
    /// Bytes that it has read.
    taken: u64,
    /// Set once it has been sent on to the stored content.
    is_sent_on: bool,
    is_ended: bool,
}

impl FlightReader {
    pub(super) const fn new(flight: Arc<Flight>, slot: usize) -> Self {
        Self { flight, slot, taken: 0, is_sent_on: false, is_ended: false }
    }

    pub const fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    pub async fn head(&self) -> HeadOutcome {
        std::future::poll_fn(|cx| self.poll_head(cx)).await
    }

    /// Returns the head once it has arrived.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "the form of all poll functions")]
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<HeadOutcome> {
        let mut state = self.flight.state.lock();
        if let Some(outcome) = &state.head {
            return Poll::Ready(outcome.clone());
        }
        state.readers.wait(self.slot, cx);
        Poll::Pending
    }

    /// Returns the next piece of content, then the trailers, then `None`.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "the form of all poll functions")]
    pub fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<FlightPiece, OriginError>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        let mut state = self.flight.state.lock();
        let FlightState { pieces, stored, readers, end, .. } = &mut *state;
        if let Some((body, part)) = stored
            && !self.is_sent_on
        {
            self.is_sent_on = true;
            let rest = part.start + self.taken..part.end;
            if !rest.is_empty() {
                return Poll::Ready(Some(Ok(FlightPiece::Stored(body.clone(), rest))));
            }
        }
        if let Some(slot) = readers.get_mut(self.slot)
            && let Some(piece) = pieces.get(slot.next)
        {
            slot.next += 1;
            self.taken += piece.len() as u64;
            readers.wake_writer();
            if end.is_some() {
                // No reader joins any more: pieces that all of them have are dropped.
                pieces.drop_until(readers.slowest().unwrap_or(usize::MAX));
            }
            return Poll::Ready(Some(Ok(FlightPiece::Frame(Frame::data(piece)))));
        }
        match end {
            None => {
                readers.wait(self.slot, cx);
                Poll::Pending
            }
            Some(FlightEnd::Failed(error)) => {
                self.is_ended = true;
                Poll::Ready(Some(Err(error.clone())))
            }
            Some(FlightEnd::Complete(trailers)) => {
                self.is_ended = true;
                Poll::Ready(
                    trailers
                        .clone()
                        .map(|trailers| Ok(FlightPiece::Frame(Frame::trailers(trailers)))),
                )
            }
        }
    }
}

impl Drop for FlightReader {
    fn drop(&mut self) {
        self.flight.state.lock().readers.leave(self.slot);
    }
}
