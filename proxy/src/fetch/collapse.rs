//! Collapsing: one request's wait for a head, whatever flights it joins and launches meanwhile.
//!
//! ```text
//! stale response at hand, last try out of time ──► served at once; one fetch goes on in the background
//! otherwise: join the flight on the route, or launch one, and wait
//!   ├ a head ──────────────────────► shared with this request, or for others: join or launch another
//!   ├ no head for collapse_patience ► stale response, else: join or launch another one beside it
//!   └ no head for first_byte_timeout ► stale response, else 504
//! ```
//!
//! A flight that has no head after the patience is joined by nobody: the next request takes its place on the route. Those
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
use super::flight::{Flight, Head, Landing, NotJoinable, Pilot, Reader};
use super::in_flight::Route;
use super::request::Errand;
use super::{Fetched, Fetcher, Role, launch, route_of};
use crate::freshness::State;
use crate::freshness::content_range::ContentRange;
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

/// What a request finds on its route.
enum Seat {
    Reader(Reader),
    Pilot(Pilot),
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
    Alone,
    /// This flight was overtaken by a purge, or is for others: another is to take its place.
    NotThis(Arc<Flight>),
    /// The URL varies: the flight with this selection is the right one.
    Selecting(u64),
    /// It failed; another one may bring more.
    GoOn,
}

/// One request that waits.
struct Wait {
    errand: Arc<Errand>,
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
    Landed(Joined, Landing),
    Late,
    TimeIsUp,
}

impl Wait {
    fn new(errand: Arc<Errand>, deadline: Instant) -> Self {
        Self {
            errand,
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
            let landings = joined.iter().map(|one| one.reader.poll_landing(cx));
            landings.enumerate().find_map(ready_one).map_or(Poll::Pending, Poll::Ready)
        });
        match timeout_at(self.next_look.min(limit), landed).await {
            Ok((place, landing)) => Event::Landed(self.joined.remove(place), landing),
            Err(_elapsed) if Instant::now() >= limit => Event::TimeIsUp,
            Err(_elapsed) => Event::Late,
        }
    }
}

fn ready_one((place, landing): (usize, Poll<Landing>)) -> Option<(usize, Landing)> {
    match landing {
        Poll::Ready(landing) => Some((place, landing)),
        Poll::Pending => None,
    }
}

impl Fetcher {
    /// Fetches a response that others may share.
    pub async fn fetch(self: &Arc<Self>, mut errand: Errand) -> Result<Fetched, ProxyError> {
        if let Some(stale) = self.stale_at_once(&errand) {
            return Ok(Fetched::StandIn(stale));
        }
        // Where the whole is on its way already, a part of it needs no fetch of its own.
        let whole = Route { range: None, ..route_of(&errand) };
        let is_alone = !self.has_young(&whole) && !self.is_apart(&errand);
        errand.range = errand.range.filter(|_| is_alone);
        let patience = self.rules.cache.collapse_patience;
        let mut wait = Wait::new(Arc::new(errand), Instant::now() + self.rules.first_byte_timeout);
        loop {
            if (wait.joined.is_empty() || wait.is_look_due)
                && let Some(result) = self.look(&mut wait)
            {
                return result;
            }
            match wait.next(self.rules.connect_allowance).await {
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
                    return self.stand_in_or(&wait.errand, OriginError::HeadTimeout.into());
                }
                Event::Late => {
                    wait.is_look_due = true;
                    wait.next_look = Instant::now() + patience / LOOKS;
                    if !wait.is_leading() {
                        self.metrics.collapsed_late.add(1);
                        self.note_late(&wait.errand);
                        if let Some(stale) = self.stale_at_once(&wait.errand) {
                            return Ok(Fetched::StandIn(stale));
                        }
                    }
                }
            }
        }
    }

    /// Fetches a response that nobody else waits for; it may be stored all the same.
    pub async fn fetch_alone(
        self: &Arc<Self>,
        errand: Arc<Errand>,
        when_left: WhenLeft,
    ) -> Result<Fetched, ProxyError> {
        if let Some(stale) = self.stale_at_once(&errand) {
            return Ok(Fetched::StandIn(stale));
        }
        let longest = self.rules.first_byte_timeout + self.rules.connect_allowance;
        self.fetch_alone_until(errand, when_left, Instant::now() + longest).await
    }

    async fn fetch_alone_until(
        self: &Arc<Self>,
        errand: Arc<Errand>,
        when_left: WhenLeft,
        deadline: Instant,
    ) -> Result<Fetched, ProxyError> {
        let Some(permit) = self.permit() else {
            return self.stand_in_or(&errand, ProxyError::Overloaded);
        };
        let mut fetch =
            self.fetch_of(self.begin(&errand.head).1, Arc::clone(&errand), None, permit);
        fetch.when_left = when_left;
        let joined = launch(fetch);
        let mut wait = Wait::new(Arc::clone(&errand), deadline);
        wait.joined.push(joined);
        match wait.next(Duration::ZERO).await {
            Event::Landed(Joined { reader, alone: Some(alone) }, landing) => {
                match self.led(&wait, (reader, alone), landing).await {
                    Followed::Done(result) => result,
                    _ => Err(OriginError::Abandoned.into()),
                }
            }
            _ => self.stand_in_or(&errand, OriginError::HeadTimeout.into()),
        }
    }

    /// Looks for a flight to join, or launches one; `Some` ends the wait.
    fn look(self: &Arc<Self>, wait: &mut Wait) -> Option<Result<Fetched, ProxyError>> {
        wait.is_look_due = false;
        let may_launch = !wait.is_leading();
        match self.board(&wait.errand, wait.wrong.as_ref(), may_launch) {
            Boarding::Aboard(joined) => wait.enter(joined, self.rules.cache.collapse_patience),
            Boarding::TooLate(stored) => return Some(Ok(Fetched::Stored(stored))),
            Boarding::Refused if wait.joined.is_empty() => {
                return Some(self.stand_in_or(&wait.errand, ProxyError::Overloaded));
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
        let is_alone = matches!(followed, Followed::Alone);
        match followed {
            Followed::Done(result) => return Some(result),
            Followed::GoOn => return None,
            Followed::Alone => {}
            Followed::NotThis(flight) => {
                wait.wrong = Some(flight);
                wait.wrongs += 1;
            }
            Followed::Selecting(selection) => {
                wait.errand = Arc::new(Errand { selection, ..(*wait.errand).clone() });
                wait.joined.clear();
                wait.wrongs += 1;
            }
        }
        if !is_alone && wait.wrongs < FLIGHTS_MAX {
            return None;
        }
        let errand = Arc::clone(&wait.errand);
        let when_left = if is_alone { WhenLeft::Cancel } else { WhenLeft::GoOn };
        Some(self.fetch_alone_until(errand, when_left, wait.deadline).await)
    }

    /// The stale response of a request that is not to wait for the origin: the last try for its URL ran out of time, or is
    /// about to. One fetch in the background finds out when that is over.
    pub(super) fn stale_at_once(self: &Arc<Self>, errand: &Errand) -> Option<Arc<Stored>> {
        let stale = errand.stale.as_ref()?;
        let is_late = self.flights.with(&route_of(errand), |flying| {
            (None, flying.is_some_and(|flight| self.is_late(flight)))
        });
        if is_late {
            self.note_late(errand);
        }
        let url = errand.head.key.hash();
        let is_hopeless =
            is_late || self.origin(&errand.head).failures.has_timed_out(url, self.clock.now());
        if !is_hopeless || !self.may_stand_in(stale) {
            return None;
        }
        self.metrics.stale_at_once.add(1);
        let mut background = errand.clone();
        background.head.interim = None; // its client has its answer
        self.refresh(background, stale.stored());
        Some(Arc::clone(stale.stored()))
    }

    fn note_late(&self, errand: &Errand) {
        let failures = &self.origin(&errand.head).failures;
        failures.note_late(errand.head.key.hash(), self.clock.now());
    }

    pub(super) fn is_late(&self, flight: &Flight) -> bool {
        flight.is_late(self.rules.cache.collapse_patience)
    }

    fn has_young(&self, route: &Route) -> bool {
        self.flights.with(route, |flying| (None, flying.is_some_and(|one| !self.is_late(one))))
    }

    async fn led(
        &self,
        wait: &Wait,
        (reader, alone): (Reader, oneshot::Receiver<Response<OriginBody>>),
        landing: Landing,
    ) -> Followed {
        Followed::Done(match landing {
            Landing::Shared(head) => Ok(Fetched::Arriving { head, reader, role: Role::Leader }),
            Landing::Validated(stored) => Ok(Fetched::Validated(stored, Role::Leader)),
            Landing::StandIn(held) if self.may_stand_in(&held) => {
                Ok(Fetched::StandIn(Arc::clone(held.stored())))
            }
            Landing::StandIn(_purged) => Err(OriginError::Abandoned.into()),
            Landing::Failed(_) if !wait.joined.is_empty() => return Followed::GoOn,
            Landing::Failed(error) => self.stand_in_or(&wait.errand, error.into()),
            Landing::Alone(reason) => match alone.await {
                Ok(response) => Ok(Fetched::Alone(Box::new(response), reason)),
                Err(_closed) => Err(OriginError::Abandoned.into()),
            },
        })
    }

    fn followed(&self, wait: &mut Wait, reader: Reader, landing: Landing) -> Followed {
        let errand = &wait.errand;
        match landing {
            Landing::Shared(head) => self.share(errand, head, reader),
            Landing::Validated(stored) if self.may_have(&stored, errand) => {
                self.metrics.collapsed.add(1);
                Followed::Done(Ok(Fetched::Validated(stored, Role::Follower)))
            }
            Landing::StandIn(held)
                if self.is_selected(held.stored(), errand) && self.may_stand_in(&held) =>
            {
                Followed::Done(Ok(Fetched::StandIn(Arc::clone(held.stored()))))
            }
            Landing::Validated(_) | Landing::StandIn(_) => {
                Followed::NotThis(Arc::clone(reader.flight()))
            }
            Landing::Alone(_) => {
                self.metrics.collapsed_uncacheable.add(1);
                Followed::Alone
            }
            Landing::Failed(_) if !wait.joined.is_empty() => Followed::GoOn,
            // Its leader has waited for the whole time, this request for a part of it.
            Landing::Failed(error)
                if Failure::of(&error) == Failure::TimedOut && !wait.had_another_chance =>
            {
                wait.had_another_chance = true;
                Followed::GoOn
            }
            Landing::Failed(error) => Followed::Done(self.stand_in_or(errand, error.into())),
        }
    }

    /// Returns whether another part is stored that does not touch the one that is asked for. Either would take the other's place,
    /// over and over: where the whole may be stored, it is fetched.
    fn is_apart(&self, errand: &Errand) -> bool {
        let Some(asked) = errand.range else { return false };
        let stored = select(&*self.store, &errand.head.key, &errand.head.fields).stored;
        let stored = stored.as_ref().and_then(|stored| stored.response());
        let Some(part) = stored.and_then(|response| response.part.as_deref()) else { return false };
        let complete = part.complete().unwrap_or(u64::MAX);
        let asked = asked
            .of(complete)
            .and_then(|asked| ContentRange::new(asked.first(), asked.last(), part.complete()));
        complete <= self.rules.object_bytes_max
            && asked.is_some_and(|asked| part.union(asked).is_none())
    }

    /// Returns a fresh response that was stored since this request missed. A flight leaves its route after it has stored: who
    /// finds neither may fetch, and nobody fetches once more what has just arrived.
    pub(super) fn stored_meanwhile(&self, errand: &Errand) -> Option<Arc<Stored>> {
        let key = &errand.head.key;
        let stored = select(&*self.store, key, &errand.head.fields).stored?;
        let now = self.clock.now();
        let is_valid = self.invalidation.verdict(&stored.provenance, key) == Verdict::Valid;
        let trust = self.invalidation.lease().trust(now);
        let is_usable = stored.response().is_some_and(|response| {
            let freshness = &response.freshness;
            let is_enough = response
                .part
                .as_deref()
                .is_none_or(|part| errand.range.is_some_and(|range| range.is_within(*part)));
            is_enough
                && trust.covers(freshness.received())
                && freshness.state(now, None) == State::Fresh
                && errand.facts.directives.permit(freshness, now, None, &self.rules.policy)
        });
        (is_valid && is_usable).then_some(stored)
    }

    /// Leads, follows, or is refused. `not_this`: a flight that turned out to be the wrong one for this request.
    fn board(
        self: &Arc<Self>,
        errand: &Arc<Errand>,
        not_this: Option<&Arc<Flight>>,
        may_launch: bool,
    ) -> Boarding {
        let route = route_of(errand);
        let permit = Arc::clone(&self.misses).try_acquire_owned().ok();
        let is_wrong =
            |flight: &Arc<Flight>| not_this.is_some_and(|wrong| Arc::ptr_eq(wrong, flight));
        let seat = self.flights.with(&route, |flying| {
            let joined = flying
                .filter(|flight| !is_wrong(flight) && self.may_join(flight, errand))
                .map(|flight| flight.join(self.rules.cache.max_followers));
            match joined {
                Some(Ok(reader)) => (None, Seat::Reader(reader)),
                Some(Err(NotJoinable::Full)) => (None, Seat::None),
                Some(Err(NotJoinable::Passing)) if !may_launch => (None, Seat::NotNow),
                Some(Err(NotJoinable::Passing)) => (None, Seat::OwnPlane),
                None => match self.stored_meanwhile(errand) {
                    Some(stored) => (None, Seat::Stored(stored)),
                    None if !may_launch => (None, Seat::NotNow),
                    None if permit.is_none() => (None, Seat::None),
                    None => {
                        let (flight, pilot) = self.begin(&errand.head);
                        (Some(flight), Seat::Pilot(pilot))
                    }
                },
            }
        });
        match (seat, permit) {
            (Seat::Reader(reader), _) => Boarding::Aboard(Joined { reader, alone: None }),
            (Seat::Stored(stored), _) => Boarding::TooLate(stored),
            (Seat::Pilot(pilot), Some(permit)) => {
                Boarding::Aboard(self.take_off(pilot, errand, Some(route), permit))
            }
            (Seat::OwnPlane, Some(permit)) => {
                Boarding::Aboard(self.take_off(self.begin(&errand.head).1, errand, None, permit))
            }
            (Seat::NotNow, _) => Boarding::NotNow,
            (Seat::None | Seat::Pilot(_) | Seat::OwnPlane, _) => {
                self.metrics.overloaded.add(1);
                Boarding::Refused
            }
        }
    }

    /// A flight that was born before a purge of this URL, its host or everything is not for those who asked after it. One that
    /// has no head after the patience is for nobody any more.
    pub(super) fn may_join(&self, flight: &Flight, errand: &Errand) -> bool {
        let is_newer = flight.born() >= errand.arrived
            || self.invalidation.admits(flight.born(), &errand.head.key);
        is_newer && !self.is_late(flight) && flight.is_current(self.clock.now())
    }

    fn share(&self, errand: &Errand, head: Arc<Head>, reader: Reader) -> Followed {
        let fields = &errand.head.fields;
        if let Some(variant) = head.variant.as_ref().filter(|variant| !variant.matches(fields)) {
            let selection = variant.selection_of(fields);
            return if selection == errand.selection {
                Followed::NotThis(Arc::clone(reader.flight()))
            } else {
                Followed::Selecting(selection)
            };
        }
        let born = reader.flight().born();
        let is_base_valid = head.base.as_ref().is_none_or(|base| {
            self.invalidation.may_confirm(&base.provenance, born, &errand.head.key)
        });
        if !is_base_valid || !self.may_follow(&head.provenance, errand) {
            return Followed::NotThis(Arc::clone(reader.flight()));
        }
        self.metrics.collapsed.add(1);
        Followed::Done(Ok(Fetched::Arriving { head, reader, role: Role::Follower }))
    }

    /// Returns whether a stored response that was validated for another request may answer this one, too.
    fn may_have(&self, stored: &Stored, errand: &Errand) -> bool {
        self.is_selected(stored, errand) && self.may_follow(&stored.provenance, errand)
    }

    fn is_selected(&self, stored: &Stored, errand: &Errand) -> bool {
        is_selected(&*self.store, stored, &errand.head.fields)
    }

    fn may_follow(&self, provenance: &crate::invalidation::Provenance, errand: &Errand) -> bool {
        self.invalidation.may_follow(provenance, errand.arrived, &errand.head.key)
    }
}

/// Who has launched the newest flight, or may not launch one, looks for others' so often within a patience.
const LOOKS: u32 = 4;
/// Flights that one request tries, when each of the first turned out to be for others or was overtaken by a purge.
const FLIGHTS_MAX: usize = 4;
