//! The file store: a log of segments in one preallocated file that survives the process, behind the memory engine.
//!
//! ```text
//!   commit ─► memory (at once) ─► queue ─► scribe ─► segment ─► index: where it is, 32 bytes
//!   miss in memory ─► index ─► record, verified ─► what was purged since? ─► memory ─► hit
//!   purge ─► marks, archive ─► journal, synced ─► acknowledged
//! ```
//!
//! A segment is filled from its beginning to its end and given away as a whole: there are no holes, nothing to compact, and no
//! space that cannot be found again. `format` is the format of the file, `purge_log` that of the journal.
//!
//! Who does what: any thread may look up and read; only the `scribe` writes `store.dat`; only the `keeper` writes `store.log`.

pub mod inspect;
mod arrival;
mod clocks;
mod cursor;
mod disk;
mod engine;
mod extent;
mod filter;
mod footer;
mod format;
mod head;
mod index;
pub(super) mod keeper;
mod lock;
mod map;
mod metrics;
mod open;
mod postings;
mod promotion;
mod purge_log;
mod recall;
mod reclaim;
mod recovery;
mod residence;
mod scribe;
mod segment;
mod superblock;
mod sweeper;
mod sync;
mod tiered;
mod times;
mod trust;
mod volume;
mod word;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;

pub use self::extent::{Chunk, FileBody, Reading, Supply};
pub use self::metrics::{FileUsage, Service};
pub use self::open::{FileLimits, OpenError};
pub use self::tiered::{OpenedStore, TieredStore, Tiering};
pub use self::volume::ReadError;

/// Reads bytes as whatever the store reads from its files: for a fuzzer. Once as they are, and once with the checksums that a
/// fuzzer does not guess.
pub fn read_any(bytes: &[u8]) {
    head::read_any(bytes);
    format::read_any(bytes);
    footer::read_any(bytes);
    superblock::read_any(bytes);
    purge_log::read_any(bytes);
    recovery::read_any(bytes);
}
