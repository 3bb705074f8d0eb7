//! `ServerConnection`: a connection, or a stream of one, that is taken for one exchange.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::client::conn::http1::SendRequest;
use tokio::time::{Instant, timeout_at};

use super::Server;
use crate::origins::attempts::Failed;
use crate::origins::content::ResponseContent;
use crate::origins::error::OriginError;
use crate::origins::http2::{self, StreamClaim};
use crate::origins::pool::Idle;
use crate::origins::request_body::RequestBody;
use crate::origins::sending::{SendProgress, Sending, SendingLimits};

/// A connection for one exchange. Dropping it closes it, or resets its stream;
/// [`ServerConnection::give_back`] keeps it.
#[derive(Debug)]
pub(in crate::origins) struct ServerConnection {
    link: ConnectionLink,
    /// Set if it served an exchange before. The server may then have closed it, which is no
    /// failure.
    pub(in crate::origins) is_reused: bool,
    is_spoiled: bool,
    idle_limit: Duration,
    server: Arc<Server>,
}

#[derive(Debug)]
enum ConnectionLink {
    Http1 { sender: SendRequest<RequestBody>, sending: Arc<Sending> },
    Http2(StreamClaim),
}

impl ServerConnection {
    pub(in crate::origins) fn new(
        sender: SendRequest<RequestBody>,
        sending: Arc<Sending>,
        server: Arc<Server>,
    ) -> Self {
        Self::of(ConnectionLink::Http1 { sender, sending }, false, server)
    }

    pub(in crate::origins) fn reused(idle: Idle, server: Arc<Server>) -> Self {
        let Idle { sender, sending, .. } = idle;
        Self::of(ConnectionLink::Http1 { sender, sending }, true, server)
    }

    pub(in crate::origins) fn stream(claim: StreamClaim, server: Arc<Server>) -> Self {
        let is_reused = claim.is_reused;
        Self::of(ConnectionLink::Http2(claim), is_reused, server)
    }

    fn of(link: ConnectionLink, is_reused: bool, server: Arc<Server>) -> Self {
        let idle_limit = server.pool().idle_timeout();
        Self { link, is_reused, is_spoiled: false, idle_limit, server }
    }

    pub(in crate::origins) const fn server(&self) -> &Arc<Server> {
        &self.server
    }

    pub(in crate::origins) fn server_name(&self) -> &str {
        self.server.name()
    }

    /// Sends the request and waits for the head of the response: `first_byte_timeout` from the
    /// moment that the request was sent whole.
    pub(in crate::origins) async fn answer(
        &mut self,
        request: Request<RequestBody>,
        limits: SendingLimits,
    ) -> Result<Response<ResponseContent>, Failed> {
        match &mut self.link {
            ConnectionLink::Http1 { sender, sending } => {
                answer_http1(sender, sending, request, limits).await
            }
            ConnectionLink::Http2(claim) => {
                let response = http2::answer(claim, request, &self.server.ask(limits)).await?;
                Ok(response.map(|content| ResponseContent::Http2(Box::new(content))))
            }
        }
    }

    pub(in crate::origins) fn extent(&self) -> SendProgress {
        match &self.link {
            ConnectionLink::Http1 { sending, .. } => sending.extent(),
            ConnectionLink::Http2(_) => SendProgress::Answered,
        }
    }

    /// Ends the upload if the response came before the whole request was sent. Over HTTP/2 it goes
    /// on beside the response.
    pub(in crate::origins) fn end_upload(&mut self) {
        if let ConnectionLink::Http1 { sending, .. } = &self.link {
            self.is_spoiled |= !sending.is_complete();
        }
    }

    /// Lowers the idle time to the one that the server announced.
    pub(in crate::origins) fn limit_idle(&mut self, limit: Duration) {
        self.idle_limit = self.idle_limit.min(limit);
    }

    pub(in crate::origins) const fn is_spoiled(&self) -> bool {
        self.is_spoiled
    }

    /// Keeps a new connection for whoever comes first.
    pub(super) fn keep(self) {
        let until = Instant::now() + self.idle_limit;
        if let ConnectionLink::Http1 { sender, sending } = self.link {
            self.server.pool().keep(Idle { sender, sending, until });
        }
    }

    /// Keeps the connection for another exchange, once it is ready. The response is complete. If
    /// the request is not, its rest would precede the next request, so the connection is closed.
    pub(in crate::origins) fn give_back(self) {
        let Self { link, server, is_spoiled, idle_limit, .. } = self;
        let ConnectionLink::Http1 { sender, sending } = link else { return };
        if is_spoiled || !sending.is_complete() {
            sending.abandon();
            return;
        }
        let mut connection = Idle { sender, sending, until: Instant::now() + idle_limit };
        if connection.sender.is_ready() {
            server.pool().keep(connection);
        } else if server.pool().keeps() {
            tokio::spawn(async move {
                if connection.sender.ready().await.is_ok() {
                    server.pool().keep(connection);
                }
            });
        }
    }
}

async fn answer_http1(
    sender: &mut SendRequest<RequestBody>,
    sending: &Arc<Sending>,
    request: Request<RequestBody>,
    limits: SendingLimits,
) -> Result<Response<ResponseContent>, Failed> {
    sending.begin(*request.method() == Method::HEAD, request.body().upload());
    let sent = |error| Failed::Sent(error, sending.extent());
    let mut answer = pin!(sender.try_send_request(request));
    let answer = loop {
        let due = limits.due(sending.phase(), Instant::now()).map_err(sent)?;
        if let Ok(answer) = timeout_at(due, &mut answer).await {
            break answer;
        }
    };
    answer.map(|response| response.map(ResponseContent::Http1)).map_err(|mut error| {
        match error.take_message() {
            Some(unsent) => Failed::Unsent(OriginError::head(error.into_error()), Box::new(unsent)),
            None => sent(OriginError::head(error.into_error())),
        }
    })
}
