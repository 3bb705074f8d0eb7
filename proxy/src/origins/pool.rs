//! `Pool`: the idle connections of one server.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::request_body::RequestBody;
use super::sending::Sending;

/// Idle connections, the one that was used last at the back.
#[derive(Debug)]
pub(super) struct Pool {
    idle: Mutex<VecDeque<Idle>>,
    is_closed: AtomicBool,
    idle_max: usize,
    idle_timeout: Duration,
}

#[derive(Debug)]
pub(super) struct Idle {
    pub(super) sender: SendRequest<RequestBody>,
    pub(super) sending: Arc<Sending>,
    pub(super) until: Instant,
}

impl Pool {
    pub(super) fn new(idle_max: usize, idle_timeout: Duration) -> Self {
        Self { idle: Mutex::default(), is_closed: AtomicBool::new(false), idle_max, idle_timeout }
    }

    pub(super) fn is(&self, idle_max: usize, idle_timeout: Duration) -> bool {
        self.idle_max == idle_max && self.idle_timeout == idle_timeout
    }

    pub(super) fn take(&self) -> Option<Idle> {
        let mut idle = self.idle.lock();
        while let Some(candidate) = idle.pop_back() {
            if Instant::now() < candidate.until && candidate.sender.is_ready() {
                return Some(candidate);
            }
        }
        None
    }

    pub(super) fn keep(&self, connection: Idle) {
        let mut idle = self.idle.lock();
        if idle.len() < self.idle_max && !self.is_closed.load(Ordering::Relaxed) {
            idle.push_back(connection);
        }
    }

    /// Closes the idle connections, and keeps none any more: the server has left its origin.
    pub(super) fn close(&self) {
        let mut idle = self.idle.lock();
        self.is_closed.store(true, Ordering::Relaxed);
        idle.clear();
    }

    pub(super) fn clear(&self) {
        self.idle.lock().clear();
    }

    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.idle.lock().retain(|idle| now < idle.until && !idle.sender.is_closed());
    }

    pub(super) fn count(&self) -> usize {
        self.idle.lock().len()
    }

    pub(super) const fn keeps(&self) -> bool {
        self.idle_max > 0
    }

    pub(super) const fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }
}
