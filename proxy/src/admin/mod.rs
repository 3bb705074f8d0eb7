//! The admin listener: health, readiness, metrics, stats and purges, on sockets of their own. It may read everything;
//! nothing uses it.

pub mod metrics;
mod storage;
mod routes;
mod stats;

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::app::App;
use crate::client::peer::Peer;

/// Accepts connections on an admin socket until the process ends.
pub async fn accept(app: Arc<App>, listener: TcpListener) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = app.is_handed_over() => return, // another process listens there
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let app = Arc::clone(&app);
                tokio::spawn(async move {
                    serve(app, stream).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an admin connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(app: Arc<App>, stream: TcpStream) {
    let (Ok(remote), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return };
    let peer = Arc::new(Peer {
        remote,
        local,
        is_trusted: false,
        listener: usize::MAX,
        retained: Arc::default(),
    });
    let service = hyper::service::service_fn(move |request| {
        let (app, peer) = (Arc::clone(&app), Arc::clone(&peer));
        async move { Ok::<_, std::convert::Infallible>(routes::answer(&app, &peer, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    let served = builder.serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "admin connection ended");
    }
}

const CONNECTIONS_MAX: usize = 256;
/// Requests at once on one connection of HTTP/2, as a purger with many partitions makes.
const STREAMS_MAX: u32 = 256;
/// For a head, and between requests.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
