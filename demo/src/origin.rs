//! The demonstration's origin server: HTTP/1.1 on a free port of this machine. It can be stopped
//! and started again.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};

use super::shop::Shop;

#[derive(Debug)]
pub(super) struct DemoOrigin {
    pub(super) address: SocketAddr,
    pub(super) shop: Arc<Shop>,
    /// Bound and never listening: keeps the port ours while the server is stopped, and connections
    /// refused.
    _reservation: Socket,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl DemoOrigin {
    pub(super) fn start(shop: Shop) -> io::Result<Self> {
        let reservation = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = reservation.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        let origin = Self {
            address,
            shop: Arc::new(shop),
            _reservation: reservation,
            serving: Mutex::default(),
        };
        origin.resume()?;
        Ok(origin)
    }

    pub(super) fn resume(&self) -> io::Result<()> {
        let socket = bound(self.address)?;
        socket.listen(BACKLOG)?;
        let listener = tokio::net::TcpListener::from_std(TcpListener::from(socket))?;
        let serving = tokio::spawn(serve(listener, Arc::clone(&self.shop)));
        drop(self.serving.lock().replace(serving));
        Ok(())
    }

    /// Stops at once: pages that are being rendered are lost, connections are refused.
    pub(super) async fn stop(&self) {
        let serving = self.serving.lock().take();
        if let Some(serving) = serving {
            serving.abort();
            if let Err(error) = serving.await {
                tracing::debug!(%error, "the demonstration's origin has stopped");
            }
        }
    }
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Accepts connections until it is aborted; they end with it.
async fn serve(listener: tokio::net::TcpListener, shop: Arc<Shop>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(converse(stream, Arc::clone(&shop)))),
                Err(error) => {
                    tracing::warn!(%error, "the demonstration's origin cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, shop: Arc<Shop>) {
    let service = service_fn(|request| answer(&shop, request));
    let served = match stream.set_nodelay(true) {
        Ok(()) => http1::Builder::new().serve_connection(TokioIo::new(stream), service).await,
        Err(error) => return tracing::debug!(%error, "the proxy left before it was served"),
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of the demonstration's origin broke");
    }
}

async fn answer(
    shop: &Shop,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let Some(render) = shop.render(request.uri().path()) else {
        let mut response = Response::new(Full::from("There is no such page: see /p/42.\n"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    };
    tokio::time::sleep(render.takes).await;
    let mut response = Response::new(Full::from(render.html()));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static(FRESHNESS));
    if let Ok(tags) = HeaderValue::try_from(render.tags()) {
        fields.insert(SURROGATE_KEY, tags);
    }
    Ok(response)
}

/// Fresh for ten minutes for shared caches, and an hour longer when the origin server fails (RFC
/// 5861 §4).
const FRESHNESS: &str = "s-maxage=600, stale-if-error=3600";
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
const BACKLOG: i32 = 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
