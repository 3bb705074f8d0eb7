//! Connections to one server: made, lent for one exchange, kept while idle.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use hyper::client::conn::http1::{self, SendRequest};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::connector::{Connector, System};
use super::error::OriginError;
use super::race::SlowMark;
use super::request_body::RequestBody;
use super::sending::Sending;
use super::server_stream::Guarded;
use crate::framing;

/// The connections of one server.
#[derive(Debug)]
pub(super) struct Pool {
    server: Authority,
    connector: Connector,
    /// Whether no connection could be made lately.
    pub(super) slow: SlowMark,
    idle: Mutex<VecDeque<Idle>>,
    idle_max: usize,
    idle_timeout: Duration,
    connect_timeout: Duration,
    head_bytes_max: usize,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    sending: Arc<Sending>,
    /// When it is no longer used.
    until: Instant,
}

/// A connection for one exchange. Dropping it closes it; [`Lease::give_back`] keeps it.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) sender: SendRequest<RequestBody>,
    /// How far its request has got.
    pub(super) sending: Arc<Sending>,
    /// Whether it served an exchange before: then it may have been closed meanwhile, which is nobody's fault.
    pub(super) is_reused: bool,
    is_spoiled: bool,
    /// How long it may be idle afterwards.
    idle_limit: Duration,
    pool: Arc<Pool>,
}

impl Pool {
    pub(super) fn new(server: Authority, settings: &settings::Origin) -> Self {
        let host = server.host().trim_start_matches('[').trim_end_matches(']');
        let connector = Connector::new(System, host, server.port_u16().unwrap_or(80));
        Self {
            server,
            connector,
            slow: SlowMark::default(),
            idle: Mutex::default(),
            idle_max: settings.keepalive,
            idle_timeout: settings.keepalive_timeout,
            connect_timeout: settings.connect_timeout,
            head_bytes_max: HEAD_BYTES_MAX,
        }
    }

    /// Idle connections: a gauge.
    pub(super) fn idle(&self) -> usize {
        self.idle.lock().len()
    }

    /// Takes the idle connection that was used last, if one is alive.
    pub(super) fn take_idle(self: &Arc<Self>) -> Option<Lease> {
        let mut idle = self.idle.lock();
        while let Some(candidate) = idle.pop_back() {
            if Instant::now() < candidate.until && candidate.sender.is_ready() {
                return Some(Lease {
                    sender: candidate.sender,
                    sending: candidate.sending,
                    is_reused: true,
                    is_spoiled: false,
                    idle_limit: self.idle_timeout,
                    pool: Arc::clone(self),
                });
            }
        }
        None
    }

    /// Makes a connection.
    pub(super) async fn connect(self: Arc<Self>) -> Result<Lease, OriginError> {
        let server = self.server.as_str();
        let stream = timeout(self.connect_timeout, self.connector.connect())
            .await
            .map_err(|_elapsed| OriginError::ConnectTimeout { server: server.to_owned() })?
            .map_err(|error| OriginError::connecting(server, error))?;
        let limits =
            framing::Limits { head_bytes_max: self.head_bytes_max, fields_max: HEADERS_MAX };
        let sending = Arc::<Sending>::default();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(self.head_bytes_max)
            .max_headers(HEADERS_MAX)
            .handshake(Guarded::new(stream, limits, Arc::clone(&sending)))
            .await
            .map_err(OriginError::head)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "origin connection ended");
            }
        });
        Ok(Lease {
            sender,
            sending,
            is_reused: false,
            is_spoiled: false,
            idle_limit: self.idle_timeout,
            pool: self,
        })
    }

    /// Closes connections that were idle for too long.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.idle.lock().retain(|idle| now < idle.until && !idle.sender.is_closed());
    }

    fn keep(&self, connection: Idle) {
        let mut idle = self.idle.lock();
        if idle.len() < self.idle_max {
            idle.push_back(connection);
        }
    }
}

impl Lease {
    /// `host:port` at its other end.
    pub(super) fn server(&self) -> &str {
        self.pool.server.as_str()
    }

    /// Says how long the server keeps the connection when it is idle.
    pub(super) fn limit_idle(&mut self, limit: Duration) {
        self.idle_limit = self.idle_limit.min(limit);
    }

    /// Returns whether there will be no other exchange after this one.
    pub(super) const fn is_spoiled(&self) -> bool {
        self.is_spoiled
    }

    /// Says that there must be no other exchange after this one.
    pub(super) const fn spoil(&mut self) {
        self.is_spoiled = true;
    }

    /// Keeps the connection for another exchange, once it is ready for one. The response is complete; where the request is
    /// not, the rest of it would stand before the next one, and the connection ends.
    pub(super) fn give_back(self) {
        let Self { sender, sending, pool, is_spoiled, idle_limit, .. } = self;
        if is_spoiled || !sending.is_complete() {
            sending.abandon();
            return;
        }
        let mut connection = Idle { sender, sending, until: Instant::now() + idle_limit };
        if connection.sender.is_ready() {
            pool.keep(connection);
        } else if pool.idle_max > 0 {
            tokio::spawn(async move {
                if connection.sender.ready().await.is_ok() {
                    pool.keep(connection);
                }
            });
        }
    }
}

/// A response head may be this large; hyper's read buffer grows up to it.
const HEAD_BYTES_MAX: usize = 256 << 10;
const HEADERS_MAX: usize = 256;
