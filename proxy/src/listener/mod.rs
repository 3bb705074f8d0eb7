//! Client connections: bound sockets, an accept loop for each worker, limits, and the end of it
//! all.
//!
//! Each worker is a thread with a runtime of its own and its own socket on every TCP address
//! (`SO_REUSEPORT`): 12 % less CPU a request than one runtime with several threads, and no lock
//! between them.

pub mod activity;
pub mod connection;
pub mod drain;
mod frames;
mod linger;
mod metrics;
pub mod rules;
pub mod service;
pub mod sockets;
pub mod stalls;
mod stream;
mod streams;
mod unsent;
mod departure;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::drain::Drain;
pub use self::metrics::ListenerMetrics;
use self::service::Handler;
use self::sockets::{Acceptor, ends_of};
use self::stalls::Stalls;
use crate::client::peer::{ListenerId, Peer};
use crate::transport::Transport;
use process::clock::Clock;

#[derive(Debug)]
pub struct Listeners<H> {
    pub clock: Clock,
    /// One permit for each client connection.
    pub permits: Arc<Semaphore>,
    pub metrics: ListenerMetrics,
    pub handler: Arc<H>,
    pub drain: Drain,
    pub stalls: Arc<Stalls>,
}

impl<H: Handler> Listeners<H> {
    /// Accepts connections on one socket until the drain begins.
    pub async fn accept(self: Arc<Self>, socket: Acceptor, listener: ListenerId) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.drain.begun() => break,
                accepted = self.next(&socket) => accepted,
            };
            match accepted {
                Ok((stream, permit)) => self.serve(stream, permit, listener),
                Err(error) => {
                    self.metrics.accept_failures.add(1);
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await; // out of file descriptors: accepting again at once would spin
                }
            }
        }
        // Who is connected by now is served: closing the socket would cut them off.
        while let Some((stream, permit)) = self.waiting(&socket).await {
            self.serve(stream, permit, listener);
        }
    }

    fn serve(
        self: &Arc<Self>,
        stream: Transport,
        permit: OwnedSemaphorePermit,
        listener: ListenerId,
    ) {
        self.metrics.accepted.add(1);
        match self.peer_of(&stream, listener) {
            Ok(peer) => {
                let serving = connection::serve(Arc::clone(self), stream, Arc::new(peer), listener);
                self.drain.track(async move {
                    serving.await;
                    drop(permit);
                });
            }
            Err(error) => tracing::debug!(%error, "client left before it was served"),
        }
    }

    /// A connection that waits to be accepted, if there is one, and a permit for it.
    async fn waiting(&self, socket: &Acceptor) -> Option<(Transport, OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        match poll_fn(|cx| Poll::Ready(socket.poll_accept(cx))).await {
            Poll::Ready(Ok(stream)) => Some((stream, permit)),
            _ => None,
        }
    }

    /// Waits for a permit with the connection in hand: one more than the limit for each worker, all
    /// others wait in the kernel's backlog. The other way round, an idle worker would sit on a
    /// permit that a busy one needs.
    async fn next(&self, socket: &Acceptor) -> io::Result<(Transport, OwnedSemaphorePermit)> {
        let stream = socket.accept().await?;
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(io::Error::other)?;
        Ok((stream, permit))
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
        })
    }

    pub fn connections(&self) -> usize {
        self.drain.remaining() // not permits taken: each accept loop holds one while it waits
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
