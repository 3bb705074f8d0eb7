//! `Driver`: the task of one connection. It moves frames, and asks a silent server for a sign of
//! life.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::Connection;
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};

use super::shared::{Http2Limits, Http2State};
use super::wire::{Reads, Wire};

pub(super) struct Driver<T> {
    connection: Connection<Wire<T>, Bytes>,
    shared: Arc<Http2State>,
    pings: Option<Pings>,
    is_settled: bool,
}

struct Pings {
    ping_pong: PingPong,
    after: Duration,
    timeout: Duration,
    alarm: Pin<Box<Sleep>>,
    /// The PING that is not answered, with what was read before it.
    open: Option<(Instant, Reads)>,
    /// PINGs since the server sent anything but answers to them.
    quiet: u32,
    bytes: u64,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    pub(super) fn new(
        connection: Connection<Wire<T>, Bytes>,
        ping_pong: Option<PingPong>,
        shared: Arc<Http2State>,
        limits: &Http2Limits,
    ) -> Self {
        let pings = ping_pong.zip(limits.ping_after).map(|(ping_pong, after)| Pings {
            ping_pong,
            after,
            timeout: limits.ping_timeout,
            alarm: Box::pin(sleep(after)),
            open: None,
            quiet: 0,
            bytes: 0,
        });
        Self { connection, shared, pings, is_settled: false }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for Driver<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let ended = Pin::new(&mut this.connection).poll(cx);
        if !this.is_settled && (ended.is_ready() || this.shared.wire.reads().bytes > 0) {
            this.is_settled = true;
            this.shared.settled.notify_one();
        }
        if let Poll::Ready(result) = ended {
            if let Err(error) = result {
                tracing::debug!(%error, "origin connection ended");
            }
            return Poll::Ready(());
        }
        let Some(pings) = &mut this.pings else { return Poll::Pending };
        // Dropping the connection ends its streams.
        pings.poll_silence(&this.shared, cx).map(|()| {
            this.shared.note_silent();
            tracing::debug!("origin connection ended: a PING was not answered");
        })
    }
}

impl Pings {
    /// Ready when the server is to be taken for dead.
    fn poll_silence(&mut self, shared: &Http2State, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.open.is_some() && self.ping_pong.poll_pong(cx).is_ready() {
                self.open = None;
            }
            ready!(self.alarm.as_mut().poll(cx));
            let (now, reads) = (Instant::now(), shared.wire.reads());
            let next = match self.open {
                Some((_, before)) if reads.bytes > before.bytes => {
                    self.open = Some((now, reads)); // alive, whatever it sends
                    now + self.timeout
                }
                // The PING may not have been written.
                Some(_) if shared.wire.blocked().is_some() => now + self.timeout,
                Some((at, _)) if now >= at + self.timeout => return Poll::Ready(()),
                Some((at, _)) => at + self.timeout,
                None => self.ping_if_silent(shared, reads, now),
            };
            self.alarm.as_mut().reset(next);
        }
    }

    /// Sends a PING if it is time. Returns the moment of the next look.
    fn ping_if_silent(&mut self, shared: &Http2State, reads: Reads, now: Instant) -> Instant {
        if reads.bytes > self.bytes + PONG_BYTES {
            self.quiet = 0;
        }
        self.bytes = reads.bytes;
        if shared.claimed.load(Ordering::Acquire) == 0 {
            return now + self.after;
        }
        let since = reads.last.max(*shared.changed.lock());
        let due = since + self.pause();
        if now < due {
            return due;
        }
        if self.ping_pong.send_ping(Ping::opaque()).is_err() {
            return now + self.after;
        }
        self.quiet += 1;
        self.open = Some((now, reads));
        now + self.timeout
    }

    /// gRPC's servers end a connection on which more than two PINGs come within five minutes
    /// without content in between.
    fn pause(&self) -> Duration {
        match self.quiet {
            0 => self.after,
            1 => self.after * 2,
            _ => QUIET_PAUSE.max(self.after),
        }
    }
}

/// The bytes of the answer to a PING (RFC 9113 §6.7).
const PONG_BYTES: u64 = 17;
const QUIET_PAUSE: Duration = Duration::from_secs(310);
