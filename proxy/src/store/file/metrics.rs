//! What happened in the file store.

use std::sync::atomic::{AtomicU64, Ordering};

use process::metrics::Counter;

/// Counters of the file store.
#[derive(Debug, Default)]
pub(super) struct FileMetrics {
    /// Bytes of responses that were written for the first time.
    pub(super) written: Counter,
    /// Bytes that were written again, so that they stay.
    pub(super) rewritten: Counter,
    /// Responses that were not written: the queue was full, there was no free segment, or the device failed.
    pub(super) dropped: Counter,
    /// Records whose checksum was wrong.
    pub(super) corrupt: Counter,
    /// Writes that the device refused.
    pub(super) io_errors: Counter,
    /// Records that were read from the file.
    pub(super) recalls: Counter,
    /// Of these, from the system's cache and without changing threads.
    pub(super) recalls_at_once: Counter,
    /// Of these, into memory.
    pub(super) promoted: Counter,
    /// Look-ups that were answered as misses because too many reads were waiting.
    pub(super) recalls_refused: Counter,
    /// Windows that were sent from the map.
    pub(super) mapped: Counter,
    /// Segments that were made free again.
    pub(super) reclaimed: Counter,
    /// Segments that were spared because they were read.
    pub(super) spared: Counter,
    /// Readers that lost their hold on segments.
    pub(super) revoked: Counter,
    /// Responses that a purge by tag, host or prefix has hit in the file, and the sweeper has taken out.
    pub(super) swept: Counter,
    /// Segments that the sweeper had to look into.
    pub(super) postings_read: Counter,
    /// Purges that the sweeper does not look for: too many were waiting, or the prefix ends before its first directory.
    pub(super) sweeps_refused: Counter,
    /// How long the recovery took, in milliseconds.
    pub(super) recovery_millis: AtomicU64,
    /// Responses that were found at the recovery.
    pub(super) recovered: AtomicU64,
}

/// What the file is used for, until the next start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    /// For reading and writing.
    #[default]
    Full,
    /// For reading: writes have failed.
    ReadOnly,
    /// For nothing: a read has failed, or the file was cut short.
    Out,
}

/// The file store in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileUsage {
    /// Responses in the file.
    pub objects: u64,
    /// Bytes of the file that hold what is live.
    pub live_bytes: u64,
    /// Bytes that hold what was replaced or removed, and what is left over at the end of segments.
    pub dead_bytes: u64,
    /// Bytes in free segments.
    pub free_bytes: u64,
    /// Bytes of all segments.
    pub capacity: u64,
    /// Bytes that the index takes in memory.
    pub index_bytes: u64,
    /// Bytes that say in memory which tags the segments may hold.
    pub filter_bytes: u64,
    /// Segments: free, being written, complete, waiting for their readers.
    pub segments: [u64; 4],
    /// Bytes written for the first time.
    pub written: u64,
    /// Bytes written again.
    pub rewritten: u64,
    /// Responses that were not written.
    pub dropped: u64,
    /// Records whose checksum was wrong.
    pub corrupt: u64,
    /// Writes that the device refused, and the fault that has ended the trust in the file.
    pub io_errors: u64,
    /// Records that were read from the file, and how many of these at once.
    pub recalls: [u64; 2],
    /// Records that were read and entered memory.
    pub promoted: u64,
    /// Look-ups that too many waiting reads have turned into misses.
    pub recalls_refused: u64,
    /// Windows that were sent from the map.
    pub mapped: u64,
    /// Responses that were purged by tag, host or prefix while they were in the file only, and taken out; segments looked into
    /// for that.
    pub swept: [u64; 2],
    /// Purges that nobody looks for in the file.
    pub sweeps_refused: u64,
    /// Segments that were made free again, and that were spared.
    pub reclaimed: [u64; 2],
    /// How long the recovery took, in milliseconds, and what it found.
    pub recovery: [u64; 2],
    /// Whether the recovery is going on.
    pub is_loading: bool,
    /// Whether an earlier process still reads the file: nothing is written to it.
    pub is_shared: bool,
    /// What the file is used for.
    pub service: Service,
    /// Times that the journal was synced.
    pub journal_syncs: u64,
}

impl FileMetrics {
    pub(super) fn note_recovery(&self, millis: u64, objects: u64) {
        self.recovery_millis.store(millis, Ordering::Relaxed);
        self.recovered.store(objects, Ordering::Relaxed);
    }
}
