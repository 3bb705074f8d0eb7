//! Fetching: one flight for each response, detached from every client; whoever asks leads or follows.
//!
//! A follower whose variant does not match, or who asked after a purge that the flight misses, goes to another flight at
//! once; what cannot be shared sends everyone to the origin in parallel. Nobody waits for ever: a follower's patience ends
//! long before a flight's.

pub mod flight;
pub mod flights;
pub mod errand;
pub mod tags;
pub mod metrics;
mod landing;
mod freshening;
mod adoption;
mod parts;
pub mod revision;
mod carriage;
mod tunnel;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

pub use self::tunnel::tunnel;

use self::errand::Errand;
use self::flight::{Budget, Flight, Head, Landing, NotJoinable, Pilot, Reader};
use self::flights::{Flights, Route};
use self::landing::{Fetch, OnAir};
use self::metrics::FetchMetrics;
use crate::clock::Clock;
use crate::config;
use crate::freshness::content_range::ContentRange;
use crate::freshness::{Policy, State, Uncacheable};
use crate::invalidation::{Invalidation, Verdict};
use crate::origin::{Origin, OriginBody, OriginError, RequestBody};
use crate::response::failure::ProxyError;
use crate::store::{Store, Stored};
use crate::timestamp::Timestamp;

/// Gets responses from the origin and into the store.
#[derive(Debug)]
pub struct Fetcher {
    /// Where complete responses go.
    pub store: Arc<dyn Store>,
    /// What may still be used.
    pub invalidation: Arc<Invalidation>,
    /// Where responses come from.
    pub origin: Arc<Origin>,
    /// The time.
    pub clock: Clock,
    /// What the operator decided.
    pub rules: FetchRules,
    /// What happened.
    pub metrics: FetchMetrics,
    flights: Flights,
    budget: Arc<Budget>,
    misses: Arc<Semaphore>,
    /// When the origin failed last, in milliseconds; 0: it answers.
    failed_at: AtomicU64,
}

/// What the operator decided about fetching.
#[derive(Clone, Debug)]
pub struct FetchRules {
    /// Where the origin is silent.
    pub policy: Policy,
    /// Collapsing.
    pub cache: config::Cache,
    /// Tags.
    pub tags: config::Tags,
    /// Fields that select a variant whatever the response says.
    pub selecting: &'static [http::HeaderName],
    /// Our name.
    pub via: String,
    /// Bytes of the largest response that is stored.
    pub object_bytes_max: u64,
    /// Requests at the origin at once.
    pub misses_max: usize,
    /// How long a reader may hold up a response that is not stored.
    pub send_timeout: Duration,
}

/// What a fetch brought.
#[derive(Debug)]
pub enum Fetched {
    /// A response whose content is arriving.
    Arriving {
        /// Its head.
        head: Arc<Head>,
        /// Its content.
        reader: Reader,
        /// Whether somebody else had asked for it before.
        role: Role,
    },
    /// A stored response that the origin just confirmed.
    Validated(Arc<Stored>, Role),
    /// A stale response, because the origin failed.
    StandIn(Arc<Stored>),
    /// A response that another fetch has stored since this request missed.
    Stored(Arc<Stored>),
    /// A response for this client alone.
    Alone(Box<Response<OriginBody>>, Uncacheable),
}

/// Who sent the request to the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This request did.
    Leader,
    /// Another one, which was in flight already.
    Follower,
}

/// How a request came aboard a flight.
enum Boarding {
    Leading(Lead),
    Following(Reader),
    /// The flight has landed, and this is what it stored.
    TooLate(Arc<Stored>),
    Refused,
}

/// A flight that this request has caused.
struct Lead {
    reader: Reader,
    /// The response, if it turns out to be for this request alone.
    alone: oneshot::Receiver<Response<OriginBody>>,
}

impl Fetcher {
    /// Makes a fetcher with nothing in flight.
    pub fn new(
        store: Arc<dyn Store>,
        invalidation: Arc<Invalidation>,
        origin: Arc<Origin>,
        clock: Clock,
        rules: FetchRules,
    ) -> Arc<Self> {
        let budget = Arc::new(Budget::new(rules.cache.max_inflight_bytes));
        let misses = Arc::new(Semaphore::new(rules.misses_max));
        let (flights, metrics) = (Flights::default(), FetchMetrics::default());
        Arc::new(Self {
            store,
            invalidation,
            origin,
            clock,
            rules,
            metrics,
            flights,
            budget,
            misses,
            failed_at: AtomicU64::new(0),
        })
    }

    /// Fetches a response that others may share.
    pub async fn fetch(self: &Arc<Self>, mut errand: Errand) -> Result<Fetched, ProxyError> {
        // Where the whole is on its way already, a part of it needs no fetch of its own.
        let whole = Route { range: None, ..route_of(&errand) };
        let is_alone = !self.flights.has(&whole) && !self.is_apart(&errand);
        errand.range = errand.range.filter(|_| is_alone);
        let mut not_this: Option<Arc<Flight>> = None;
        for number in 1..=FLIGHTS_MAX {
            let is_last = number == FLIGHTS_MAX;
            let shared = Arc::new(errand);
            let boarding = self.board(&shared, not_this.take().as_ref());
            errand = match boarding {
                Boarding::Refused => return self.stand_in_or(&shared, ProxyError::Overloaded),
                Boarding::TooLate(stored) => return Ok(Fetched::Stored(stored)),
                Boarding::Leading(lead) => return self.lead(&shared, lead).await,
                Boarding::Following(reader) => match self.follow(&shared, reader).await {
                    Followed::Done(result) => return *result,
                    Followed::Alone => return self.fetch_alone(shared).await,
                    Followed::NotThis(flight) => {
                        not_this = Some(flight);
                        Arc::unwrap_or_clone(shared)
                    }
                    Followed::Late(flight) => {
                        let waited = self.stand_in_or(&shared, OriginError::HeadTimeout.into());
                        if waited.is_ok() || is_last {
                            return waited;
                        }
                        not_this = Some(flight);
                        Arc::unwrap_or_clone(shared)
                    }
                    Followed::Selecting(selection) => {
                        Errand { selection, ..Arc::unwrap_or_clone(shared) }
                    }
                },
            };
        }
        self.fetch_alone(Arc::new(errand)).await
    }

    /// Returns whether another part is stored that does not touch the one that is asked for. Either would take the other's place,
    /// over and over: where the whole may be stored, it is fetched.
    fn is_apart(&self, errand: &Errand) -> bool {
        let Some(asked) = errand.range else { return false };
        let stored = self.store.lookup(&errand.head.key, &|stored| is_selected(stored, errand));
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
    fn stored_meanwhile(&self, errand: &Errand) -> Option<Arc<Stored>> {
        let key = &errand.head.key;
        let stored = self.store.lookup(key, &|stored| is_selected(stored, errand))?;
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

    /// Fetches a response that nobody else waits for; it may be stored all the same.
    pub async fn fetch_alone(self: &Arc<Self>, errand: Arc<Errand>) -> Result<Fetched, ProxyError> {
        let Some(permit) = self.permit() else {
            return self.stand_in_or(&errand, ProxyError::Overloaded);
        };
        let lead = self.take_off(self.begin().1, &errand, None, permit);
        self.lead(&errand, lead).await
    }

    /// Validates a stale response in the background, if nobody does already and the origin did not fail just now.
    pub fn refresh(self: &Arc<Self>, errand: Errand) {
        let failed_at = Timestamp::from_millis(self.failed_at.load(Ordering::Relaxed));
        if self.clock.now().since(failed_at) < REFRESH_PAUSE {
            return;
        }
        let errand = Arc::new(errand);
        let route = route_of(&errand);
        let taken = self.flights.with(&route, |flying| {
            let is_needless = flying.is_some_and(|flight| self.may_join(flight, &errand))
                || self.stored_meanwhile(&errand).is_some();
            let Some(permit) = (!is_needless).then(|| self.permit()).flatten() else {
                return (None, None);
            };
            let (flight, pilot) = self.begin();
            (Some(flight), Some((pilot, permit)))
        });
        if let Some((pilot, permit)) = taken {
            self.metrics.background.add(1);
            let (sender, _nobody) = oneshot::channel();
            tokio::spawn(self.fetch_of(pilot, errand, Some(route), permit).run(sender));
        }
    }

    /// Sends a request as it is and returns its response for this client alone: neither is stored.
    pub async fn pass(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<OriginBody>, ProxyError> {
        let Some(_permit) = self.permit() else { return Err(ProxyError::Overloaded) };
        Ok(self.origin.send(request).await?)
    }

    /// Leads, follows, or is refused. `not_this`: a flight that turned out to be the wrong one for this request.
    fn board(self: &Arc<Self>, errand: &Arc<Errand>, not_this: Option<&Arc<Flight>>) -> Boarding {
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
                Some(Err(NotJoinable::Passing)) => (None, Seat::OwnPlane),
                None => match self.stored_meanwhile(errand) {
                    Some(stored) => (None, Seat::Stored(stored)),
                    None if permit.is_none() => (None, Seat::None),
                    None => {
                        let (flight, pilot) = self.begin();
                        (Some(flight), Seat::Pilot(pilot))
                    }
                },
            }
        });
        match (seat, permit) {
            (Seat::Reader(reader), _) => Boarding::Following(reader),
            (Seat::Stored(stored), _) => Boarding::TooLate(stored),
            (Seat::Pilot(pilot), Some(permit)) => {
                Boarding::Leading(self.take_off(pilot, errand, Some(route), permit))
            }
            (Seat::OwnPlane, Some(permit)) => {
                Boarding::Leading(self.take_off(self.begin().1, errand, None, permit))
            }
            (Seat::None | Seat::Pilot(_) | Seat::OwnPlane, _) => {
                self.metrics.overloaded.add(1);
                Boarding::Refused
            }
        }
    }

    /// A flight that was born before a purge of this URL, its host or everything is not for those who asked after it.
    fn may_join(&self, flight: &Flight, errand: &Errand) -> bool {
        let is_young = flight.born() >= errand.arrived
            || self.invalidation.admits(flight.born(), &errand.head.key);
        is_young && flight.is_current(self.clock.now())
    }

    fn begin(&self) -> (Arc<Flight>, Pilot) {
        Flight::begin(self.invalidation.begin_fetch(), Arc::clone(&self.budget))
    }

    fn take_off(
        self: &Arc<Self>,
        pilot: Pilot,
        errand: &Arc<Errand>,
        route: Option<Route>,
        permit: OwnedSemaphorePermit,
    ) -> Lead {
        let reader = pilot.first_reader();
        let (sender, alone) = oneshot::channel();
        tokio::spawn(self.fetch_of(pilot, Arc::clone(errand), route, permit).run(sender));
        Lead { reader, alone }
    }

    fn fetch_of(
        self: &Arc<Self>,
        pilot: Pilot,
        errand: Arc<Errand>,
        route: Option<Route>,
        permit: OwnedSemaphorePermit,
    ) -> Fetch {
        let flight = Arc::clone(pilot.flight());
        let on_air = OnAir { fetcher: Arc::clone(self), route, flight };
        Fetch { fetcher: Arc::clone(self), errand, on_air, pilot, _permit: permit }
    }

    async fn lead(&self, errand: &Errand, lead: Lead) -> Result<Fetched, ProxyError> {
        let Lead { reader, alone } = lead;
        match reader.landing().await {
            Landing::Shared(head) => Ok(Fetched::Arriving { head, reader, role: Role::Leader }),
            Landing::Validated(stored) => Ok(Fetched::Validated(stored, Role::Leader)),
            Landing::StandIn(stored) => Ok(Fetched::StandIn(stored)),
            Landing::Failed(error) => self.stand_in_or(errand, error.into()),
            Landing::Alone(reason) => match alone.await {
                Ok(response) => Ok(Fetched::Alone(Box::new(response), reason)),
                Err(_closed) => Err(OriginError::Abandoned.into()),
            },
        }
    }

    async fn follow(&self, errand: &Errand, reader: Reader) -> Followed {
        let Ok(landing) = timeout(self.rules.cache.collapse_patience, reader.landing()).await
        else {
            self.metrics.collapsed_late.add(1);
            return Followed::Late(Arc::clone(reader.flight()));
        };
        match landing {
            Landing::Shared(head) => self.share(errand, head, reader),
            Landing::Validated(stored) if self.may_have(&stored, errand) => {
                self.metrics.collapsed.add(1);
                Followed::Done(Box::new(Ok(Fetched::Validated(stored, Role::Follower))))
            }
            Landing::StandIn(stored)
                if is_selected(&stored, errand) && self.may_stand_in(&stored, errand) =>
            {
                Followed::Done(Box::new(Ok(Fetched::StandIn(stored))))
            }
            Landing::Validated(_) | Landing::StandIn(_) => {
                Followed::NotThis(Arc::clone(reader.flight()))
            }
            Landing::Alone(_) => {
                self.metrics.collapsed_uncacheable.add(1);
                Followed::Alone
            }
            Landing::Failed(error) => {
                Followed::Done(Box::new(self.stand_in_or(errand, error.into())))
            }
        }
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
        Followed::Done(Box::new(Ok(Fetched::Arriving { head, reader, role: Role::Follower })))
    }

    /// Returns whether a stored response that was validated for another request may answer this one, too.
    fn may_have(&self, stored: &Stored, errand: &Errand) -> bool {
        is_selected(stored, errand) && self.may_follow(&stored.provenance, errand)
    }

    fn may_follow(&self, provenance: &crate::invalidation::Provenance, errand: &Errand) -> bool {
        self.invalidation.may_follow(provenance, errand.arrived, &errand.head.key)
    }

    /// Serves the stale response where that is allowed, else the error.
    fn stand_in_or(&self, errand: &Errand, error: ProxyError) -> Result<Fetched, ProxyError> {
        let stale = errand.stale.as_ref().filter(|stale| self.may_stand_in(stale, errand));
        stale.map(|stale| Fetched::StandIn(Arc::clone(stale))).ok_or(error)
    }

    /// A hard purge that came meanwhile counts: what was purged is not even served when the origin is down. Nor is what may
    /// have missed one.
    fn may_stand_in(&self, stale: &Stored, errand: &Errand) -> bool {
        let soft_purged = match self.invalidation.verdict(&stale.provenance, &errand.head.key) {
            Verdict::Purged | Verdict::Unproven => return false,
            Verdict::Soft(at) => Some(at),
            Verdict::Valid => None,
        };
        let now = self.clock.now();
        self.invalidation.lease().trust(now).allows_stand_in()
            && stale
                .response()
                .is_some_and(|response| response.freshness.may_stand_in_for_error(now, soft_purged))
    }

    /// Notes whether the origin is well.
    fn note_origin(&self, is_well: bool) {
        let failed_at = if is_well { 0 } else { self.clock.now().as_millis() };
        self.failed_at.store(failed_at, Ordering::Relaxed);
    }

    fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.misses).try_acquire_owned().ok();
        if permit.is_none() {
            self.metrics.overloaded.add(1);
        }
        permit
    }

    /// Requests at the origin, flights in the air and bytes that they retain: gauges.
    pub fn in_flight(&self) -> (usize, usize, u64) {
        let misses = self.rules.misses_max - self.misses.available_permits();
        (misses, self.flights.len(), self.budget.used())
    }
}

enum Followed {
    Done(Box<Result<Fetched, ProxyError>>),
    /// The response is for its leader only.
    Alone,
    /// This flight took too long: another is to take its place, unless there is a stale response.
    Late(Arc<Flight>),
    /// This flight was overtaken by a purge, or is for others: another is to take its place.
    NotThis(Arc<Flight>),
    /// The URL varies: the flight with this selection is the right one.
    Selecting(u64),
}

/// What a request finds on its route.
enum Seat {
    Reader(Reader),
    Pilot(Pilot),
    /// Nothing, but what it is after is in the store by now.
    Stored(Arc<Stored>),
    /// The flight's beginning is gone.
    OwnPlane,
    None,
}

fn is_selected(stored: &Stored, errand: &Errand) -> bool {
    stored.variant.as_ref().is_none_or(|variant| variant.matches(&errand.head.fields))
}

fn route_of(errand: &Errand) -> Route {
    let Errand { head, selection, range, .. } = errand;
    Route { key: head.key.clone(), selection: *selection, range: *range }
}

/// Flights that one request tries, when each of the first turned out to be for others or was overtaken by a purge.
const FLIGHTS_MAX: usize = 4;
/// After a failure of the origin, stale hits cause no background fetches for so long.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);
