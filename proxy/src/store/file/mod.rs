//! The file store: a log of segments in one preallocated file that survives the process, behind the
//! memory engine.
//!
//! ```text
//!   commit ─► memory (at once) ─► queue ─► writer ─► segment ─► index: the place, 32 bytes
//!   miss in memory ─► index ─► record, verified ─► purged since? ─► memory ─► hit
//!   purge ─► marks, past purges ─► journal, synced ─► acknowledged
//! ```
//!
//! Rooms, each using only those before it: `device` (disk, map, lock), `format` (the bytes of both
//! files), `volume` (an open store: index, segments, journal), `read`, `write`, `tiering` (memory
//! before the file). `format/record` draws `store.dat`, `format/journal` draws `store.log`.
//!
//! # Writing and reading
//!
//! - A response enters memory first and is written in the background. If the queue is full, it
//!   stays in memory only. Any thread may look up and read; only `write/writer` writes `store.dat`,
//!   and only `volume/journal_writer` writes `store.log`.
//! - A look-up sees memory only. On a miss, the index tells whether the key has cold responses; the
//!   request waits while they are loaded, on a thread that may block. They enter memory while it
//!   has room, later only if they are asked for again soon (`tiering/promotion`).
//! - Of bodies over 16 KiB only the head enters memory. Their windows are sent from the map if they
//!   were verified a moment ago and are in the system's cache, else they are read and verified.
//! - Bodies up to 256 KiB stand behind their head in one record. Larger ones are written while they
//!   arrive, in extents, and their head last: the head is the commit.
//! - A segment is filled from its beginning to its end and evicted as a whole, so there are no
//!   holes and nothing to compact. `write/eviction` chooses it: S3-FIFO on segments.
//!
//! # Invariants
//!
//! - The lock of a key's shard of the index orders everything that happens to its responses. It is
//!   taken after the lock of the running fetches and before that of the memory map's shard. A
//!   segment is freed only after that lock was taken for every response in it.
//! - Cold responses hold no tags. A loaded response is compared with all past purges under the lock
//!   of the running fetches, so no purge falls between the comparison and its entry into memory.
//! - A purge is marked, then written, then acknowledged. So a checkpoint, which is made from
//!   memory, misses nothing. Every writing ends with a seal: a damaged frame that was acknowledged
//!   has a sound one behind it, and the store is discarded.
//! - Sequences, versions and incarnations of one opening are above those of all openings before:
//!   the superblock counts openings and is durable first.
//! - The bytes of a segment do not change while a pin is held. When readers hold a twentieth of all
//!   segments, the oldest lose their pins and may break off.
//! - No code of this process loads from the map; only the kernel reads it. A file that was cut
//!   short is therefore an error of `writev` and no signal.
//! - A failed or short read, or another length of the file, ends the trust in it until a restart
//!   (`device/trusted`). The map is withdrawn, so that slow clients are cut off and never sent
//!   zeros.
//! - Hard purges by tag, host and prefix free space: `write/sweeper` finds what they hit by filters
//!   and postings. No answer depends on it, since loaded responses are compared all the same.
//! - Live bytes are exact, also after a restart: footers list the extents of large responses.
//! - Times in the file are of the clock of the opening that wrote them (`format/clocks`). An age
//!   that cannot be known makes a response stale.
//! - One process writes; a process that handed over may still read (`device/lock`). The new one
//!   writes no segment before all earlier readers have ended.
//! - An evicted segment is dead until it is written again: the journal says so before it is free.

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
pub(crate) use self::format::codec::{Cursor, Put};
pub(crate) use self::format::page::{decode as decode_page, encode as encode_page};
pub use self::tiering::{OpenedStore, TieredStore, Tiering};
pub use self::volume::metrics::{FileUsage, Service};
pub use self::volume::open::FileLimits;
pub(crate) use self::volume::open::check;

/// Reads bytes as whatever the store reads from its files: for a fuzzer. Once as they are, and once
/// with the checksums that a fuzzer does not guess.
pub fn read_any(bytes: &[u8]) {
    format::head::read_any(bytes);
    format::record::read_any(bytes);
    format::footer::read_any(bytes);
    format::superblock::read_any(bytes);
    format::journal::read_any(bytes);
    write::recovery::read_any(bytes);
}
