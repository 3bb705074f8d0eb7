//! Fetching: one fetch for each response, in a task of its own that no client owns. Requests for
//! the same response join it.
//!
//! The way of a miss:
//!
//! | step | function | what it yields |
//! |---|---|---|
//! | look up | `lookup::usable` | the stored response, and what purges make of it |
//! | decide | `cache::decision::decide` | a hit, or a plan: fetch, fetch uncollapsed, pass |
//! | join or start | `join::join_or_start` | a reader of the fetch in progress, or of a new one |
//! | exchange | `exchange::exchange` | the origin's response |
//! | publish head | `publish::publish_head` | one `HeadOutcome` for all readers |
//! | transfer | `transfer::transfer` | content for readers at their own pace, and for the store |
//! | store | `Transfer::store` | a stored response, from which readers go on |
//! | deliver | `Cache::deliver` | the response for each client |
//!
//! The first two and the last step run in the client's task, as does joining; the others in the
//! fetch's (`run`).
//!
//! A follower whose variant does not match, or that asked after a purge which the fetch misses,
//! goes to another fetch at once; a response that cannot be shared sends every request to the
//! origin on its own. A follower's patience ends long before a fetch's.

pub mod flight;
pub mod in_flight;
pub mod request;
pub mod revision;
mod folds;
pub mod tags;
mod places;
mod other_deployments;
mod hint_timer;
pub mod metrics;
mod collapse;
pub mod encode;
mod error;
mod exchange;
mod freshen;
mod held;
mod join;
mod marker;
mod parts;
mod post;
mod publish;
mod redirect_loop;
mod refresh;
mod shared_error;
mod storable;
mod task;
mod transfer;
mod wait;

use std::sync::Arc;

use bytes::Buf;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use settings::Coding;
use tokio::sync::oneshot;

pub use self::error::FetchError;
pub use self::held::HeldResponse;
pub use self::post::StorablePost;
pub use self::task::OnDisconnect;

use self::encode::{Encodings, WantedForm};
use self::flight::{Budget, Flight, FlightReader, FlightWriter, SharedHead};
use self::in_flight::InFlight;
use self::metrics::FetchMetrics;
use self::request::FetchRequest;
use self::task::FetchTask;
use crate::freshness::{ExchangeTimes, Uncacheable};
use crate::invalidation::{Invalidation, Provenance, RunningFetch, Verdict};
use crate::key::Key;
use crate::limit::{Limit, Permit};
use crate::origins::{self, Origin, OriginBody, OriginError, RequestBody};
use crate::request::RequestHead;
use crate::request::span::SpanContext;
use crate::store::journal::Journal;
use crate::store::{Removal, Store, Stored};
use process::clock::Clock;
use process::timestamp::Timestamp;

/// Gets responses from the origin and into the store.
#[derive(Debug)]
pub struct Fetcher {
    store: Arc<dyn Store>,
    invalidation: Arc<Invalidation>,
    journal: Journal,
    clock: Clock,
    limits: FetchLimits,
    metrics: FetchMetrics,
    in_flight: Arc<InFlight>,
    budget: Arc<Budget>,
    /// One permit for each request that may be at the origin at once.
    permits: Arc<Limit>,
    encodings: Encodings,
}

#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "each is a maximum of something else")]
pub struct FetchLimits {
    /// Bytes of the largest response that is stored.
    pub object_bytes_max: u64,
    /// Bytes that all flights retain; past it content is streamed, not stored.
    pub inflight_bytes_max: u64,
    /// Requests at the origins at once.
    pub misses_max: usize,
}

#[derive(Debug)]
pub enum Fetched {
    Arriving {
        head: Arc<SharedHead>,
        reader: FlightReader,
        role: Role,
    },
    Validated(Arc<Stored>, Role),
    /// A stale response, because the origin failed (RFC 5861 §4).
    StaleIfError(Arc<Stored>),
    /// A response that another fetch has stored since this request missed.
    Stored(Arc<Stored>),
    /// A response for this client only.
    Unshared(Box<Response<OriginBody>>, Uncacheable),
}

impl Fetched {
    /// Returns the span of another request's exchange, whose response this is.
    pub const fn joined(&self) -> Option<SpanContext> {
        match self {
            Self::Arriving { role: Role::Follower(span), .. }
            | Self::Validated(_, Role::Follower(span)) => *span,
            _ => None,
        }
    }

    /// Returns the key under which others find the response; `None`: it is for this client only.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Arriving { head, .. } => Some(&head.key),
            Self::Validated(stored, _) | Self::StaleIfError(stored) | Self::Stored(stored) => {
                Some(&stored.key)
            }
            Self::Unshared(..) => None,
        }
    }
}

/// The part of a request in the fetch that answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Leader,
    /// The fetch was in progress already; with the span of its exchange, if that has one.
    Follower(Option<SpanContext>),
}

impl Role {
    pub const fn is_leader(self) -> bool {
        matches!(self, Self::Leader)
    }
}

impl Fetcher {
    pub fn new(
        store: Arc<dyn Store>,
        (invalidation, journal): (Arc<Invalidation>, Journal),
        clock: Clock,
        limits: FetchLimits,
    ) -> Arc<Self> {
        let budget = Arc::new(Budget::new(limits.inflight_bytes_max));
        let permits = Limit::new(limits.misses_max);
        Arc::new(Self {
            store,
            invalidation,
            journal,
            clock,
            limits,
            metrics: FetchMetrics::default(),
            in_flight: Arc::default(),
            budget,
            permits,
            encodings: Encodings::default(),
        })
    }

    /// Fetches a response that other requests may share.
    pub async fn fetch(self: &Arc<Self>, request: FetchRequest) -> Result<Fetched, FetchError> {
        collapse::fetch(self, request).await
    }

    /// Fetches a response that no other request waits for; it may be stored all the same.
    pub async fn fetch_uncollapsed(
        self: &Arc<Self>,
        request: Arc<FetchRequest>,
        on_disconnect: OnDisconnect,
    ) -> Result<Fetched, FetchError> {
        collapse::fetch_uncollapsed(self, request, on_disconnect).await
    }

    /// Validates a stale response in the background, unless a fetch for it is in progress, its URL
    /// failed a moment ago, or the origin cannot be reached. `request` need not hold it yet.
    pub fn refresh(self: &Arc<Self>, request: FetchRequest, stale: &Arc<Stored>) {
        refresh::refresh(self, request, stale);
    }

    /// Sends a request as it is and returns its response for this client only: neither is stored.
    pub async fn pass(
        &self,
        origin: &Origin,
        request: Request<RequestBody>,
    ) -> Result<Response<OriginBody>, FetchError> {
        let Some(_permit) = self.permit() else { return Err(FetchError::Overloaded) };
        Ok(origins::send(origin, request).await?)
    }

    /// Returns a reader of the compressed form of what `open` opens. Returns the source where the
    /// plain form is to be sent: too many are being made, or it has failed for this URL.
    pub fn encode<S, B>(
        self: &Arc<Self>,
        wanted: WantedForm<'_>,
        source: S,
        open: impl FnOnce(S) -> B,
    ) -> Result<FlightReader, S>
    where
        B: Body<Error = OriginError> + Send + Unpin + 'static,
        B::Data: Buf + Send,
    {
        encode::encode(self, wanted, source, open)
    }

    /// Returns the stored compressed form of a plain one, where it was made of the same content.
    pub fn renew_form(
        self: &Arc<Self>,
        request: &RequestHead,
        coding: Coding,
        plain: &Arc<Stored>,
    ) -> Option<Arc<Stored>> {
        encode::stored_form::renew(self, request, coding, plain)
    }

    pub const fn encodings(&self) -> &Encodings {
        &self.encodings
    }

    /// Stores the response to a POST while its client reads it, if it may be stored.
    pub async fn store_post_response(
        self: &Arc<Self>,
        request: &RequestHead,
        response: Response<OriginBody>,
        post: Option<StorablePost>,
        exchange: ExchangeTimes,
    ) -> Result<Fetched, FetchError> {
        post::store(self, request, response, post, exchange).await
    }

    /// Updates the stored response that a HEAD request selects by the response to it.
    pub fn freshen_by_head(
        &self,
        request: &RequestHead,
        birth: &RunningFetch,
        status: StatusCode,
        fields: &HeaderMap,
        exchange: ExchangeTimes,
    ) {
        freshen::freshen_by_head(self, request, birth, status, fields, exchange);
    }

    /// Holds a response that was found in the store a moment ago; `None` when it has left the store
    /// or was hard-purged.
    pub fn hold(&self, stored: &Arc<Stored>) -> Option<Arc<HeldResponse>> {
        HeldResponse::new(&*self.store, &self.invalidation, stored)
    }

    /// Returns the exchange of a request that was sent at `request_time` and whose response has
    /// just arrived.
    pub fn exchange_since(&self, request_time: Timestamp) -> ExchangeTimes {
        let (response_time, wall_time) = (self.clock.now(), self.clock.wall());
        ExchangeTimes { request_time, response_time, wall_time }
    }

    /// Returns the lowest revision that may answer a request for this key.
    pub fn lowest_revision(&self, key: &Key) -> Option<HeaderValue> {
        revision::lowest(&self.invalidation, key, None)
    }

    /// Returns the requests at the origin, the flights, and the bytes that these retain.
    pub fn in_flight(&self) -> (usize, usize, u64) {
        (self.permits.in_use(), self.in_flight.len(), self.budget.used())
    }

    /// Changes how much may be in flight at once.
    pub fn resize(&self, limits: FetchLimits) {
        self.permits.resize(limits.misses_max);
        self.budget.resize(limits.inflight_bytes_max);
    }

    pub const fn metrics(&self) -> &FetchMetrics {
        &self.metrics
    }

    /// Begins a flight for a request; `span`: that of the exchange with the origin.
    fn begin(
        &self,
        request: &RequestHead,
        span: Option<SpanContext>,
    ) -> (Arc<Flight>, FlightWriter) {
        let (birth, budget) = (self.invalidation.begin_fetch(), Arc::clone(&self.budget));
        Flight::begin(birth, budget, Arc::clone(&request.peer.retained), span)
    }

    fn permit(&self) -> Option<Permit> {
        let permit = self.permits.try_acquire();
        if permit.is_none() {
            self.metrics.overloaded.add(1);
        }
        permit
    }

    /// Serves the stale response where that is allowed, else the error.
    fn stale_or_error(
        &self,
        request: &FetchRequest,
        error: FetchError,
    ) -> Result<Fetched, FetchError> {
        let stale = request.stale.as_ref().filter(|stale| self.may_serve_on_error(stale));
        stale.map(|stale| Fetched::StaleIfError(Arc::clone(stale.stored()))).ok_or(error)
    }

    /// Returns whether a stale response may be served in place of an error. A response that was
    /// hard-purged meanwhile may not, nor may one that may have missed a purge.
    pub fn may_serve_on_error(&self, stale: &HeldResponse) -> bool {
        let soft_purged = match stale.verdict(&self.invalidation) {
            Verdict::Purged | Verdict::Unproven => return false,
            Verdict::Soft(at) => Some(at),
            Verdict::Valid => None,
        };
        let now = self.clock.present();
        self.invalidation.lease().trust(now).allows_stale_if_error()
            && stale
                .stored()
                .response()
                .is_some_and(|response| response.freshness.may_serve_on_error(now, soft_purged))
    }

    /// Returns whether a response that is found under this key is one for the URL of this request.
    fn is_for(&self, request: &RequestHead, key: &Key, provenance: &Provenance) -> bool {
        let own = request.own_key();
        let is_declared = || {
            let classes = self.invalidation.ids().search_classes(own.host(), own.path());
            classes.into_iter().any(|class| provenance.carries(class))
        };
        key == own || request.policy.heeds_search_variance && is_declared()
    }

    /// Removes a response that was purged while it was fetched. Until then its verdict keeps it
    /// from being used.
    fn remove_if_purged(&self, stored: &Arc<Stored>) {
        if !self.invalidation.may_keep(&stored.provenance, &stored.key) {
            self.store.remove(stored, Removal::Purged);
            self.metrics.uncacheable(Uncacheable::PurgedInFlight);
        }
    }
}

/// Starts a fetch in a task of its own. The receiver gets a response that is for the leader only.
fn spawn_fetch(task: FetchTask) -> (FlightReader, oneshot::Receiver<Response<OriginBody>>) {
    let reader = task.writer.first_reader();
    let (sender, unshared) = oneshot::channel();
    tokio::spawn(run(task, sender));
    (reader, unshared)
}

/// Fetches, from the request to the end of the content.
async fn run(task: FetchTask, mut unshared: oneshot::Sender<Response<OriginBody>>) {
    let response = tokio::select! {
        biased;
        response = exchange::exchange(&task) => response,
        () = unshared.closed(), if task.on_disconnect == OnDisconnect::Cancel => {
            task.fetcher.metrics.cancelled.add(1);
            return; // with it goes the connection to the origin
        }
    };
    match response {
        Ok(response) => publish::publish_head(task, response, unshared).await,
        Err(error) => {
            let origin = task.request.head.policy.origin();
            origin.reachability.note_error(&error, task.fetcher.clock.now());
            task.fail(error);
        }
    }
}
