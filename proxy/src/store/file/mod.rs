//! The file store: a log of segments in one preallocated file that survives the process, behind the memory engine.
//!
//! ```text
//!   commit ─► memory (at once) ─► queue ─► writer ─► segment ─► index: where it is, 32 bytes
//!   miss in memory ─► index ─► record, verified ─► what was purged since? ─► memory ─► hit
//!   purge ─► marks, past purges ─► journal, synced ─► acknowledged
//! ```
//!
//! A segment is filled from its beginning to its end and given away as a whole: there are no holes, nothing to compact, and no
//! space that cannot be found again. `format/record` is the format of the file, `format/journal` that of the journal.
//!
//! Who does what: any thread may look up and read; only `write/writer` writes `store.dat`; only `volume/journal_writer` writes `store.log`.

mod error;
mod device;
mod format;
mod volume;
mod read;
mod write;
mod tiering;
pub mod inspect;
#[cfg(test)]
mod tests;

pub use self::error::OpenError;
pub use self::tiering::{OpenedStore, TieredStore, Tiering};
pub use self::volume::metrics::{FileUsage, Service};
pub use self::volume::open::FileLimits;

/// Reads bytes as whatever the store reads from its files: for a fuzzer. Once as they are, and once with the checksums that a
/// fuzzer does not guess.
pub fn read_any(bytes: &[u8]) {
    format::head::read_any(bytes);
    format::record::read_any(bytes);
    format::footer::read_any(bytes);
    format::superblock::read_any(bytes);
    format::journal::read_any(bytes);
    write::recovery::read_any(bytes);
}
