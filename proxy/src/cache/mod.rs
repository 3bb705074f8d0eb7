//! `Cache`: looks a request up, decides, and answers it from the store or from a fetch.
//!
//! A request that only the origin or the disk can answer is left [pending](PendingRequest):
//! [`Cache::begin`] never waits. The steps of a fetch are told in `fetch/mod.rs`.

pub mod changes;
pub mod decision;
pub mod explanation;
pub mod outcome;
pub mod record;
pub mod rewarm;
pub mod answer;
mod bypass_cookies;
mod compressed;
mod deliver;
mod equivalents;
mod pass;
mod tunnel;

use std::sync::Arc;

use http::{Method, Version};
use tokio::time::Instant;

use self::answer::Answer;
use self::bypass_cookies::BypassCookies;
use self::changes::Changes;
use self::decision::{Decision, Plan, decide};
use self::outcome::Outcome;
pub use self::pass::Passer;
use self::record::RequestRecord;

use crate::client::busy::Busy;
use crate::client::exchange::Interim;
use crate::client::received::Received;
use crate::fetch::request::FetchRequest;
use crate::fetch::{Fetcher, OnDisconnect};
use crate::field::cache_status::{ForwardReason, Forwarded};
use crate::field::range::RangeSpec;
use crate::freshness::{RequestFacts, Uncacheable};
use crate::invalidation::Invalidation;
use crate::key::KeySeed;
use crate::key::vary::VariantHash;
use crate::lookup::{Lookup, plain_of, usable};
use crate::origins::OriginId;
use crate::policy::SettingsSnapshot;
use crate::policy::rules::RuleEffects;
use crate::reason::Reason;
use crate::request::details::RequestDetails;
use crate::request::refusal::Refusal;
use crate::request::span::RequestSpan;
use crate::request::{Inbound, Refused, RequestHead, max_forwards, trace};
use crate::response::conditional::must_forward;
use crate::response::failure::ProxyError;
use crate::response::has_preconditions;
use crate::store::{Promote, Store, Stored, cold};
use process::clock::Clock;
use process::timestamp::Timestamp;

#[derive(Debug)]
pub struct Cache {
    store: Arc<dyn Store>,
    invalidation: Arc<Invalidation>,
    clock: Clock,
    fetcher: Arc<Fetcher>,
    seed: KeySeed,
    passer: Passer,
    bypass_cookies: BypassCookies,
}

/// The progress of a request that has not waited.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation for each hit")]
pub enum Step {
    Answer(Answer),
    Pending(Box<PendingRequest>),
}

#[derive(Debug)]
pub enum PendingRequest {
    /// A response is stored that is not in memory.
    Load {
        inbound: Inbound,
        started: Instant,
    },
    Forward(Forwarding),
}

#[derive(Debug)]
pub struct Forwarding {
    inbound: Inbound,
    origin: OriginId,
    started: Instant,
    reason: ForwardReason,
    plan: Plan,
    variant: Option<VariantHash>,
}

impl PendingRequest {
    pub const fn version(&self) -> Version {
        let (Self::Load { inbound, .. } | Self::Forward(Forwarding { inbound, .. })) = self;
        inbound.head.version
    }

    pub const fn head(&self) -> &RequestHead {
        let (Self::Load { inbound, .. } | Self::Forward(Forwarding { inbound, .. })) = self;
        &inbound.head
    }

    /// Returns what its response is expected to be, if it waits for one.
    pub const fn expected(&self) -> Outcome {
        match self {
            Self::Forward(Forwarding { plan: Plan::Pass(_), .. }) => Outcome::Bypass,
            Self::Forward(_) | Self::Load { .. } => Outcome::Miss,
        }
    }

    pub fn relay(&mut self, interim: Interim) {
        let (Self::Load { inbound, .. } | Self::Forward(Forwarding { inbound, .. })) = self;
        inbound.head.interim = Some(interim);
    }
}

impl Cache {
    pub fn new(
        store: Arc<dyn Store>,
        invalidation: Arc<Invalidation>,
        clock: Clock,
        fetcher: Arc<Fetcher>,
        seed: KeySeed,
        passer: Passer,
    ) -> Self {
        let bypass_cookies = BypassCookies::default();
        Self { store, invalidation, clock, fetcher, seed, passer, bypass_cookies }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub const fn seed(&self) -> KeySeed {
        self.seed
    }

    pub const fn fetcher(&self) -> &Arc<Fetcher> {
        &self.fetcher
    }

    pub const fn bypass_cookies(&self) -> &BypassCookies {
        &self.bypass_cookies
    }

    /// Changes how many tunnels there may be at once.
    pub fn resize_tunnels(&self, tunnels_max: usize) {
        self.passer.resize(tunnels_max);
    }

    pub const fn changes(&self) -> &Changes {
        self.passer.changes()
    }

    /// Answers a request from memory, or leaves it pending. Never waits, never blocks.
    pub fn begin(&self, mut inbound: Inbound) -> Step {
        if let Some(answer) = self.answer_of_rule(&inbound.head) {
            return Step::Answer(answer.keeping(inbound.head));
        }
        let bypass = bypass(&inbound.head, inbound.has_body(), inbound.upgrade.is_some());
        if let Some((_, Uncacheable::Cookie)) = bypass
            && !inbound.head.wants_stored_only()
        {
            let head = &inbound.head;
            let cookies = head.policy.cookies.bypassing(&head.fields);
            self.bypass_cookies.count(cookies, || self.clock.now());
        }
        let (decision, variant) = self.consider(&mut inbound.head, bypass);
        if bypass.is_none() && self.may_load(&inbound.head, &decision) {
            let started = Instant::now();
            return Step::Pending(Box::new(PendingRequest::Load { inbound, started }));
        }
        self.carry_out(inbound, decision, variant, None)
    }

    /// Decides how a request is answered, from what is in memory.
    fn consider(
        &self,
        head: &mut RequestHead,
        bypass: Option<(ForwardReason, Uncacheable)>,
    ) -> (Decision, Option<VariantHash>) {
        match bypass {
            Some(_) if head.wants_stored_only() => (Decision::Unsatisfiable, None),
            Some((reason, why)) => (Decision::Forward(reason, Plan::Pass(why)), None),
            None => self.look_up(head, &[]),
        }
    }

    /// Answers a request that a rule answers by itself.
    fn answer_of_rule(&self, head: &RequestHead) -> Option<Answer> {
        let effects = head.policy.effects()?;
        if !effects.answers() {
            return None;
        }
        Some(match effects.answer(head.target.host(), head.target.path()) {
            Some(answer) => deliver::of_rule(head, answer, self.clock.now()),
            None => self.fail(head, &Refusal::Malformed.into()),
        })
    }

    /// Completes a request that [`begin`](Self::begin) could not answer from memory. `busy` keeps
    /// the connection from counting as idle until the last byte is sent.
    pub async fn finish(&self, mut pending: Box<PendingRequest>, busy: Busy) -> Answer {
        loop {
            match *pending {
                PendingRequest::Forward(forwarding) => {
                    return self.forward(forwarding, busy).await;
                }
                PendingRequest::Load { inbound, started } => {
                    let is_told = inbound.head.tells_times();
                    match self.load(inbound, started).await {
                        Step::Answer(mut answer) => {
                            answer.note_wait("store", started.elapsed(), is_told);
                            return answer;
                        }
                        Step::Pending(next) => pending = next,
                    }
                }
            }
        }
    }

    pub fn fail(&self, request: &RequestHead, error: &ProxyError) -> Answer {
        deliver::refuse_head(request, error, self.clock.now())
    }

    /// Answers a request that was refused while it was read.
    pub fn refuse(&self, refused: &Refused, settings: &SettingsSnapshot) -> Answer {
        deliver::refuse(&refused.refusal.into(), &refused.fields, settings, self.clock.now())
    }

    /// Makes the record of a purge that is done.
    pub fn record_of_purge(&self, request: &RequestHead) -> RequestRecord {
        RequestRecord {
            key: Some(request.key.hash()),
            purges: Some(self.invalidation.sequence()),
            ..RequestRecord::new(Outcome::Purge, None, self.clock.now())
        }
    }

    /// Makes the record of a request whose response is awaited.
    pub fn record_of_pending(&self, pending: &PendingRequest) -> RequestRecord {
        let head = pending.head();
        let (key, details) = (Some(head.key.hash()), RequestDetails::copy_of(head));
        let site = answer::site_of(head);
        RequestRecord { site, key, details, ..RequestRecord::unanswered(self.clock.now()) }
    }

    /// Looks a request up, in memory and among `loaded`, and decides.
    fn look_up(
        &self,
        head: &mut RequestHead,
        loaded: &[Arc<Stored>],
    ) -> (Decision, Option<VariantHash>) {
        head.policy.reduce(&mut head.fields, head.target.path());
        let now = self.clock.present();
        let lookup = self.find(head, loaded, now);
        let trust = self.invalidation.lease().trust(now);
        let decide = |found| decide(found, &head.facts(), &head.policy.freshness, trust, now);
        let considered = (decide(lookup.found), lookup.variant);
        let stored = (&*self.store, &*self.invalidation);
        if matches!(considered.0, Decision::Hit(_)) || !equivalents::may_exist(stored.1, head) {
            return considered;
        }
        let request = (&*head, !loaded.is_empty());
        let best = equivalents::best(stored, request, &considered.0, &decide, now);
        let Some(equivalents::Equivalent { key, decision, variant }) = best else {
            return considered;
        };
        head.answer_as(key);
        (decision, variant)
    }

    /// Finds the stored response that a request could use, in memory and among `loaded`.
    #[inline]
    fn find(&self, head: &RequestHead, loaded: &[Arc<Stored>], now: Timestamp) -> Lookup {
        let range = || RangeSpec::only_one(&head.method, &head.fields);
        let (store, invalidation) = (&*self.store, &*self.invalidation);
        let lookup = usable(store, loaded, invalidation, head, range, now);
        if head.policy.cache.share_languages {
            lookup.or_by_language(store, invalidation, head, range, now)
        } else {
            lookup
        }
    }

    /// Returns whether a response that is only on disk could change this decision.
    fn may_load(&self, head: &RequestHead, decision: &Decision) -> bool {
        let is_open = match decision {
            Decision::Hit(_) | Decision::HitStale(_) | Decision::HitAccepted(_) => false,
            Decision::Forward(_, Plan::Fetch(stale)) => stale.is_none(),
            Decision::Forward(..) | Decision::Unsatisfiable => true,
        };
        is_open && self.store.cold().is_some_and(|cold| cold.holds(head.key.hash()))
    }

    /// Loads what is stored on disk, and decides anew.
    async fn load(&self, mut inbound: Inbound, started: Instant) -> Step {
        let loaded = cold::load(&*self.store, &inbound.head.key, Promote::IfHot).await;
        let (mut decision, mut variant) = self.look_up(&mut inbound.head, &loaded);
        if !loaded.is_empty() && !matches!(decision, Decision::Hit(_)) {
            cold::load(&*self.store, &inbound.head.key, Promote::Always).await;
            (decision, variant) = self.look_up(&mut inbound.head, &[]);
        }
        self.carry_out(inbound, decision, variant, Some(started))
    }

    fn carry_out(
        &self,
        inbound: Inbound,
        decision: Decision,
        variant: Option<VariantHash>,
        started: Option<Instant>,
    ) -> Step {
        let head = &inbound.head;
        let answer = match decision {
            Decision::Hit(stored) => self.hit(head, &stored, variant, (Outcome::Hit, None)),
            Decision::HitStale(stored) => {
                let outcome = (Outcome::Stale, Some(Reason::StaleWhileRevalidate));
                let answer = self.hit(head, &stored, variant, outcome);
                self.refresh(Box::new(head.for_refresh()), &stored, variant);
                answer
            }
            Decision::HitAccepted(stored) => {
                let outcome = (Outcome::Stale, Some(Reason::MaxStale));
                self.hit(head, &stored, variant, outcome)
            }
            Decision::Unsatisfiable => self.fail(head, &Refusal::OnlyIfCached.into()),
            Decision::Forward(reason, plan) => {
                return self.carry_on(inbound, (reason, plan), variant, started);
            }
        };
        Step::Answer(answer.keeping(inbound.head))
    }

    /// Has a request forwarded, unless it may go no further.
    fn carry_on(
        &self,
        mut inbound: Inbound,
        (reason, plan): (ForwardReason, Plan),
        variant: Option<VariantHash>,
        started: Option<Instant>,
    ) -> Step {
        let name = &inbound.head.policy.settings().own_fields.name;
        let passes = trace::passes(&inbound.head.fields, name);
        if passes > trace::PASSES_MAX {
            let answer = self.fail(&inbound.head, &Refusal::Loop(passes).into());
            return Step::Answer(answer.keeping(inbound.head));
        }
        if max_forwards::count_down(&mut inbound.head) {
            let answer = deliver::options(&inbound.head, self.clock.now());
            return Step::Answer(answer.keeping(inbound.head));
        }
        let Some(origin) = inbound.head.claim() else {
            if inbound.head.policy.is_only_stored() {
                let answer = self.only_stored(&inbound.head, &plan, variant);
                return Step::Answer(answer.keeping(inbound.head));
            }
            self.fetcher.metrics().unclaimed.add(1);
            let answer = self.fail(&inbound.head, &Refusal::Unclaimed.into());
            return Step::Answer(answer.keeping(inbound.head));
        };
        trace::identify(&mut inbound.head.fields);
        inbound.head.forward_span();
        let started = started.unwrap_or_else(Instant::now);
        let forwarding = Forwarding { inbound, origin, started, reason, plan, variant };
        Step::Pending(Box::new(PendingRequest::Forward(forwarding)))
    }

    /// Answers a request that no origin may answer: with a stale response, as if the origin had
    /// failed, or not at all.
    fn only_stored(&self, head: &RequestHead, plan: &Plan, variant: Option<VariantHash>) -> Answer {
        if let Plan::Fetch(Some(stale)) = plan
            && let Some(held) = self.fetcher.hold(stale)
            && self.fetcher.may_serve_on_error(&held)
        {
            return self.hit(head, stale, variant, (Outcome::Stale, Some(Reason::StaleIfError)));
        }
        self.fail(head, &Refusal::NotStored.into())
    }

    fn hit(
        &self,
        request: &RequestHead,
        stored: &Arc<Stored>,
        variant: Option<VariantHash>,
        outcome: (Outcome, Option<Reason>),
    ) -> Answer {
        self.store.touch(stored);
        let mut answer = deliver::stored(&self.fetcher, request, stored, outcome, self.clock.now());
        answer.record.variant = variant;
        answer
    }

    async fn forward(&self, forwarding: Forwarding, busy: Busy) -> Answer {
        let Forwarding { mut inbound, origin, started, reason, plan, variant } = forwarding;
        let (arrived, is_told) = (self.clock.now(), inbound.head.tells_times());
        let received = if inbound.has_body() { Received::counting() } else { Received::default() };
        // Where nothing is shared, the client's own conditions and ranges go to the origin.
        let is_whole = !has_preconditions(&inbound.head.fields);
        let is_get = inbound.head.method == Method::GET;
        let is_converted =
            inbound.head.method == Method::HEAD && inbound.head.policy.cache.convert_head;
        let mut answer = match plan {
            Plan::Fetch(stale) if is_get || is_converted => {
                self.fetch(inbound.head, reason, None, stale, variant, busy).await
            }
            // Responses that are known to be uncacheable are not transferred for HEAD.
            Plan::FetchUncollapsed(why) if is_get && is_whole => {
                self.fetch(inbound.head, reason, Some(why), None, variant, busy).await
            }
            Plan::Fetch(_) => {
                let why = Uncacheable::Method;
                inbound.head.answer_as_asked();
                self.passer.pass(inbound, reason, why, received.clone(), busy).await
            }
            Plan::FetchUncollapsed(why) | Plan::Pass(why) => {
                self.passer.pass(inbound, reason, why, received.clone(), busy).await
            }
        };
        answer.record.origin = Some(origin);
        answer.record.variant = variant;
        answer.record.started = arrived;
        answer.record.received = received;
        answer.note_wait("origin", started.elapsed(), is_told);
        answer
    }

    async fn fetch(
        &self,
        mut head: Box<RequestHead>,
        reason: ForwardReason,
        uncacheable: Option<Uncacheable>,
        stale: Option<Arc<Stored>>,
        variant: Option<VariantHash>,
        busy: Busy,
    ) -> Answer {
        let mut client = head.clone();
        client.details = std::mem::take(&mut head.details);
        let mut request = self.fetch_request(head, stale, variant);
        request.span = client.details.span().and_then(RequestSpan::forwarded);
        let purges = request.arrived;
        // A fetch that was sent before purges went to another process is shared no more.
        let is_collapsible = uncacheable.is_none()
            && client.policy.cache.collapse
            && !self.invalidation.lease().is_over_for_good();
        let fetched = if is_collapsible {
            self.fetcher.fetch(request).await
        } else {
            let on_disconnect = match uncacheable {
                Some(_) => OnDisconnect::Cancel,
                None => OnDisconnect::Continue,
            };
            self.fetcher.fetch_uncollapsed(Arc::new(request), on_disconnect).await
        };
        if let (Some(own), Ok(fetched)) = (&client.asked, &fetched) {
            client.key = fetched.key().unwrap_or(own).clone();
        }
        if let (Some(span), Ok(fetched)) = (client.details.span_mut(), &fetched) {
            span.joined = fetched.joined();
        }
        let forwarded = Forwarded::new(reason);
        let now = self.clock.now();
        let mut answer = match fetched {
            Ok(fetched) => {
                let detail = uncacheable.map(Uncacheable::reason);
                let forwarded = Forwarded { detail, ..forwarded };
                deliver::deliver(&self.fetcher, &client, fetched, forwarded, (now, busy))
            }
            Err(error) => deliver::error(&client, &error.into(), forwarded, now),
        };
        answer.record.purges = Some(purges);
        answer.keeping(client)
    }

    /// Validates a stale response in the background, for all clients, unless the client wants
    /// nothing stored: then the next request does.
    fn refresh(
        &self,
        mut head: Box<RequestHead>,
        stale: &Arc<Stored>,
        variant: Option<VariantHash>,
    ) {
        if head.claim().is_none() {
            return;
        }
        let plain = plain_of(&*self.store, &self.invalidation, &head, stale);
        let (stale, variant) = match &plain {
            Some((plain, variant)) => (plain, *variant),
            None => (stale, variant),
        };
        let mut request = self.fetch_request(head, None, variant);
        request.head.interim = None; // its client has its answer
        request.range = None;
        if !request.facts.directives.no_store {
            self.fetcher.refresh(request, stale);
        }
    }

    /// Makes the request for a GET or HEAD. Both are fetched by GET.
    fn fetch_request(
        &self,
        head: Box<RequestHead>,
        stale: Option<Arc<Stored>>,
        variant: Option<VariantHash>,
    ) -> FetchRequest {
        let facts = RequestFacts { method: Method::GET, ..head.facts() };
        let plain =
            stale.as_ref().and_then(|own| plain_of(&*self.store, &self.invalidation, &head, own));
        let (stale, variant) = match plain {
            Some((plain, variant)) => (Some(plain), variant),
            None => (stale, variant),
        };
        let stale = stale.and_then(|stale| self.fetcher.hold(&stale));
        // A stale response is validated as a whole; where there is none, a part may be fetched.
        let range = RangeSpec::only_one(&head.method, &head.fields).filter(|_| stale.is_none());
        let arrived = self.invalidation.sequence();
        FetchRequest { head, facts, arrived, stale, variant, range, span: None }
    }
}

/// Returns the reason for which a request bypasses the cache, whatever is stored.
fn bypass(
    head: &RequestHead,
    has_body: bool,
    asks_for_tunnel: bool,
) -> Option<(ForwardReason, Uncacheable)> {
    if head.method != Method::GET && head.method != Method::HEAD {
        Some((ForwardReason::Method, Uncacheable::Method))
    } else if has_body {
        Some((ForwardReason::Bypass, Uncacheable::Method))
    } else if asks_for_tunnel {
        Some((ForwardReason::Bypass, Uncacheable::Upgrade))
    } else if head.policy.effects().is_some_and(RuleEffects::bypasses) {
        Some((ForwardReason::Bypass, Uncacheable::RuleBypass))
    } else if !head.policy.cookies.allow_cache(&head.fields) {
        Some((ForwardReason::Bypass, Uncacheable::Cookie))
    } else if must_forward(&head.fields) {
        Some((ForwardReason::Request, Uncacheable::Method))
    } else {
        None
    }
}
