//! `Http2Pool`: the HTTP/2 connections of one server. Requests share them, and one attempt to
//! connect serves all that wait.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::connection::{Http2Connection, STREAMS_BEFORE_SETTINGS, StreamClaim};
use super::shared::Http2Limits;
use crate::origins::error::OriginError;

#[derive(Debug)]
pub(in crate::origins) struct Http2Pool {
    connections: Arc<Mutex<Connections>>,
    limits: Http2Limits,
    idle_timeout: Duration,
}

#[derive(Debug, Default)]
struct Connections {
    /// Those that take requests, the oldest first. It is filled first, so that others become idle.
    open: Vec<Arc<Http2Connection>>,
    connecting: Vec<ConnectAttempt>,
    attempts: u64,
    /// Requests that the server allowed on the last connection.
    allowed: Option<usize>,
    /// The protocol of the last connection, where the handshake decides.
    last: Option<Negotiated>,
}

#[derive(Debug)]
struct ConnectAttempt {
    number: u64,
    /// Requests that may still join it.
    room: usize,
    outcome: watch::Receiver<Option<ConnectOutcome>>,
}

type ConnectOutcome = Result<Negotiated, OriginError>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origins) enum Negotiated {
    Http1,
    Http2,
}

/// The next step of a request.
#[derive(Debug)]
pub(in crate::origins) enum Claim {
    Stream(StreamClaim),
    /// Others connect already.
    Wait(AwaitedConnection),
    /// Connect, in a task that outlives the request, and wait as the others.
    Connect(Connecting, AwaitedConnection),
    /// The server speaks HTTP/1: nothing is shared.
    Alone,
    /// The server allows no request on a connection that has none. It is asked by no other one.
    Barred,
}

#[derive(Debug)]
pub(in crate::origins) struct AwaitedConnection(watch::Receiver<Option<ConnectOutcome>>);

/// An attempt to connect for everybody who waits. Dropping it fails it.
#[derive(Debug)]
pub(in crate::origins) struct Connecting {
    pool: Arc<Mutex<Connections>>,
    number: u64,
    outcome: watch::Sender<Option<ConnectOutcome>>,
}

impl Http2Pool {
    pub(in crate::origins) fn new(limits: Http2Limits, idle_timeout: Duration) -> Self {
        Self { connections: Arc::default(), limits, idle_timeout }
    }

    pub(in crate::origins) const fn limits(&self) -> &Http2Limits {
        &self.limits
    }

    /// Takes a stream of a connection that is open.
    pub(in crate::origins) fn claim_open(&self) -> Option<StreamClaim> {
        let connections = self.connections.lock();
        connections.open.iter().find_map(Http2Connection::claim)
    }

    pub(in crate::origins) fn claim(&self) -> Claim {
        let mut connections = self.connections.lock();
        if let Some(stream) = connections.open.iter().find_map(Http2Connection::claim) {
            return Claim::Stream(stream);
        }
        if connections.open.iter().any(|one| one.open() == 0 && one.allowed() == Some(0)) {
            return Claim::Barred;
        }
        if connections.last == Some(Negotiated::Http1) {
            return Claim::Alone;
        }
        if let Some(attempt) = connections.connecting.iter_mut().find(|one| one.room > 0) {
            attempt.room -= 1;
            return Claim::Wait(AwaitedConnection(attempt.outcome.clone()));
        }
        let (sender, outcome) = watch::channel(None);
        connections.attempts += 1;
        let number = connections.attempts;
        let allowed = connections.allowed.unwrap_or(STREAMS_BEFORE_SETTINGS);
        let room = self.limits.streams_max.min(allowed).saturating_sub(1);
        connections.connecting.push(ConnectAttempt { number, room, outcome: outcome.clone() });
        let pool = Arc::clone(&self.connections);
        Claim::Connect(Connecting { pool, number, outcome: sender }, AwaitedConnection(outcome))
    }

    /// Adds a connection that was opened alone.
    pub(in crate::origins) fn add(&self, connection: Http2Connection) -> Arc<Http2Connection> {
        self.connections.lock().add(connection)
    }

    /// Lets go of connections that take no more requests, and of idle ones.
    pub(in crate::origins) fn sweep(&self) {
        self.let_go(|connection| !connection.is_worth_keeping(self.idle_timeout));
    }

    /// Lets go of all connections. Each ends after its last request.
    pub(in crate::origins) fn clear(&self) {
        self.let_go(|_connection| true);
    }

    fn let_go(&self, is_done: impl Fn(&Http2Connection) -> bool) {
        let mut connections = self.connections.lock();
        let ended: Vec<_> =
            connections.open.extract_if(.., |connection| is_done(connection)).collect();
        drop(connections);
        drop(ended); // takes locks of the library
    }

    /// Returns the number of connections without requests.
    pub(in crate::origins) fn idle(&self) -> usize {
        let connections = self.connections.lock();
        connections.open.iter().filter(|connection| connection.open() == 0).count()
    }

    /// Returns the number of connections, and of the requests on them.
    pub(in crate::origins) fn count(&self) -> (usize, usize) {
        let connections = self.connections.lock();
        let open = connections.open.iter().map(|connection| connection.open()).sum();
        (connections.open.len(), open)
    }
}

impl Connections {
    fn add(&mut self, connection: Http2Connection) -> Arc<Http2Connection> {
        let connection = Arc::new(connection);
        self.last = Some(Negotiated::Http2);
        self.allowed = connection.allowed();
        self.open.push(Arc::clone(&connection));
        connection
    }
}

impl Connecting {
    /// Tells everybody who waits. A connection over HTTP/1 is not shared.
    pub(in crate::origins) fn done(self, result: Result<Option<Http2Connection>, OriginError>) {
        let mut connections = self.pool.lock();
        let outcome = result.map(|connection| {
            if let Some(connection) = connection {
                connections.add(connection);
                return Negotiated::Http2;
            }
            connections.last = Some(Negotiated::Http1);
            Negotiated::Http1
        });
        drop(connections);
        self.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.pool.lock().connecting.retain(|attempt| attempt.number != self.number);
    }
}

impl AwaitedConnection {
    pub(in crate::origins) async fn outcome(mut self) -> ConnectOutcome {
        let outcome = self.0.wait_for(Option::is_some).await;
        match outcome.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            Ok(None) | Err(_) => Err(OriginError::Abandoned), // the task that connected was ended
        }
    }
}
