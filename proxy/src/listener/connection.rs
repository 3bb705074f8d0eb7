//! One client connection: HTTP/1 or HTTP/2, its limits, and a watch that ends it when it holds us
//! up.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use tokio::time::{Instant, Sleep};

use super::Listeners;
use super::activity::{Activity, IdleAction, Patience, Protocol};
use super::client_cut::ClientCut;
use super::drain::Drain;
use super::http1_stream::Http1Stream;
use super::http2_stream::Http2Stream;
use super::peer_limit::PeerConnection;
use super::proxy_protocol::{self, Announced, Speaker};
use super::rules::ConnectionRules;
use super::service::{ClientConnection, ConnectionService, Handler};
use crate::client::end_address::EndAddress;
use crate::client::exchange::ExchangeState;
use crate::client::peer::{ListenerId, Peer};
use crate::tls::handshake;
use crate::transport::Transport;
use process::clock::Clock;
use process::timestamp::Timestamp;
use settings::Http2;

/// Serves a connection until either side ends it.
pub async fn serve<H: Handler>(
    listeners: Arc<Listeners<H>>,
    mut stream: Transport,
    mut peer: Arc<Peer>,
    listener: ListenerId,
) {
    let rules = listeners.handler.rules(listener);
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    // One that was queued with its request when the drain began is not idle.
    let mut has_input = stream.has_input();
    let admitted = tokio::select! {
        admitted = admit(&listeners, &mut stream, &mut peer, &rules) => admitted,
        () = listeners.drain.idle_closed(), if !has_input => return,
    };
    let Some(_counted) = admitted else { return };
    let is_http2 = if let Some(tls) = &rules.tls {
        let Some(secured) = handshake::accept(tls, stream).await else { return };
        stream = secured.stream;
        has_input = stream.has_input(); // that was a greeting, and no request
        Arc::make_mut(&mut peer).is_secure = true;
        secured.is_http2
    } else {
        has_input = has_input && stream.has_input(); // it may have been a header
        // Nothing tells yet that it is HTTP/2.
        let activity = Activity::new(listeners.clock.clone(), Protocol::Http1);
        let _open = listeners.open.add(&activity, &waker);
        let begins = begins(&listeners, &mut stream, &rules, &activity, has_input).await;
        let Some(is_http2) = begins else { return };
        has_input |= rules.http2 == Http2::Cleartext;
        is_http2
    };
    let metrics = &listeners.metrics;
    let _tls = rules.tls.is_some().then(|| metrics.tls.enter());
    let _http2 = is_http2.then(|| metrics.http2.enter());
    let protocol = if is_http2 { Protocol::Http2 } else { Protocol::Http1 };
    let activity = Activity::new(listeners.clock.clone(), protocol);
    let _open = listeners.open.add(&activity, &waker);
    let exchange = Arc::new(ExchangeState::default());
    let shared = Arc::clone(&exchange);
    let connection =
        ClientConnection { peer, activity: Arc::clone(&activity), exchange: Arc::clone(&exchange) };
    let service = ConnectionService::new(Arc::clone(&listeners.handler), connection);
    let watch = Watch::new(&listeners.clock, Arc::clone(&activity), rules.patience);
    if is_http2 {
        let stream = Http2Stream::new(stream, (activity, Arc::clone(&listeners.stalls)));
        let connection = pin!(rules.http2().serve_connection(stream.clone(), service));
        let shut_down = http2::Connection::graceful_shutdown;
        let polled = |cx: &mut Context<'_>| stream.send_written(cx);
        drive(&listeners, connection, (shut_down, polled), (&shared, has_input), watch).await;
    } else {
        let stream = Http1Stream::new(
            stream,
            (activity, Arc::clone(&listeners.stalls)),
            rules.requests(),
            exchange,
        );
        let connection = pin!(rules.http1().serve_connection(stream, service).with_upgrades());
        let shut_down = http1::UpgradeableConnection::graceful_shutdown;
        let polled = |_: &mut Context<'_>| {};
        drive(&listeners, connection, (shut_down, polled), (&shared, has_input), watch).await;
    }
}

/// Waits for the first bytes, where they decide the protocol, and returns whether they are those of
/// HTTP/2. `None`: none have come, and it is closed as idle.
async fn begins<H: Handler>(
    listeners: &Listeners<H>,
    stream: &mut Transport,
    rules: &ConnectionRules,
    activity: &Activity,
    mut has_input: bool,
) -> Option<bool> {
    let unwanted =
        || poll_fn(|_| if activity.makes_room() { Poll::Ready(()) } else { Poll::Pending });
    if rules.http2 != Http2::Cleartext {
        return Some(false);
    }
    loop {
        tokio::select! {
            biased;
            is_http2 = begins_http2(stream, rules.patience.header) => return Some(is_http2),
            () = tokio::time::sleep(rules.patience.keepalive) => return None,
            () = unwanted() => {
                has_input = stream.has_input();
                if !has_input {
                    return None;
                }
            }
            () = listeners.drain.idle_closed(), if !has_input => {
                has_input = stream.has_input();
                if !has_input {
                    return None;
                }
            }
        }
    }
}

/// Learns whom the peer speaks for, and counts the connection for that client, if those are
/// limited. `None`: it is to be closed.
async fn admit<H: Handler>(
    listeners: &Listeners<H>,
    stream: &mut Transport,
    peer: &mut Arc<Peer>,
    rules: &ConnectionRules,
) -> Option<Option<PeerConnection>> {
    let (wanted, limit) = (rules.proxy_protocol, rules.patience.header);
    let was_trusted = peer.is_trusted;
    match proxy_protocol::receive(stream, wanted, was_trusted, limit).await {
        Ok(None) => {}
        Ok(Some(Announced { speaker, is_secure })) => {
            let headers = &listeners.metrics.headers;
            let peer = Arc::make_mut(peer);
            peer.is_secure |= is_secure;
            match speaker {
                Speaker::Itself => headers.local.add(1),
                Speaker::Client(source, destination) => {
                    headers.clients.add(1);
                    (peer.remote, peer.local) = (source.into(), destination.into());
                    let is_trusted = |id| listeners.handler.is_trusted(peer.remote, id);
                    peer.is_trusted = peer.listener.is_some_and(is_trusted);
                }
                Speaker::Unknown => {
                    headers.unknown.add(1);
                    (peer.remote, peer.is_trusted) = (EndAddress::Unknown, false);
                }
            }
        }
        Err(why) => {
            listeners.metrics.headers.refuse(&why, peer.remote);
            return None;
        }
    }
    let (Some(most), Some(address)) = (rules.connections_per_peer_max, peer.remote.ip()) else {
        return Some(None);
    };
    if peer.is_trusted {
        return Some(None);
    }
    let counted = listeners.peers.admit(address, most);
    if counted.is_none() {
        listeners.metrics.over_peer_limit.add(1);
        tracing::debug!(peer = %peer.remote, most, "a peer has too many connections");
    }
    counted.map(Some)
}

/// Returns whether the first bytes are those of HTTP/2 with prior knowledge (RFC 9113 §3.4). `PRI`
/// is no method.
///
/// A client that sends byte by byte has as long as for a head; what it began with is then HTTP/1's
/// to refuse.
async fn begins_http2(stream: &Transport, patience: Duration) -> bool {
    let mut start = [0; 3];
    let mut deadline = None;
    loop {
        match stream.peek(&mut start).await {
            Ok(3) => return start == *b"PRI",
            Ok(length @ 1..) if start.get(..length) == b"PRI".get(..length) => {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
                if Instant::now() >= deadline {
                    return false;
                }
                tokio::time::sleep(CLOCK_LAG).await;
            }
            Ok(_) | Err(_) => return false,
        }
    }
}

/// Polls the connection to its end, and ends it when the drain begins or the watch says so.
/// `polled` is called after each poll.
async fn drive<H: Handler, C: Future<Output = hyper::Result<()>>>(
    listeners: &Listeners<H>,
    mut connection: Pin<&mut C>,
    (shut_down, polled): (fn(Pin<&mut C>), impl Fn(&mut Context<'_>)),
    (exchange, has_input): (&ExchangeState, bool),
    mut watch: Watch,
) {
    let mut drain = pin!(listeners.drain.begun());
    let mut idle = pin!(listeners.drain.idle_closed());
    let mut is_first = true;
    let mut is_ending = false;
    let mut is_idle_closed = false;
    poll_fn(|cx| {
        if is_first {
            is_first = false;
            let _registered = drain.as_mut().poll(cx); // wakes this task once, when the drain begins
        }
        loop {
            if !is_ending && listeners.drain.is_begun() && {
                is_idle_closed = is_idle_closed || idle.as_mut().poll(cx).is_ready();
                !waits_for_last_request(&listeners.drain, &watch.activity, exchange, has_input)
            } {
                is_ending = true;
                watch.activity.on_ending();
                shut_down(connection.as_mut());
            }
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                if let Err(error) = result {
                    listeners.metrics.broken.add(1);
                    tracing::debug!(%error, "client connection ended");
                }
                return Poll::Ready(());
            }
            polled(cx);
            match watch.poll_action(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(IdleAction::Cut(cut)) => {
                    listeners.metrics.count_cut(cut, 1);
                    if !watch.activity.is_cut() {
                        listeners.metrics.cut.add(1); // who condemned it has counted
                    }
                    let (reason, limit) = (cut.reason(), cut.limit());
                    tracing::debug!(reason, limit, "client connection cut");
                    return Poll::Ready(());
                }
                Poll::Ready(IdleAction::Reset(streams)) => {
                    listeners.metrics.reset_streams.add(streams as u64);
                    listeners.metrics.count_cut(ClientCut::TakesNothing, streams as u64);
                    tracing::debug!(streams, "streams reset: the client takes nothing of them");
                }
                Poll::Ready(IdleAction::Wait(_) | IdleAction::Close) => {
                    is_ending = true;
                    watch.activity.on_ending();
                    shut_down(connection.as_mut());
                }
            }
        }
    })
    .await;
}

/// Returns whether a connection is to wait for one more request while another process takes over.
/// Over HTTP/1 the response to it says that it is the last. So does one that came with a request,
/// until that was read. HTTP/2 has a message of its own for that, which refuses no request that is
/// on its way.
fn waits_for_last_request(
    drain: &Drain,
    activity: &Activity,
    exchange: &ExchangeState,
    has_input: bool,
) -> bool {
    let is_called = exchange.calls() > 0;
    let is_handed_over = drain.is_handing_over() && !drain.closes_idle();
    match activity.protocol() {
        Protocol::Http1 if is_handed_over || has_input && !is_called => {
            exchange.end_with_next();
            true
        }
        Protocol::Http1 => false,
        Protocol::Http2 => is_handed_over && !is_called,
    }
}

/// Looks at the connection's activity once in a while; between looks it costs one load a poll.
struct Watch {
    clock: Clock,
    activity: Arc<Activity>,
    patience: Patience,
    alarm: Pin<Box<Sleep>>,
    /// The alarm knows its waker: it was polled once.
    is_armed: bool,
    due: Timestamp,
}

impl Watch {
    fn new(clock: &Clock, activity: Arc<Activity>, patience: Patience) -> Self {
        let first = patience.header.min(patience.keepalive);
        let due = clock.now().plus(first);
        Self {
            clock: clock.clone(),
            activity,
            patience,
            alarm: Box::pin(tokio::time::sleep(first)),
            is_armed: false,
            due,
        }
    }

    /// Ready when the connection is to end.
    fn poll_action(&mut self, cx: &mut Context<'_>) -> Poll<IdleAction> {
        if self.activity.is_cut() {
            return Poll::Ready(IdleAction::Cut(ClientCut::HoldsTooMuch));
        }
        if self.activity.makes_room() {
            return Poll::Ready(IdleAction::Close);
        }
        loop {
            // The coarse clock may lag behind the alarm, so look a little before it is due.
            if self.is_armed && self.clock.now().plus(CLOCK_LAG) < self.due {
                return Poll::Pending;
            }
            self.is_armed = true;
            if self.alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            match self.activity.idle_action(&self.patience) {
                IdleAction::Wait(span) => {
                    let span = span.max(CLOCK_LAG);
                    self.due = self.clock.now().plus(span);
                    self.alarm.as_mut().reset(Instant::now() + span);
                    if self.alarm.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                sentence => return Poll::Ready(sentence),
            }
        }
    }
}

const CLOCK_LAG: Duration = Duration::from_millis(50);
