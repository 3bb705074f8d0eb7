//! `Http1Stream`: a client's socket that notes when bytes move, and lets only sound HTTP/1 requests
//! pass.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead as _, ReadBuf};

use super::activity::Activity;
use super::departure::Departure;
use super::linger::Linger;
use super::stalls::Stalls;
use super::unsent::unsent;
use crate::client::exchange::ExchangeState;
use crate::framing::requests::{RequestViolation, Requests};
use crate::transport::Transport;

#[derive(Debug)]
pub(super) struct Http1Stream {
    inner: TokioIo<Transport>,
    activity: Arc<Activity>,
    stalls: Arc<Stalls>,
    /// Written bytes could not be sent yet: TLS takes more than the socket.
    is_held_up: bool,
    guard: FramingGuard,
}

/// Holds back what is incomplete, and what breaks the rules.
#[derive(Debug)]
struct FramingGuard {
    requests: Requests,
    exchange: Arc<ExchangeState>,
    /// Bytes that were read and did not go on yet: mostly none.
    held: Vec<u8>,
    /// The number of held bytes that may go on.
    ready: usize,
    end: Option<GuardEnd>,
    /// Discards input while hyper answers a refused request, and after the last answer.
    linger: Option<Linger>,
    interim: Vec<u8>,
    is_flushed: bool,
    departure: Departure,
}

#[derive(Clone, Copy, Debug)]
enum GuardEnd {
    /// A request was refused: what follows is thrown away.
    Refused,
    Broken(crate::framing::Violation),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Filled {
    /// Bytes went on, or there are no more.
    Done,
    More,
}

impl Http1Stream {
    pub(super) fn new(
        stream: Transport,
        (activity, stalls): (Arc<Activity>, Arc<Stalls>),
        requests: Requests,
        exchange: Arc<ExchangeState>,
    ) -> Self {
        let guard = FramingGuard {
            requests,
            exchange,
            held: Vec::new(),
            ready: 0,
            end: None,
            linger: None,
            interim: Vec::new(),
            is_flushed: true,
            departure: Departure::default(),
        };
        Self { inner: TokioIo::new(stream), activity, stalls, is_held_up: false, guard }
    }

    fn note(&self, written: Poll<io::Result<usize>>, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(count)) => self.activity.on_write(count),
            Poll::Pending => self.note_blocked(cx),
            Poll::Ready(Err(_)) => {}
        }
        written
    }

    fn note_blocked(&self, cx: &Context<'_>) {
        self.activity.on_blocked(unsent(self.inner.inner()));
        self.stalls.add(&self.activity, cx.waker());
    }

    /// Sends what there is of interim responses; ready when nothing stands in the way of hyper's
    /// bytes.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = &mut self.guard;
        if guard.interim.is_empty() {
            match guard.is_flushed.then(|| guard.exchange.interim()).flatten() {
                Some(interim) => guard.interim = interim,
                None => return Poll::Ready(Ok(())),
            }
        }
        while !guard.interim.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &guard.interim))?;
            guard.interim.drain(..written.min(guard.interim.len()));
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        self.activity.on_write(0);
        Poll::Ready(Ok(()))
    }
}

impl FramingGuard {
    /// Reads until something may go on.
    fn poll_read(
        &mut self,
        stream: &mut Transport,
        cx: &mut Context<'_>,
        buf: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.ready > 0 {
                self.hand_over(buf);
                return Poll::Ready(Ok(()));
            }
            match self.end {
                Some(GuardEnd::Broken(violation)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation)));
                }
                Some(GuardEnd::Refused) => {
                    let _ended = self.linger.get_or_insert_with(Linger::begin).poll(stream, cx);
                    return Poll::Pending; // its end is not for hyper to see before it has answered
                }
                None => {}
            }
            if self.requests.is_undecided() {
                let Some(is_switched) = self.exchange.decision(cx.waker()) else {
                    return Poll::Pending;
                };
                self.requests.decide(is_switched);
                self.pass_held();
                continue;
            }
            if ready!(self.poll_fill(stream, cx, buf))? == Filled::Done {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads once. What is sound goes on at once where nothing was held back before it.
    fn poll_fill(
        &mut self,
        stream: &mut Transport,
        cx: &mut Context<'_>,
        buf: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<Filled>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let most = buf.remaining().min(scratch.len());
            let mut read = ReadBuf::new(scratch.get_mut(..most).unwrap_or_default());
            if Pin::new(stream).poll_read(cx, &mut read)?.is_pending() {
                self.exchange.register(cx.waker());
                return Poll::Pending;
            }
            let bytes = read.filled();
            if bytes.is_empty() {
                return Poll::Ready(Ok(Filled::Done));
            }
            if !self.held.is_empty() {
                self.held.extend_from_slice(bytes);
                self.pass_held();
                return Poll::Ready(Ok(Filled::More));
            }
            let passed = self.requests.pass(bytes);
            let (sound, rest) = bytes.split_at_checked(passed.bytes).unwrap_or((bytes, &[]));
            buf.put_slice(sound);
            if passed.refusal.is_none() {
                self.held.extend_from_slice(rest);
            }
            self.note(passed.refusal, rest);
            Poll::Ready(Ok(if sound.is_empty() { Filled::More } else { Filled::Done }))
        })
    }

    fn pass_held(&mut self) {
        let passed = self.requests.pass(&self.held);
        self.ready = passed.bytes;
        let rest = match passed.refusal {
            Some(_) => self.held.split_off(passed.bytes.min(self.held.len())),
            None => Vec::new(),
        };
        self.note(passed.refusal, &rest);
    }

    fn note(&mut self, refusal: Option<RequestViolation>, refused: &[u8]) {
        match refusal {
            None if self.requests.is_undecided() => {
                self.exchange.await_decision(self.requests.heads());
            }
            None => {}
            Some(RequestViolation::Content(violation)) => {
                self.end = Some(GuardEnd::Broken(violation));
            }
            Some(RequestViolation::Request(before, violation)) => {
                self.exchange.refuse(before + 1, violation);
                let is_head = refused.starts_with(b"HEAD ");
                self.held.extend_from_slice(if is_head { b"HEAD" } else { b"GET" });
                self.held.extend_from_slice(SUBSTITUTE);
                self.ready = self.held.len();
                self.end = Some(GuardEnd::Refused);
            }
        }
    }

    fn hand_over(&mut self, buf: &mut ReadBufCursor<'_>) {
        let count = self.ready.min(buf.remaining());
        buf.put_slice(self.held.get(..count).unwrap_or_default());
        self.held.drain(..count);
        self.ready -= count;
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }

    /// Returns whether the client may be sending what nobody will read.
    const fn is_within_request(&self) -> bool {
        matches!(self.end, Some(GuardEnd::Refused)) || self.requests.is_within_content()
    }
}

impl Read for Http1Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.poll_interim(cx)?.is_pending() {
            this.note_blocked(cx);
        }
        if this.activity.is_unwanted() && this.inner.inner_mut().has_input() {
            this.activity.make_wanted();
        }
        let held = this.guard.held.len();
        let read = this.guard.poll_read(this.inner.inner_mut(), cx, &mut buf);
        if read.is_ready() || this.guard.held.len() > held {
            this.activity.on_read();
        }
        read
    }
}

impl Write for Http1Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_interim(cx))?;
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        let this = &mut *self;
        if flushed.is_pending() {
            this.is_held_up = true;
            this.note_blocked(cx);
        } else if this.is_held_up {
            this.is_held_up = false;
            this.activity.on_write(0);
        }
        // hyper does not read while it answers: what comes of the socket meanwhile is noticed here.
        let guard = &mut this.guard;
        guard.exchange.register(cx.waker());
        guard.departure.check(this.inner.inner_mut(), &this.activity, cx)?;
        guard.is_flushed |= matches!(flushed, Poll::Ready(Ok(())));
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
        let this = &mut *self;
        if !this.guard.is_within_request() {
            return Poll::Ready(Ok(()));
        }
        this.activity.on_ending();
        let linger = this.guard.linger.get_or_insert_with(Linger::begin);
        linger.poll(this.inner.inner_mut(), cx).map(Ok)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let interim = self.poll_interim(cx)?;
        if interim.is_pending() {
            self.note_blocked(cx);
            return Poll::Pending;
        }
        self.guard.is_flushed = false;
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.note(written, cx)
    }
}

/// Behind a method, it stands for a request that is refused: hyper gives it to the service, which
/// knows that it is meant.
const SUBSTITUTE: &[u8] = b" / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// Bytes that one worker reads at once.
const SCRATCH_BYTES: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use process::clock::Clock;
    use process::timestamp::Timestamp;
    use settings::{Http2, LimitSettings};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::activity::Protocol;
    use super::super::rules::ConnectionRules;
    use super::*;

    #[tokio::test]
    async fn a_connection_whose_request_lies_in_the_socket_makes_no_room() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let clock = Clock::manual(Timestamp::from_secs(1));
        let activity = Activity::new(clock, Protocol::Http1);
        let rules = ConnectionRules::new(&LimitSettings::default(), Http2::Off, None);
        let mut stream = Http1Stream::new(
            Transport::Tcp(stream),
            (Arc::clone(&activity), Arc::default()),
            rules.requests(),
            Arc::default(),
        );
        let mut buffer = [0; 100];
        let mut read = |cx: &mut Context<'_>| {
            let mut buffer = hyper::rt::ReadBuf::new(&mut buffer);
            Pin::new(&mut stream).poll_read(cx, buffer.unfilled()).is_ready()
        };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(!read(&mut cx));
        activity.make_unwanted();
        assert!(!read(&mut cx) && activity.is_unwanted(), "nothing has come");

        let mut client = client.into_std().unwrap();
        client.write_all(b"GET ").unwrap();
        let _told_or_not = read(&mut cx); // the runtime has not asked the system since
        assert!(!activity.is_unwanted() && !activity.makes_room());
    }
}
