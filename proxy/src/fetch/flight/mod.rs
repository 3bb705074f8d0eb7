//! `Flight`: one fetch, shared by everyone who asks for the same response, and owned by nobody's connection.
//!
//! Readers wait for the *landing* (what the head turned out to be) and then read the body at their own pace. While the flight
//! retains its pieces, any number may join late. Once the content is stored, readers go on from there. Content that is too
//! large to be kept is not retained: pieces that every reader has are dropped, the origin is read no faster than the slowest
//! reader (a bounded queue apart), and nobody may join any more. How long a client may take nothing is for its connection to
//! say: a flight cuts nobody.

mod budget;
mod pieces;

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use tokio::time::Instant;

pub use self::budget::Budget;
use crate::client::account::Account;

use self::budget::Charge;
use self::pieces::{Pieces, Retention};
use crate::fetch::Held;
use crate::freshness::{self, Freshness, Uncacheable};
use crate::invalidation::{Provenance, RunningFetch, Sequence};
use crate::key::vary::Variant;
use crate::origins::OriginError;
use crate::response::body::Piece;
use crate::store::{Body, Stored};
use process::timestamp::Timestamp;

/// One fetch. Dropping its [`FlightWriter`] without an end fails it for every reader.
#[derive(Debug)]
pub struct Flight {
    born: Sequence,
    begun: Instant,
    state: Mutex<State>,
}

/// What a flight's head turned out to be.
#[derive(Clone, Debug)]
pub enum HeadOutcome {
    /// A response for everyone whose variant matches.
    Shared(Arc<Head>),
    /// The stored response was validated: this is it, freshened.
    Validated(Arc<Stored>),
    /// The origin failed, and this stale response may stand in.
    StaleIfError(Arc<Held>),
    /// Only for the one who asked: everyone else goes to the origin on their own.
    Unshared(Uncacheable),
    /// There is no response.
    Failed(OriginError),
}

/// The head of a shared response.
#[derive(Debug)]
pub struct Head {
    /// Its status code.
    pub status: StatusCode,
    /// Its fields as clients see them.
    pub fields: HeaderMap,
    /// Which requests it may answer.
    pub variant: Option<Variant>,
    /// Its place in the order of purges.
    pub provenance: Provenance,
    /// Bytes of content, if known.
    pub length: Option<u64>,
    /// Why it will not be stored; `None` when it will.
    pub not_stored: Option<Uncacheable>,
    /// When it may be used; `None` when it is not stored.
    pub freshness: Option<Freshness>,
    /// The stored part whose bytes are shown with those that arrive: a purge of it counts, too.
    pub base: Option<Arc<Stored>>,
    /// Fields for the one who asked first: `private` and `no-cache` name them (RFC 9111 §5.2.2.4, §5.2.2.7).
    pub personal: HeaderMap,
}

#[derive(Debug)]
struct State {
    landing: Option<HeadOutcome>,
    pieces: Pieces,
    /// The content, once it is stored, and which part of that it is.
    stored: Option<(Body, Range<u64>)>,
    end: Option<End>,
    readers: Readers,
}

#[derive(Clone, Debug)]
enum End {
    Complete(Option<HeaderMap>),
    Failed(OriginError),
}

/// Who is reading, by number. A free place holds `None`.
#[derive(Debug, Default)]
struct Readers {
    places: Vec<Option<Place>>,
    free: Vec<usize>,
    writer: Option<Waker>,
}

#[derive(Debug, Default)]
struct Place {
    next: usize,
    waker: Option<Waker>,
}

/// Why nobody may join a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotJoinable {
    /// Too many are in it.
    Full,
    /// The beginning of its content is gone.
    Passing,
}

impl Flight {
    /// Begins a flight and returns it with the right to land it. What it retains is on the account of who asked first.
    pub fn begin(
        birth: RunningFetch,
        budget: Arc<Budget>,
        account: Arc<Account>,
    ) -> (Arc<Self>, FlightWriter) {
        let state = State {
            landing: None,
            pieces: Pieces::new(Charge::new(budget, account)),
            stored: None,
            end: None,
            readers: Readers::default(),
        };
        let flight =
            Arc::new(Self { born: birth.born(), begun: Instant::now(), state: Mutex::new(state) });
        (Arc::clone(&flight), FlightWriter { flight, birth })
    }

    /// The purge sequence at which its request was sent.
    pub const fn born(&self) -> Sequence {
        self.born
    }

    /// When it began.
    pub const fn begun(&self) -> Instant {
        self.begun
    }

    /// Returns whether it has no head yet, after so long.
    pub fn is_late(&self, patience: Duration) -> bool {
        self.begun.elapsed() >= patience && self.state.lock().landing.is_none()
    }

    /// Returns whether its response, if it is there already, may still be given to a new request.
    pub fn is_current(&self, now: Timestamp) -> bool {
        match &self.state.lock().landing {
            Some(HeadOutcome::Shared(head)) => {
                head.freshness.is_none_or(|own| own.state(now, None) != freshness::State::Stale)
            }
            _ => true,
        }
    }

    /// Joins the readers: so many may follow the one who asked first.
    pub fn join(self: &Arc<Self>, followers_max: usize) -> Result<Reader, NotJoinable> {
        let mut state = self.state.lock();
        if state.pieces.first > 0 {
            return Err(NotJoinable::Passing);
        }
        let readers_max = followers_max.saturating_add(1);
        let place = state.readers.enter(readers_max).ok_or(NotJoinable::Full)?;
        Ok(Reader::new(Arc::clone(self), place))
    }
}

/// The right to land one flight. Dropped before the end, it fails the flight.
#[derive(Debug)]
pub struct FlightWriter {
    flight: Arc<Flight>,
    birth: RunningFetch,
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is kept, or stored.
    Retained,
    /// Pieces are no longer kept: the budget is used up.
    Passing,
}

impl FlightWriter {
    /// Where the response stands in the order of purges.
    pub const fn birth(&self) -> &RunningFetch {
        &self.birth
    }

    /// Its flight.
    pub const fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Joins as the one who asked first.
    pub fn first_reader(&self) -> Reader {
        let mut state = self.flight.state.lock();
        let place = state.readers.enter(usize::MAX).unwrap_or_default();
        Reader::new(Arc::clone(&self.flight), place)
    }

    /// Tells the readers what the head is. Only the first landing counts.
    pub fn publish_head(&self, landing: HeadOutcome) {
        let mut state = self.flight.state.lock();
        state.landing.get_or_insert(landing);
        state.readers.wake_all();
    }

    /// Stops keeping pieces: the content will not be stored.
    pub fn pass(&self) {
        self.flight.state.lock().pieces.mode = Retention::Passing;
    }

    /// Says where the whole content is stored, and which part of that it is: readers go on from there, and no piece is kept.
    pub fn stored(&self, body: Body, part: Range<u64>) {
        let mut state = self.flight.state.lock();
        state.stored = Some((body, part));
        state.pieces.drop_for_store();
        state.readers.wake_all();
    }

    /// Adds a piece of content.
    pub fn push(&self, piece: Bytes) -> Pushed {
        let mut state = self.flight.state.lock();
        let has_company = state.readers.several();
        state.pieces.push(piece, has_company);
        state.readers.wake_all();
        match state.pieces.mode {
            Retention::Retained | Retention::Stored => Pushed::Retained,
            Retention::Passing => Pushed::Passing,
        }
    }

    /// Waits until the slowest reader is close enough, and drops what every reader has. An error: nobody reads any more.
    pub async fn room(&self) -> Result<(), OriginError> {
        std::future::poll_fn(|cx| {
            let mut state = self.flight.state.lock();
            let State { pieces, readers, .. } = &mut *state;
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

    /// Waits until nobody reads content that is not stored either.
    pub async fn deserted(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.flight.state.lock();
            let State { pieces, readers, .. } = &mut *state;
            if pieces.mode == Retention::Passing && readers.slowest().is_none() {
                return Poll::Ready(());
            }
            readers.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Returns whether nobody reads, though its content has been arriving for `UNREAD_MAX`: what trickles would else go on
    /// for ever, for nobody.
    pub fn is_forsaken(&self) -> bool {
        self.flight.begun.elapsed() >= UNREAD_MAX
            && self.flight.state.lock().readers.places.iter().flatten().next().is_none()
    }

    /// Ends the content completely.
    pub fn complete(self, trailers: Option<HeaderMap>) {
        self.end(End::Complete(trailers));
    }

    /// Ends it short: readers see an error, never a clean end.
    pub fn fail(self, error: OriginError) {
        self.end(End::Failed(error));
    }

    fn end(&self, end: End) {
        let mut state = self.flight.state.lock();
        if state.end.is_none() {
            let cause = match &end {
                End::Failed(error) => error.clone(),
                End::Complete(_) => OriginError::Abandoned,
            };
            state.landing.get_or_insert(HeadOutcome::Failed(cause));
            state.end = Some(end);
        }
        state.readers.wake_all();
    }
}

impl Drop for FlightWriter {
    fn drop(&mut self) {
        self.end(End::Failed(OriginError::Abandoned));
    }
}

/// One who reads a flight at its own pace.
#[derive(Debug)]
pub struct Reader {
    flight: Arc<Flight>,
    place: usize,
    /// Bytes that it has read.
    taken: u64,
    /// Whether it was sent on to the store.
    is_sent_on: bool,
    is_ended: bool,
}

impl Reader {
    const fn new(flight: Arc<Flight>, place: usize) -> Self {
        Self { flight, place, taken: 0, is_sent_on: false, is_ended: false }
    }

    /// Its flight.
    pub const fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Waits for the head.
    pub async fn head(&self) -> HeadOutcome {
        std::future::poll_fn(|cx| self.poll_head(cx)).await
    }

    /// The head, once it is there.
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<HeadOutcome> {
        let mut state = self.flight.state.lock();
        if let Some(landing) = &state.landing {
            return Poll::Ready(landing.clone());
        }
        state.readers.wait(self.place, cx);
        Poll::Pending
    }

    /// The next piece of content, then the trailers, then nothing.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, OriginError>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        let mut state = self.flight.state.lock();
        let State { pieces, stored, readers, end, .. } = &mut *state;
        if let Some((body, part)) = stored
            && !self.is_sent_on
        {
            self.is_sent_on = true;
            let rest = part.start + self.taken..part.end;
            if !rest.is_empty() {
                return Poll::Ready(Some(Ok(Piece::Stored(body.clone(), rest))));
            }
        }
        if let Some(place) = readers.get_mut(self.place)
            && let Some(piece) = pieces.get(place.next)
        {
            place.next += 1;
            self.taken += piece.len() as u64;
            readers.wake_writer();
            if end.is_some() {
                // Nobody joins any more: what all have is let go.
                pieces.drop_until(readers.slowest().unwrap_or(usize::MAX));
            }
            return Poll::Ready(Some(Ok(Piece::Data(piece))));
        }
        match end {
            None => {
                readers.wait(self.place, cx);
                Poll::Pending
            }
            Some(End::Failed(error)) => {
                self.is_ended = true;
                Poll::Ready(Some(Err(error.clone())))
            }
            Some(End::Complete(trailers)) => {
                self.is_ended = true;
                Poll::Ready(trailers.clone().map(|trailers| Ok(Piece::Trailers(trailers))))
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.flight.state.lock().readers.leave(self.place);
    }
}

impl Readers {
    fn enter(&mut self, max: usize) -> Option<usize> {
        if let Some(place) = self.free.pop() {
            if let Some(free) = self.places.get_mut(place) {
                *free = Some(Place::default());
            }
            return Some(place);
        }
        if self.places.len() >= max {
            return None;
        }
        self.places.push(Some(Place::default()));
        Some(self.places.len() - 1)
    }

    fn get_mut(&mut self, place: usize) -> Option<&mut Place> {
        self.places.get_mut(place).and_then(Option::as_mut)
    }

    fn several(&self) -> bool {
        self.places.iter().flatten().nth(1).is_some()
    }

    fn leave(&mut self, place: usize) {
        if let Some(place) = self.places.get_mut(place) {
            *place = None;
        }
        self.free.push(place);
        self.wake_writer();
    }

    fn wait(&mut self, place: usize, cx: &Context<'_>) {
        if let Some(place) = self.get_mut(place) {
            match &mut place.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
    }

    fn wake_all(&mut self) {
        for place in self.places.iter_mut().flatten() {
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
        }
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    /// The number of the next piece of whoever is furthest behind.
    fn slowest(&self) -> Option<usize> {
        self.places.iter().flatten().map(|place| place.next).min()
    }
}

/// How long a fetch may last that nobody waits for.
const UNREAD_MAX: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests;
