//! The queue of what is to be written, bounded in bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use crate::store::Stored;
use crate::store::file::read::file_body::Extent;
use crate::store::file::volume::index::IndexEntry;
use crate::store::file::volume::sweep_queue::Sweep;

#[derive(Debug)]
pub(crate) enum Job {
    /// A response, with what it occupies of the queue.
    Store(Arc<Stored>, Reserved),
    /// One extent of a body that is still arriving.
    Extent(Arc<Extent>, Reserved),
    /// The extents of a body that is not stored after all.
    Abandon(Vec<Arc<Extent>>),
    /// A large response that left while it was not in memory: its extents are dead.
    SubLive(IndexEntry),
    /// Purges that may have hit records in the segments that are being filled. The receiver of the
    /// answer waits for that.
    Sweep(Arc<Sweep>, SyncSender<()>),
    Evict,
    /// The segments have been read after the start.
    Ready(Loaded),
}

#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) free: Vec<u32>,
    pub(crate) queues: [VecDeque<u32>; 3],
    pub(crate) took: Duration,
}

/// Bytes of the queue; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    queued: Arc<AtomicU64>,
    bytes: u64,
}

impl Reserved {
    /// Takes so many bytes of a queue, if there are.
    pub(crate) fn take(queued: &Arc<AtomicU64>, bytes: u64) -> Option<Self> {
        let queued = Arc::clone(queued);
        let add = |now: u64| Some(now + bytes).filter(|sum| *sum <= QUEUE_BYTES_MAX);
        queued.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).ok()?;
        Some(Self { queued, bytes })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.queued.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Bytes that may wait to be written: half a second of a slow disk.
pub(crate) const QUEUE_BYTES_MAX: u64 = 64 << 20;
/// Bytes of the queue that are reserved for a head.
pub(crate) const HEAD_BYTES: u64 = 4 << 10;
