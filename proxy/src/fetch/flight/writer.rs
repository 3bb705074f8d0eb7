//! `FlightWriter`: the only one that gives a flight its head, its content and its end.

use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::pieces::Retention;
use super::{Flight, FlightEnd, FlightReader, FlightState, HeadOutcome};
use crate::invalidation::RunningFetch;
use crate::origins::OriginError;
use crate::store::Body;

/// Writes one flight. Dropped before the end, it fails the flight for every reader.
#[derive(Debug)]
pub struct FlightWriter {
    pub(super) flight: Arc<Flight>,
    pub(super) birth: Arc<RunningFetch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    Retained,
    /// Kept only until every reader has it: the budget is used up, or it will not be stored.
    Transient,
}

impl FlightWriter {
    pub fn birth(&self) -> &RunningFetch {
        &self.birth
    }

    pub const fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    pub fn first_reader(&self) -> FlightReader {
        let mut state = self.flight.state.lock();
        let slot = state.readers.enter(usize::MAX).unwrap_or_default();
        FlightReader::new(Arc::clone(&self.flight), slot)
    }

    /// Tells the readers what the head is. Only the first call counts.
    pub fn publish_head(&self, outcome: HeadOutcome) {
        let mut state = self.flight.state.lock();
        state.head.get_or_insert(outcome);
        state.readers.wake_all();
    }

    /// Stops retaining pieces for readers that join later: the content will not be stored.
    pub fn stop_retaining(&self) {
        self.flight.state.lock().pieces.mode = Retention::Transient;
    }

    /// Sends the readers on to the stored content, of which `part` is theirs, and drops all pieces.
    pub fn stored(&self, body: Body, part: Range<u64>) {
        let mut state = self.flight.state.lock();
        state.stored = Some((body, part));
        state.pieces.drop_for_store();
        state.readers.wake_all();
    }

    pub fn push(&self, piece: Bytes) -> Pushed {
        let mut state = self.flight.state.lock();
        let has_company = state.readers.several();
        state.pieces.push(piece, has_company);
        state.readers.wake_all();
        match state.pieces.mode {
            Retention::Retained | Retention::Stored => Pushed::Retained,
            Retention::Transient => Pushed::Transient,
        }
    }

    /// Waits until the slowest reader is close enough, and drops the pieces that every reader has.
    /// Fails when there are no readers.
    pub async fn wait_for_readers(&self) -> Result<(), OriginError> {
        std::future::poll_fn(|cx| {
            let mut state = self.flight.state.lock();
            let FlightState { pieces, readers, .. } = &mut *state;
            let Some(slowest) = readers.slowest() else {
                return Poll::Ready(Err(OriginError::Abandoned));
            };
            pieces.drop_until(slowest);
            if pieces.has_room() {
                return Poll::Ready(Ok(()));
            }
            readers.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Waits until the content is neither stored nor read.
    pub async fn wait_until_unread(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.flight.state.lock();
            let FlightState { pieces, readers, .. } = &mut *state;
            if pieces.mode == Retention::Transient && readers.slowest().is_none() {
                return Poll::Ready(());
            }
            readers.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Returns whether there are no readers after `UNREAD_MAX`: content that trickles in would
    /// otherwise be fetched without end.
    pub fn is_unread_for_long(&self) -> bool {
        self.flight.begun.elapsed() >= UNREAD_MAX && self.flight.state.lock().readers.is_empty()
    }

    pub fn complete(self, trailers: Option<HeaderMap>) {
        self.end(FlightEnd::Complete(trailers));
    }

    /// Ends the content short: readers see an error, never a clean end.
    pub fn fail(self, error: OriginError) {
        self.end(FlightEnd::Failed(error));
    }

    fn end(&self, end: FlightEnd) {
        let mut state = self.flight.state.lock();
        if state.end.is_none() {
            let cause = match &end {
                FlightEnd::Failed(error) => error.clone(),
                FlightEnd::Complete(_) => OriginError::Abandoned,
            };
            state.head.get_or_insert(HeadOutcome::Failed(cause));
            state.end = Some(end);
        }
        state.readers.wake_all();
    }
}

impl Drop for FlightWriter {
    fn drop(&mut self) {
        self.end(FlightEnd::Failed(OriginError::Abandoned));
    }
}

/// A fetch without readers is cancelled after this time.
pub(super) const UNREAD_MAX: Duration = Duration::from_mins(5);
