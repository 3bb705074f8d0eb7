//! `Server`: one server of an origin, with its address, its connector and its connections.

pub(super) mod connection;

use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use hyper::client::conn::http1;
use tokio::time::timeout;

use self::connection::ServerConnection;
use super::connector::{Connector, System};
use super::error::OriginError;
use super::pool::{Idle, Pool};
use super::race::{SlowMark, Speed};
use super::sending::Sending;
use super::server_stream::ServerStream;
use crate::framing;

#[derive(Debug)]
pub(super) struct Server {
    authority: Authority,
    connector: Connector,
    connect_timeout: Duration,
    /// Set when an attempt to connect failed or was slow.
    slow: SlowMark,
    pool: Pool,
}

impl Server {
    pub(super) fn new(authority: Authority, settings: &settings::OriginSettings) -> Self {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let connector = Connector::new(System, host, authority.port_u16().unwrap_or(80));
        Self {
            authority,
            connector,
            connect_timeout: settings.connect_timeout,
            slow: SlowMark::default(),
            pool: Pool::new(settings.keepalive, settings.keepalive_timeout),
        }
    }

    /// Returns whether this is the server of that name, connected to as the settings say.
    pub(super) fn is(&self, authority: &Authority, settings: &settings::OriginSettings) -> bool {
        self.authority == *authority
            && self.connect_timeout == settings.connect_timeout
            && self.pool.is(settings.keepalive, settings.keepalive_timeout)
    }

    pub(super) fn name(&self) -> &str {
        self.authority.as_str()
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
