//! `Flight`: one fetch, shared by all requests for the same response, and tied to no client
//! connection.
//!
//! Readers wait for the head and then read the content at their own pace. While the flight retains
//! its pieces, further readers may join. Once the content is stored, readers go on from the store.
//! Content that is too large to be stored is not retained: pieces that every reader has are
//! dropped, the origin is read no faster than the slowest reader (a bounded queue apart), and no
//! reader may join any more. Slow clients are cut by their connections, never by a flight.

mod budget;
mod head;
mod pieces;
mod reader;
mod readers;
mod writer;

use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::HeaderMap;
use parking_lot::Mutex;
use tokio::time::Instant;

pub use self::budget::Budget;
pub use self::head::{HeadOutcome, SharedHead};
pub use self::reader::{FlightPiece, FlightReader};
pub use self::writer::{FlightWriter, Pushed};
use crate::client::account::Account;

use self::budget::Charge;
use self::pieces::Pieces;
use self::readers::FlightReaders;
use crate::freshness;
use crate::invalidation::{RunningFetch, Sequence};
use crate::origins::OriginError;
use crate::request::span::SpanContext;
use crate::store::Body;
use process::timestamp::Timestamp;

/// One fetch. Dropping its [`FlightWriter`] without an end fails it for every reader.
#[derive(Debug)]
pub struct Flight {
    born: Sequence,
    /// Runs until the writer is gone, and as long as those who have joined need it.
    birth: Weak<RunningFetch>,
    begun: Instant,
    /// The span of its exchange with the origin, if that has one.
    span: Option<SpanContext>,
    state: Mutex<FlightState>,
}

#[derive(Debug)]
struct FlightState {
    head: Option<HeadOutcome>,
    pieces: Pieces,
    /// The stored content, and the part of it that arrived in this flight.
    stored: Option<(Body, Range<u64>)>,
    end: Option<FlightEnd>,
    readers: FlightReaders,
}

#[derive(Clone, Debug)]
enum FlightEnd {
    Complete(Option<HeaderMap>),
    Failed(OriginError),
}

/// The reason for which a request may not join a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotJoinable {
    /// It has as many readers as may be.
    Full,
    /// It has dropped the first bytes of its content.
    Uncollapsible,
}

impl Flight {
    /// Begins a flight. Retained bytes are charged to the client of the request that started it.
    pub fn begin(
        birth: RunningFetch,
        budget: Arc<Budget>,
        account: Arc<Account>,
        span: Option<SpanContext>,
    ) -> (Arc<Self>, FlightWriter) {
        let state = FlightState {
            head: None,
            pieces: Pieces::new(Charge::new(budget, account)),
            stored: None,
            end: None,
            readers: FlightReaders::default(),
        };
        let (born, birth) = (birth.born(), Arc::new(birth));
        let (state, weak) = (Mutex::new(state), Arc::downgrade(&birth));
        let flight = Arc::new(Self { born, birth: weak, begun: Instant::now(), span, state });
        (Arc::clone(&flight), FlightWriter { flight, birth })
    }

    /// The purge sequence at which its request was sent.
    pub const fn born(&self) -> Sequence {
        self.born
    }

    /// Keeps the purges since it was sent from being forgotten: who joins compares the head with
    /// them, and the writer may be gone by then.
    pub fn birth(&self) -> Option<Arc<RunningFetch>> {
        self.birth.upgrade()
    }

    pub const fn span(&self) -> Option<SpanContext> {
        self.span
    }

    pub const fn begun(&self) -> Instant {
        self.begun
    }

    /// Returns whether it has no head yet after `patience`.
    pub fn is_late(&self, patience: Duration) -> bool {
        self.begun.elapsed() >= patience && self.state.lock().head.is_none()
    }

    /// Returns whether its response, if it is there already, may still be given to a new request.
    pub fn is_current(&self, now: Timestamp) -> bool {
        match &self.state.lock().head {
            Some(HeadOutcome::Shared(head)) => {
                head.freshness.is_none_or(|own| own.state(now, None) != freshness::Staleness::Stale)
            }
            _ => true,
        }
    }

    /// Joins as one of at most `followers_max` readers beside the leader.
    pub fn join(self: &Arc<Self>, followers_max: usize) -> Result<FlightReader, NotJoinable> {
        let mut state = self.state.lock();
        if state.pieces.first > 0 {
            return Err(NotJoinable::Uncollapsible);
        }
        let readers_max = followers_max.saturating_add(1);
        let slot = state.readers.enter(readers_max).ok_or(NotJoinable::Full)?;
        Ok(FlightReader::new(Arc::clone(self), slot))
    }
}

#[cfg(test)]
mod tests;
