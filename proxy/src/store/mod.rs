//! Stores: they keep complete responses and decide which stay. They know keys and bytes, nothing of
//! methods or time.
//!
//! Engines implement [`Store`]; `contract.rs` is the test suite that every engine passes. A writer
//! that is dropped before [`EntryWriter::commit`] leaves nothing behind.

pub mod body;
pub mod cold;
pub mod crowded_urls;
pub mod fields;
pub mod stored;
pub mod selection;
pub mod journal;
pub mod memory;
pub(crate) mod metrics;
pub mod file;
#[cfg(test)]
pub(crate) mod contract;

use std::sync::Arc;

use bytes::Bytes;

pub use self::body::{Body, CopyMode};
pub use self::cold::{ColdTier, Promote};
pub use self::fields::{Fields, Show};
pub use self::stored::{Content, NewEntry, Stored, StoredResponse};

use self::crowded_urls::CrowdedUrl;
use crate::key::Key;

pub trait Store: Send + Sync + std::fmt::Debug {
    /// Returns the newest stored response under this key that `selects` accepts (its variant
    /// matches the request).
    fn lookup(&self, key: &Key, selects: &dyn Fn(&Stored) -> bool) -> Option<Arc<Stored>>;

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

    /// Returns how much is stored, and how much has left.
    fn usage(&self) -> Usage;

    /// Returns the tier whose responses [`Self::lookup`] does not see, if there is one.
    fn cold(&self) -> Option<&dyn ColdTier>;
}

pub trait EntryWriter: Send {
    /// Adds a piece. An error means that the response cannot be stored; the writer takes no more.
    fn append(&mut self, piece: Bytes) -> Result<(), StoreError>;

    /// Stores the response with this body, in the place of the one with the same key and variant.
    fn commit(self: Box<Self>, draft: NewEntry) -> Result<Arc<Stored>, StoreError>;
}

/// The reason that a response was not stored. The caller counts it and serves the client all the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("larger than the largest object that is stored")]
    TooLarge,
    /// Too much waits to be written, or there is no space.
    #[error("the store cannot take it now")]
    Busy,
    /// The stored response in its place was fetched later.
    #[error("a newer response is stored")]
    Outdated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    Size,
    /// It was of no more use.
    Expired,
    Purged,
    Replaced,
    Variants,
}

impl Removal {
    /// All reasons, in the order of [`Usage::removals`].
    pub const ALL: [Self; 5] =
        [Self::Size, Self::Expired, Self::Purged, Self::Replaced, Self::Variants];

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

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Stored responses, uncacheable markers not counted.
    pub objects: u64,
    /// Bytes that they occupy with everything that belongs to them.
    pub bytes: u64,
    /// Bytes that they may occupy, with the gaps between them: the memory engine fills four fifths.
    pub capacity: u64,
    pub inserts: u64,
    /// Responses removed since the start, by reason: in the order of [`Removal::ALL`].
    pub removals: [u64; Removal::ALL.len()],
    /// The URLs that have more variants than are stored.
    pub crowded: Vec<CrowdedUrl>,
}
