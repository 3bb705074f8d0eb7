//! Connections to one server: made, lent for one exchange, kept while idle.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use hyper::client::conn::http1::{self, SendRequest};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::error::OriginError;
use super::request_body::RequestBody;
use super::stream::Guarded;
use crate::framing;

/// The connections of one server.
#[derive(Debug)]
pub(super) struct Pool {
    server: Authority,
    idle: Mutex<VecDeque<Idle>>,
    idle_max: usize,
    idle_timeout: Duration,
    connect_timeout: Duration,
    head_bytes_max: usize,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// A connection for one exchange. Dropping it closes it; [`Lease::give_back`] keeps it.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) sender: SendRequest<RequestBody>,
    /// Whether it served an exchange before: then it may have been closed meanwhile, which is nobody's fault.
    pub(super) is_reused: bool,
    is_spoiled: bool,
    pool: Arc<Pool>,
}

impl Pool {
    pub(super) fn new(server: Authority, settings: &crate::config::Origin) -> Self {
        Self {
            server,
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
            let is_young = candidate.since.elapsed() < self.idle_timeout;
            if is_young && candidate.sender.is_ready() {
                return Some(Lease {
                    sender: candidate.sender,
                    is_reused: true,
                    is_spoiled: false,
                    pool: Arc::clone(self),
                });
            }
        }
        None
    }

    /// Makes a connection.
    pub(super) async fn connect(self: &Arc<Self>) -> Result<Lease, OriginError> {
        let server = self.server.as_str();
        let stream = timeout(self.connect_timeout, self.open())
            .await
            .map_err(|_elapsed| OriginError::ConnectTimeout { server: server.to_owned() })??;
        let limits =
            framing::Limits { head_bytes_max: self.head_bytes_max, fields_max: HEADERS_MAX };
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(self.head_bytes_max)
            .max_headers(HEADERS_MAX)
            .handshake(Guarded::new(stream, limits))
            .await
            .map_err(OriginError::head)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "origin connection ended");
            }
        });
        Ok(Lease { sender, is_reused: false, is_spoiled: false, pool: Arc::clone(self) })
    }

    async fn open(&self) -> Result<TcpStream, OriginError> {
        let name = self.server.host().trim_start_matches('[').trim_end_matches(']');
        let port = self.server.port_u16().unwrap_or(80);
        let server = self.server.as_str();
        let addresses = tokio::net::lookup_host((name, port)).await.map_err(|source| {
            OriginError::Resolve { server: server.to_owned(), source: Arc::new(source) }
        })?;
        let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "cannot set TCP_NODELAY");
                    }
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(OriginError::connecting(server, last))
    }

    /// Closes connections that were idle for too long.
    pub(super) fn sweep(&self) {
        self.idle
            .lock()
            .retain(|idle| idle.since.elapsed() < self.idle_timeout && !idle.sender.is_closed());
    }

    fn keep(&self, sender: SendRequest<RequestBody>) {
        let mut idle = self.idle.lock();
        if idle.len() < self.idle_max {
            idle.push_back(Idle { sender, since: Instant::now() });
        }
    }
}

impl Lease {
    /// `host:port` at its other end.
    pub(super) fn server(&self) -> &str {
        self.pool.server.as_str()
    }

    /// Says that there must be no other exchange after this one.
    pub(super) const fn spoil(&mut self) {
        self.is_spoiled = true;
    }

    /// Keeps the connection for another exchange, once it is ready for one.
    pub(super) fn give_back(self) {
        let Self { mut sender, pool, is_spoiled, .. } = self;
        if is_spoiled {
            drop(sender);
        } else if sender.is_ready() {
            pool.keep(sender);
        } else if pool.idle_max > 0 {
            tokio::spawn(async move {
                if sender.ready().await.is_ok() {
                    pool.keep(sender);
                }
            });
        }
    }
}

/// A response head may be this large; hyper's read buffer grows up to it.
const HEAD_BYTES_MAX: usize = 256 << 10;
const HEADERS_MAX: usize = 256;
