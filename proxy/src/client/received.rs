//! `Received`: counts the bytes of a request's content, while it is on its way to the origin.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes of content that came with a request. Clones count the same request; the default counts
/// none.
#[derive(Clone, Debug, Default)]
pub struct Received(Option<Arc<AtomicU64>>);

impl Received {
    pub(crate) fn counting() -> Self {
        Self(Some(Arc::default()))
    }

    pub(crate) fn add(&self, bytes: u64) {
        if let Some(count) = &self.0 {
            count.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Returns the bytes that have come by now.
    pub fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |count| count.load(Ordering::Relaxed))
    }
}
