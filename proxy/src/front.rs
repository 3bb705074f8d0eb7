//! The handler of the traffic listeners: hits are answered at once, all else becomes a task.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, Version};
use hyper::body::Incoming;
use purge_protocol::foreign::is_purge_method;

use crate::cache::metrics::Outcome;
use crate::cache::{Cache, Step};
use crate::client::peer::{Peer, contains};
use crate::framing::Violation;
use crate::listener::rules::ConnectionRules;
use crate::listener::service::{Answer, Caller, Handler};
use crate::policy::LiveSettings;
use crate::purge::access;
use crate::purge::endpoint::{PURGE, PurgeEndpoint};
use crate::request::{Inbound, Refused};
use crate::response::body::ResponseBody;
use settings::Http2;

/// What answers the requests of all traffic listeners.
#[derive(Debug)]
pub struct Front {
    /// Answers them.
    pub cache: Cache,
    /// Takes purges.
    pub purge_endpoint: PurgeEndpoint,
    /// The settings that requests are read under.
    pub settings: Arc<LiveSettings>,
}

type Later = Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send>>;

impl Handler for Front {
    type Body = ResponseBody;
    type Later = Later;

    fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        caller: Caller<'_>,
    ) -> Answer<ResponseBody, Later> {
        let (parts, body) = request.into_parts();
        let (seed, settings) = (self.cache.seed(), self.settings.local());
        match Inbound::read(parts, body, caller.peer(), seed, settings) {
            Err(refused) => {
                Answer::Ready(self.cache.refuse(&refused, caller.peer(), &self.settings.local()))
            }
            Ok(inbound) if self.is_purge(&inbound.head.method) => self.purge(inbound, caller),
            Ok(inbound) => match self.cache.begin(inbound) {
                Step::Answer(response) => Answer::Ready(response),
                Step::Pending(mut pending) => {
                    // hyper speaks no 1xx: over HTTP/2 there are none. HTTP/1.0 knows none (RFC 9110 §15.2).
                    if pending.version() == Version::HTTP_11 {
                        pending.relay(caller.interim());
                    }
                    let front = Arc::clone(self);
                    let busy = caller.busy();
                    Answer::Later(Box::pin(async move { front.cache.finish(pending, busy).await }))
                }
            },
        }
    }

    fn rules(&self, listener: usize) -> ConnectionRules {
        let settings = self.settings.local();
        let http2 = settings.listen.get(listener).map_or(Http2::Off, |listen| listen.http2);
        ConnectionRules::new(&settings.limits, http2)
    }

    fn is_trusted(&self, remote: SocketAddr, listener: usize) -> bool {
        let settings = self.settings.local();
        settings
            .listen
            .get(listener)
            .is_some_and(|listen| contains(&listen.trusted_proxies, remote))
    }

    fn refuse(&self, violation: Violation, peer: &Peer) -> Response<ResponseBody> {
        let refused = Refused { refusal: violation.into(), fields: HeaderMap::new() };
        self.cache.refuse(&refused, peer, &self.settings.local())
    }
}

impl Front {
    /// Returns whether the request is a purge. Where purging is on, other caches' methods for it are answered here, too: a
    /// renderer would answer them with a page, and the sender take that for success.
    fn is_purge(&self, method: &Method) -> bool {
        if *method == Method::GET || *method == Method::HEAD || *method == Method::POST {
            return false;
        }
        let is_on = !self.settings.local().purge.allow.is_empty();
        method.as_str() == PURGE || is_on && is_purge_method(method.as_str())
    }

    /// `PURGE`, and its like, on a traffic listener.
    fn purge(
        self: &Arc<Self>,
        inbound: Inbound,
        caller: Caller<'_>,
    ) -> Answer<ResponseBody, Later> {
        let has_content = inbound.has_body();
        let head = inbound.head;
        let purge = &head.policy.settings().purge;
        if let Err(refusal) = access::check_traffic(purge, caller.peer(), &head.fields) {
            self.purge_endpoint.executor().metrics.refused.add(1);
            return Answer::Ready(self.cache.fail(&head, &refusal.into()));
        }
        let front = Arc::clone(self);
        let busy = caller.busy();
        Answer::Later(Box::pin(async move {
            let url = (head.target.host(), head.target.path());
            let purge_endpoint = &front.purge_endpoint;
            let response =
                purge_endpoint.answer_method(&head.method, has_content, &head.fields, url).await;
            front.cache.count(&head.peer, Outcome::Purge, response.status());
            drop(busy);
            response
        }))
    }
}
