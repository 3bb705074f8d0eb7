//! Fetching: one flight for each response, detached from every client; whoever asks leads or follows.
//!
//! A follower whose variant does not match, or who asked after a purge that the flight misses, goes to another flight at
//! once; what cannot be shared sends everyone to the origin in parallel. Nobody waits for ever: a follower's patience ends
//! long before a flight's.

pub mod flight;
pub mod in_flight;
pub mod request;
pub mod tags;
pub mod metrics;
mod collapse;
mod held;
mod exchange;
mod freshening;
mod post;
mod parts;
pub mod revision;
mod transfer;
mod redirect_loop;

use std::sync::Arc;

use http::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

pub use self::exchange::WhenLeft;
pub use self::held::Held;
pub use self::post::StorablePost;

use self::collapse::{Joined, is_late};
use self::exchange::{Fetch, InFlightGuard};
use self::flight::{Budget, Flight, FlightWriter, Head, Reader};
use self::in_flight::{FlightKey, InFlight};
use self::metrics::FetchMetrics;
use self::request::FetchRequest;
use crate::freshness::{Exchange, Uncacheable};
use crate::invalidation::{Invalidation, Verdict};
use crate::origins::{Origin, OriginBody, RequestBody};
use crate::request::RequestHead;
use crate::response::failure::ProxyError;
use crate::store::{Store, Stored};
use process::clock::Clock;
use process::timestamp::Timestamp;

/// Gets responses from the origin and into the store.
#[derive(Debug)]
pub struct Fetcher {
    /// Where complete responses go.
    pub store: Arc<dyn Store>,
    /// What may still be used.
    pub invalidation: Arc<Invalidation>,
    /// The time.
    pub clock: Clock,
    limits: FetchLimits,
    /// What happened.
    pub metrics: FetchMetrics,
    flights: InFlight,
    budget: Arc<Budget>,
    misses: Arc<Semaphore>,
}

/// The bounds on fetching that a start fixes.
#[derive(Clone, Copy, Debug)]
pub struct FetchLimits {
    /// Bytes of the largest response that is stored.
    pub object_bytes_max: u64,
    /// Bytes of bodies that are being fetched; past it they are streamed, not stored.
    pub inflight_bytes_max: u64,
    /// Requests at the origins at once.
    pub misses_max: usize,
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
    StaleIfError(Arc<Stored>),
    /// A response that another fetch has stored since this request missed.
    Stored(Arc<Stored>),
    /// A response for this client alone.
    Unshared(Box<Response<OriginBody>>, Uncacheable),
}

/// Who sent the request to the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This request did.
    Leader,
    /// Another one, which was in flight already.
    Follower,
}

impl Fetcher {
    /// The exchange of a request that was sent at that moment, and whose answer arrives now.
    pub fn exchange_since(&self, request_time: Timestamp) -> Exchange {
        let (response_time, wall_time) = (self.clock.now(), self.clock.wall());
        Exchange { request_time, response_time, wall_time }
    }

    /// Makes a fetcher with nothing in flight.
    pub fn new(
        store: Arc<dyn Store>,
        invalidation: Arc<Invalidation>,
        clock: Clock,
        limits: FetchLimits,
    ) -> Arc<Self> {
        let budget = Arc::new(Budget::new(limits.inflight_bytes_max));
        let misses = Arc::new(Semaphore::new(limits.misses_max));
        let (flights, metrics) = (InFlight::default(), FetchMetrics::default());
        Arc::new(Self { store, invalidation, clock, limits, metrics, flights, budget, misses })
    }

    /// Validates a stale response in the background, if nobody does already, and neither did its URL fail just now nor could
    /// the origin not be reached. The request need not hold it yet.
    pub fn refresh(self: &Arc<Self>, request: FetchRequest, stale: &Arc<Stored>) {
        let (url, now) = (request.head.key.hash(), self.clock.now());
        let origin = Arc::clone(request.head.policy.origin());
        if origin.failures.is_paused(url, now) || origin.reachability.is_lost(now) {
            return;
        }
        let key = flight_key(&request);
        let taken = self.flights.with(&key, |flying| {
            if flying.is_some_and(|flight| is_late(flight, &request)) {
                origin.failures.note_late(url, now);
            }
            let is_needless = flying.is_some_and(|flight| self.may_join(flight, &request))
                || self.stored_meanwhile(&request).is_some();
            let Some(permit) = (!is_needless).then(|| self.permit()).flatten() else {
                return (None, None);
            };
            let (flight, writer) = self.begin(&request.head);
            (Some(flight), Some((writer, permit)))
        });
        if let Some((writer, permit)) = taken {
            self.metrics.background.add(1);
            let (sender, _nobody) = oneshot::channel();
            let stale = request.stale.clone().or_else(|| self.hold(stale));
            let request = Arc::new(FetchRequest { stale, ..request });
            tokio::spawn(self.fetch_of(writer, request, Some(key), permit).run(sender));
        }
    }

    /// Sends a request as it is and returns its response for this client alone: neither is stored.
    pub async fn pass(
        &self,
        origin: &Origin,
        request: Request<RequestBody>,
    ) -> Result<Response<OriginBody>, ProxyError> {
        let Some(_permit) = self.permit() else { return Err(ProxyError::Overloaded) };
        Ok(origin.send(request).await?)
    }

    fn begin(&self, request: &RequestHead) -> (Arc<Flight>, FlightWriter) {
        let account = Arc::clone(&request.peer.retained);
        Flight::begin(self.invalidation.begin_fetch(), Arc::clone(&self.budget), account)
    }

    fn take_off(
        self: &Arc<Self>,
        writer: FlightWriter,
        request: &Arc<FetchRequest>,
        key: Option<FlightKey>,
        permit: OwnedSemaphorePermit,
    ) -> Joined {
        launch(self.fetch_of(writer, Arc::clone(request), key, permit))
    }

    fn fetch_of(
        self: &Arc<Self>,
        writer: FlightWriter,
        request: Arc<FetchRequest>,
        key: Option<FlightKey>,
        permit: OwnedSemaphorePermit,
    ) -> Fetch {
        let flight = Arc::clone(writer.flight());
        let guard = InFlightGuard { fetcher: Arc::clone(self), key, flight };
        let (fetcher, when_left) = (Arc::clone(self), WhenLeft::GoOn);
        Fetch { fetcher, request, guard, writer, when_left, _permit: permit }
    }

    /// Serves the stale response where that is allowed, else the error.
    fn stale_or_error(
        &self,
        request: &FetchRequest,
        error: ProxyError,
    ) -> Result<Fetched, ProxyError> {
        let stale = request.stale.as_ref().filter(|stale| self.may_serve_on_error(stale));
        stale.map(|stale| Fetched::StaleIfError(Arc::clone(stale.stored()))).ok_or(error)
    }

    /// A hard purge that came meanwhile counts: what was purged is not even served when the origin is down. Nor is what may
    /// have missed one.
    fn may_serve_on_error(&self, stale: &Held) -> bool {
        let soft_purged = match self.verdict_of(stale) {
            Verdict::Purged | Verdict::Unproven => return false,
            Verdict::Soft(at) => Some(at),
            Verdict::Valid => None,
        };
        let now = self.clock.now();
        self.invalidation.lease().trust(now).allows_stale_if_error()
            && stale
                .stored()
                .response()
                .is_some_and(|response| response.freshness.may_serve_on_error(now, soft_purged))
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
        let misses = self.limits.misses_max - self.misses.available_permits();
        (misses, self.flights.len(), self.budget.used())
    }
}

/// Begins a fetch in a task of its own, with the request that asked for it aboard.
fn launch(fetch: Fetch) -> Joined {
    let reader = fetch.writer.first_reader();
    let (sender, alone) = oneshot::channel();
    tokio::spawn(fetch.run(sender));
    Joined { reader, alone: Some(alone) }
}

fn flight_key(request: &FetchRequest) -> FlightKey {
    let FetchRequest { head, selection, range, .. } = request;
    FlightKey { key: head.key.clone(), selection: *selection, range: *range }
}
