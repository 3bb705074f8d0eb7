//! `Slots`: the exchanges that an origin has at once, and the bounded queue in front of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::error::OriginError;

#[derive(Debug)]
pub(super) struct Slots {
    permits: Arc<Semaphore>,
    permits_max: usize,
    queued: AtomicUsize,
    queue_max: usize,
    queue_timeout: Duration,
}

impl Slots {
    pub(super) fn new(settings: &settings::OriginSettings) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(settings.max_connections)),
            permits_max: settings.max_connections,
            queued: AtomicUsize::new(0),
            queue_max: settings.max_queue,
            queue_timeout: settings.queue_timeout,
        }
    }

    pub(super) async fn admit(&self) -> Result<OwnedSemaphorePermit, OriginError> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let queued = Queued::enter(&self.queued);
        if queued.position > self.queue_max {
            return Err(OriginError::Busy);
        }
        match timeout(self.queue_timeout, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(OriginError::Busy),
        }
    }

    pub(super) fn in_use(&self) -> usize {
        self.permits_max - self.permits.available_permits()
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
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
