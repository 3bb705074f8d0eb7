//! The handshake with a client: bounded in time and number, counted by its outcome.

use std::io;
use std::time::Duration;

use rustls::server::Acceptor;
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;

use super::ALPN_H2;
use super::failure::HandshakeFailure;
use super::listener::ListenerTls;
use crate::transport::Transport;

/// A connection whose handshake is complete.
#[derive(Debug)]
pub struct Secured {
    pub stream: Transport,
    /// The client has chosen HTTP/2.
    pub is_http2: bool,
}

/// Completes the handshake of a connection. `None`: it came to nothing, and was counted.
pub async fn accept(tls: &ListenerTls, stream: Transport) -> Option<Secured> {
    let started = Instant::now();
    let deadline = started + tls.settings().handshake_timeout;
    match timeout_at(deadline, shake_hands(tls, stream)).await {
        Ok(Ok(secured)) => {
            tls.metrics.duration.record(started.elapsed(), 1);
            Some(secured)
        }
        Ok(Err(failure)) => {
            tls.metrics.fail(failure);
            None
        }
        Err(_elapsed) => {
            tls.metrics.fail(HandshakeFailure::Timeout);
            tracing::debug!(listener = tls.name(), "TLS handshake takes too long");
            None
        }
    }
}

async fn shake_hands(
    tls: &ListenerTls,
    mut stream: Transport,
) -> Result<Secured, HandshakeFailure> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) if first == [HANDSHAKE] => {}
        Ok(1) => {
            refuse_plain(&mut stream, first).await;
            return Err(HandshakeFailure::NotTls);
        }
        Ok(_) | Err(_) => return Err(HandshakeFailure::Closed),
    }
    let failed = |error: &io::Error| {
        tracing::debug!(listener = tls.name(), %error, "TLS handshake failed");
        HandshakeFailure::of(error)
    };
    // A client that sends no greeting takes no slot.
    let greeted = LazyConfigAcceptor::new(Acceptor::default(), stream).await;
    let greeted = greeted.map_err(|error| failed(&error))?;
    let slot = if let Ok(slot) = tls.slots.try_acquire() {
        slot
    } else {
        let _waiting = tls.metrics.waiting.enter();
        tls.slots.acquire().await.map_err(|_closed| HandshakeFailure::Closed)?
    };
    let config = tls.config().ok_or(HandshakeFailure::NoCertificate)?;
    match greeted.into_stream(config).into_fallible().await {
        Ok(stream) => {
            let (_, session) = stream.get_ref();
            let is_resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
            let is_tls13 = session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
            let is_http2 = session.alpn_protocol() == Some(ALPN_H2);
            tls.metrics.succeed(is_tls13, is_resumed);
            if session.peer_certificates().is_some() {
                tls.metrics.with_client_certificate.add(1);
            }
            let stream = Transport::Tls(Box::new(stream.into()));
            Ok(Secured { stream, is_http2 })
        }
        Err((error, mut stream)) => {
            let failure = failed(&error);
            drop(slot);
            part(&mut stream).await;
            Err(failure)
        }
    }
}

/// Tells somebody who speaks HTTP that this is the wrong port.
async fn refuse_plain(stream: &mut Transport, first: [u8; 1]) {
    if first.iter().all(u8::is_ascii_uppercase) && stream.write_all(PLAIN_HTTP).await.is_ok() {
        part(stream).await;
    }
}

/// Closes so that what was sent last arrives: a socket with unread input is reset.
async fn part(stream: &mut Transport) {
    let reading = async {
        stream.shutdown().await?;
        let mut scratch = [0; 1024];
        while stream.read(&mut scratch).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    let _ended = timeout(PARTING, reading).await;
}

/// The content type of a TLS record that begins a handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;
const PARTING: Duration = Duration::from_millis(500);
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
    content-length: 48\r\nconnection: close\r\n\r\n\
    This port speaks HTTPS, and the request is HTTP.";
