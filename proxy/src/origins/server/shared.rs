//! Connecting to a server whose connections are shared: one attempt for all requests that wait.

use std::sync::Arc;

use super::Server;
use super::connection::ServerConnection;
use crate::origins::error::OriginError;
use crate::origins::http2::{Claim, Connecting, Http2Connection, Negotiated};
use crate::tls::HttpOffer;

pub(super) async fn connect(server: Arc<Server>) -> Result<ServerConnection, OriginError> {
    for _ in 0..ROUNDS_MAX {
        let waiting = match server.http2.claim() {
            Claim::Stream(stream) => return Ok(ServerConnection::stream(stream, server)),
            Claim::Barred => return Err(OriginError::Busy),
            Claim::Alone => return connect_alone(server).await,
            Claim::Wait(waiting) => waiting,
            Claim::Connect(connecting, waiting) => {
                tokio::spawn(connect_for_all(Arc::clone(&server), connecting));
                waiting
            }
        };
        if waiting.outcome().await? == Negotiated::Http1
            && let Some(connection) = server.take_idle(false)
        {
            return Ok(connection);
        }
    }
    Err(OriginError::Busy)
}

async fn connect_for_all(server: Arc<Server>, connecting: Connecting) {
    connecting.done(open(&server).await);
}

/// Opens a connection. One that turns out to be HTTP/1 becomes an idle one.
async fn open(server: &Arc<Server>) -> Result<Option<Http2Connection>, OriginError> {
    let stream = server.open(HttpOffer::Any).await?;
    if server.is_http2(&stream) {
        return server.begin_http2(stream).await.map(Some);
    }
    Arc::clone(server).begin_http1(stream).await?.keep();
    Ok(None)
}

async fn connect_alone(server: Arc<Server>) -> Result<ServerConnection, OriginError> {
    let stream = server.open(HttpOffer::Any).await?;
    if !server.is_http2(&stream) {
        return server.begin_http1(stream).await;
    }
    let connection = server.http2.add(server.begin_http2(stream).await?);
    let stream = connection.claim().ok_or(OriginError::Abandoned)?;
    Ok(ServerConnection::stream(stream, server))
}

/// Connections that a request waits for while others take their streams.
const ROUNDS_MAX: u32 = 32;
