//! The service that hyper calls for each request of a connection, and the handler that answers for
//! it.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;

use super::activity::Activity;
use super::rules::ConnectionRules;
use crate::client::busy::Busy;
use crate::client::end_address::EndAddress;
use crate::client::exchange::{ExchangeState, Interim};
use crate::client::peer::{ListenerId, Peer};
use crate::framing::Violation;

pub trait Handler: fmt::Debug + Send + Sync + 'static {
    type Body: Body<Data: Buf + Send, Error: std::error::Error + Send + Sync>
        + Send
        + Unpin
        + 'static;
    /// A response that is not there yet.
    type Later: Future<Output = Response<Self::Body>> + Send + Unpin + 'static;

    fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        caller: Caller<'_>,
    ) -> Reply<Self::Body, Self::Later>;

    /// Returns how a connection is served that this listener accepts now.
    fn rules(&self, listener: ListenerId) -> ConnectionRules;

    /// Returns whether a peer of this listener is believed about the client that it speaks for.
    fn is_trusted(&self, remote: EndAddress, listener: ListenerId) -> bool;

    /// Answers a request that breaks the rules of framing.
    fn refuse(&self, violation: Violation, peer: &Arc<Peer>) -> Response<Self::Body>;
}

/// A response, or the work that ends in one.
#[derive(Debug)]
pub enum Reply<B, W> {
    /// A response that is complete but for its content.
    Ready(Response<B>),
    Later(W),
}

/// The connection that a request came on, and the request's number there.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    connection: &'a ClientConnection,
    number: u64,
}

#[derive(Debug)]
pub struct ClientConnection {
    pub peer: Arc<Peer>,
    /// For the watch that ends idle and stuck connections.
    pub activity: Arc<Activity>,
    pub exchange: Arc<ExchangeState>,
}

#[derive(Debug)]
pub struct ConnectionService<H> {
    handler: Arc<H>,
    connection: ClientConnection,
}

/// Content, as far as the client gets it.
#[derive(Debug)]
pub struct SentBody<B> {
    content: B,
    is_withheld: bool,
}

/// A response that is there, or on its way.
pub enum ResponseFuture<H: Handler> {
    /// Taken when polled.
    Ready(Option<Response<SentBody<H::Body>>>),
    /// Once it is there, the socket learns of it.
    Working { work: H::Later, exchange: Arc<ExchangeState>, number: u64, withholds: bool },
}

impl<'a> Caller<'a> {
    pub const fn peer(&self) -> &'a Arc<Peer> {
        &self.connection.peer
    }

    /// Keeps the connection from counting as idle until the result is dropped.
    pub fn busy(&self) -> Busy {
        self.connection.activity.busy()
    }

    /// Returns the way for interim responses to this request.
    pub fn interim(&self) -> Interim {
        Interim::new(Arc::clone(&self.connection.exchange), self.number)
    }
}

impl<H> ConnectionService<H> {
    pub const fn new(handler: Arc<H>, connection: ClientConnection) -> Self {
        Self { handler, connection }
    }
}

impl<H: Handler> Service<Request<Incoming>> for ConnectionService<H> {
    type Response = Response<SentBody<H::Body>>;
    type Error = Infallible;
    type Future = ResponseFuture<H>;

    fn call(&self, request: Request<Incoming>) -> ResponseFuture<H> {
        let ClientConnection { peer, activity, exchange } = &self.connection;
        activity.on_request();
        let withholds = request.method() == Method::HEAD && request.version() == Version::HTTP_2;
        let (number, violation) = exchange.on_call();
        if let Some(violation) = violation {
            let refused = sent(self.handler.refuse(violation, peer), withholds);
            return ResponseFuture::Ready(Some(refused));
        }
        match self.handler.answer(request, Caller { connection: &self.connection, number }) {
            Reply::Ready(mut response) => {
                if exchange.on_answer(number, false) {
                    end_with(&mut response);
                }
                ResponseFuture::Ready(Some(sent(response, withholds)))
            }
            Reply::Later(work) => {
                exchange.on_waiting(number);
                ResponseFuture::Working { work, exchange: Arc::clone(exchange), number, withholds }
            }
        }
    }
}

/// Leaves the content out of a response to HEAD, and says how long it would be. hyper does so over
/// HTTP/1 only.
fn sent<B: Body>(mut response: Response<B>, withholds: bool) -> Response<SentBody<B>> {
    let is_withheld = withholds && !response.body().is_end_stream();
    if let (true, Some(length)) = (is_withheld, response.body().size_hint().exact()) {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    response.map(|content| SentBody { content, is_withheld })
}

impl<B: Body + Unpin> Body for SentBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let body = self.get_mut();
        if body.is_withheld {
            Poll::Ready(None)
        } else {
            Pin::new(&mut body.content).poll_frame(cx)
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_withheld || self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_withheld { SizeHint::with_exact(0) } else { self.content.size_hint() }
    }
}

/// Says that the connection ends with this response (RFC 9112 §9.6): hyper closes it then.
#[cold]
fn end_with<B>(response: &mut Response<B>) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

impl<H: Handler> fmt::Debug for ResponseFuture<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Ready",
            Self::Working { .. } => "Working",
        })
    }
}

impl<H: Handler> Future for ResponseFuture<H> {
    type Output = Result<Response<SentBody<H::Body>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(response) => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            Self::Working { work, exchange, number, withholds } => {
                Pin::new(work).poll(cx).map(|response| {
                    let mut response = response;
                    let is_switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                    exchange.on_waited();
                    if exchange.on_answer(*number, is_switched) && !is_switched {
                        end_with(&mut response);
                    }
                    Ok(sent(response, *withholds))
                })
            }
        }
    }
}

impl<H: Handler> Unpin for ResponseFuture<H> {}
