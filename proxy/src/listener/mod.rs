//! Client connections: bound sockets, an accept loop for each worker, limits, and the end of it
//! all.
//!
//! Each worker is a thread with a runtime of its own and its own socket on every TCP address
//! (`SO_REUSEPORT`): 12 % less CPU a request than one runtime with several threads, and no lock
//! between them.

pub mod activity;
mod client_cut;
pub mod connection;
pub mod drain;
mod handle;
mod linger;
mod metrics;
mod open_connections;
mod peer_limit;
mod proxy_protocol;
pub mod rules;
pub mod service;
pub mod sockets;
pub mod stalls;
mod http1_stream;
mod http2_stream;
mod streams;
mod unsent;
mod departure;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use self::drain::Drain;
pub use self::handle::ListenerHandle;
pub use self::metrics::ListenerMetrics;
pub use self::open_connections::OpenConnections;
pub use self::peer_limit::PeerLimit;
use self::service::Handler;
use self::sockets::{Acceptor, ends_of};
use self::stalls::Stalls;
use crate::client::peer::{ListenerId, Peer};
use crate::limit::{Limit, Permit};
use crate::transport::Transport;
use process::clock::Clock;

#[derive(Debug)]
pub struct Listeners<H> {
    pub clock: Clock,
    /// One permit for each client connection.
    pub permits: Arc<Limit>,
    /// The words of the log for the limit on permits.
    pub limit: &'static str,
    pub metrics: ListenerMetrics,
    pub handler: Arc<H>,
    pub drain: Drain,
    pub open: Arc<OpenConnections>,
    pub stalls: Arc<Stalls>,
    pub peers: Arc<PeerLimit>,
}

impl<H: Handler> Listeners<H> {
    /// Accepts connections on one socket until the drain begins, or the socket is to be closed. The
    /// task runs where it is called.
    pub fn start_accepting(
        self: &Arc<Self>,
        socket: Acceptor,
        listener: ListenerHandle,
        closing: CancellationToken,
    ) {
        let accepting = Arc::clone(self).accept(socket, listener, closing);
        self.drain.accept_with(accepting);
    }

    async fn accept(
        self: Arc<Self>,
        socket: Acceptor,
        listener: ListenerHandle,
        closing: CancellationToken,
    ) {
        let counted = listener.count();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.drain.begun() => break,
                () = closing.cancelled() => break,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                // With the connection in hand: one more than the limit for each worker, all others
                // wait in the kernel's backlog. The other way round, an idle worker would sit on a
                // permit that a busy one needs.
                Ok(stream) => match self.permit().await {
                    Some(permit) => self.serve(stream, permit, &listener),
                    None => break,
                },
                Err(error) if is_of_one_connection(&error) => {
                    self.metrics.accept_failures.add(1);
                    tracing::debug!(%error, "a client left before it was accepted");
                }
                Err(error) => {
                    self.metrics.exhausted(&error);
                    sleep(ACCEPT_PAUSE).await; // accepting again at once would spin
                }
            }
        }
        if self.drain.is_handing_over() {
            return; // who is queued is served by the process that has the socket as well
        }
        // Who is connected by now is served: closing the socket would cut them off. Others may come
        // as fast as these are served, so it takes an end.
        let until = Instant::now() + QUEUE_PATIENCE;
        while let Ok(Some(permit)) = timeout_at(until, self.permit()).await
            && Instant::now() < until
            && let Some(stream) = waiting(&socket).await
        {
            self.serve(stream, permit, &listener);
        }
        drop(counted);
    }

    fn serve(self: &Arc<Self>, stream: Transport, permit: Permit, listener: &ListenerHandle) {
        self.metrics.accepted.add(1);
        match self.peer_of(&stream, listener.id) {
            Ok(peer) => {
                let serving =
                    connection::serve(Arc::clone(self), stream, Arc::new(peer), listener.id);
                let counted = listener.count();
                self.drain.track(async move {
                    serving.await;
                    drop((permit, counted));
                });
            }
            Err(error) => tracing::debug!(%error, "client left before it was served"),
        }
    }

    /// Waits for a permit, which the end of idle connections gives. Once the drain has begun, there
    /// is one or none; while another process takes over, who was accepted is not turned away.
    async fn permit(&self) -> Option<Permit> {
        if let Some(permit) = self.permits.try_acquire() {
            return Some(permit);
        }
        self.metrics.count_wait(self.limit);
        let over = async {
            self.drain.begun().await;
            if self.drain.is_handing_over() {
                self.drain.idle_closed().await;
            }
        };
        let making_room = async {
            loop {
                self.metrics.made_room.add(self.open.close_idle() as u64);
                sleep(ROOM_PAUSE).await;
            }
        };
        tokio::select! {
            biased;
            () = over => None,
            permit = self.permits.acquire() => Some(permit),
            () = making_room => None,
        }
    }

    fn peer_of(&self, stream: &Transport, listener: ListenerId) -> io::Result<Peer> {
        let (remote, local) = ends_of(stream)?;
        Ok(Peer {
            remote,
            local,
            is_trusted: self.handler.is_trusted(remote, listener),
            is_secure: false,
            listener: Some(listener),
            retained: Arc::default(),
            claims: Arc::clone(&self.metrics.claims),
        })
    }

    pub fn connections(&self) -> usize {
        self.drain.remaining() // not permits taken: each accept loop holds one while it waits
    }
}

/// Returns a connection that waits to be accepted, if there is one.
async fn waiting(socket: &Acceptor) -> Option<Transport> {
    if let Some(stream) = poll_fn(|cx| Poll::Ready(accepted(socket, cx))).await {
        return Some(stream);
    }
    // The runtime hears of connections when it asks the system, which it does before this returns.
    tokio::task::yield_now().await;
    poll_fn(|cx| Poll::Ready(accepted(socket, cx))).await
}

fn accepted(socket: &Acceptor, cx: &mut Context<'_>) -> Option<Transport> {
    match socket.poll_accept(cx) {
        Poll::Ready(Ok(stream)) => Some(stream),
        _ => None,
    }
}

/// Returns whether a failure to accept concerns one connection only: the next one may be accepted
/// at once (accept(2): "treat them like EAGAIN").
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

/// The longest time for which who is queued at a socket that is to be closed is served.
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);
/// The pause until idle connections are looked for again, while others wait.
const ROOM_PAUSE: Duration = Duration::from_millis(250);
/// The pause while there are no descriptors or buffers. Clients wait in the backlog meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
