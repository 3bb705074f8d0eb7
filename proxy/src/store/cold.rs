//! `ColdTier`: the part of a store whose responses are not in memory, and have to be loaded before
//! a request can be answered from them.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;

use purge_protocol::PurgeMode;

use super::{Store, Stored};
use crate::invalidation::{PurgeMark, Sequence, TagId};
use crate::key::Key;

/// Stored responses that [`Store::lookup`] does not see.
pub trait ColdTier: Send + Sync + std::fmt::Debug {
    /// Returns whether a response is stored under this key that is not in memory.
    fn holds(&self, key_hash: u64) -> bool;

    /// Loads the cold responses of this key into memory, but for those that were purged meanwhile.
    /// Returns those that are not promoted, for this one use.
    fn load<'a>(&'a self, key: &'a Key, promote: Promote) -> Load<'a>;

    /// Reads cold responses from this hash of a key on, in the order of the hashes, for as long as
    /// the visitor wants. Those that cannot carry the tag, and those that were purged, are left
    /// out. None is promoted, or counts as used. Blocks on the device.
    fn walk(
        &self,
        from: u64,
        tag: Option<TagId>,
        visitor: &mut dyn FnMut(&Arc<Stored>) -> ControlFlow<()>,
    );

    /// Purges cold responses that were fetched before: all under these hashes of keys, or all there
    /// are. Returns their number. A soft purge leaves them where they are.
    fn purge(&self, hashes: Option<&[u64]>, mode: PurgeMode, before: Sequence) -> u64;

    /// Removes the cold responses that these marks have hit, in the background, as far as they were
    /// fetched before that hard purge. A promise about space only: none of them is loaded anyway.
    fn sweep_purged(&self, marks: &[PurgeMark], before: Sequence);

    /// Removes the cold responses that no request can use any more.
    fn sweep_useless(&self);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promote {
    /// Not at all: it is only looked at.
    Never,
    /// If it is worth its place there.
    IfHot,
    /// In any case: it is about to be replaced, removed or validated.
    Always,
}

/// Loads the cold responses of this key, if the store has a cold tier.
pub async fn load(store: &dyn Store, key: &Key, promote: Promote) -> Vec<Arc<Stored>> {
    match store.cold() {
        Some(cold) => cold.load(key, promote).await,
        None => Vec::new(),
    }
}

pub type Load<'a> = Pin<Box<dyn Future<Output = Vec<Arc<Stored>>> + Send + 'a>>;
