//! What `segment_state` is made of, as loom has it.

pub(super) use loom::sync::Arc;
pub(super) use loom::sync::atomic::{AtomicU64, Ordering, fence};

/// A mutex that is locked as `parking_lot`'s is.
#[derive(Debug)]
pub(super) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(super) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(super) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
}
