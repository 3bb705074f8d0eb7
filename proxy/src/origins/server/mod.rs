//! `Server`: one server of an origin, with its address, its connector and its connections.

pub(super) mod connection;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::Duration;

use hyper::client::conn::http1;
use tokio::time::{Instant, timeout};

use self::connection::ServerConnection;
use super::connector::Connector;
use super::error::OriginError;
use super::health::ServerHealth;
use super::names::Names;
use super::pool::{Idle, Pool};
use super::race::{SlowMark, Speed};
use super::sending::Sending;
use super::server_stream::ServerStream;
use crate::framing;
use settings::{OriginSettings, ServerAddress, ServerSettings};

#[derive(Debug)]
pub(super) struct Server {
    address: ServerAddress,
    /// The address as text, in logs, metrics and `Host`.
    name: String,
    weight: AtomicU32,
    priority: AtomicU16,
    connector: Connector,
    connect_timeout: Duration,
    /// Set when an attempt to connect failed or was slow.
    slow: SlowMark,
    pool: Pool,
    health: Arc<ServerHealth>,
}

impl Server {
    pub(super) fn new(
        server: &ServerSettings,
        origin: &OriginSettings,
        health: Arc<ServerHealth>,
        names: &Names,
    ) -> Self {
        let ServerSettings { address, weight } = server;
        Self {
            address: address.clone(),
            name: address.to_string().replace(".:", ":"), // a full name ends with a dot
            weight: AtomicU32::new(*weight),
            priority: AtomicU16::default(),
            connector: Connector::of(address, names),
            connect_timeout: origin.connect_timeout,
            slow: SlowMark::default(),
            pool: Pool::new(origin.keepalive, origin.keepalive_timeout),
            health,
        }
    }

    /// Returns this server with other settings. It stays the same one, with its connections, unless
    /// they are made or kept in another way.
    pub(super) fn renewed(
        self: &Arc<Self>,
        server: &ServerSettings,
        origin: &OriginSettings,
        names: &Names,
    ) -> Arc<Self> {
        if self.connect_timeout == origin.connect_timeout
            && self.pool.is(origin.keepalive, origin.keepalive_timeout)
        {
            self.weight.store(server.weight, Ordering::Relaxed);
            return Arc::clone(self);
        }
        Arc::new(Self::new(server, origin, Arc::clone(&self.health), names))
    }

    pub(super) const fn address(&self) -> &ServerAddress {
        &self.address
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its share of the requests, relative to the other servers' of its origin.
    #[expect(dead_code, reason = "servers are taken in turn until there is a choice")]
    pub(super) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Servers with the lowest number are used as long as one of them is usable.
    pub(super) fn priority(&self) -> u16 {
        self.priority.load(Ordering::Relaxed)
    }

    pub(super) fn set_priority(&self, priority: u16) {
        self.priority.store(priority, Ordering::Relaxed);
    }

    /// The part of its weight that it may be given now, in thousandths. 0: do not use it.
    pub(super) fn share(&self, now: Instant) -> u16 {
        self.health.share(now)
    }

    pub(super) const fn health(&self) -> &Arc<ServerHealth> {
        &self.health
    }

    pub(super) fn is_slow(&self) -> bool {
        self.slow.is_slow()
    }

    pub(super) fn note(&self, speed: Speed) {
        self.slow.note(speed);
    }

    pub(super) const fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn take_idle(self: &Arc<Self>) -> Option<ServerConnection> {
        let Idle { sender, sending, .. } = self.pool.take()?;
        Some(ServerConnection::reused(sender, sending, Arc::clone(self)))
    }

    pub(super) async fn connect(self: Arc<Self>) -> Result<ServerConnection, OriginError> {
        let stream = timeout(self.connect_timeout, self.connector.connect())
            .await
            .map_err(|_elapsed| OriginError::ConnectTimeout { server: self.name().to_owned() })?
            .map_err(|error| OriginError::connecting(self.name(), error))?;
        let limits =
            framing::HeadLimits { head_bytes_max: HEAD_BYTES_MAX, fields_max: HEADERS_MAX };
        let sending = Arc::<Sending>::default();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(ServerStream::new(stream, limits, Arc::clone(&sending)))
            .await
            .map_err(OriginError::head)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "origin connection ended");
            }
        });
        Ok(ServerConnection::new(sender, sending, self))
    }
}

/// Bytes of the largest response head. hyper's read buffer grows up to it.
const HEAD_BYTES_MAX: usize = 256 << 10;
const HEADERS_MAX: usize = 256;
