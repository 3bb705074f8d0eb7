//! `Cache`: the paragraph that is the proxy. Look up, decide, answer; or fetch and answer.

pub mod decision;
pub mod metrics;
pub mod rewarm;
mod pass;
pub mod changes;
mod tunnel;

use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode, Version};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::changes::Changes;
use self::decision::{Decision, Plan, decide};
use self::metrics::{Outcome, RequestMetrics};
use crate::client::busy::Busy;
use crate::client::exchange::Interim;
use crate::client::peer::Peer;
use crate::fetch::request::FetchRequest;
use crate::fetch::{Fetched, Fetcher, Role, WhenLeft};
use crate::field::cache_status::ForwardReason;
use crate::field::cache_status::{Forward, Status};
use crate::field::range::RangeSpec;
use crate::freshness::{RequestFacts, Uncacheable};
use crate::key::KeySeed;
use crate::listener::drain::Drain;
use crate::lookup::look_up;
use crate::policy::Snapshot;
use crate::purge::Purger;
use crate::request::refusal::Refusal;
use crate::request::{Inbound, Refused, RequestHead, max_forwards, trace};
use crate::response::body::ResponseBody;
use crate::response::conditional::must_forward;
use crate::response::failure::{self, ProxyError};
use crate::response::{Responder, has_preconditions};
use crate::store::{Promote, Stored};

/// Answers requests.
#[derive(Debug)]
pub struct Cache {
    fetcher: Arc<Fetcher>,
    purger: Arc<Purger>,
    seed: KeySeed,
    /// One permit for each WebSocket; they no longer count as connections.
    tunnels: Arc<Semaphore>,
    /// What waits for tunnels at the end.
    drain: Drain,
    /// Unsafe requests that are at the origin.
    pub changes: Changes,
    /// How requests were answered, for each listener.
    pub metrics: Box<[RequestMetrics]>,
}

/// How far a request got without waiting.
#[derive(Debug)]
pub enum Step {
    /// The answer.
    Answer(Response<ResponseBody>),
    /// There is more to do.
    Work(Box<Work>),
}

/// A request that has to wait for the origin.
#[derive(Debug)]
pub struct Work {
    inbound: Inbound,
    reason: ForwardReason,
    plan: Plan,
    selection: u64,
    started: Instant,
    /// Something is stored that has to be read first.
    is_dormant: bool,
}

impl Work {
    /// The version of HTTP that the client speaks.
    pub const fn version(&self) -> Version {
        self.inbound.head.version
    }

    /// Says where interim responses go.
    pub fn relay(&mut self, interim: Interim) {
        self.inbound.head.interim = Some(interim);
    }
}

impl Cache {
    /// Makes one for so many listeners, whose tunnels this drain waits for.
    pub fn new(
        fetcher: Arc<Fetcher>,
        purger: Arc<Purger>,
        seed: KeySeed,
        (listeners, tunnels_max): (usize, usize),
        drain: Drain,
    ) -> Self {
        let metrics = (0..listeners).map(|_| RequestMetrics::default()).collect();
        let tunnels = Arc::new(Semaphore::new(tunnels_max));
        let changes = Changes::default();
        Self { fetcher, purger, seed, tunnels, drain, changes, metrics }
    }

    /// The secret of the key hashes.
    pub const fn seed(&self) -> KeySeed {
        self.seed
    }

    /// What gets responses from the origin.
    pub const fn fetcher(&self) -> &Arc<Fetcher> {
        &self.fetcher
    }

    /// Answers from the store, or says what there is to do. Never waits, never blocks.
    pub fn begin(&self, mut inbound: Inbound) -> Step {
        let (decision, selection) = match self.bypass(&inbound) {
            Some(_) if inbound.head.wants_stored_only() => (Decision::Unsatisfiable, 0),
            Some((reason, why)) => (Decision::Forward(reason, Plan::Pass(why)), 0),
            None => match self.decide(&mut inbound.head, &[]) {
                (decision, selection) if self.may_sleep(&inbound.head, &decision) => {
                    let (reason, plan) = (ForwardReason::UriMiss, Plan::Fetch(None));
                    let started = Instant::now();
                    let is_dormant = true;
                    return Step::Work(Box::new(Work {
                        inbound,
                        reason,
                        plan,
                        selection,
                        started,
                        is_dormant,
                    }));
                }
                decided => decided,
            },
        };
        self.carry_out(inbound, decision, selection)
    }

    /// Returns whether what is not in memory may decide otherwise.
    fn may_sleep(&self, head: &RequestHead, decision: &Decision) -> bool {
        let is_open = match decision {
            Decision::Hit(_) | Decision::HitStale(_) | Decision::HitAccepted(_) => false,
            Decision::Forward(_, Plan::Fetch(stale)) => stale.is_none(),
            Decision::Forward(..) | Decision::Unsatisfiable => true,
        };
        is_open && self.fetcher.store.is_dormant(head.key.hash())
    }

    fn carry_out(&self, mut inbound: Inbound, decision: Decision, selection: u64) -> Step {
        match decision {
            Decision::Hit(stored) => {
                Step::Answer(self.hit(&inbound.head, &stored, Outcome::Hit, None))
            }
            Decision::HitStale(stored) => {
                let response = self.hit(
                    &inbound.head,
                    &stored,
                    Outcome::Stale,
                    Some("stale-while-revalidate"),
                );
                self.refresh(inbound.head, &stored, selection);
                Step::Answer(response)
            }
            Decision::HitAccepted(stored) => {
                Step::Answer(self.hit(&inbound.head, &stored, Outcome::Stale, Some("max-stale")))
            }
            Decision::Unsatisfiable => {
                Step::Answer(self.fail(&inbound.head, &Refusal::OnlyIfCached.into()))
            }
            Decision::Forward(reason, plan) => {
                let passes = trace::passes(
                    &inbound.head.fields,
                    &inbound.head.policy.settings().own_fields.name,
                );
                if passes > trace::PASSES_MAX {
                    return Step::Answer(self.fail(&inbound.head, &Refusal::Loop(passes).into()));
                }
                if max_forwards::count_down(&mut inbound.head) {
                    return Step::Answer(self.options(&inbound.head));
                }
                trace::identify(&mut inbound.head.fields);
                let (started, is_dormant) = (Instant::now(), false);
                Step::Work(Box::new(Work { inbound, reason, plan, selection, started, is_dormant }))
            }
        }
    }

    /// Does the rest. `busy` says that the connection is not idle, until the last byte is sent.
    pub async fn finish(&self, work: Work, busy: Busy) -> Response<ResponseBody> {
        let work = if work.is_dormant {
            match self.recall(work).await {
                Step::Answer(response) => return response,
                Step::Work(work) => *work,
            }
        } else {
            work
        };
        let Work { inbound, reason, plan, selection, started, is_dormant: _ } = work;
        let listener = inbound.head.peer.listener;
        // Where nothing is shared, the client's own conditions and ranges go to the origin.
        let is_whole = !has_preconditions(&inbound.head.fields);
        let is_get = inbound.head.method == Method::GET;
        let is_converted =
            inbound.head.method == Method::HEAD && inbound.head.policy.cache.convert_head;
        let (outcome, response) = match plan {
            Plan::Fetch(stale) if is_get || is_converted => {
                self.fetch(inbound.head, (reason, None), stale, selection, busy).await
            }
            // Responses that are known to be uncacheable are not transferred for HEAD.
            Plan::FetchUncollapsed(why) if is_get && is_whole => {
                self.fetch(inbound.head, (reason, Some(why)), None, selection, busy).await
            }
            Plan::Fetch(_) => self.pass(inbound, (reason, Uncacheable::Method), busy).await,
            Plan::FetchUncollapsed(why) | Plan::Pass(why) => {
                self.pass(inbound, (reason, why), busy).await
            }
        };
        if let Some(metrics) = self.metrics.get(listener) {
            metrics.count(outcome, response.status());
            metrics.time(outcome, started.elapsed());
        }
        response
    }

    /// Brings back what is stored out of memory, and decides anew.
    async fn recall(&self, work: Work) -> Step {
        let Work { mut inbound, started, .. } = work;
        let store = &self.fetcher.store;
        let recalled = store.recall(&inbound.head.key, Promote::IfHot).await;
        let (mut decision, mut selection) = self.decide(&mut inbound.head, &recalled);
        if !recalled.is_empty() && !matches!(decision, Decision::Hit(_)) {
            store.recall(&inbound.head.key, Promote::Always).await;
            (decision, selection) = self.decide(&mut inbound.head, &[]);
        }
        match self.carry_out(inbound, decision, selection) {
            Step::Work(mut work) => {
                work.started = started;
                Step::Work(work)
            }
            answer @ Step::Answer(_) => answer,
        }
    }

    /// Answers with an error of ours.
    pub fn fail(&self, request: &RequestHead, error: &ProxyError) -> Response<ResponseBody> {
        self.synthesize(error, &request.fields, &request.peer, request.policy.settings())
    }

    /// Answers a request that could not even be read.
    pub fn refuse(&self, refused: &Refused, peer: &Peer) -> Response<ResponseBody> {
        self.synthesize(&refused.refusal.into(), &refused.fields, peer, &refused.settings)
    }

    /// Answers OPTIONS that goes no further.
    fn options(&self, request: &RequestHead) -> Response<ResponseBody> {
        let response =
            Responder::of(request).own(failure::options(), &Status::Refused("max_forwards"));
        self.count(&request.peer, Outcome::Synthetic, response.status());
        response
    }

    fn synthesize(
        &self,
        error: &ProxyError,
        fields: &HeaderMap,
        peer: &Peer,
        settings: &Snapshot,
    ) -> Response<ResponseBody> {
        let response = failure::respond(error, fields, &settings.own_fields.name);
        self.count(peer, Outcome::Synthetic, response.status());
        Responder::new(settings).own(response, &Status::Refused(detail_of(error)))
    }

    /// Counts an answer.
    pub fn count(&self, peer: &Peer, outcome: Outcome, status: StatusCode) {
        if let Some(metrics) = self.metrics.get(peer.listener) {
            metrics.count(outcome, status);
        }
    }

    /// What keeps a request from the cache, whatever is stored.
    fn bypass(&self, inbound: &Inbound) -> Option<(ForwardReason, Uncacheable)> {
        let head = &inbound.head;
        if head.method != Method::GET && head.method != Method::HEAD {
            Some((ForwardReason::Method, Uncacheable::Method))
        } else if inbound.has_body() {
            Some((ForwardReason::Bypass, Uncacheable::Method))
        } else if inbound.upgrade.is_some() {
            Some((ForwardReason::Bypass, Uncacheable::Upgrade))
        } else if !head.policy.cookies.allow_cache(&head.fields) {
            Some((ForwardReason::Bypass, Uncacheable::Cookie))
        } else if must_forward(&head.fields) {
            Some((ForwardReason::Request, Uncacheable::Method))
        } else {
            None
        }
    }

    fn decide(&self, head: &mut RequestHead, recalled: &[Arc<Stored>]) -> (Decision, u64) {
        head.policy.cookies.reduce(&mut head.fields);
        let fetcher = &*self.fetcher;
        let (store, invalidation) = (&*fetcher.store, &*fetcher.invalidation);
        let mut lookup = look_up((store, recalled), invalidation, head);
        let now = fetcher.clock.now();
        if head.policy.cache.share_languages {
            lookup = lookup.or_by_language(store, invalidation, head, now);
        }
        let found = lookup.found.fitting(head, now);
        let trust = fetcher.invalidation.lease().trust(now);
        let decision = decide(found, &head.facts(), (&head.policy.freshness, trust), now);
        (decision, lookup.selection)
    }

    fn hit(
        &self,
        request: &RequestHead,
        stored: &Arc<Stored>,
        outcome: Outcome,
        detail: Option<&'static str>,
    ) -> Response<ResponseBody> {
        self.fetcher.store.touch(stored);
        let response = self.stored_answer(request, stored, detail);
        self.count(&request.peer, outcome, response.status());
        response
    }

    fn stored_answer(
        &self,
        request: &RequestHead,
        stored: &Stored,
        detail: Option<&'static str>,
    ) -> Response<ResponseBody> {
        let Some(response) = stored.response() else {
            return self.fail(request, &ProxyError::Overloaded);
        };
        let now = self.fetcher.clock.now();
        let ttl = response.freshness.ttl(now, stored.provenance.soft_purged());
        Responder::of(request).stored(request, response, now, &Status::Hit { ttl, detail })
    }

    /// Validates in the background, for everyone. What a client asks for that wants nothing stored is left for the next one.
    fn refresh(&self, head: RequestHead, stale: &Arc<Stored>, selection: u64) {
        let mut request = self.fetch_request(head, None, selection);
        request.head.interim = None; // its client has its answer
        request.range = None;
        if !request.facts.directives.no_store {
            self.fetcher.refresh(request, stale);
        }
    }

    /// Makes the request for a GET or HEAD. Either is fetched by GET.
    fn fetch_request(
        &self,
        head: RequestHead,
        stale: Option<Arc<Stored>>,
        selection: u64,
    ) -> FetchRequest {
        let facts = RequestFacts { method: Method::GET, ..head.facts() };
        let stale = stale.and_then(|stale| self.fetcher.hold(&stale));
        // What is stale is validated as a whole; what is not there may be fetched in part.
        let range = RangeSpec::only_one(&head.method, &head.fields).filter(|_| stale.is_none());
        FetchRequest {
            facts,
            range,
            arrived: self.fetcher.invalidation.sequence(),
            stale,
            selection,
            head,
        }
    }

    async fn fetch(
        &self,
        head: RequestHead,
        (reason, alone): (ForwardReason, Option<Uncacheable>),
        stale: Option<Arc<Stored>>,
        selection: u64,
        busy: Busy,
    ) -> (Outcome, Response<ResponseBody>) {
        let client = head.clone();
        let request = self.fetch_request(head, stale, selection);
        // A fetch that was sent before purges went to another process is shared no more.
        let is_collapsible = alone.is_none()
            && client.policy.cache.collapse
            && !self.fetcher.invalidation.lease().is_over_for_good();
        let fetched = if is_collapsible {
            self.fetcher.fetch(request).await
        } else {
            let when_left = if alone.is_some() { WhenLeft::Cancel } else { WhenLeft::GoOn };
            self.fetcher.fetch_uncollapsed(Arc::new(request), when_left).await
        };
        match fetched {
            Ok(fetched) => self.fetched(
                &client,
                fetched,
                Forward { detail: alone.map(Uncacheable::code), ..Forward::new(reason) },
                busy,
            ),
            Err(error) => (Outcome::Synthetic, self.error(&client, &error, Forward::new(reason))),
        }
    }

    fn fetched(
        &self,
        request: &RequestHead,
        fetched: Fetched,
        forward: Forward,
        busy: Busy,
    ) -> (Outcome, Response<ResponseBody>) {
        let now = self.fetcher.clock.now();
        match fetched {
            Fetched::Arriving { head, reader, role } => {
                let status = Status::Forward(Forward {
                    status: Some(head.status),
                    is_stored: head.not_stored.is_none(),
                    is_collapsed: role == Role::Follower,
                    detail: head.not_stored.map(Uncacheable::code),
                    ..forward
                });
                let outcome =
                    if head.not_stored.is_none() { Outcome::Miss } else { Outcome::Uncacheable };
                let mut response =
                    Responder::of(request).arriving(request, &head, reader, &status, (now, busy));
                if role == Role::Leader {
                    response.headers_mut().extend(head.personal.clone());
                }
                (outcome, response)
            }
            Fetched::Validated(stored, role) => {
                let status = Status::Forward(Forward {
                    status: Some(StatusCode::NOT_MODIFIED),
                    is_stored: true,
                    is_collapsed: role == Role::Follower,
                    ..forward
                });
                let response = stored
                    .response()
                    .map(|response| Responder::of(request).stored(request, response, now, &status));
                (
                    Outcome::Revalidated,
                    response
                        .unwrap_or_else(|| self.error(request, &ProxyError::Overloaded, forward)),
                )
            }
            Fetched::StaleIfError(stored) => {
                (Outcome::Stale, self.stored_answer(request, &stored, Some("stale-if-error")))
            }
            Fetched::Stored(stored) => (Outcome::Hit, self.stored_answer(request, &stored, None)),
            Fetched::Unshared(response, why) => {
                let detail = Some(forward.detail.unwrap_or_else(|| why.code()));
                let status =
                    Status::Forward(Forward { status: Some(response.status()), detail, ..forward });
                let answer = self.passed(request, *response, &status, busy);
                if request.method == Method::HEAD {
                    // `Content-Length` is the origin's. Dropping the content ends the exchange.
                    return (Outcome::Uncacheable, answer.map(|_content| ResponseBody::Empty));
                }
                (Outcome::Uncacheable, answer)
            }
        }
    }

    fn error(
        &self,
        request: &RequestHead,
        error: &ProxyError,
        forward: Forward,
    ) -> Response<ResponseBody> {
        let response =
            failure::respond(error, &request.fields, &request.policy.settings().own_fields.name);
        let detail = Some(detail_of(error));
        Responder::of(request).own(response, &Status::Forward(Forward { detail, ..forward }))
    }
}

fn detail_of(error: &ProxyError) -> &'static str {
    match error {
        ProxyError::Refused(Refusal::OnlyIfCached) => "only_if_cached",
        ProxyError::Refused(_) => "refused",
        ProxyError::Origin(_) => "origin_error",
        ProxyError::Overloaded => "limit",
        ProxyError::ShuttingDown => "draining",
    }
}
