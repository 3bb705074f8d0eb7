//! `Server`: one server of an origin, with its address, its connector and its connections.

pub(super) mod connection;
pub(super) mod server_tls;
mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::Duration;

use http::header::HeaderValue;
use http::uri::Scheme;
use hyper::client::conn::http1;
use tokio::time::{Instant, timeout_at};

use self::connection::ServerConnection;
use self::server_tls::ServerTls;
use super::connector::Connector;
use super::error::OriginError;
use super::health::{ServerHealth, ServerState};
use super::http2::{Ask, Http2Connection, Http2Limits, Http2Pool};
use super::load::ServerLoad;
use super::names::ServerNames;
use super::phases::{OriginPhase, OriginPhases};
use super::pool::Pool;
use super::race::{SlowMark, Speed};
use super::sending::{Sending, SendingLimits};
use super::server_report::ServerReport;
use super::server_stream::ServerStream;
use crate::framing;
use crate::tls::{HttpOffer, ServerTlsError};
use crate::transport::Transport;
use settings::{OriginHttp2, OriginSettings, ServerAddress, ServerSettings};

#[derive(Debug)]
pub(super) struct Server {
    address: ServerAddress,
    /// The address as text, in logs, metrics and `Host`.
    name: String,
    weight: AtomicU32,
    load: Arc<ServerLoad>,
    priority: AtomicU16,
    connector: Connector,
    /// The connector's number when the server was made.
    losses: u64,
    connect_timeout: Duration,
    /// Set when an attempt to connect failed or was slow.
    slow: SlowMark,
    pool: Pool,
    health: Arc<ServerHealth>,
    protocol: OriginHttp2,
    http2: Http2Pool,
    tls: Option<ServerTls>,
    phases: Arc<OriginPhases>,
}

/// The parts that a server keeps when its settings change, but for TLS.
pub(super) struct ServerParts {
    pub(super) health: Arc<ServerHealth>,
    pub(super) load: Arc<ServerLoad>,
    pub(super) tls: Option<ServerTls>,
    /// Of the whole origin.
    pub(super) phases: Arc<OriginPhases>,
}

impl Server {
    pub(super) fn new(
        server: &ServerSettings,
        origin: &OriginSettings,
        parts: ServerParts,
        names: &ServerNames,
    ) -> Self {
        let ServerSettings { address, weight } = server;
        let ServerParts { health, load, tls, phases } = parts;
        let connector = Connector::of(address, names);
        Self {
            address: address.clone(),
            name: name_of(address),
            weight: AtomicU32::new(*weight),
            load,
            priority: AtomicU16::default(),
            losses: connector.losses(),
            connector,
            connect_timeout: origin.connect_timeout,
            slow: SlowMark::default(),
            pool: Pool::new(origin.keepalive, origin.keepalive_timeout),
            health,
            protocol: origin.http2,
            http2: Http2Pool::new(http2_limits(origin), http2_idle_timeout(origin)),
            tls,
            phases,
        }
    }

    /// Returns this server with other settings. It stays the same one, with its connections, unless
    /// they are made or kept in another way. Its health and load are kept in any case.
    pub(super) fn renewed(
        self: &Arc<Self>,
        server: &ServerSettings,
        origin: &OriginSettings,
        names: &ServerNames,
        tls: Option<ServerTls>,
    ) -> Arc<Self> {
        if self.connect_timeout == origin.connect_timeout
            && self.pool.is(origin.keepalive, origin.keepalive_timeout)
            && self.protocol == origin.http2
            && *self.http2.limits() == http2_limits(origin)
            && self.tls == tls
            && !self.has_moved()
        {
            self.weight.store(server.weight, Ordering::Relaxed);
            return Arc::clone(self);
        }
        let parts = ServerParts {
            health: Arc::clone(&self.health),
            load: Arc::clone(&self.load),
            tls,
            phases: Arc::clone(&self.phases),
        };
        Arc::new(Self::new(server, origin, parts, names))
    }

    /// Returns whether an address has left its name. Its connections may lead there.
    pub(super) fn has_moved(&self) -> bool {
        self.connector.losses() != self.losses
    }

    pub(super) const fn address(&self) -> &ServerAddress {
        &self.address
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value of `Host` that names the server. A path is none.
    pub(super) fn host(&self) -> Option<HeaderValue> {
        match &self.address {
            ServerAddress::Unix(_) => Some(HeaderValue::from_static("localhost")),
            _ => HeaderValue::from_str(&self.name).ok(),
        }
    }

    /// The part of the requests that it gets, relative to the other servers' of its origin, as far
    /// as its health allows. One that is used as a last resort gets its part all the same.
    pub(super) fn weight(&self, now: Instant) -> u64 {
        let weight = u64::from(self.weight.load(Ordering::Relaxed));
        weight * u64::from(self.share(now)).max(1)
    }

    pub(super) const fn load(&self) -> &Arc<ServerLoad> {
        &self.load
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

    pub(super) fn report(&self, now: Instant) -> ServerReport {
        ServerReport {
            name: self.name.clone(),
            weight: self.weight.load(Ordering::Relaxed),
            health: self.health.report(now),
            in_flight: self.load.in_flight(),
            idle_connections: self.idle(),
            requests: self.load.requests.value(),
        }
    }

    pub(super) const fn health(&self) -> &Arc<ServerHealth> {
        &self.health
    }

    pub(super) fn is_slow(&self) -> bool {
        self.slow.is_slow()
    }

    /// Returns whether a connection is at hand, or is likely to be made without a long wait.
    pub(super) fn is_prompt(&self) -> bool {
        !self.is_slow() || self.idle() > 0
    }

    pub(super) fn note(&self, speed: Speed) {
        self.slow.note(speed);
    }

    pub(super) const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Takes an idle connection, or a stream of one that others share. A protocol that takes a
    /// connection over needs one of HTTP/1.
    pub(super) fn take_idle(self: &Arc<Self>, needs_http1: bool) -> Option<ServerConnection> {
        if let Some(idle) = self.pool.take() {
            return Some(ServerConnection::reused(idle, Arc::clone(self)));
        }
        let stream = if needs_http1 { None } else { self.http2.claim_open() };
        Some(ServerConnection::stream(stream?, Arc::clone(self)))
    }

    /// Connects, or takes a stream of a connection that others share.
    pub(super) async fn connect(
        self: Arc<Self>,
        needs_http1: bool,
    ) -> Result<ServerConnection, OriginError> {
        if needs_http1 || self.protocol == OriginHttp2::Off {
            let stream = self.open(HttpOffer::Http1).await?;
            return self.begin_http1(stream).await;
        }
        shared::connect(self).await
    }

    /// Opens a connection that serves one exchange.
    pub(super) async fn connect_unshared(self: Arc<Self>) -> Result<ServerConnection, OriginError> {
        let stream = self.open(HttpOffer::Any).await?;
        if !self.is_http2(&stream) {
            return self.begin_http1(stream).await;
        }
        let connection = Arc::new(self.begin_http2(stream).await?);
        let stream = connection.claim().ok_or(OriginError::Abandoned)?;
        Ok(ServerConnection::stream(stream, self))
    }

    /// Opens a connection, with TLS where the origin has it.
    async fn open(&self, offer: HttpOffer) -> Result<Transport, OriginError> {
        let server = || self.name().to_owned();
        let begun = Instant::now();
        let due = begun + self.connect_timeout;
        let stream = timeout_at(due, self.connector.connect())
            .await
            .map_err(|_elapsed| OriginError::ConnectTimeout { server: server() })?
            .map_err(|error| OriginError::connecting(self.name(), error))?;
        self.phases.end(OriginPhase::Connect, begun);
        let Some(tls) = &self.tls else { return Ok(stream) };
        let begun = Instant::now();
        let secured = timeout_at(due, tls.secure(stream, offer))
            .await
            .unwrap_or(Err(ServerTlsError::Timeout))
            .map_err(|error| OriginError::Tls { server: server(), error })?;
        self.phases.end(OriginPhase::Tls, begun);
        Ok(secured)
    }

    async fn begin_http1(
        self: Arc<Self>,
        stream: Transport,
    ) -> Result<ServerConnection, OriginError> {
        let limits = framing::HeadLimits {
            head_bytes_max: HEAD_BYTES_MAX as usize,
            fields_max: HEADERS_MAX,
        };
        let sending = Arc::<Sending>::default();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX as usize)
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

    async fn begin_http2(&self, stream: Transport) -> Result<Http2Connection, OriginError> {
        let connection = Http2Connection::begin(stream, self.http2.limits()).await?;
        connection.settled().await?;
        Ok(connection)
    }

    /// Returns whether HTTP/2 is spoken on a new connection.
    fn is_http2(&self, stream: &Transport) -> bool {
        match self.protocol {
            OriginHttp2::Off => false,
            OriginHttp2::Cleartext => true,
            OriginHttp2::Alpn => stream.has_agreed_on_http2(),
        }
    }

    fn ask(&self, limits: SendingLimits) -> Ask {
        let scheme = if self.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        Ask { scheme, limits, fields_max: HEADERS_MAX }
    }

    /// Returns the number of idle connections.
    pub(super) fn idle(&self) -> usize {
        self.pool.count() + self.http2.idle()
    }

    /// Returns the number of HTTP/2 connections, and of the requests on them.
    pub(super) fn http2_load(&self) -> (usize, usize) {
        self.http2.count()
    }

    /// Closes connections that are of no more use: all idle ones, if an operator gives the server
    /// no requests.
    pub(super) fn sweep(&self) {
        match self.health.state(Instant::now()) {
            ServerState::Drain | ServerState::Disabled => {
                self.pool.clear();
                self.http2.clear();
            }
            _ => {
                self.pool.sweep();
                self.http2.sweep();
            }
        }
    }
}

/// Returns the address as text. A full name ends with a dot, which is left out.
pub(super) fn name_of(address: &ServerAddress) -> String {
    address.to_string().replace(".:", ":")
}

/// Bytes of the largest response head. hyper's read buffer grows up to it.
const HEAD_BYTES_MAX: u32 = 256 << 10;
const HEADERS_MAX: usize = 256;

fn http2_limits(origin: &OriginSettings) -> Http2Limits {
    Http2Limits {
        streams_max: origin.http2_streams,
        ping_after: origin.http2_ping,
        ping_timeout: origin.idle_timeout,
        head_bytes_max: HEAD_BYTES_MAX,
    }
}

const fn http2_idle_timeout(origin: &OriginSettings) -> Duration {
    if origin.keepalive == 0 { Duration::ZERO } else { origin.keepalive_timeout }
}
