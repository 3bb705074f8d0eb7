//! Stores: who keeps complete responses and decides which stay. They know keys and bytes, nothing of methods or time.
//!
//! Engines implement [`Store`]; `contract.rs` is the test suite that every engine passes. A writer that is dropped before
//! [`EntryWriter::commit`] leaves nothing behind.

pub mod fields;
pub mod stored;
pub mod selection;
pub mod journal;
pub mod memory;
pub(crate) mod metrics;
pub mod file;
#[cfg(test)]
pub(crate) mod contract;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use purge_protocol::PurgeMode;

pub use self::fields::{Fields, Show};
pub use self::file::FileUsage;
pub use self::stored::{Body, Content, NewEntry, Stored, StoredResponse};

use crate::invalidation::{PurgeMark, Sequence};
use crate::key::Key;

/// An engine that keeps stored responses.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Returns the newest stored response under this key that `selects` accepts (its variant matches the request).
    fn lookup(&self, key: &Key, selects: &dyn Fn(&Stored) -> bool) -> Option<Arc<Stored>>;

    /// Returns whether more is stored under this key than [`Self::lookup`] sees: it has to be recalled first.
    fn is_dormant(&self, _key_hash: u64) -> bool {
        false
    }

    /// Brings what is stored under this key where [`Self::lookup`] sees it, if it was not purged meanwhile. What does not stay
    /// there is returned, for this one use.
    fn recall<'a>(&'a self, _key: &'a Key, _stay: Promote) -> Recall<'a> {
        Box::pin(std::future::ready(Vec::new()))
    }

    /// Purges what [`Self::lookup`] does not see and was fetched before: everything under these hashes of keys, or all there is.
    /// Returns how many responses that were. What is purged softly stays where it is.
    fn purge_dormant(&self, _hashes: Option<&[u64]>, _mode: PurgeMode, _before: Sequence) -> u64 {
        0
    }

    /// Has what these marks have hit, and [`Self::lookup`] does not see, taken out in the background, as far as it was fetched
    /// before that hard purge. A promise about space only: none of it is brought back anyway.
    fn seek_purged(&self, _marks: &[PurgeMark], _before: Sequence) {}

    /// Takes out what nobody can use any more and [`Self::lookup`] does not see.
    fn sweep_dormant(&self) {}

    /// How much is in the file, where there is one.
    fn file_usage(&self) -> Option<FileUsage> {
        None
    }

    /// Returns whether everything that was stored is where it belongs.
    fn is_quiet(&self) -> bool {
        true
    }

    /// Makes everything durable; nothing is stored any more.
    fn close(&self) {}

    /// Begins to write the body of a response.
    fn begin(&self) -> Box<dyn EntryWriter>;

    /// Stores a response with the body of this one and another head, in its place.
    fn freshen(&self, old: &Arc<Stored>, draft: NewEntry) -> Result<Arc<Stored>, StoreError>;

    /// Notes that a stored response was used, so that it stays.
    fn touch(&self, stored: &Arc<Stored>);

    /// Takes this stored response out, if it is still there, and says whether it was.
    fn remove(&self, stored: &Arc<Stored>, reason: Removal) -> bool;

    /// Returns all stored responses whose key has this hash.
    fn by_hash(&self, key_hash: u64) -> Vec<Arc<Stored>>;

    /// Shows every stored response once, a shard at a time; what changes meanwhile may be missed.
    fn visit(&self, visitor: &mut dyn FnMut(&Arc<Stored>));

    /// How much is stored.
    fn usage(&self) -> Usage;

    /// Bytes of bodies that left the store, or were recalled for one use, and are in memory while somebody reads them.
    fn pinned_bytes(&self) -> u64 {
        0
    }

    /// How many were removed, by reason.
    fn removals(&self) -> [u64; Removal::ALL.len()];
}

/// Whether what is recalled stays where [`Store::lookup`] sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promote {
    /// If it is worth its place there.
    IfHot,
    /// In any case: it is about to be replaced, removed or validated.
    Always,
}

/// The time that it takes to bring something back.
pub type Recall<'a> = Pin<Box<dyn Future<Output = Vec<Arc<Stored>>> + Send + 'a>>;

/// Receives one body. Dropping it means nothing happened.
pub trait EntryWriter: Send {
    /// Adds a piece. An error means that the response cannot be stored; the writer takes no more.
    fn append(&mut self, piece: Bytes) -> Result<(), StoreError>;

    /// Stores the response with this body, in the place of the one with the same key and variant.
    fn commit(self: Box<Self>, draft: NewEntry) -> Result<Arc<Stored>, StoreError>;
}

/// Why a response was not stored. The caller counts it and serves the client all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It is larger than one object may be.
    #[error("larger than the largest object that is stored")]
    TooLarge,
    /// Too much waits to be written, or there is no space.
    #[error("the store cannot take it now")]
    Busy,
    /// What is stored in its place was fetched later.
    #[error("a newer response is stored")]
    Outdated,
}

/// Why a stored response left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Others needed the space.
    Size,
    /// It was of no more use.
    Expired,
    /// It was purged.
    Purged,
    /// A newer response took its place.
    Replaced,
    /// Its URL had too many variants.
    Variants,
}

impl Removal {
    /// All reasons, in the order of [`Store::removals`].
    pub const ALL: [Self; 5] =
        [Self::Size, Self::Expired, Self::Purged, Self::Replaced, Self::Variants];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Expired => "expired",
            Self::Purged => "purged",
            Self::Replaced => "replaced",
            Self::Variants => "variants",
        }
    }
}

/// How much an engine holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Stored responses, uncacheable markers not counted.
    pub objects: u64,
    /// Bytes that they occupy with everything that belongs to them.
    pub bytes: u64,
    /// Bytes that they may occupy, with the gaps between them: the memory engine fills four fifths.
    pub capacity: u64,
    /// Responses stored since the start.
    pub inserts: u64,
}
