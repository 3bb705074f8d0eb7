//! `ServerConnection`: a connection that is taken from the pool for one exchange.

use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use super::Server;
use crate::origins::pool::Idle;
use crate::origins::request_body::RequestBody;
use crate::origins::sending::Sending;

/// A connection for one exchange. Dropping it closes it, [`ServerConnection::give_back`] keeps it.
#[derive(Debug)]
pub(in crate::origins) struct ServerConnection {
    pub(in crate::origins) sender: SendRequest<RequestBody>,
    pub(in crate::origins) sending: Arc<Sending>,
    /// Set if it served an exchange before. The server may then have closed it, which is no
    /// failure.
    pub(in crate::origins) is_reused: bool,
    is_spoiled: bool,
    idle_limit: Duration,
    server: Arc<Server>,
}

impl ServerConnection {
    pub(in crate::origins) fn new(
        sender: SendRequest<RequestBody>,
        sending: Arc<Sending>,
        server: Arc<Server>,
    ) -> Self {
        let idle_limit = server.pool().idle_timeout();
        Self { sender, sending, is_reused: false, is_spoiled: false, idle_limit, server }
    }

    pub(in crate::origins) fn reused(
        sender: SendRequest<RequestBody>,
        sending: Arc<Sending>,
        server: Arc<Server>,
    ) -> Self {
        Self { is_reused: true, ..Self::new(sender, sending, server) }
    }

    pub(in crate::origins) const fn server(&self) -> &Arc<Server> {
        &self.server
    }

    pub(in crate::origins) fn server_name(&self) -> &str {
        self.server.name()
    }

    /// Lowers the idle time to the one that the server announced.
    pub(in crate::origins) fn limit_idle(&mut self, limit: Duration) {
        self.idle_limit = self.idle_limit.min(limit);
    }

    pub(in crate::origins) const fn is_spoiled(&self) -> bool {
        self.is_spoiled
    }

    pub(in crate::origins) const fn spoil(&mut self) {
        self.is_spoiled = true;
    }

    /// Keeps the connection for another exchange, once it is ready. The response is complete. If
    /// the request is not, its rest would precede the next request, so the connection is closed.
    pub(in crate::origins) fn give_back(self) {
        let Self { sender, sending, server, is_spoiled, idle_limit, .. } = self;
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
