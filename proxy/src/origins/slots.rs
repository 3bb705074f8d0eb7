//! `SlotQueue`: the requests that wait while every server of an origin has as many as it may have.
//! The first that came is the first that goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::error::OriginError;
use super::load::ServerLoad;

#[derive(Debug)]
pub(super) struct SlotQueue {
    waiting: AtomicUsize,
    /// The one who holds it looks for a slot; all others are behind.
    turn: Semaphore,
    freed: Notify,
}

/// A request's place at a server: one of the requests that the server may have at once. Dropping it
/// frees the place.
#[derive(Debug)]
pub(super) struct RequestSlot {
    load: Arc<ServerLoad>,
    queue: Arc<SlotQueue>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    pub(super) requests_max: usize,
    pub(super) wait_max: Duration,
}

impl RequestSlot {
    /// Takes a slot of a server, unless it has as many requests as it may have.
    pub(super) fn take(load: &Arc<ServerLoad>, max: usize, queue: &Arc<SlotQueue>) -> Option<Self> {
        let slot = || Self { load: Arc::clone(load), queue: Arc::clone(queue) };
        load.begin(max).then(slot)
    }
}

impl Drop for RequestSlot {
    fn drop(&mut self) {
        self.load.end();
        self.queue.freed.notify_one();
    }
}

impl Default for SlotQueue {
    fn default() -> Self {
        Self { waiting: AtomicUsize::default(), turn: Semaphore::new(1), freed: Notify::new() }
    }
}

impl SlotQueue {
    /// Waits until `take` succeeds. It returns `None` while there is no slot, and an error when
    /// there will be none.
    pub(super) async fn admit<T>(
        &self,
        limits: QueueLimits,
        mut take: impl FnMut() -> Result<Option<T>, OriginError>,
    ) -> Result<T, OriginError> {
        if self.queued() == 0
            && let Some(taken) = take()?
        {
            return Ok(taken);
        }
        let place = Queued::enter(&self.waiting);
        if place.position > limits.requests_max {
            return Err(OriginError::Busy);
        }
        let wait = async {
            let _turn = self.turn.acquire().await.map_err(|_never_closed| OriginError::Busy)?;
            loop {
                // A slot that is freed from here on wakes it.
                let freed = self.freed.notified();
                if let Some(taken) = take()? {
                    return Ok(taken);
                }
                // A server that becomes usable again wakes nobody.
                drop(timeout(LOOK_AGAIN, freed).await);
            }
        };
        timeout(limits.wait_max, wait).await.unwrap_or(Err(OriginError::Busy))
    }

    pub(super) fn queued(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

struct Queued<'a> {
    queued: &'a AtomicUsize,
    position: usize,
}

impl<'a> Queued<'a> {
    fn enter(queued: &'a AtomicUsize) -> Self {
        Self { queued, position: queued.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::*;

    type Taken = JoinHandle<Result<RequestSlot, OriginError>>;

    #[derive(Clone, Debug, Default)]
    struct Server {
        load: Arc<ServerLoad>,
        queue: Arc<SlotQueue>,
    }

    impl Server {
        fn take(&self) -> Option<RequestSlot> {
            RequestSlot::take(&self.load, 1, &self.queue)
        }

        /// Begins to wait, behind those who wait already.
        async fn wait(&self) -> Taken {
            let server = self.clone();
            let limits = QueueLimits { requests_max: 3, wait_max: Duration::from_secs(2) };
            let (begun, has_begun) = oneshot::channel();
            let wait = tokio::spawn(async move {
                begun.send(()).unwrap();
                server.queue.admit(limits, || Ok(server.take())).await
            });
            has_begun.await.unwrap();
            wait
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_came_first_goes_first_and_nobody_passes_by() {
        let server = Server::default();
        let held = server.take().unwrap();
        let [first, second] = [server.wait().await, server.wait().await];
        drop(held);
        let third = server.wait().await;
        let slot = first.await.unwrap().unwrap();
        assert!(!second.is_finished() && !third.is_finished());
        drop(slot);
        drop(second.await.unwrap().unwrap());
        drop(third.await.unwrap().unwrap());
        assert_eq!((server.load.in_flight(), server.queue.queued()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_frees_the_place_in_the_queue() {
        let server = Server::default();
        let held = server.take().unwrap();
        let waiting = [server.wait().await, server.wait().await, server.wait().await];
        assert!(matches!(server.wait().await.await.unwrap(), Err(OriginError::Busy)), "it is full");
        for one in &waiting[..2] {
            one.abort();
        }
        while server.queue.queued() > 1 {
            tokio::task::yield_now().await;
        }
        let last = server.wait().await;
        drop(held);
        let [_, _, third] = waiting;
        drop(third.await.unwrap().unwrap());
        drop(last.await.unwrap().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_allowed() {
        let server = Server::default();
        let _held = server.take().unwrap();
        let start = tokio::time::Instant::now();
        let waited = server.wait().await.await.unwrap();
        assert!(matches!(waited, Err(OriginError::Busy)));
        assert_eq!(start.elapsed().as_millis(), 2000);
        assert_eq!(server.queue.queued(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_nobody_tells_of_is_found() {
        let server = Server::default();
        assert!(server.load.begin(1));
        let waiting = server.wait().await;
        server.load.end();
        assert!(waiting.await.unwrap().is_ok());
    }
}
