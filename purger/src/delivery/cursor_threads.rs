//! `CursorThreads`: the threads in which cursors read, a few at once.

use std::sync::Arc;

use parking_lot::Mutex;
use process::recurring::Recurring;
use process::threads;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

#[derive(Debug)]
pub struct CursorThreads {
    /// Cursors open at once.
    permits: Arc<Semaphore>,
    stack_bytes: usize,
    trouble: Mutex<Recurring>,
}

impl CursorThreads {
    pub fn new(max: usize) -> Self {
        Self::with_stacks(max, threads::STACK_BYTES)
    }

    fn with_stacks(max: usize, stack_bytes: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(max)), stack_bytes, trouble: Mutex::default() }
    }

    /// Waits until a cursor may be opened. Nobody keeps a permit through a pause.
    pub async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// Starts a thread that ends with its cursor, and returns whether the system had one; if not,
    /// the log says what to do. The runtime's threads live on, and the allocator keeps for each of
    /// them what folds took.
    pub fn start(&self, body: impl FnOnce() + Send + 'static) -> bool {
        let started = threads::start_with_stack("cursor", self.stack_bytes, body);
        let mut trouble = self.trouble.lock();
        match started {
            Ok(()) => {
                if let Some(failures) = trouble.recover() {
                    tracing::info!(failures, "there are threads for cursors again");
                }
                true
            }
            Err(error) => {
                if let Some(failures) = trouble.fail(Instant::now()) {
                    tracing::error!(
                        failures,
                        "proxies wait for what they missed, until it is tried again: {error}"
                    );
                }
                false
            }
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    impl CursorThreads {
        /// No system has threads with such stacks.
        pub(in crate::delivery) fn without_any(max: usize) -> Self {
            Self::with_stacks(max, 1 << 60)
        }
    }
}
