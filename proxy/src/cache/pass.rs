//! Requests that go past the cache: unsafe methods, tunnels, and requests for one client only.

use std::sync::Arc;

use http::header::{CONNECTION, COOKIE, HeaderMap, HeaderValue, IF_RANGE, RANGE, UPGRADE};
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::sync::oneshot;

use super::answer::Answer;
use super::changes::Changes;
use super::deliver;
use super::outcome::Outcome;
use super::tunnel::{TunnelEnd, tunnel};
use crate::client::busy::Busy;
use crate::client::received::Received;
use crate::compression::etags;
use crate::fetch::request::{MIN_REVISION, forward};
use crate::fetch::{Fetched, Fetcher, StorablePost, tags};
use crate::field::cache_status::{CacheStatus, ForwardReason, Forwarded};
use crate::field::{hop_by_hop, range};
use crate::freshness::{ExchangeTimes, Uncacheable, invalidation};
use crate::invalidation::{Invalidation, Marked, RunningFetch};
use crate::key::vary::normalize_accept_encoding;
use crate::limit::{Limit, Permit};
use crate::listener::drain::Drain;
use crate::origins::{OriginBody, OriginError, RequestBody};
use crate::policy::CACHE_GROUP_INVALIDATION;
use crate::purge::PurgeExecutor;
use crate::request::refusal::Refusal;
use crate::request::{Inbound, RequestHead};
use crate::response::body::ResponseBody;
use crate::response::failure::ProxyError;
use process::clock::Clock;

struct Upgrade {
    client: OnUpgrade,
    permit: Permit,
}

/// A response to a request that went past the cache.
struct PassedResponse {
    response: Response<OriginBody>,
    exchange: ExchangeTimes,
    /// `None` unless it is the response to a POST that may be stored.
    post: Option<StorablePost>,
}

impl Upgrade {
    /// Adds the fields that ask for it, or agree to it. They are for one connection and so written
    /// anew.
    fn ask(fields: &mut HeaderMap) {
        fields.insert(UPGRADE, HeaderValue::from_static(hop_by_hop::WEBSOCKET));
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

#[derive(Debug)]
pub struct Passer {
    invalidation: Arc<Invalidation>,
    clock: Clock,
    fetcher: Arc<Fetcher>,
    executor: Arc<PurgeExecutor>,
    drain: Drain,
    /// One permit for each WebSocket; these do not count as connections.
    tunnels: Arc<Limit>,
    changes: Changes,
}

impl Passer {
    pub fn new(
        invalidation: Arc<Invalidation>,
        clock: Clock,
        fetcher: Arc<Fetcher>,
        executor: Arc<PurgeExecutor>,
        tunnels_max: usize,
        drain: Drain,
    ) -> Self {
        let tunnels = Limit::new(tunnels_max);
        let changes = Changes::default();
        Self { invalidation, clock, fetcher, executor, drain, tunnels, changes }
    }

    /// Changes how many tunnels there may be at once.
    pub(super) fn resize(&self, tunnels_max: usize) {
        self.tunnels.resize(tunnels_max);
    }

    pub(super) const fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Sends a request as it is, and keeps its head for the record.
    pub(super) async fn pass(
        &self,
        inbound: Inbound,
        reason: ForwardReason,
        why: Uncacheable,
        received: Received,
        busy: Busy,
    ) -> Answer {
        let Inbound { head, body, upgrade } = inbound;
        let answer = self.pass_on((&head, body, upgrade), (reason, why), received, busy).await;
        answer.keeping(head)
    }

    /// Sends a request as it is. What it changes is invalidated before the client gets the response
    /// (RFC 9111 §4.4).
    async fn pass_on(
        &self,
        (head, body, upgrade): (&RequestHead, Incoming, Option<OnUpgrade>),
        (reason, why): (ForwardReason, Uncacheable),
        received: Received,
        busy: Busy,
    ) -> Answer {
        let limits = &head.policy.settings().limits;
        // A call has no length: its messages go both ways for as long as it lasts.
        let patience_with_call = head.policy.origin().patience_with_call(&head.fields);
        let (bytes_max, patience) = patience_with_call
            .map_or((limits.max_body, limits.body_timeout), |patience| (u64::MAX, patience));
        if http_body::Body::size_hint(&body).lower() > bytes_max {
            let refusal = Refusal::BodyTooLarge { limit: bytes_max };
            return self.error(head, &refusal.into(), Forwarded::new(reason));
        }
        let body = RequestBody::client(body, head.version, bytes_max, patience, received);
        let mut request = forward(head, body, &head.policy.settings().own_fields.name);
        if range::is_multiple(request.headers()) {
            request.headers_mut().remove(RANGE); // answered whole (RFC 9110 §14.2)
            request.headers_mut().remove(IF_RANGE);
        }
        if head.method == Method::HEAD {
            normalize_accept_encoding(request.headers_mut()); // it is about what a GET is given
        }
        if let Some(lowest) = self.fetcher.lowest_revision(&head.key) {
            request.headers_mut().insert(MIN_REVISION, lowest);
        }
        if head.policy.compression.is_some() {
            etags::add_origins(request.headers_mut());
        }
        let upgrade = match self.upgrade(upgrade) {
            Ok(upgrade) => upgrade,
            Err(error) => {
                return self.error(head, &error, Forwarded::new(reason));
            }
        };
        if upgrade.is_some() {
            Upgrade::ask(request.headers_mut());
        }
        match self.send(head, request, patience_with_call.is_some()).await {
            Ok(PassedResponse { response, .. })
                if response.status() == StatusCode::SWITCHING_PROTOCOLS =>
            {
                if let Some(upgrade) = upgrade {
                    return self.switch(head, response, upgrade, Forwarded::new(reason));
                }
                let error = OriginError::Switched.into();
                self.error(head, &error, Forwarded::new(reason))
            }
            Ok(passed) if head.method == Method::POST && patience_with_call.is_none() => {
                self.post(head, passed, reason, why, busy).await
            }
            Ok(PassedResponse { response, .. }) => {
                let detail = Some(why.reason());
                let status = CacheStatus::Forward(Forwarded {
                    status: Some(response.status()),
                    detail,
                    ..Forwarded::new(reason)
                });
                let now = self.clock.now();
                let outcome = (Outcome::Bypass, status);
                deliver::passed(&self.fetcher, head, response, outcome, (now, busy))
            }
            Err(error) => self.error(head, &error, Forwarded::new(reason)),
        }
    }

    fn error(&self, head: &RequestHead, error: &ProxyError, forwarded: Forwarded) -> Answer {
        deliver::error(head, error, forwarded, self.clock.now())
    }

    /// Answers a POST, whose response may serve later GETs of the same URL.
    async fn post(
        &self,
        head: &RequestHead,
        passed: PassedResponse,
        reason: ForwardReason,
        why: Uncacheable,
        busy: Busy,
    ) -> Answer {
        let PassedResponse { response, exchange, post } = passed;
        let forwarded = Forwarded { detail: Some(why.reason()), ..Forwarded::new(reason) };
        match self.fetcher.store_post_response(head, response, post, exchange).await {
            Ok(Fetched::Unshared(response, _)) => {
                let status = Forwarded { status: Some(response.status()), ..forwarded };
                let outcome = (Outcome::Bypass, CacheStatus::Forward(status));
                let last = (self.clock.now(), busy);
                deliver::passed(&self.fetcher, head, *response, outcome, last)
            }
            Ok(fetched) => {
                let last = (self.clock.now(), busy);
                deliver::deliver(&self.fetcher, head, fetched, forwarded, last)
            }
            Err(error) => self.error(head, &error.into(), forwarded),
        }
    }

    /// Sends a request. An unsafe one is completed though its client leaves, so that what it
    /// changed is invalidated (RFC 9111 §4.4). A call of gRPC ends with its client.
    async fn send(
        &self,
        head: &RequestHead,
        request: Request<RequestBody>,
        is_call: bool,
    ) -> Result<PassedResponse, ProxyError> {
        let fetcher = Arc::clone(&self.fetcher);
        let request_time = self.clock.now();
        if head.method.is_safe() {
            let birth = self.invalidation.begin_fetch();
            let response = fetcher.pass(head.policy.origin(), request).await?;
            let exchange = fetcher.exchange_since(request_time);
            if head.describes_get() {
                let (status, fields) = (response.status(), response.headers());
                fetcher.freshen_by_head(head, &birth, status, fields, exchange);
            }
            return Ok(PassedResponse { response, exchange, post: None });
        }
        // After a hand-over, changes would be purged in this process only.
        let token = self.changes.begin().ok_or(ProxyError::ShuttingDown)?;
        let executor = Arc::clone(&self.executor);
        let (invalidation, head) = (Arc::clone(&self.invalidation), head.clone());
        let exchange = async move {
            // The response to a request with cookies may be for its client only.
            let is_for_all = !is_call && !head.fields.contains_key(COOKIE);
            let is_ruled = head.policy.tells_methods_apart();
            let may_store = head.method == Method::POST && is_for_all && !is_ruled;
            let birth = may_store.then(|| invalidation.begin_fetch());
            let response = fetcher.pass(head.policy.origin(), request).await?;
            let exchange = fetcher.exchange_since(request_time);
            let marked = invalidate(&executor, &head, &response, birth.as_ref()).await;
            let marked = marked.filter(|marked| marked.is_first);
            drop(token);
            let post = birth.zip(marked).map(|(birth, marked)| StorablePost { birth, marked });
            Ok(PassedResponse { response, exchange, post })
        };
        if is_call {
            return exchange.await;
        }
        let (result, done) = oneshot::channel();
        self.drain.track_change(async move {
            let _client_has_left = result.send(exchange.await);
        });
        done.await.unwrap_or_else(|_panicked| Err(OriginError::Abandoned.into()))
    }

    /// Reserves a tunnel, if one is asked for. Fails when there are too many.
    fn upgrade(&self, client: Option<OnUpgrade>) -> Result<Option<Upgrade>, ProxyError> {
        let Some(client) = client else { return Ok(None) };
        let permit = self.tunnels.try_acquire().ok_or(ProxyError::Overloaded)?;
        Ok(Some(Upgrade { client, permit }))
    }

    /// Relays a 101 and joins both connections once it is sent.
    fn switch(
        &self,
        head: &RequestHead,
        mut response: Response<OriginBody>,
        upgrade: Upgrade,
        forwarded: Forwarded,
    ) -> Answer {
        let origin = hyper::upgrade::on(&mut response);
        let (mut parts, body) = response.into_parts();
        body.into_tunnel();
        hop_by_hop::remove(&mut parts.headers);
        Upgrade::ask(&mut parts.headers);
        let Upgrade { client, permit } = upgrade;
        let joined = tunnel(client, origin, head.policy.settings().limits.tunnel_timeout);
        let metrics = Arc::clone(&head.policy.origin().metrics);
        self.drain.track(async move {
            if joined.await == TunnelEnd::Idle {
                metrics.count_idle_tunnel();
            }
            drop(permit);
        });
        let status = CacheStatus::Forward(Forwarded { status: Some(parts.status), ..forwarded });
        let response = Response::from_parts(parts, ResponseBody::Empty);
        Answer::new(head, response, Outcome::Bypass, status, self.clock.now())
    }
}

/// Purges what an unsafe request has changed, according to its response.
async fn invalidate(
    executor: &Arc<PurgeExecutor>,
    head: &RequestHead,
    response: &Response<OriginBody>,
    since: Option<&RunningFetch>,
) -> Option<Marked> {
    if head.policy.effects().is_some_and(|effects| !effects.invalidates()) {
        return None;
    }
    let uri = head.key.to_string().parse::<Uri>().ok()?;
    let uris = invalidation::targets(&head.method, response.status(), &uri, response.headers());
    if uris.is_empty() {
        return None;
    }
    let groups = tags::groups(response.headers(), CACHE_GROUP_INVALIDATION);
    executor.invalidate_uris(&uris, (head.key.host(), &groups), since).await
}
