//! Fetches responses again after purges, in the background: few at a time, spread over a moment,
//! and none that a later purge has hit as well.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, HOST, HeaderMap, HeaderValue};
use http::{Method, Request, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::sleep;

use super::compressed;
use super::decision::{Decision, Plan, decide};
use crate::client::end_address::EndAddress;
use crate::client::peer::Peer;
use crate::fetch::request::FetchRequest;
use crate::fetch::{Fetched, Fetcher};
use crate::invalidation::Invalidation;
use crate::key::KeySeed;
use crate::key::vary::Variant;
use crate::lookup::usable;
use crate::policy::LiveSettings;
use crate::policy::rules::RuleEffects;
use crate::purge::log::rewarm::{Order, RewarmMetrics, Wanted};
use crate::request::details::KeptDetails;
use crate::request::ruled;
use crate::request::target::Target;
use crate::request::{RequestHead, trace};
use crate::store::Store;
use process::clock::Clock;

#[derive(Debug)]
pub struct Rewarmer {
    store: Arc<dyn Store>,
    invalidation: Arc<Invalidation>,
    clock: Clock,
    fetcher: Arc<Fetcher>,
    settings: Arc<LiveSettings>,
    metrics: Arc<RewarmMetrics>,
    /// Fetches that may wait.
    places: Arc<Semaphore>,
    /// Fetches that may run at once.
    running: Arc<Semaphore>,
    jitter: Duration,
    seed: KeySeed,
    peer: Arc<Peer>,
}

#[derive(Clone, Copy, Debug)]
pub struct RewarmRules {
    /// Fetches that run at once.
    pub concurrency: usize,
    /// Fetches that may wait; more are dropped.
    pub queue: usize,
    /// Upper bound of a random pause before each fetch, so that many proxies do not ask at once.
    pub jitter: Duration,
}

enum RewarmResult {
    Fetched,
    Needless,
    Cancelled,
    Failed,
}

impl Rewarmer {
    pub fn new(
        store: Arc<dyn Store>,
        invalidation: Arc<Invalidation>,
        clock: Clock,
        fetcher: Arc<Fetcher>,
        settings: Arc<LiveSettings>,
        metrics: Arc<RewarmMetrics>,
        (seed, rules): (KeySeed, RewarmRules),
    ) -> Arc<Self> {
        let nowhere = EndAddress::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let peer = Peer {
            remote: nowhere,
            local: nowhere,
            is_trusted: false,
            is_secure: false,
            listener: None,
            retained: Arc::default(),
            claims: Arc::default(),
        };
        Arc::new(Self {
            store,
            invalidation,
            clock,
            fetcher,
            settings,
            metrics,
            places: Arc::new(Semaphore::new(rules.queue)),
            running: Arc::new(Semaphore::new(rules.concurrency)),
            jitter: rules.jitter,
            seed,
            peer: Arc::new(peer),
        })
    }

    /// Takes orders until every sender is dropped.
    pub async fn run(self: Arc<Self>, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.recv().await {
            let order = Arc::new(order);
            for wanted in &order.wanted {
                let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                    self.metrics.dropped.add(1);
                    continue;
                };
                self.metrics.queued.add(1);
                tokio::spawn(Arc::clone(&self).carry_out(
                    Arc::clone(&order),
                    wanted.clone(),
                    place,
                ));
            }
        }
    }

    async fn carry_out(
        self: Arc<Self>,
        order: Arc<Order>,
        wanted: Wanted,
        place: OwnedSemaphorePermit,
    ) {
        sleep(self.pause(&wanted)).await;
        let running = self.running.acquire().await;
        let counter = match self.fetch(&order, wanted).await {
            RewarmResult::Fetched => &self.metrics.fetched,
            RewarmResult::Needless => &self.metrics.needless,
            RewarmResult::Cancelled => &self.metrics.cancelled,
            RewarmResult::Failed => &self.metrics.failed,
        };
        counter.add(1);
        drop((running, place));
    }

    fn pause(&self, wanted: &Wanted) -> Duration {
        let millis = u64::try_from(self.jitter.as_millis()).unwrap_or(u64::MAX);
        let random = RandomState::new().hash_one(wanted.key.hash());
        Duration::from_millis(random.checked_rem(millis).unwrap_or(0))
    }

    async fn fetch(&self, order: &Order, wanted: Wanted) -> RewarmResult {
        let fetcher = &self.fetcher;
        let invalidation = &self.invalidation;
        let Some(head) = self.request(wanted) else { return RewarmResult::Failed };
        if !invalidation.may_confirm(&order.since, order.since.born(), &head.key) {
            return RewarmResult::Cancelled; // the later purge gives orders of its own
        }
        let now = self.clock.present();
        let lookup = usable(&*self.store, &[], invalidation, &head, || None, now);
        let trust = invalidation.lease().trust(now);
        let stale = match decide(lookup.found, &head.facts(), &head.policy.freshness, trust, now) {
            Decision::HitStale(stored) => Some(stored),
            Decision::Forward(_, Plan::Fetch(stale)) => stale,
            _ => return RewarmResult::Needless,
        };
        let request = FetchRequest {
            facts: head.facts(),
            range: None,
            span: None,
            arrived: invalidation.sequence(),
            stale: stale.and_then(|stale| fetcher.hold(&stale)),
            variant: lookup.variant,
            head: Box::new(head),
        };
        let client = request.head.clone();
        match fetcher.fetch(request).await {
            Ok(Fetched::Arriving { head, reader, .. }) => {
                let (_, mut reader) = compressed::arriving(fetcher, &client, &head, reader);
                while let Some(piece) = std::future::poll_fn(|cx| reader.poll_piece(cx)).await {
                    if piece.is_err() {
                        return RewarmResult::Failed;
                    }
                }
                RewarmResult::Fetched
            }
            Ok(Fetched::Validated(..)) => RewarmResult::Fetched,
            Ok(Fetched::Stored(_)) => RewarmResult::Needless,
            Ok(Fetched::StaleIfError(_) | Fetched::Unshared(..)) | Err(_) => RewarmResult::Failed,
        }
    }

    /// Makes the request of a client that wants this response.
    fn request(&self, wanted: Wanted) -> Option<RequestHead> {
        let Wanted { key, variant } = wanted;
        let mut fields = variant.as_ref().and_then(Variant::request).unwrap_or_else(browser);
        fields.insert(HOST, HeaderValue::from_bytes(key.host()).ok()?);
        let mut request = Request::get(key.path()).body(()).ok()?;
        *request.headers_mut() = fields;
        let (mut parts, ()) = request.into_parts();
        let mut target = Target::read(&parts, &self.peer, usize::MAX).ok()?;
        trace::identify(&mut parts.headers);
        let settings = self.settings.local();
        let before = key.path().to_vec();
        let get = (&Method::GET, None, None);
        let (mut policy, apart) =
            ruled::apply(settings, get, &mut target, &mut parts.headers).ok()?;
        // The stored response does not tell which rules matched, or which path was rewritten.
        if apart != key.rules() || policy.effects().is_some_and(RuleEffects::rewrites) {
            return None;
        }
        let key = if target.path().as_bytes() == before {
            key
        } else {
            let filtered = policy.key(self.seed, key.scheme(), target.host(), target.path());
            filtered.with_rules(self.seed, apart)
        };
        policy.claim(target.host(), target.path())?;
        if let (Some(variants), None) = (&policy.variants, &variant) {
            variants.prepare(&mut parts.headers, true);
        }
        policy.reduce(&mut parts.headers, target.path());
        if let Some(compression) = &policy.compression {
            compression.reduce(&mut parts.headers);
        }
        Some(RequestHead {
            method: Method::GET,
            version: Version::HTTP_11,
            target,
            policy,
            key,
            asked: None,
            fields: parts.headers,
            peer: Arc::clone(&self.peer),
            interim: None,
            details: KeptDetails::default(),
        })
    }
}

/// The fields of a browser on which pages vary most.
fn browser() -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, br, zstd"));
    fields
}
