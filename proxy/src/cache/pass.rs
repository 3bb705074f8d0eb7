//! Requests that go past the cache: unsafe methods, tunnels, and what is one client's own.

use std::sync::Arc;

use http::header::{CONNECTION, COOKIE, HeaderMap, HeaderValue, IF_RANGE, RANGE, UPGRADE};
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::upgrade::OnUpgrade;
use tokio::sync::OwnedSemaphorePermit;

use super::Cache;
use super::metrics::Outcome;
use super::tunnel::tunnel;
use crate::client::busy::Busy;
use crate::fetch::request::forward;
use crate::fetch::revision::MIN_REVISION;
use crate::fetch::{Fetched, StorablePost, tags};
use crate::field::cache_status::ForwardReason;
use crate::field::cache_status::{Forward, Status};
use crate::field::hop_by_hop;
use crate::field::range;
use crate::freshness::{Exchange, Uncacheable, invalidation};
use crate::invalidation::{Marked, RunningFetch};
use crate::key::vary::normalize_accept_encoding;
use crate::origins::{OriginBody, OriginError, RequestBody};
use crate::policy::CACHE_GROUP_INVALIDATION;
use crate::purge::Purger;
use crate::request::refusal::Refusal;
use crate::request::{Inbound, RequestHead};
use crate::response::Responder;
use crate::response::body::ResponseBody;
use crate::response::failure::ProxyError;

/// A request for a WebSocket.
struct Upgrade {
    client: OnUpgrade,
    permit: OwnedSemaphorePermit,
}

/// A response that went past the cache.
struct Answered {
    response: Response<OriginBody>,
    /// What a cache needs to know to keep the answer to a POST.
    storable_post: Option<StorablePost>,
    exchange: Exchange,
}

impl Upgrade {
    /// Adds the fields that ask for it, or agree to it: they are for one connection, so we write them anew.
    fn ask(fields: &mut HeaderMap) {
        fields.insert(UPGRADE, HeaderValue::from_static(hop_by_hop::WEBSOCKET));
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

impl Cache {
    /// Sends a request as it is; what it changes is invalidated before the client hears of it (RFC 9111 §4.4).
    pub(super) async fn pass(
        &self,
        inbound: Inbound,
        (reason, why): (ForwardReason, Uncacheable),
        busy: Busy,
    ) -> (Outcome, Response<ResponseBody>) {
        let Inbound { head, body, upgrade } = inbound;
        let limits = &head.policy.settings().limits;
        if http_body::Body::size_hint(&body).lower() > limits.max_body {
            let refusal = Refusal::BodyTooLarge { limit: limits.max_body };
            return (Outcome::Synthetic, self.error(&head, &refusal.into(), Forward::new(reason)));
        }
        let body = RequestBody::client(body, limits.max_body, limits.body_timeout);
        let mut request = forward(&head, body, &head.policy.settings().own_fields.name);
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
        let upgrade = match self.upgrade(upgrade) {
            Ok(upgrade) => upgrade,
            Err(error) => {
                return (Outcome::Synthetic, self.error(&head, &error, Forward::new(reason)));
            }
        };
        if upgrade.is_some() {
            Upgrade::ask(request.headers_mut());
        }
        match self.send(&head, request).await {
            Ok(Answered { response, .. })
                if response.status() == StatusCode::SWITCHING_PROTOCOLS =>
            {
                if let Some(upgrade) = upgrade {
                    return (Outcome::Bypass, self.switch(&head, response, upgrade));
                }
                let error = OriginError::Switched.into();
                (Outcome::Synthetic, self.error(&head, &error, Forward::new(reason)))
            }
            Ok(answered) if head.method == Method::POST => {
                self.post(&head, answered, (reason, why), busy).await
            }
            Ok(Answered { response, .. }) => {
                let detail = Some(why.code());
                let status = Status::Forward(Forward {
                    status: Some(response.status()),
                    detail,
                    ..Forward::new(reason)
                });
                (Outcome::Bypass, self.passed(&head, response, &status, busy))
            }
            Err(error) => (Outcome::Synthetic, self.error(&head, &error, Forward::new(reason))),
        }
    }

    pub(super) fn passed(
        &self,
        head: &RequestHead,
        mut response: Response<OriginBody>,
        status: &Status,
        busy: Busy,
    ) -> Response<ResponseBody> {
        *response.headers_mut() = head.policy.public(response.headers());
        let is_early = response.body().is_early();
        let mut answer = Responder::of(head).passed(response, status, busy);
        if is_early {
            // Nobody reads the rest of the request (RFC 9112 §9.6).
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    /// Answers a POST; its response may be of use for those who GET the same URL.
    async fn post(
        &self,
        head: &RequestHead,
        answered: Answered,
        (reason, why): (ForwardReason, Uncacheable),
        busy: Busy,
    ) -> (Outcome, Response<ResponseBody>) {
        let Answered { response, storable_post, exchange } = answered;
        let forward = Forward { detail: Some(why.code()), ..Forward::new(reason) };
        match self.fetcher.store_post_response(head, response, storable_post, exchange).await {
            Ok(Fetched::Unshared(response, _)) => {
                let status = Forward { status: Some(response.status()), ..forward };
                (Outcome::Bypass, self.passed(head, *response, &Status::Forward(status), busy))
            }
            Ok(fetched) => self.fetched(head, fetched, forward, busy),
            Err(error) => (Outcome::Synthetic, self.error(head, &error, forward)),
        }
    }

    /// Sends a request. One that may change something is carried to its end though its client leaves: what it changed is
    /// invalidated (RFC 9111 §4.4).
    async fn send(
        &self,
        head: &RequestHead,
        request: Request<RequestBody>,
    ) -> Result<Answered, ProxyError> {
        let fetcher = Arc::clone(&self.fetcher);
        let request_time = fetcher.clock.now();
        if head.method.is_safe() {
            let birth = fetcher.invalidation.begin_fetch();
            let response = fetcher.pass(head.policy.origin(), request).await?;
            let exchange = fetcher.exchange_since(request_time);
            if head.describes_get() {
                let newer = (response.status(), response.headers());
                fetcher.apply_head(head, &birth, newer, exchange);
            }
            return Ok(Answered { response, storable_post: None, exchange });
        }
        // What a process changes that has handed over would be purged in this one only.
        let token = self.changes.begin().ok_or(ProxyError::ShuttingDown)?;
        let purger = Arc::clone(&self.purger);
        let head = head.clone();
        let exchange = tokio::spawn(async move {
            // What the origin made of one client's cookies is nobody else's.
            let may_adopt = head.method == Method::POST && !head.fields.contains_key(COOKIE);
            let birth = may_adopt.then(|| fetcher.invalidation.begin_fetch());
            let response = fetcher.pass(head.policy.origin(), request).await?;
            let exchange = fetcher.exchange_since(request_time);
            let marked = invalidate(&purger, &head, &response, birth.as_ref()).await;
            let marked = marked.filter(|marked| marked.is_first);
            drop(token);
            let storable_post =
                birth.zip(marked).map(|(birth, marked)| StorablePost { birth, marked });
            Ok(Answered { response, storable_post, exchange })
        });
        exchange.await.unwrap_or_else(|_panicked| Err(OriginError::Abandoned.into()))
    }

    /// Returns what a tunnel needs, if one is asked for; there may be too many already.
    fn upgrade(&self, client: Option<OnUpgrade>) -> Result<Option<Upgrade>, ProxyError> {
        let Some(client) = client else { return Ok(None) };
        let permit = Arc::clone(&self.tunnels)
            .try_acquire_owned()
            .map_err(|_full| ProxyError::Overloaded)?;
        Ok(Some(Upgrade { client, permit }))
    }

    /// Relays a 101 and joins both connections once it is sent.
    fn switch(
        &self,
        head: &RequestHead,
        mut response: Response<OriginBody>,
        upgrade: Upgrade,
    ) -> Response<ResponseBody> {
        let origin = hyper::upgrade::on(&mut response);
        let (mut parts, body) = response.into_parts();
        body.into_tunnel();
        hop_by_hop::remove(&mut parts.headers);
        Upgrade::ask(&mut parts.headers);
        let Upgrade { client, permit } = upgrade;
        let idle_limit = head.policy.settings().limits.tunnel_timeout;
        let joined = tunnel(client, origin, idle_limit);
        self.drain.track(async move {
            joined.await;
            drop(permit);
        });
        Response::from_parts(parts, ResponseBody::Empty)
    }
}

/// Purges what the response to an unsafe request says it has changed.
async fn invalidate(
    purger: &Arc<Purger>,
    head: &RequestHead,
    response: &Response<OriginBody>,
    since: Option<&RunningFetch>,
) -> Option<Marked> {
    let uri = head.key.to_string().parse::<Uri>().ok()?;
    let uris = invalidation::targets(&head.method, response.status(), &uri, response.headers());
    if uris.is_empty() {
        return None;
    }
    let groups = tags::groups(response.headers(), CACHE_GROUP_INVALIDATION);
    purger.invalidate(&uris, (head.key.host(), &groups), since).await
}
