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
    /// The token's state without its lock.
    is_begun: Arc<AtomicBool>,
    /// Those who accept connections, and serve who is connected when the drain begins.
    accepting: TaskTracker,
    connections: TaskTracker,
}

impl Drain {
    pub fn begin(&self) {
        self.is_begun.store(true, Ordering::Release);
        self.token.cancel();
        self.accepting.close();
        self.connections.close();
    }

    pub fn is_begun(&self) -> bool {
        self.is_begun.load(Ordering::Acquire)
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

    /// Waits until nobody is served any more.
    pub async fn finished(&self) {
        self.accepting.wait().await;
        self.connections.wait().await;
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
