//! `ListenerHandle`: one listener, as its accept loops and its connections share it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::client::peer::ListenerId;

/// Clones are of the same listener.
#[derive(Clone, Debug)]
pub struct ListenerHandle {
    pub id: ListenerId,
    connections: Arc<AtomicUsize>,
}

/// Counts as a connection of a listener until it is dropped.
#[derive(Debug)]
pub struct CountedConnection(Arc<AtomicUsize>);

impl ListenerHandle {
    pub fn new(id: ListenerId) -> Self {
        Self { id, connections: Arc::default() }
    }

    pub(in crate::listener) fn count(&self) -> CountedConnection {
        self.connections.fetch_add(1, Ordering::AcqRel);
        CountedConnection(Arc::clone(&self.connections))
    }

    /// Returns how many connections it has, and accept loops that have not ended.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
