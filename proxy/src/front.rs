//! The service behind every client connection: hits are answered at once, all else becomes a task.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::Service;
use purge_protocol::foreign::is_purge_method;

use crate::cache::metrics::Outcome;
use crate::cache::{Cache, Step};
use crate::client::exchange::{Inspection, Interim};
use crate::client::peer::Peer;
use crate::policy::LiveSettings;
use crate::listener::activity::Activity;
use crate::purge::access;
use crate::purge::door::{Door, PURGE};
use crate::request::{Inbound, Refused};
use crate::response::body::ResponseBody;

/// What answers the requests of all traffic listeners.
#[derive(Debug)]
pub struct Front {
    /// Answers them.
    pub cache: Cache,
    /// Takes purges.
    pub door: Door,
    /// The settings that requests are read under.
    pub settings: Arc<LiveSettings>,
}

/// The service of one connection.
#[derive(Debug)]
pub struct ClientService {
    /// What answers.
    pub front: Arc<Front>,
    /// Who asks.
    pub peer: Arc<Peer>,
    /// What the connection is doing.
    pub activity: Arc<Activity>,
    /// What its socket has to say.
    pub inspection: Arc<Inspection>,
}

/// An answer that is there, or on its way.
pub enum Answering {
    /// A hit. Taken when polled.
    Ready(Option<Response<ResponseBody>>),
    /// Waiting for the origin.
    Working(Work),
}

type Work = Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send>>;

impl std::fmt::Debug for Answering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Ready",
            Self::Working(_) => "Working",
        })
    }
}

impl Future for Answering {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(response) => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            Self::Working(future) => future.as_mut().poll(cx).map(Ok),
        }
    }
}

impl Service<Request<Incoming>> for ClientService {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        self.activity.on_request();
        let (number, violation) = self.inspection.on_call();
        if let Some(violation) = violation {
            let settings = self.front.settings.local();
            let refusal = violation.into();
            let refused = Refused { refusal, fields: HeaderMap::new(), settings };
            return Answering::Ready(Some(self.front.cache.refuse(&refused, &self.peer)));
        }
        match self.answer(request, number) {
            Answering::Ready(response) => {
                self.inspection.on_answer(number, false);
                Answering::Ready(response)
            }
            Answering::Working(work) => {
                let inspection = Arc::clone(&self.inspection);
                inspection.on_waiting(number);
                Answering::Working(Box::pin(async move {
                    let response = work.await;
                    let is_switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                    inspection.on_waited();
                    inspection.on_answer(number, is_switched);
                    response
                }))
            }
        }
    }
}

impl ClientService {
    fn answer(&self, request: Request<Incoming>, number: u64) -> Answering {
        let (parts, body) = request.into_parts();
        let (seed, settings) = (self.front.cache.seed(), self.front.settings.local());
        match Inbound::read(parts, body, &self.peer, seed, settings) {
            Err(refused) => Answering::Ready(Some(self.front.cache.refuse(&refused, &self.peer))),
            Ok(inbound) if self.is_purge(&inbound.head.method) => self.purge(inbound),
            Ok(inbound) => match self.front.cache.begin(inbound) {
                Step::Answer(response) => Answering::Ready(Some(response)),
                Step::Work(mut work) => {
                    // hyper speaks no 1xx: over HTTP/2 there are none. HTTP/1.0 knows none (RFC 9110 §15.2).
                    if work.version() == Version::HTTP_11 {
                        work.relay(Interim::new(Arc::clone(&self.inspection), number));
                    }
                    let front = Arc::clone(&self.front);
                    let busy = self.activity.busy();
                    Answering::Working(Box::pin(
                        async move { front.cache.finish(*work, busy).await },
                    ))
                }
            },
        }
    }

    /// Returns whether the request is a purge. Where purging is on, other caches' methods for it are answered here, too: a
    /// renderer would answer them with a page, and the sender take that for success.
    fn is_purge(&self, method: &Method) -> bool {
        if *method == Method::GET || *method == Method::HEAD || *method == Method::POST {
            return false;
        }
        let is_on = !self.front.settings.local().purge.allow.is_empty();
        method.as_str() == PURGE || is_on && is_purge_method(method.as_str())
    }

    /// `PURGE`, and its like, on a traffic listener.
    fn purge(&self, inbound: Inbound) -> Answering {
        let has_content = inbound.has_body();
        let head = inbound.head;
        if let Err(refusal) =
            access::check_traffic(&head.policy.settings().purge, &self.peer, &head.fields)
        {
            self.front.door.purger().metrics.refused.add(1);
            return Answering::Ready(Some(self.front.cache.fail(&head, &refusal.into())));
        }
        let front = Arc::clone(&self.front);
        let busy = self.activity.busy();
        Answering::Working(Box::pin(async move {
            let url = (head.target.host(), head.target.path());
            let door = &front.door;
            let response = door.answer_method(&head.method, has_content, &head.fields, url).await;
            front.cache.count(&head.peer, Outcome::Purge, response.status());
            drop(busy);
            response
        }))
    }
}
