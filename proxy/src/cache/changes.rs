//! Unsafe requests at the origin: what they change is purged before another process serves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The unsafe requests that are at the origin. None begins after [`Self::end`] was called.
#[derive(Debug, Default)]
pub struct Changes {
    requests: TaskTracker,
    is_over: AtomicBool,
}

impl Changes {
    /// Begins a request that lasts until the token is dropped; `None` when another process serves
    /// by now and has to be asked.
    pub fn begin(&self) -> Option<TaskTrackerToken> {
        // Before the check: a request that is counted is waited for, whatever the check says.
        let token = self.requests.token();
        (!self.is_over.load(Ordering::SeqCst)).then_some(token)
    }

    /// Lets no further request begin and waits at most `patience` for those at the origin. Returns
    /// the number that are left.
    pub async fn end(&self, patience: Duration) -> usize {
        self.is_over.store(true, Ordering::SeqCst);
        self.requests.close();
        drop(timeout(patience, self.requests.wait()).await);
        self.requests.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn those_that_began_are_waited_for_and_no_other_begins() {
        let changes = Changes::default();
        let one = changes.begin().unwrap();
        assert_eq!(changes.end(Duration::from_secs(5)).await, 1, "it takes too long");
        assert!(changes.begin().is_none());
        let end = changes.end(Duration::from_secs(5));
        let (left, ()) = tokio::join!(end, async { drop(one) });
        assert_eq!(left, 0);
    }
}
