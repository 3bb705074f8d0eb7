//! The end: stop accepting, let what is in flight finish, give up at a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Says when the drain begins, and knows who is still served. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    token: CancellationToken,
    /// Cancelled when those who are left are cut.
    cut: CancellationToken,
    /// Cancelled when idle connections are closed.
    idle: CancellationToken,
    /// The token's state without its lock.
    is_begun: Arc<AtomicBool>,
    /// Another process accepts at the same sockets.
    is_handing_over: Arc<AtomicBool>,
    /// Those who accept connections, and serve who is connected when the drain begins.
    accepting: TaskTracker,
    connections: TaskTracker,
    /// Requests that change something at the origin, also those whose clients have left.
    changes: TaskTracker,
}

impl Drain {
    pub fn begin(&self) {
        self.idle.cancel();
        self.begin_but_for_idle();
    }

    /// Begins it for a process that accepts at the same sockets from now on: who is queued there is
    /// left to that one, and idle connections are told with their next response that it is the
    /// last. Closing them at once would fail the requests that are on their way.
    pub fn hand_over(&self) {
        self.is_handing_over.store(true, Ordering::Release);
        self.begin_but_for_idle();
    }

    /// Closes the connections that have asked for nothing since.
    pub fn close_idle(&self) {
        self.idle.cancel();
    }

    fn begin_but_for_idle(&self) {
        self.is_begun.store(true, Ordering::Release);
        self.token.cancel();
        self.accepting.close();
        self.connections.close();
        self.changes.close();
    }

    pub fn is_begun(&self) -> bool {
        self.is_begun.load(Ordering::Acquire)
    }

    pub fn is_handing_over(&self) -> bool {
        self.is_handing_over.load(Ordering::Acquire)
    }

    pub fn closes_idle(&self) -> bool {
        self.idle.is_cancelled()
    }

    /// Waits until idle connections are closed.
    pub async fn idle_closed(&self) {
        self.idle.cancelled().await;
    }

    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// Runs a task that accepts connections and ends when the drain begins.
    pub fn accept_with(&self, accepting: impl Future<Output = ()> + Send + 'static) {
        drop(self.accepting.spawn(accepting));
    }

    /// Serves a connection, or a tunnel that has become of one, that the drain waits for.
    pub fn track(&self, serving: impl Future<Output = ()> + Send + 'static) {
        drop(self.connections.spawn(serving));
    }

    /// Runs a request that changes something at the origin. The drain waits for it, though its
    /// client may leave: what it changes is still to be purged.
    pub fn track_change(&self, exchange: impl Future<Output = ()> + Send + 'static) {
        drop(self.changes.spawn(exchange));
    }

    /// Waits until nobody is served any more.
    pub async fn finished(&self) {
        self.accepting.wait().await;
        self.connections.wait().await;
        self.changes.wait().await;
    }

    /// Gives up: those who are still served are cut. Returns how many they are.
    pub fn give_up(&self) -> usize {
        let remaining = self.remaining();
        self.cut.cancel();
        remaining
    }

    /// Waits until nobody is served any more, or those who are left are cut.
    pub async fn ended(&self) {
        tokio::select! {
            () = self.finished() => {}
            () = self.cut.cancelled() => {}
        }
    }

    pub fn remaining(&self) -> usize {
        self.connections.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_whose_client_has_left_is_waited_for() {
        let (drain, (answer, answered)) = (Drain::default(), oneshot::channel::<()>());
        drain.track_change(async move { drop(answered.await) });
        drain.begin();
        assert_eq!(drain.remaining(), 0, "no client is there");
        assert!(timeout(Duration::from_secs(5), drain.finished()).await.is_err());

        drop(answer);
        timeout(Duration::from_secs(5), drain.finished()).await.unwrap();
    }
}
