//! Collapsing: one request's wait for a head, whatever flights it joins and launches meanwhile.
//!
//! ```text
//! stale response at hand, last try out of time ──► served at once; one fetch goes on in the background
//! otherwise: join the flight on the key, or launch one, and wait
//!   ├ a head ──────────────────────► shared with this request, or for others: join or launch another
//!   ├ no head for collapse_patience ► stale response, else: join or launch another one beside it
//!   └ no head for first_byte_timeout ► stale response, else 504
//! ```
//!
//! A flight that has no head after the patience is joined by nobody: the next request takes its place on the key. Those
//! who have joined it keep waiting for it, beside the newer one: whichever lands first answers them. So a URL whose origin
//! hangs has at most one flight for each patience within a time-out, a slow page costs nobody an error, and what a request
//! waits for in all is one time-out.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::Response;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::exchange::WhenLeft;
use super::flight::{Flight, FlightWriter, Head, HeadOutcome, NotJoinable, Reader};
use super::in_flight::FlightKey;
use super::request::FetchRequest;
use super::{Fetched, Fetcher, Role, flight_key, launch};
use crate::field::content_range::ContentRange;
use crate::freshness::State;
use crate::invalidation::Verdict;
use crate::origins::failures::Failure;
use crate::origins::{OriginBody, OriginError};
use crate::response::failure::ProxyError;
use crate::store::Stored;
use crate::store::selection::{is_selected, select};

/// A flight that a request waits for.
pub(super) struct Joined {
    pub(super) reader: Reader,
    /// Where the request launched it: the response, if it turns out to be for this request alone.
    pub(super) alone: Option<oneshot::Receiver<Response<OriginBody>>>,
}

/// How a request came aboard a flight.
enum Boarding {
    Aboard(Joined),
    /// The flight has landed, and this is what it stored.
    TooLate(Arc<Stored>),
    /// It would have had to launch one, and was not to.
    NotNow,
    Refused,
}

/// What a request finds on its key.
enum Seat {
    Reader(Reader),
    FlightWriter(FlightWriter),
    /// Nothing, but what it is after is in the store by now.
    Stored(Arc<Stored>),
    /// The flight's beginning is gone.
    OwnPlane,
    /// Nothing, and it is not to launch a flight.
    NotNow,
    None,
}

/// What came of a landing for one request.
enum Followed {
    Done(Result<Fetched, ProxyError>),
    /// The response is for its leader only.
    Unshared,
    /// This flight was overtaken by a purge, or is for others: another is to take its place.
    Mismatch(Arc<Flight>),
    /// The URL varies: the flight with this selection is the right one.
    OtherVariant(u64),
    /// It failed; another one may bring more.
    GoOn,
}

/// One request that waits.
struct Wait {
    request: Arc<FetchRequest>,
    joined: Vec<Joined>,
    /// A flight that turned out to be the wrong one.
    wrong: Option<Arc<Flight>>,
    wrongs: usize,
    /// When it looks for a newer flight.
    next_look: Instant,
    is_look_due: bool,
    /// Whether its first flight was its own: then that one's limits hold, which are those of one exchange.
    has_led: bool,
    /// Whether somebody else's flight ran out of time for it.
    had_another_chance: bool,
    deadline: Instant,
}

/// What a wait ends with.
enum Event {
    Landed(Joined, HeadOutcome),
    Late,
    TimeIsUp,
}

impl Wait {
    fn new(request: Arc<FetchRequest>, deadline: Instant) -> Self {
        Self {
            request,
            joined: Vec::new(),
            wrong: None,
            wrongs: 0,
            next_look: deadline,
            is_look_due: true,
            has_led: false,
            had_another_chance: false,
            deadline,
        }
    }

    /// Returns whether the newest flight is its own: it does not launch another one beside it.
    fn is_leading(&self) -> bool {
        self.joined.last().is_some_and(|joined| joined.alone.is_some())
    }

    fn enter(&mut self, joined: Joined, patience: Duration) {
        let is_first = self.joined.is_empty() && self.wrongs == 0 && !self.had_another_chance;
        self.has_led |= is_first && joined.alone.is_some();
        self.next_look = joined.reader.flight().begun() + patience;
        self.joined.push(joined);
    }

    /// Waits for the first landing among its flights, as long as is reasonable.
    async fn next(&mut self, own: Duration) -> Event {
        let limit = if self.has_led { self.deadline + own } else { self.deadline };
        let joined = &self.joined;
        let landed = std::future::poll_fn(|cx| {
            let landings = joined.iter().map(|one| one.reader.poll_head(cx));
            landings.enumerate().find_map(ready_one).map_or(Poll::Pending, Poll::Ready)
        });
        match timeout_at(self.next_look.min(limit), landed).await {
            Ok((place, landing)) => Event::Landed(self.joined.remove(place), landing),
            Err(_elapsed) if Instant::now() >= limit => Event::TimeIsUp,
            Err(_elapsed) => Event::Late,
        }
    }
}

fn ready_one((place, landing): (usize, Poll<HeadOutcome>)) -> Option<(usize, HeadOutcome)> {
    match landing {
        Poll::Ready(landing) => Some((place, landing)),
        Poll::Pending => None,
    }
}

/// Returns whether a flight is without a head for longer than this request would wait for one.
pub(super) fn is_late(flight: &Flight, request: &FetchRequest) -> bool {
    flight.is_late(request.head.policy.cache.collapse_patience)
}

impl Fetcher {
    /// Fetches a response that others may share.
    pub async fn fetch(self: &Arc<Self>, mut request: FetchRequest) -> Result<Fetched, ProxyError> {
        if let Some(stale) = self.stale_at_once(&request) {
            return Ok(Fetched::StaleIfError(stale));
        }
        // Where the whole is on its way already, a part of it needs no fetch of its own.
        let whole = FlightKey { range: None, ..flight_key(&request) };
        let is_alone = !self.has_young(&whole, &request) && !self.is_apart(&request);
        request.range = request.range.filter(|_| is_alone);
        let patience = request.head.policy.cache.collapse_patience;
        let origin = Arc::clone(request.head.policy.origin());
        let deadline = Instant::now() + origin.first_byte_timeout();
        let mut wait = Wait::new(Arc::new(request), deadline);
        loop {
            if (wait.joined.is_empty() || wait.is_look_due)
                && let Some(result) = self.look(&mut wait)
            {
                return result;
            }
            match wait.next(origin.connect_allowance()).await {
                Event::Landed(joined, landing) => {
                    let followed = match joined.alone {
                        Some(alone) => self.led(&wait, (joined.reader, alone), landing).await,
                        None => self.followed(&mut wait, joined.reader, landing),
                    };
                    if let Some(result) = self.go_on(&mut wait, followed).await {
                        return result;
                    }
                }
                Event::TimeIsUp => {
                    return self.stale_or_error(&wait.request, OriginError::HeadTimeout.into());
                }
                Event::Late => {
                    wait.is_look_due = true;
                    wait.next_look = Instant::now() + patience / LOOKS;
                    if !wait.is_leading() {
                        self.metrics.collapsed_late.add(1);
                        self.note_late(&wait.request);
                        if let Some(stale) = self.stale_at_once(&wait.request) {
                            return Ok(Fetched::StaleIfError(stale));
                        }
                    }
                }
            }
        }
    }

    /// Fetches a response that nobody else waits for; it may be stored all the same.
    pub async fn fetch_uncollapsed(
        self: &Arc<Self>,
        request: Arc<FetchRequest>,
        when_left: WhenLeft,
    ) -> Result<Fetched, ProxyError> {
        if let Some(stale) = self.stale_at_once(&request) {
            return Ok(Fetched::StaleIfError(stale));
        }
        let origin = request.head.policy.origin();
        let longest = origin.first_byte_timeout() + origin.connect_allowance();
        self.fetch_uncollapsed_until(request, when_left, Instant::now() + longest).await
    }

    async fn fetch_uncollapsed_until(
        self: &Arc<Self>,
        request: Arc<FetchRequest>,
        when_left: WhenLeft,
        deadline: Instant,
    ) -> Result<Fetched, ProxyError> {
        let Some(permit) = self.permit() else {
            return self.stale_or_error(&request, ProxyError::Overloaded);
        };
        let mut fetch =
            self.fetch_of(self.begin(&request.head).1, Arc::clone(&request), None, permit);
        fetch.when_left = when_left;
        let joined = launch(fetch);
        let mut wait = Wait::new(Arc::clone(&request), deadline);
        wait.joined.push(joined);
        match wait.next(Duration::ZERO).await {
            Event::Landed(Joined { reader, alone: Some(alone) }, landing) => {
                match self.led(&wait, (reader, alone), landing).await {
                    Followed::Done(result) => result,
                    _ => Err(OriginError::Abandoned.into()),
                }
            }
            _ => self.stale_or_error(&request, OriginError::HeadTimeout.into()),
        }
    }

    /// Looks for a flight to join, or launches one; `Some` ends the wait.
    fn look(self: &Arc<Self>, wait: &mut Wait) -> Option<Result<Fetched, ProxyError>> {
        wait.is_look_due = false;
        let may_launch = !wait.is_leading();
        match self.board(&wait.request, wait.wrong.as_ref(), may_launch) {
            Boarding::Aboard(joined) => {
                let patience = wait.request.head.policy.cache.collapse_patience;
                wait.enter(joined, patience);
            }
            Boarding::TooLate(stored) => return Some(Ok(Fetched::Stored(stored))),
            Boarding::Refused if wait.joined.is_empty() => {
                return Some(self.stale_or_error(&wait.request, ProxyError::Overloaded));
            }
            Boarding::Refused | Boarding::NotNow => {} // it keeps what it has
        }
        None
    }

    /// Takes the next step after a landing; `Some` ends the wait.
    async fn go_on(
        self: &Arc<Self>,
        wait: &mut Wait,
        followed: Followed,
    ) -> Option<Result<Fetched, ProxyError>> {
        let is_alone = matches!(followed, Followed::Unshared);
        match followed {
            Followed::Done(result) => return Some(result),
            Followed::GoOn => return None,
            Followed::Unshared => {}
            Followed::Mismatch(flight) => {
                wait.wrong = Some(flight);
                wait.wrongs += 1;
            }
            Followed::OtherVariant(selection) => {
                wait.request = Arc::new(FetchRequest { selection, ..(*wait.request).clone() });
                wait.joined.clear();
                wait.wrongs += 1;
            }
        }
        if !is_alone && wait.wrongs < FLIGHTS_MAX {
            return None;
        }
        let request = Arc::clone(&wait.request);
        let when_left = if is_alone { WhenLeft::Cancel } else { WhenLeft::GoOn };
        Some(self.fetch_uncollapsed_until(request, when_left, wait.deadline).await)
    }

    /// The stale response of a request that is not to wait for the origin: the last try for its URL ran out of time, or is
    /// about to. One fetch in the background finds out when that is over.
    pub(super) fn stale_at_once(self: &Arc<Self>, request: &FetchRequest) -> Option<Arc<Stored>> {
        let stale = request.stale.as_ref()?;
        let is_late = self.flights.with(&flight_key(request), |flying| {
            (None, flying.is_some_and(|flight| is_late(flight, request)))
        });
        if is_late {
            self.note_late(request);
        }
        let url = request.head.key.hash();
        let is_hopeless =
            is_late || request.head.policy.origin().failures.has_timed_out(url, self.clock.now());
        if !is_hopeless || !self.may_serve_on_error(stale) {
            return None;
        }
        self.metrics.stale_at_once.add(1);
        let mut background = request.clone();
        background.head.interim = None; // its client has its answer
        self.refresh(background, stale.stored());
        Some(Arc::clone(stale.stored()))
    }

    fn note_late(&self, request: &FetchRequest) {
        let failures = &request.head.policy.origin().failures;
        failures.note_late(request.head.key.hash(), self.clock.now());
    }

    fn has_young(&self, key: &FlightKey, request: &FetchRequest) -> bool {
        self.flights.with(key, |flying| (None, flying.is_some_and(|one| !is_late(one, request))))
    }

    async fn led(
        &self,
        wait: &Wait,
        (reader, alone): (Reader, oneshot::Receiver<Response<OriginBody>>),
        landing: HeadOutcome,
    ) -> Followed {
        Followed::Done(match landing {
            HeadOutcome::Shared(head) => Ok(Fetched::Arriving { head, reader, role: Role::Leader }),
            HeadOutcome::Validated(stored) => Ok(Fetched::Validated(stored, Role::Leader)),
            HeadOutcome::StaleIfError(held) if self.may_serve_on_error(&held) => {
                Ok(Fetched::StaleIfError(Arc::clone(held.stored())))
            }
            HeadOutcome::StaleIfError(_purged) => Err(OriginError::Abandoned.into()),
            HeadOutcome::Failed(_) if !wait.joined.is_empty() => return Followed::GoOn,
            HeadOutcome::Failed(error) => self.stale_or_error(&wait.request, error.into()),
            HeadOutcome::Unshared(reason) => match alone.await {
                Ok(response) => Ok(Fetched::Unshared(Box::new(response), reason)),
                Err(_closed) => Err(OriginError::Abandoned.into()),
            },
        })
    }

    fn followed(&self, wait: &mut Wait, reader: Reader, landing: HeadOutcome) -> Followed {
        let request = &wait.request;
        match landing {
            HeadOutcome::Shared(head) => self.share(request, head, reader),
            HeadOutcome::Validated(stored) if self.may_have(&stored, request) => {
                self.metrics.collapsed.add(1);
                Followed::Done(Ok(Fetched::Validated(stored, Role::Follower)))
            }
            HeadOutcome::StaleIfError(held)
                if self.is_selected(held.stored(), request) && self.may_serve_on_error(&held) =>
            {
                Followed::Done(Ok(Fetched::StaleIfError(Arc::clone(held.stored()))))
            }
            HeadOutcome::Validated(_) | HeadOutcome::StaleIfError(_) => {
                Followed::Mismatch(Arc::clone(reader.flight()))
            }
            HeadOutcome::Unshared(_) => {
                self.metrics.collapsed_uncacheable.add(1);
                Followed::Unshared
            }
            HeadOutcome::Failed(_) if !wait.joined.is_empty() => Followed::GoOn,
            // Its leader has waited for the whole time, this request for a part of it.
            HeadOutcome::Failed(error)
                if Failure::of(&error) == Failure::TimedOut && !wait.had_another_chance =>
            {
                wait.had_another_chance = true;
                Followed::GoOn
            }
            HeadOutcome::Failed(error) => {
                Followed::Done(self.stale_or_error(request, error.into()))
            }
        }
    }

    /// Returns whether another part is stored that does not touch the one that is asked for. Either would take the other's place,
    /// over and over: where the whole may be stored, it is fetched.
    fn is_apart(&self, request: &FetchRequest) -> bool {
        let Some(asked) = request.range else { return false };
        let stored = select(&*self.store, &request.head.key, &request.head.fields).stored;
        let stored = stored.as_ref().and_then(|stored| stored.response());
        let Some(part) = stored.and_then(|response| response.part.as_deref()) else { return false };
        let complete = part.complete().unwrap_or(u64::MAX);
        let asked = asked
            .of(complete)
            .and_then(|asked| ContentRange::new(asked.first(), asked.last(), part.complete()));
        complete <= self.limits.object_bytes_max
            && asked.is_some_and(|asked| part.union(asked).is_none())
    }

    /// Returns a fresh response that was stored since this request missed. A flight leaves its key after it has stored: who
    /// finds neither may fetch, and nobody fetches once more what has just arrived.
    pub(super) fn stored_meanwhile(&self, request: &FetchRequest) -> Option<Arc<Stored>> {
        let key = &request.head.key;
        let stored = select(&*self.store, key, &request.head.fields).stored?;
        let now = self.clock.now();
        let is_valid = self.invalidation.verdict(&stored.provenance, key) == Verdict::Valid;
        let trust = self.invalidation.lease().trust(now);
        let is_usable = stored.response().is_some_and(|response| {
            let freshness = &response.freshness;
            let is_enough = response
                .part
                .as_deref()
                .is_none_or(|part| request.range.is_some_and(|range| range.is_within(*part)));
            is_enough
                && trust.covers(freshness.received())
                && freshness.state(now, None) == State::Fresh
                && request.facts.directives.permit(
                    freshness,
                    now,
                    None,
                    &request.head.policy.freshness,
                )
        });
        (is_valid && is_usable).then_some(stored)
    }

    /// Leads, follows, or is refused. `mismatch`: a flight that turned out to be the wrong one for this request.
    fn board(
        self: &Arc<Self>,
        request: &Arc<FetchRequest>,
        mismatch: Option<&Arc<Flight>>,
        may_launch: bool,
    ) -> Boarding {
        let key = flight_key(request);
        let permit = Arc::clone(&self.misses).try_acquire_owned().ok();
        let is_wrong =
            |flight: &Arc<Flight>| mismatch.is_some_and(|wrong| Arc::ptr_eq(wrong, flight));
        let seat = self.flights.with(&key, |flying| {
            let joined = flying
                .filter(|flight| !is_wrong(flight) && self.may_join(flight, request))
                .map(|flight| flight.join(request.head.policy.cache.max_followers));
            match joined {
                Some(Ok(reader)) => (None, Seat::Reader(reader)),
                Some(Err(NotJoinable::Full)) => (None, Seat::None),
                Some(Err(NotJoinable::Passing)) if !may_launch => (None, Seat::NotNow),
                Some(Err(NotJoinable::Passing)) => (None, Seat::OwnPlane),
                None => match self.stored_meanwhile(request) {
                    Some(stored) => (None, Seat::Stored(stored)),
                    None if !may_launch => (None, Seat::NotNow),
                    None if permit.is_none() => (None, Seat::None),
                    None => {
                        let (flight, writer) = self.begin(&request.head);
                        (Some(flight), Seat::FlightWriter(writer))
                    }
                },
            }
        });
        match (seat, permit) {
            (Seat::Reader(reader), _) => Boarding::Aboard(Joined { reader, alone: None }),
            (Seat::Stored(stored), _) => Boarding::TooLate(stored),
            (Seat::FlightWriter(writer), Some(permit)) => {
                Boarding::Aboard(self.take_off(writer, request, Some(key), permit))
            }
            (Seat::OwnPlane, Some(permit)) => {
                Boarding::Aboard(self.take_off(self.begin(&request.head).1, request, None, permit))
            }
            (Seat::NotNow, _) => Boarding::NotNow,
            (Seat::None | Seat::FlightWriter(_) | Seat::OwnPlane, _) => {
                self.metrics.overloaded.add(1);
                Boarding::Refused
            }
        }
    }

    /// A flight that was born before a purge of this URL, its host or everything is not for those who asked after it. One that
    /// has no head after the patience is for nobody any more.
    pub(super) fn may_join(&self, flight: &Flight, request: &FetchRequest) -> bool {
        let is_newer = flight.born() >= request.arrived
            || self.invalidation.admits(flight.born(), &request.head.key);
        is_newer && !is_late(flight, request) && flight.is_current(self.clock.now())
    }

    fn share(&self, request: &FetchRequest, head: Arc<Head>, reader: Reader) -> Followed {
        let fields = &request.head.fields;
        if let Some(variant) = head.variant.as_ref().filter(|variant| !variant.matches(fields)) {
            let selection = variant.selection_of(fields);
            return if selection == request.selection {
                Followed::Mismatch(Arc::clone(reader.flight()))
            } else {
                Followed::OtherVariant(selection)
            };
        }
        let born = reader.flight().born();
        let is_base_valid = head.base.as_ref().is_none_or(|base| {
            self.invalidation.may_confirm(&base.provenance, born, &request.head.key)
        });
        if !is_base_valid || !self.may_follow(&head.provenance, request) {
            return Followed::Mismatch(Arc::clone(reader.flight()));
        }
        self.metrics.collapsed.add(1);
        Followed::Done(Ok(Fetched::Arriving { head, reader, role: Role::Follower }))
    }

    /// Returns whether a stored response that was validated for another request may answer this one, too.
    fn may_have(&self, stored: &Stored, request: &FetchRequest) -> bool {
        self.is_selected(stored, request) && self.may_follow(&stored.provenance, request)
    }

    fn is_selected(&self, stored: &Stored, request: &FetchRequest) -> bool {
        is_selected(&*self.store, stored, &request.head.fields)
    }

    fn may_follow(
        &self,
        provenance: &crate::invalidation::Provenance,
        request: &FetchRequest,
    ) -> bool {
        self.invalidation.may_follow(provenance, request.arrived, &request.head.key)
    }
}

/// Who has launched the newest flight, or may not launch one, looks for others' so often within a patience.
const LOOKS: u32 = 4;
/// Flights that one request tries, when each of the first turned out to be for others or was overtaken by a purge.
const FLIGHTS_MAX: usize = 4;
