//! Counters and sizes of the file store.

use std::sync::atomic::{AtomicU64, Ordering};

use process::metrics::Counter;

#[derive(Debug, Default)]
pub(crate) struct FileMetrics {
    /// Bytes of responses that were written for the first time.
    pub(crate) written: Counter,
    /// Bytes that were written again, so that they stay.
    pub(crate) rewritten: Counter,
    /// Responses that were not written: the queue was full, there was no free segment, or the
    /// device failed.
    pub(crate) dropped: Counter,
    pub(crate) corrupt: Counter,
    pub(crate) io_errors: Counter,
    pub(crate) loads: Counter,
    /// Of these, from the system's cache and without changing threads.
    pub(crate) loads_at_once: Counter,
    pub(crate) promoted: Counter,
    /// Look-ups that were answered as misses because too many reads were waiting.
    pub(crate) loads_refused: Counter,
    pub(crate) mapped: Counter,
    pub(crate) reclaimed: Counter,
    /// Segments that were kept because they were read.
    pub(crate) kept: Counter,
    pub(crate) revoked: Counter,
    /// Responses that a purge by tag, host or prefix has hit in the file, and the sweeper has taken
    /// out.
    pub(crate) swept: Counter,
    pub(crate) postings_read: Counter,
    /// Purges that the sweeper does not look for: too many were waiting, or the prefix ends before
    /// its first directory.
    pub(crate) sweeps_refused: Counter,
    pub(crate) recovery_millis: AtomicU64,
    pub(crate) recovered: AtomicU64,
}

/// The use of the file, until the next start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    #[default]
    Full,
    ReadOnly,
    /// For nothing: a read has failed, or the file was cut short.
    Out,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileUsage {
    pub objects: u64,
    /// Bytes of the file that hold what is live.
    pub live_bytes: u64,
    /// Bytes that hold what was replaced or removed, and what is left over at the end of segments.
    pub dead_bytes: u64,
    pub free_bytes: u64,
    pub capacity: u64,
    pub index_bytes: u64,
    /// Bytes that say in memory which tags the segments may hold.
    pub filter_bytes: u64,
    /// Segments: free, being written, complete, waiting for their readers.
    pub segments: [u64; 4],
    /// Bytes written for the first time.
    pub written: u64,
    /// Bytes written again.
    pub rewritten: u64,
    pub dropped: u64,
    pub corrupt: u64,
    /// Writes that the device refused, and the fault that has ended the trust in the file.
    pub io_errors: u64,
    /// Records that were read from the file, and how many of these at once.
    pub loads: [u64; 2],
    pub promoted: u64,
    /// Look-ups that too many waiting reads have turned into misses.
    pub loads_refused: u64,
    pub mapped: u64,
    /// Responses that were purged by tag, host or prefix while they were in the file only, and
    /// taken out; segments looked into for that.
    pub swept: [u64; 2],
    pub sweeps_refused: u64,
    /// Segments that were made free again, and that were kept.
    pub reclaimed: [u64; 2],
    /// Milliseconds of the recovery, and the responses that it found.
    pub recovery: [u64; 2],
    pub is_loading: bool,
    /// An earlier process still reads the file: nothing is written to it.
    pub is_shared: bool,
    pub service: Service,
    pub journal_syncs: u64,
}

impl FileMetrics {
    pub(crate) fn note_recovery(&self, millis: u64, objects: u64) {
        self.recovery_millis.store(millis, Ordering::Relaxed);
        self.recovered.store(objects, Ordering::Relaxed);
    }
}
