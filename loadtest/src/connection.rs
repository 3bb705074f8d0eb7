//! One keep-alive HTTP/1.1 connection, opened again when it breaks. One request at a time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::response::Parts;
use http::{HeaderValue, Request, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::target::Target;

/// Why there is no complete answer. All are counted; none is retried, as that would hide it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// No connection could be opened.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The connection broke before the head of the response.
    #[error("no response")]
    Head(#[source] hyper::Error),
    #[error("truncated body")]
    Body(#[source] hyper::Error),
    #[error("no complete answer within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
}

impl RequestError {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Head(_) => "head",
            Self::Body(_) => "body",
            Self::Timeout(_) => "timeout",
        }
    }
}

/// A connection that is kept between requests. A request that fails or is cancelled takes it along.
#[derive(Debug)]
pub(crate) struct Connection {
    target: Arc<Target>,
    idle: Option<SendRequest<Empty<Bytes>>>,
}

impl Connection {
    pub(crate) async fn open(target: Arc<Target>) -> Result<Self, RequestError> {
        let idle = Some(handshake(&target).await?);
        Ok(Self { target, idle })
    }

    /// Gets `path`, shows each piece of the body to `on_data`, and returns the head.
    pub(crate) async fn get(
        &mut self,
        path: Uri,
        patience: Duration,
        on_data: impl FnMut(&Bytes),
    ) -> Result<Parts, RequestError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = path;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/html,*/*;q=0.8"));
        self.send(request, patience, on_data).await
    }

    pub(crate) async fn send(
        &mut self,
        mut request: Request<Empty<Bytes>>,
        patience: Duration,
        on_data: impl FnMut(&Bytes),
    ) -> Result<Parts, RequestError> {
        request.headers_mut().insert(HOST, self.target.host());
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("shellac-loadtest"));
        let exchange = self.exchange(request, on_data);
        timeout(patience, exchange).await.unwrap_or(Err(RequestError::Timeout(patience)))
    }

    async fn exchange(
        &mut self,
        request: Request<Empty<Bytes>>,
        mut on_data: impl FnMut(&Bytes),
    ) -> Result<Parts, RequestError> {
        let mut sender = self.usable().await?;
        let (head, mut body) =
            sender.send_request(request).await.map_err(RequestError::Head)?.into_parts();
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame.map_err(RequestError::Body)?.data_ref() {
                on_data(data);
            }
        }
        self.idle = Some(sender);
        Ok(head)
    }

    /// Takes the idle connection, or opens one if the server has closed it.
    async fn usable(&mut self) -> Result<SendRequest<Empty<Bytes>>, RequestError> {
        if let Some(mut idle) = self.idle.take()
            && idle.ready().await.is_ok()
        {
            return Ok(idle);
        }
        handshake(&self.target).await
    }
}

async fn handshake(target: &Target) -> Result<SendRequest<Empty<Bytes>>, RequestError> {
    let stream = TcpStream::connect(target.address()).await.map_err(RequestError::Connect)?;
    stream.set_nodelay(true).map_err(RequestError::Connect)?;
    let (sender, driver) =
        http1::handshake(TokioIo::new(stream)).await.map_err(RequestError::Head)?;
    // Ends when the sender is dropped or the server closes; its error reaches the sender as well.
    tokio::spawn(driver);
    Ok(sender)
}
