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
    /// Set if it served an exchange before.
    pub(in crate::origins) is_reused: bool,
    /// Set if it served one before, and none when this one took it. The server may have closed it
    /// then, which is no failure.
    pub(in crate::origins) was_idle: bool,
    is_spoiled: bool,
    idle_limit: Duration,
    server: Arc<Server>,
}

#[derive(Debug)]
enum ConnectionLink {
    /// The exchange ends first, so that nothing is waited for when the sender is dropped.
    Http1 {
        lent: LentSending,
        sender: SendRequest<RequestBody>,
    },
    Http2(StreamClaim),
}

/// The progress of a connection that is taken for one exchange. Dropped, it ends the exchange: the
/// connection's task would wait for ever for a server that takes nothing.
#[derive(Debug)]
struct LentSending {
    sending: Arc<Sending>,
    is_kept: bool,
}

impl LentSending {
    const fn new(sending: Arc<Sending>) -> Self {
        Self { sending, is_kept: false }
    }

    /// The connection goes on without the exchange.
    fn keep(mut self) -> Arc<Sending> {
        self.is_kept = true;
        Arc::clone(&self.sending)
    }
}

impl Drop for LentSending {
    fn drop(&mut self) {
        if !self.is_kept {
            self.sending.abandon();
        }
    }
}

impl ServerConnection {
    pub(in crate::origins) fn new(
        sender: SendRequest<RequestBody>,
        sending: Arc<Sending>,
        server: Arc<Server>,
    ) -> Self {
        Self::of(ConnectionLink::Http1 { lent: LentSending::new(sending), sender }, false, server)
    }

    pub(in crate::origins) fn reused(idle: Idle, server: Arc<Server>) -> Self {
        let Idle { sender, sending, .. } = idle;
        Self::of(ConnectionLink::Http1 { lent: LentSending::new(sending), sender }, true, server)
    }

    pub(in crate::origins) fn stream(claim: StreamClaim, server: Arc<Server>) -> Self {
        let (is_reused, was_idle) = (claim.is_reused, claim.was_idle);
        Self { was_idle, ..Self::of(ConnectionLink::Http2(claim), is_reused, server) }
    }

    fn of(link: ConnectionLink, is_reused: bool, server: Arc<Server>) -> Self {
        let idle_limit = server.pool().idle_timeout();
        Self { link, is_reused, was_idle: is_reused, is_spoiled: false, idle_limit, server }
    }

    pub(in crate::origins) const fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Sends the request and waits for the head of the response: `first_byte_timeout` from the
    /// moment that the request was sent whole.
    pub(in crate::origins) async fn answer(
        &mut self,
        request: Request<RequestBody>,
        limits: SendingLimits,
    ) -> Result<Response<ResponseContent>, Failed> {
        match &mut self.link {
            ConnectionLink::Http1 { sender, lent } => {
                answer_http1(sender, &lent.sending, request, limits).await
            }
            ConnectionLink::Http2(claim) => {
                let response = http2::answer(claim, request, &self.server.ask(limits)).await?;
                Ok(response.map(|content| ResponseContent::Http2(Box::new(content))))
            }
        }
    }

    pub(in crate::origins) fn extent(&self) -> SendProgress {
        match &self.link {
            ConnectionLink::Http1 { lent, .. } => lent.sending.extent(),
            ConnectionLink::Http2(_) => SendProgress::Answered,
        }
    }

    /// Ends the upload if the response came before the whole request was sent. Over HTTP/2 it goes
    /// on beside the response.
    pub(in crate::origins) fn end_upload(&mut self) {
        if let ConnectionLink::Http1 { lent, .. } = &self.link {
            self.is_spoiled |= !lent.sending.is_complete();
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
        if let ConnectionLink::Http1 { sender, lent } = self.link {
            self.server.pool().keep(Idle { sender, sending: lent.keep(), until });
        }
    }

    /// Leaves the connection to the tunnel that has become of it.
    pub(in crate::origins) fn into_tunnel(self) {
        if let ConnectionLink::Http1 { lent, .. } = self.link {
            drop(lent.keep());
        }
    }

    /// Keeps the connection for another exchange, once it is ready. The response is complete. If
    /// the request is not, its rest would precede the next request, so the connection is closed.
    pub(in crate::origins) fn give_back(self) {
        let Self { link, server, is_spoiled, idle_limit, .. } = self;
        let ConnectionLink::Http1 { sender, lent } = link else { return };
        if is_spoiled || !lent.sending.is_complete() {
            return;
        }
        let until = Instant::now() + idle_limit;
        let mut connection = Idle { sender, sending: lent.keep(), until };
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

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use bytes::Bytes;
    use settings::{DnsSettings, OriginSettings, ServerAddress, ServerSettings};
    use socket2::SockRef;
    use tokio::net::TcpListener;
    use tokio::time::sleep;

    use super::*;
    use crate::origins::background::Background;
    use crate::origins::names::ServerNames;
    use crate::origins::origin::Origin;
    use crate::origins::request_body::tests::upload;

    const SOON: Duration = Duration::from_millis(100);
    /// More than the kernel buffers.
    const CONTENT: usize = 32 << 20;

    /// Connects to a server at this listener.
    async fn connected(listener: &TcpListener) -> ServerConnection {
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let server = ServerSettings { address: ServerAddress::Host(address), weight: 1 };
        let names = Arc::new(ServerNames::new(DnsSettings::default(), Background::default()));
        let origin = Origin::new(OriginSettings::new("app", vec![server]), &names);
        Arc::clone(&origin.servers()[0]).connect(true).await.unwrap()
    }

    #[tokio::test]
    async fn the_connection_of_an_upload_that_timed_out_ends_though_the_server_takes_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
        let mut connection = connected(&listener).await;
        let (_server, _) = listener.accept().await.unwrap(); // it reads nothing
        let (body, mut client) = upload(CONTENT as u64).await;
        client.send_data(Bytes::from(vec![b'x'; CONTENT]), false).unwrap();
        let request = Request::post("/").header("host", "a.example").body(body).unwrap();
        let ConnectionLink::Http1 { lent, .. } = &connection.link else { panic!("it is HTTP/1") };
        let task: Weak<Sending> = Arc::downgrade(&lent.sending);

        let limits = SendingLimits { send_timeout: SOON, first_byte_timeout: SOON, deadline: None };
        let failed = connection.answer(request, limits).await.unwrap_err();
        assert!(matches!(failed, Failed::Sent(OriginError::SendTimeout, _)), "{failed:?}");
        drop(connection);
        let ended = async {
            while task.strong_count() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout_at(Instant::now() + Duration::from_secs(10), ended).await.expect("its task ends");
    }
}
