//! The handler of the traffic listeners: has each request answered or purged, and records it once.
//!
//! A hit is answered at once; a request that waits becomes a task.

mod forwarded_request;
mod listener_requests;
pub mod metrics;
pub mod record_sinks;
pub mod recorded_body;
mod ruled_bytes;
mod site_requests;
mod unanswered;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, Version};
use hyper::body::Incoming;
use purge_protocol::foreign::is_purge_method;
use tokio::time::Instant;

use self::forwarded_request::{ForwardedRequest, url_of};
pub use self::listener_requests::{ListenerRequests, OutcomeTotals};
use self::metrics::RequestMetrics;
use self::record_sinks::RecordSinks;
use self::recorded_body::{Ending, RecordedBody};
use self::ruled_bytes::RuledBytes;
use self::site_requests::SiteRequests;
use self::unanswered::UnansweredRequest;
use crate::cache::answer::Answer;
use crate::cache::outcome::Outcome;
use crate::cache::record::RequestRecord;
use crate::cache::{Cache, Step};
use crate::client::end_address::EndAddress;
use crate::client::peer::{ListenerId, Peer, contains};
use crate::framing::Violation;
use crate::listener::rules::ConnectionRules;
use crate::listener::service::{Caller, Handler, Reply};
use crate::live::Live;
use crate::live::urls::UrlRequest;
use crate::policy::{LiveSettings, SiteId};
use crate::purge::access;
use crate::purge::endpoint::{PURGE, PurgeEndpoint};
use crate::purge::metrics::Source;
use crate::purge::sender::PurgeSender;
use crate::request::details::{KeptDetails, RequestDetails};
use crate::request::{Inbound, Refused};
use crate::response::body::ResponseBody;
use settings::{Http2, ProxyProtocol};

#[derive(Debug)]
pub struct Front {
    pub cache: Cache,
    pub purge_endpoint: PurgeEndpoint,
    pub settings: Arc<LiveSettings>,
    pub metrics: ListenerRequests,
    pub sites: SiteRequests,
    pub live: Arc<Live>,
    /// Take the records of requests; where there is none, they are only counted.
    pub records: Arc<RecordSinks>,
}

/// A request that is timed, if it is a hit.
struct HitSample {
    begun: Instant,
    url: String,
}

type FrontFuture = Pin<Box<dyn Future<Output = Response<RecordedBody>> + Send>>;

impl Handler for Front {
    type Body = RecordedBody;
    type Later = FrontFuture;

    fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        caller: Caller<'_>,
    ) -> Reply<RecordedBody, FrontFuture> {
        let timed = self.live.hits.begin();
        let (parts, body) = request.into_parts();
        let details = self.records.details(Some(&parts), caller.peer());
        let (seed, settings) = (self.cache.seed(), self.settings.local());
        match Inbound::read(parts, body, caller.peer(), seed, settings) {
            Err(refused) => {
                let mut answer = self.cache.refuse(&refused, &self.settings.local());
                answer.record.details = details.map(|details| {
                    Box::new(RequestDetails { refused_fields: refused.fields, ..*details })
                });
                Reply::Ready(self.deliver(answer, caller.peer()))
            }
            Ok(mut inbound) => {
                inbound.head.details = KeptDetails::new(details);
                self.begin(inbound, timed, caller)
            }
        }
    }

    fn rules(&self, listener: ListenerId) -> ConnectionRules {
        let settings = self.settings.local();
        let listen = listener.of(&settings.listen);
        let http2 = listen.map_or(Http2::Off, |listen| listen.http2);
        let tls = listen.and_then(|listen| settings.tls.of(listen)).cloned();
        let proxy_protocol = listen.map_or(ProxyProtocol::Off, |listen| listen.proxy_protocol);
        let per_peer = settings.limits.max_connections_per_peer;
        ConnectionRules::new(&settings.limits, http2, tls).with_peers(proxy_protocol, per_peer)
    }

    fn is_trusted(&self, remote: EndAddress, listener: ListenerId) -> bool {
        let settings = self.settings.local();
        listener
            .of(&settings.listen)
            .is_some_and(|listen| contains(&listen.trusted_proxies, remote))
    }

    fn refuse(&self, violation: Violation, peer: &Arc<Peer>) -> Response<RecordedBody> {
        let refused = Refused { refusal: violation.into(), fields: HeaderMap::new() };
        let mut answer = self.cache.refuse(&refused, &self.settings.local());
        answer.record.details = self.records.details(None, peer);
        self.deliver(answer, peer)
    }
}

impl Front {
    pub fn new(
        cache: Cache,
        purge_endpoint: PurgeEndpoint,
        settings: Arc<LiveSettings>,
        metrics: ListenerRequests,
        live: Arc<Live>,
    ) -> Self {
        let (sites, records) = (SiteRequests::default(), Arc::default());
        Self { cache, purge_endpoint, settings, metrics, sites, live, records }
    }

    fn begin(
        self: &Arc<Self>,
        inbound: Inbound,
        timed: Option<Instant>,
        caller: Caller<'_>,
    ) -> Reply<RecordedBody, FrontFuture> {
        if self.is_purge(&inbound.head.method) {
            return self.purge(inbound, caller);
        }
        let sample = timed.map(|begun| HitSample { begun, url: url_of(&inbound.head) });
        match self.cache.begin(inbound) {
            Step::Answer(answer) => {
                let sample = sample.filter(|_| answer.record.is_of_store());
                let response = self.deliver(answer, caller.peer());
                if let Some(sample) = sample {
                    self.note_hit(&sample, &response);
                }
                Reply::Ready(response)
            }
            Step::Pending(mut pending) => {
                // hyper speaks no 1xx: over HTTP/2 there are none. HTTP/1.0 knows none (RFC 9110
                // §15.2).
                if pending.version() == Version::HTTP_11 {
                    pending.relay(caller.interim());
                }
                let (front, peer) = (Arc::clone(self), Arc::clone(caller.peer()));
                let busy = caller.busy();
                Reply::Later(Box::pin(async move {
                    let forwarded = ForwardedRequest::begin(&front, pending.head());
                    let unanswered = UnansweredRequest::begin(&front, &pending, &peer);
                    let answer = front.cache.finish(pending, busy).await;
                    unanswered.answered();
                    front.deliver_forwarded(answer, &peer, Some(forwarded))
                }))
            }
        }
    }

    /// Counts and times an answer, and has its record end with its content.
    fn deliver(&self, answer: Answer, peer: &Peer) -> Response<RecordedBody> {
        self.deliver_forwarded(answer, peer, None)
    }

    /// The same for one that may have been asked for at the origin: its bytes are counted when they
    /// are sent.
    fn deliver_forwarded(
        &self,
        answer: Answer,
        peer: &Peer,
        forwarded: Option<ForwardedRequest>,
    ) -> Response<RecordedBody> {
        let Answer { response, mut record } = answer;
        record.listener = peer.listener;
        record.status = Some(response.status());
        self.count(&record, &response, forwarded.is_some());
        let sent = record.ruled.take().map(|policy| {
            let awaited = record.origin.and(record.first_byte);
            RuledBytes::begin(policy, record.outcome, awaited)
        });
        record.is_complete = http_body::Body::is_end_stream(response.body());
        let sinks = self.records.local();
        if let (Some(sinks), Some(details)) = (&sinks, &mut record.details) {
            details.until_head = details.began.elapsed();
            details.response_fields = sinks.fields_of(response.headers());
        }
        let ending = Ending::new(record, sinks, sent, forwarded);
        response.map(|body| RecordedBody::new(body, ending))
    }

    /// Counts an answer among those of its listener, and of its site where that is counted apart.
    fn count(&self, record: &RequestRecord, response: &Response<ResponseBody>, is_forwarded: bool) {
        let Some(outcome) = record.outcome else { return };
        let content = http_body::Body::size_hint(response.body()).exact();
        let content = content.filter(|_| !is_forwarded).unwrap_or(0);
        let awaited = record.origin.and(record.first_byte);
        for metrics in self.metrics_of(record.listener, record.site) {
            metrics.count(outcome, response.status(), content);
            if let Some(duration) = awaited {
                metrics.time(outcome, duration);
            }
        }
        if let Some(duration) = awaited {
            self.live.misses.record(duration);
        }
        if let (Outcome::Stale, Some(key)) = (outcome, record.key) {
            self.live.tags.stale(key);
        }
    }

    /// Returns the metrics that a request is counted in.
    fn metrics_of(
        &self,
        listener: Option<ListenerId>,
        site: Option<SiteId>,
    ) -> impl Iterator<Item = &RequestMetrics> {
        let listener = listener.and_then(|listener| self.metrics.of(listener));
        let site = site.and_then(|site| self.sites.of(site));
        listener.into_iter().chain(site)
    }

    /// Notes a hit that was timed, which stands for others of its URL.
    #[cold]
    fn note_hit(&self, sample: &HitSample, response: &Response<RecordedBody>) {
        self.live.hits.end(sample.begun);
        let count = self.live.hits_per_timed();
        let bytes = http_body::Body::size_hint(response.body()).exact().unwrap_or(0);
        let request = UrlRequest {
            url: &sample.url,
            count,
            is_miss: false,
            bytes: bytes.saturating_mul(count),
            origin: Duration::ZERO,
        };
        self.live.urls.note(request, self.cache.now());
    }

    /// Returns whether the request is a purge. Where purging is on, other caches' methods for it
    /// are answered here, too: a renderer would answer them with a page, and the sender take that
    /// for success.
    fn is_purge(&self, method: &Method) -> bool {
        if *method == Method::GET || *method == Method::HEAD || *method == Method::POST {
            return false;
        }
        let is_on = !self.settings.local().purge.allow.is_empty();
        method.as_str() == PURGE || is_on && is_purge_method(method.as_str())
    }

    fn purge(
        self: &Arc<Self>,
        inbound: Inbound,
        caller: Caller<'_>,
    ) -> Reply<RecordedBody, FrontFuture> {
        let has_content = inbound.has_body();
        let head = inbound.head;
        let purge = &head.policy.settings().purge;
        if let Err(refusal) = access::check_traffic(purge, caller.peer(), &head.fields) {
            self.purge_endpoint.executor().metrics.refused.add(1);
            let answer = self.cache.fail(&head, &refusal.into());
            return Reply::Ready(self.deliver(answer.keeping(head), caller.peer()));
        }
        let front = Arc::clone(self);
        let busy = caller.busy();
        Reply::Later(Box::pin(async move {
            let url = (head.target.host(), head.target.path());
            let endpoint = &front.purge_endpoint;
            let sender = PurgeSender::new(Source::Http, head.client(), &head.peer);
            let response =
                endpoint.answer_method(&head.method, has_content, &head.fields, url, sender).await;
            let record = front.cache.record_of_purge(&head);
            drop(busy);
            let peer = Arc::clone(&head.peer);
            front.deliver(Answer { response, record }.keeping(head), &peer)
        }))
    }
}
