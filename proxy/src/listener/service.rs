//! The service behind every client connection: hits are answered at once, all else becomes a task.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use purge_protocol::PurgeRequest;

use super::activity::Activity;
use super::peer::Peer;
use crate::cache::metrics::Outcome;
use crate::cache::{Cache, Step};
use crate::purge::access;
use crate::purge::door::Door;
use crate::purge::metrics::Source;
use crate::request::Inbound;
use crate::response::body::ResponseBody;

/// What answers the requests of all traffic listeners.
#[derive(Debug)]
pub struct Front {
    /// Answers them.
    pub cache: Cache,
    /// Takes purges.
    pub door: Door,
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
}

/// An answer that is there, or on its way.
pub enum Answering {
    /// A hit. Taken when polled.
    Ready(Option<Response<ResponseBody>>),
    /// Waiting for the origin.
    Working(Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send>>),
}

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
        let (parts, body) = request.into_parts();
        match Inbound::read(parts, body, &self.peer, self.front.cache.rules()) {
            Err(refused) => Answering::Ready(Some(self.front.cache.refuse(&refused, &self.peer))),
            Ok(inbound) if inbound.head.method.as_str() == PURGE => self.purge(inbound),
            Ok(inbound) => match self.front.cache.begin(inbound) {
                Step::Answer(response) => Answering::Ready(Some(response)),
                Step::Work(work) => {
                    let front = Arc::clone(&self.front);
                    let busy = self.activity.busy();
                    Answering::Working(Box::pin(
                        async move { front.cache.finish(*work, busy).await },
                    ))
                }
            },
        }
    }
}

impl ClientService {
    /// `PURGE` on a traffic listener.
    fn purge(&self, inbound: Inbound) -> Answering {
        let head = inbound.head;
        if let Err(refusal) =
            access::check_traffic(self.front.door.rules(), &self.peer, &head.fields)
        {
            self.front.door.purger().metrics.refused.add(1);
            return Answering::Ready(Some(self.front.cache.fail(&head, &refusal.into())));
        }
        let front = Arc::clone(&self.front);
        let busy = self.activity.busy();
        Answering::Working(Box::pin(async move {
            let request =
                PurgeRequest::from_fields(&head.fields, head.target.host(), head.target.path());
            let response = front.door.answer(request, Source::Http).await;
            front.cache.count(&head.peer, Outcome::Purge, response.status());
            drop(busy);
            response
        }))
    }
}

/// The method of purges.
pub const PURGE: &str = "PURGE";
