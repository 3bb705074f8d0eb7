//! The journal: what a store keeps durable beside its responses, before it is acknowledged. The memory engine keeps nothing.

use purge_protocol::log::Position;

/// What happened, in the order in which it is to be replayed.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Every purge of this partition below this offset has been applied.
    Position(Position),
    /// Whatever was born before this purge sequence is to be validated before it is used: a purge of it may have been missed.
    /// Responses that were in flight are stored after this entry, and meant as well.
    Unproven {
        /// The first sequence that is proven.
        until: u64,
    },
    /// Responses with this selector that report a lower revision than this are not kept.
    Revision {
        /// The tag or host, in the form `tag:x`, `host:x`.
        selector: String,
        /// The lowest revision.
        revision: u64,
    },
}

/// Why something may not be durable. The caller does not acknowledge it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The device failed: purges are in force, but may be lost at a restart.
    #[error("the purge is in force, but not durable: {0}")]
    Device(String),
}

/// Receives what is to be durable.
#[derive(Debug, Default)]
pub struct Journal;

impl Journal {
    /// Adds an entry. It is durable when a later [`Self::settled`] returns.
    pub fn append(&self, _entry: Entry) {}

    /// Returns when everything that was appended before is durable.
    #[expect(clippy::unused_async, reason = "the file engine waits for its device here")]
    pub async fn settled(&self) -> Result<(), JournalError> {
        Ok(())
    }

    /// The positions that were recovered with the store.
    pub const fn positions(&self) -> Vec<Position> {
        Vec::new()
    }
}
