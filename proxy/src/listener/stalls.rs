//! `Stalls`: the connections that have waited for their clients, so that the slowest can be cut
//! when too much is held for them.

use std::sync::{Arc, Weak};
use std::task::Waker;

use parking_lot::Mutex;

use super::activity::Activity;
use process::timestamp::Timestamp;

/// All connections on which a write has blocked once.
#[derive(Debug, Default)]
pub struct Stalls {
    connections: Mutex<Vec<(Weak<Activity>, Waker)>>,
}

struct StalledResponse {
    activity: Arc<Activity>,
    /// Its HTTP/2 stream; over HTTP/1 it has the connection for itself.
    stream: Option<u32>,
    /// Bytes a second that the client takes.
    rate: u64,
}

impl Stalls {
    /// Adds a connection, with the waker of its task, when it waits for its client the first time.
    pub(super) fn add(&self, activity: &Arc<Activity>, waker: &Waker) {
        if !activity.joins_stalls() {
            return;
        }
        let mut connections = self.connections.lock();
        if connections.len() == connections.capacity() {
            connections.retain(|(activity, _)| activity.strong_count() > 0); // before it would grow
        }
        connections.push((Arc::downgrade(activity), waker.clone()));
    }

    /// Cuts this share of the responses that wait for their clients, at least one: those of the
    /// slowest. Returns how many.
    pub fn cut_slowest(&self, (part, whole): (u64, u64), now: Timestamp) -> usize {
        let mut waiting = Vec::new();
        self.connections.lock().retain(|(activity, waker)| {
            let Some(activity) = activity.upgrade() else { return false };
            activity.waiting(now, &mut |stream, rate| {
                waiting.push((
                    StalledResponse { activity: Arc::clone(&activity), stream, rate },
                    waker.clone(),
                ));
            });
            true
        });
        let total = u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        let count = total.saturating_mul(part).div_ceil(whole.max(1));
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(waiting.len());
        waiting.sort_by_key(|(response, _)| response.rate);
        for (response, waker) in waiting.iter().take(count) {
            response.activity.cut(response.stream, now);
            waker.wake_by_ref();
        }
        count
    }
}
