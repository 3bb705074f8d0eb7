//! `Activity`: what a client connection is doing, so that one lazy timer can end it when it does nothing for too long.
//!
//! hyper's own header timer allocates and registers a timer for every request. This costs a few stores: the socket notes
//! when bytes moved, the service notes requests, and a watch looks once in a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::timestamp::Timestamp;

/// The state of one connection. Only its own task writes; all accesses are relaxed.
#[derive(Debug)]
pub struct Activity {
    clock: Clock,
    /// When the last byte was read or written, in milliseconds.
    moved: AtomicU64,
    /// When the first bytes of a head arrived that is not complete yet; 0: none did.
    head_begun: AtomicU64,
    /// Since when the client takes no more bytes; 0: it does.
    blocked: AtomicU64,
    /// Requests that are being answered and answers that are being streamed.
    busy: AtomicU32,
    /// Since when it is being ended; 0: it is not.
    ending: AtomicU64,
    protocol: Protocol,
}

/// What bytes on an idle connection mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The beginning of a head.
    Http1,
    /// Anything: pings, window updates.
    Http2,
}

/// How long a connection may do what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a head to arrive.
    pub header: Duration,
    /// Between requests.
    pub keepalive: Duration,
    /// For a client to take more bytes.
    pub send: Duration,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sentence {
    /// It goes on; look again after this time.
    Wait(Duration),
    /// It was idle for long enough: end it politely.
    Close,
    /// It holds us up: cut it.
    Cut(&'static str),
}

impl Activity {
    /// Makes the state of a new connection.
    pub fn new(clock: Clock, protocol: Protocol) -> Arc<Self> {
        let moved = AtomicU64::new(clock.now().as_millis());
        let zero = || AtomicU64::new(0);
        let (head_begun, blocked, ending, busy) = (zero(), zero(), zero(), AtomicU32::new(0));
        Arc::new(Self { clock, moved, head_begun, blocked, busy, ending, protocol })
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
        if self.protocol == Protocol::Http1 && self.head_begun.load(Ordering::Relaxed) == 0 {
            self.head_begun.store(now, Ordering::Relaxed);
        }
    }

    /// Bytes were written.
    pub fn on_write(&self) {
        self.moved.store(self.clock.now().as_millis(), Ordering::Relaxed);
        if self.blocked.load(Ordering::Relaxed) != 0 {
            self.blocked.store(0, Ordering::Relaxed);
        }
    }

    /// The client's window is full.
    pub fn on_blocked(&self) {
        if self.blocked.load(Ordering::Relaxed) == 0 {
            self.blocked.store(self.clock.now().as_millis(), Ordering::Relaxed);
        }
    }

    /// A head is complete.
    pub fn on_request(&self) {
        self.head_begun.store(0, Ordering::Relaxed);
    }

    /// Something takes longer: until the guard is dropped, the connection is not idle.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Some(Arc::clone(self)))
    }

    /// Decides what is to become of the connection.
    pub fn judge(&self, patience: &Patience) -> Sentence {
        let now = self.clock.now();
        let since = |cell: &AtomicU64| match cell.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(now.since(Timestamp::from_millis(millis))),
        };
        if let Some(blocked) = since(&self.blocked) {
            return wait_or(patience.send, blocked, Sentence::Cut("the client takes no bytes"));
        }
        if self.busy.load(Ordering::Relaxed) > 0 {
            return Sentence::Wait(patience.send.min(patience.header));
        }
        if let Some(reading) = since(&self.head_begun) {
            return wait_or(
                patience.header,
                reading,
                Sentence::Cut("the request head is incomplete"),
            );
        }
        if let Some(ending) = since(&self.ending) {
            return wait_or(
                patience.send,
                ending,
                Sentence::Cut("the client does not let the connection end"),
            );
        }
        let idle = since(&self.moved).unwrap_or_default();
        match wait_or(patience.keepalive, idle, Sentence::Close) {
            // Often enough to notice a head that begins and does not go on.
            Sentence::Wait(left) => Sentence::Wait(left.min(patience.header)),
            other => other,
        }
    }
}

fn wait_or(limit: Duration, spent: Duration, sentence: Sentence) -> Sentence {
    match limit.checked_sub(spent) {
        Some(left) if !left.is_zero() => Sentence::Wait(left),
        _ => sentence,
    }
}

/// Says that a connection is at work.
#[derive(Debug, Default)]
pub struct Busy(Option<Arc<Activity>>);

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(activity) = &self.0 {
            activity.moved.store(activity.clock.now().as_millis(), Ordering::Relaxed);
            activity.head_begun.store(0, Ordering::Relaxed);
            activity.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
