//! `Http2State`: what the driver of a connection and its requests tell each other, and its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::wire::WireState;

#[derive(Debug)]
pub(super) struct Http2State {
    pub(super) wire: Arc<WireState>,
    /// Streams that were claimed.
    pub(super) claimed: AtomicUsize,
    /// The moment at which the number of claimed streams left or reached none.
    pub(super) changed: Mutex<Instant>,
    /// Told when the server's first frame, its settings, was read, or the connection has ended.
    pub(super) settled: Notify,
    /// A request was answered on it.
    pub(super) has_answered: AtomicBool,
    is_silent: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Sound,
    /// The server answered with HTTP/1.
    NotHttp2,
    /// The server did not answer a PING.
    Silent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origins) struct Http2Limits {
    /// Requests on one connection at once, if the server allows as many.
    pub(in crate::origins) streams_max: usize,
    /// The silence after which the server is sent a PING, while requests are open.
    pub(in crate::origins) ping_after: Option<Duration>,
    /// The time for the server to answer it.
    pub(in crate::origins) ping_timeout: Duration,
    pub(in crate::origins) head_bytes_max: u32,
}

impl Http2State {
    pub(super) fn new(wire: Arc<WireState>) -> Self {
        Self {
            wire,
            claimed: AtomicUsize::new(0),
            changed: Mutex::new(Instant::now()),
            settled: Notify::new(),
            has_answered: AtomicBool::new(false),
            is_silent: AtomicBool::new(false),
        }
    }

    pub(super) fn condition(&self) -> Condition {
        if self.is_silent.load(Ordering::Acquire) {
            Condition::Silent
        } else if self.wire.is_http1() {
            Condition::NotHttp2
        } else {
            Condition::Sound
        }
    }

    pub(super) fn note_silent(&self) {
        self.is_silent.store(true, Ordering::Release);
    }
}
