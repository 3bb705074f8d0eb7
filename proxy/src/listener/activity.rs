//! `Activity`: what a client connection is doing, so that one lazy timer can end it when it does
//! nothing for too long.
//!
//! hyper's own header timer allocates and registers a timer for every request. This costs a few
//! stores: the socket notes when bytes moved, the service notes requests, and a watch looks once in
//! a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::client_cut::ClientCut;
use super::streams::{Look, Streams, rate};
use crate::client::busy::{Busy, WorkObserver};
use process::clock::Clock;
use process::timestamp::Timestamp;

/// The state of one connection. But for the sentence of `cut`, only its own task writes; all
/// accesses are relaxed.
#[derive(Debug)]
pub struct Activity {
    clock: Clock,
    /// The time at which the last byte was read or written, in milliseconds.
    moved: AtomicU64,
    /// The time at which the last byte was read, in milliseconds.
    read: AtomicU64,
    /// The time at which the first bytes of a head arrived that is not complete yet; 0: none did.
    head_begun: AtomicU64,
    /// Since when the client takes no more bytes; 0: it does.
    blocked: AtomicU64,
    /// Bytes that it had not acknowledged when that was last looked at.
    unsent: AtomicU32,
    /// The time at which a write of this response blocked first; 0: none did.
    stalled: AtomicU64,
    /// Bytes that were written since.
    taken: AtomicU64,
    /// It was added to the connections that wait for their clients.
    is_among_stalls: AtomicBool,
    /// It is cut because too much is held for clients that take little.
    is_cut: AtomicBool,
    /// Its place is wanted for another one: it is to close if it is idle.
    is_unwanted: AtomicBool,
    /// The streams of HTTP/2.
    pub(super) streams: Mutex<Streams>,
    /// Requests that are being answered and answers that are being streamed.
    busy: AtomicU32,
    /// Since when it is being ended; 0: it is not.
    ending: AtomicU64,
    protocol: Protocol,
}

/// The protocol of a connection, which tells what bytes on an idle one mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub header: Duration,
    pub keepalive: Duration,
    /// For a client to take more bytes.
    pub send: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleAction {
    /// It goes on; look again after this time.
    Wait(Duration),
    /// It was idle for long enough: end it politely.
    Close,
    Cut(ClientCut),
    /// So many of its streams were reset: it goes on.
    Reset(usize),
}

impl Activity {
    pub fn new(clock: Clock, protocol: Protocol) -> Arc<Self> {
        let moved = AtomicU64::new(clock.now().as_millis());
        Arc::new(Self {
            clock,
            moved,
            read: AtomicU64::new(0),
            head_begun: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            unsent: AtomicU32::new(0),
            stalled: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            is_among_stalls: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            is_unwanted: AtomicBool::new(false),
            streams: Mutex::new(Streams::new()),
            busy: AtomicU32::new(0),
            ending: AtomicU64::new(0),
            protocol,
        })
    }

    pub(super) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// It is being ended: it has as long as a client may take no bytes.
    pub fn on_ending(&self) {
        if self.ending.load(Ordering::Relaxed) == 0 {
            self.ending.store(self.clock.now().as_millis(), Ordering::Relaxed);
        }
    }

    /// Bytes were read.
    pub fn on_read(&self) {
        let now = self.clock.now().as_millis();
        self.moved.store(now, Ordering::Relaxed);
        self.read.store(now, Ordering::Relaxed);
        if self.protocol == Protocol::Http1 && self.head_begun.load(Ordering::Relaxed) == 0 {
            self.head_begun.store(now, Ordering::Relaxed);
        }
    }

    /// Bytes were written.
    pub fn on_write(&self, count: usize) {
        self.moved.store(self.clock.now().as_millis(), Ordering::Relaxed);
        if self.blocked.load(Ordering::Relaxed) != 0 {
            self.blocked.store(0, Ordering::Relaxed);
        }
        if self.stalled.load(Ordering::Relaxed) != 0 {
            self.taken.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    /// The client's window is full, and so many bytes are not acknowledged. One that acknowledges
    /// some takes bytes, though the socket does not become writable for a while.
    pub fn on_blocked(&self, unsent: Option<u32>) {
        let now = self.clock.now().as_millis();
        let unsent = unsent.unwrap_or(u32::MAX);
        let is_new = self.blocked.load(Ordering::Relaxed) == 0;
        if is_new || unsent < self.unsent.load(Ordering::Relaxed) {
            self.blocked.store(now, Ordering::Relaxed);
        }
        self.unsent.store(unsent, Ordering::Relaxed);
        if self.stalled.load(Ordering::Relaxed) == 0 {
            self.taken.store(0, Ordering::Relaxed);
            self.stalled.store(now, Ordering::Relaxed);
        }
    }

    /// Returns whether the connection is the first time among those that wait for their clients.
    pub(super) fn joins_stalls(&self) -> bool {
        !self.is_among_stalls.swap(true, Ordering::Relaxed)
    }

    /// Shows each response that waits for the client: its stream, if it has one, and the bytes that
    /// it takes a second.
    pub(super) fn waiting(&self, now: Timestamp, show: &mut dyn FnMut(Option<u32>, u64)) {
        if self.blocked.load(Ordering::Relaxed) != 0 {
            let stalled = Timestamp::from_millis(self.stalled.load(Ordering::Relaxed));
            let taken = self.taken.load(Ordering::Relaxed);
            show(None, rate(taken, now.since(stalled).as_millis()));
        } else if self.protocol == Protocol::Http2 {
            self.streams.lock().waiting(now).for_each(|(stream, rate)| show(Some(stream), rate));
        }
    }

    /// Ends a response before its time: its stream, or the connection. Its task has to be woken.
    pub(super) fn cut(&self, stream: Option<u32>, now: Timestamp) {
        match stream {
            Some(stream) => self.streams.lock().reset(stream, now),
            None => self.is_cut.store(true, Ordering::Relaxed),
        }
    }

    /// Returns whether it is to be cut at once.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }

    /// Has it close, if it is idle when its task looks. The task has to be woken.
    pub(super) fn make_unwanted(&self) {
        self.is_unwanted.store(true, Ordering::Relaxed);
    }

    /// A request has come before it could close.
    pub(super) fn make_wanted(&self) {
        self.is_unwanted.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_unwanted(&self) -> bool {
        self.is_unwanted.load(Ordering::Relaxed)
    }

    /// Returns whether it is to close for another one. One that has been used since it was asked to
    /// is left in peace.
    pub(super) fn makes_room(&self) -> bool {
        self.is_unwanted()
            && self.is_unwanted.swap(false, Ordering::Relaxed)
            && self.idle_for().is_some()
    }

    /// Returns for how long nothing has been begun, answered or sent on it; `None`: something is.
    pub(super) fn idle_for(&self) -> Option<Duration> {
        let is_set = |cell: &AtomicU64| cell.load(Ordering::Relaxed) != 0;
        let is_used = is_set(&self.blocked)
            || is_set(&self.head_begun)
            || is_set(&self.ending)
            || self.is_busy()
            || self.protocol == Protocol::Http2 && self.streams.lock().is_any_open();
        let moved = Timestamp::from_millis(self.moved.load(Ordering::Relaxed));
        (!is_used).then(|| self.clock.now().since(moved))
    }

    pub fn on_request(&self) {
        self.head_begun.store(0, Ordering::Relaxed);
        if self.stalled.load(Ordering::Relaxed) != 0 {
            self.stalled.store(0, Ordering::Relaxed);
        }
    }

    /// Something takes longer: until the guard is dropped, the connection is not idle.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy::new(Arc::<Self>::clone(self))
    }

    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    pub fn since_read(&self) -> Duration {
        self.clock.now().since(Timestamp::from_millis(self.read.load(Ordering::Relaxed)))
    }

    pub fn idle_action(&self, patience: &Patience) -> IdleAction {
        let now = self.clock.now();
        let since = |cell: &AtomicU64| match cell.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(now.since(Timestamp::from_millis(millis))),
        };
        if let Some(blocked) = since(&self.blocked) {
            return wait_or(patience.send, blocked, IdleAction::Cut(ClientCut::TakesNothing));
        }
        let mut longest = patience.send.min(patience.header);
        if self.protocol == Protocol::Http2 {
            let look = self.streams.lock().look(now, patience.send, patience.header);
            match look {
                Look::Flowing => {}
                Look::Waiting(left) => longest = longest.min(left),
                Look::Reset(count) => return IdleAction::Reset(count),
                Look::Stuck => return IdleAction::Cut(ClientCut::FrameIncomplete),
            }
        }
        if self.busy.load(Ordering::Relaxed) > 0 {
            return IdleAction::Wait(longest);
        }
        if let Some(reading) = since(&self.head_begun) {
            return wait_or(patience.header, reading, IdleAction::Cut(ClientCut::HeadIncomplete));
        }
        if let Some(ending) = since(&self.ending) {
            let limit = match self.protocol {
                Protocol::Http1 => patience.send, // what it sends is thrown away meanwhile
                Protocol::Http2 => patience.send.min(patience.header), // for the answer to a PING
            };
            return wait_or(limit, ending, IdleAction::Cut(ClientCut::DoesNotEnd));
        }
        let idle = since(&self.moved).unwrap_or_default();
        match wait_or(patience.keepalive, idle, IdleAction::Close) {
            // Often enough to notice a head that begins and does not go on.
            IdleAction::Wait(left) => IdleAction::Wait(left.min(longest)),
            other => other,
        }
    }
}

fn wait_or(limit: Duration, spent: Duration, sentence: IdleAction) -> IdleAction {
    match limit.checked_sub(spent) {
        Some(left) if !left.is_zero() => IdleAction::Wait(left),
        _ => sentence,
    }
}

impl WorkObserver for Activity {
    fn on_work_ended(&self) {
        self.moved.store(self.clock.now().as_millis(), Ordering::Relaxed);
        self.head_begun.store(0, Ordering::Relaxed);
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
