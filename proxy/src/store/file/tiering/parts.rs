//! `TierParts`: the memory and the file of a tiered store, and the changes that concern both.
//!
//! The lock of a key's shard of the index orders everything that happens to the responses of that
//! key.

use super::memory_age::MemoryAge;
use super::promotion::Promotion;
use crate::invalidation::{Invalidation, Sequence};
use crate::store::file::read::file_body::FileBody;
use crate::store::file::volume::Volume;
use crate::store::file::volume::index::{IndexEntry, Locked};
use crate::store::file::write::queue::{HEAD_BYTES, Job, Reserved};
use crate::store::file::write::threads::FileEngine;
use crate::store::file::write::writer::variant_of;
use crate::store::memory::{Arrival, MemoryStore};
use crate::store::{Body, Content, NewEntry, Removal, Store as _, StoreError, Stored};
use process::clock::Clock;
use purge_protocol::PurgeMode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Semaphore;

#[derive(Debug)]
pub(crate) struct TierParts {
    pub(crate) memory: MemoryStore,
    pub(crate) engine: FileEngine,
    pub(crate) invalidation: Arc<Invalidation>,
    pub(super) clock: Clock,
    /// Times that the wall clock had been set when memory was looked through for that.
    pub(super) judged_turns: AtomicU64,
    pub(crate) rules: TieringRules,
    /// Reads that may wait for the device at once.
    pub(crate) reads: Arc<Semaphore>,
    pub(crate) promotion: Promotion,
    pub(super) memory_age: Arc<MemoryAge>,
    /// Locks by key, so that a crowd that waits for the device reads once.
    pub(crate) turns: Box<[Turn]>,
}

/// The right to read what is under some keys.
pub(crate) type Turn = tokio::sync::Mutex<()>;

/// The rules by which responses are written to the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TieringRules {
    pub(crate) object_bytes_max: u64,
    pub(super) variants_max: usize,
    /// Milliseconds: responses that are useless sooner are written only if memory would evict them
    /// before.
    pub(super) short_life_millis: u64,
}

impl TierParts {
    pub(crate) fn volume(&self) -> &Arc<Volume> {
        &self.engine.volume
    }

    /// Returns whether a response is worth a place in the file.
    fn is_lasting(&self, draft: &NewEntry) -> bool {
        let Content::Response(response) = &draft.content else { return false };
        let until = response.freshness.useless_after();
        let life = until.as_millis().saturating_sub(self.clock.now().as_millis());
        life >= self.rules.short_life_millis || !self.memory_age.covers(life)
    }

    /// Takes room in the queue for a response of this length, if it is to be in the file, and there
    /// is.
    pub(crate) fn room_for(&self, draft: &NewEntry, body_bytes: u64) -> Option<Reserved> {
        self.is_lasting(draft).then(|| self.engine.reserve(body_bytes + HEAD_BYTES)).flatten()
    }

    /// Stores a response: in memory, and on its way into the file where it was given room in the
    /// queue.
    pub(crate) fn put(
        &self,
        draft: NewEntry,
        body: Body,
        reserved: Option<Reserved>,
        successor: Option<&Stored>,
    ) -> Result<Arc<Stored>, StoreError> {
        let mut stored = Stored::new(draft, body, self.memory.now_secs());
        let volume = self.volume();
        let (hash, variant) = (stored.key.hash(), variant_of(&stored));
        if reserved.is_none() {
            volume.supersede(hash, variant);
        }
        let (stored, displaced) = {
            let mut locked = volume.index.lock(hash);
            if is_outdated(volume, &locked, &stored, variant) {
                return Err(StoreError::Outdated);
            }
            if reserved.is_some() {
                stored.version = volume.next_version();
                while locked.find(stored.short_version()).is_some() {
                    stored.version = volume.next_version();
                }
            }
            let stored = Arc::new(stored);
            if reserved.is_some() {
                volume.pending.lock().insert(stored.short_version(), Arc::clone(&stored));
                let mut entry = IndexEntry::pending(hash, stored.short_version(), variant);
                entry.born = volume.short_born(stored.provenance.born().number());
                locked.insert(entry);
            }
            let displaced = self.memory.enter(&stored, Arrival::Stored);
            for old in displaced.iter().filter(|old| old.version != 0) {
                if let Some(entry) = locked.remove(old.short_version()) {
                    self.retire(&entry, Some(old), successor);
                }
            }
            self.displace_cold(&mut locked, &stored, variant, successor);
            (stored, displaced)
        };
        self.memory.accommodate(&stored, &displaced);
        if let Some(reserved) = reserved
            && let Err(job) = self.engine.submit(Job::Store(Arc::clone(&stored), reserved))
        {
            drop(job);
            self.keep_in_memory_only(&stored);
        }
        Ok(stored)
    }

    /// Takes out what the newcomer replaces in the file, and the oldest variants where there are
    /// too many.
    fn displace_cold(
        &self,
        locked: &mut Locked<'_>,
        stored: &Stored,
        variant: u32,
        successor: Option<&Stored>,
    ) {
        let volume = self.volume();
        let cold =
            |locked: &Locked<'_>, is_meant: &dyn Fn(&IndexEntry) -> bool| -> Vec<IndexEntry> {
                let meant = locked.iter().filter(|it| !it.is_in_memory() && is_meant(it));
                meant.copied().collect()
            };
        let mut gone = Vec::new();
        for entry in cold(locked, &|it| it.variant == variant) {
            gone.push((entry, Removal::Replaced));
        }
        let variants = locked.iter().filter(|it| it.variant != 0).count();
        let excess = variants.saturating_sub(gone.len()).saturating_sub(self.rules.variants_max);
        if stored.variant.is_some() && excess > 0 {
            let mut others = cold(locked, &|it| it.variant != 0 && it.variant != variant);
            others.sort_unstable_by_key(|it| it.version);
            gone.extend(others.into_iter().take(excess).map(|entry| (entry, Removal::Variants)));
        }
        for (entry, reason) in gone {
            if locked.remove(entry.version).is_some() {
                // Memory may have evicted what is being freshened: its body goes on being used.
                let inherited =
                    successor.filter(|it| it.version != 0 && it.short_version() == entry.version);
                self.retire(&entry, inherited, successor);
                volume.index.count_removal(reason);
                if reason == Removal::Variants {
                    self.memory.crowded_urls().count(&stored.key);
                }
            }
        }
    }

    /// Notes that the response of this entry is dead. `stored`: the response, if it is in memory;
    /// `successor`: the response that goes on using its body. The caller holds the lock of the
    /// shard, so that the segment is not given away meanwhile.
    pub(crate) fn retire(
        &self,
        entry: &IndexEntry,
        stored: Option<&Stored>,
        successor: Option<&Stored>,
    ) {
        let is_inherited = successor
            .zip(stored)
            .is_some_and(|(successor, stored)| std::ptr::eq(successor, stored));
        let pending = self.volume().retire(entry);
        if is_inherited {
            return;
        }
        // If these cannot be queued, the bytes are counted as live until their segment's turn.
        let pending = pending.iter().find_map(|it| it.response());
        if let Some(body) = pending.and_then(|it| FileBody::in_body(&it.body)) {
            drop(self.engine.submit(Job::Abandon(body.extents()))); // its head was not written yet
        } else if entry.place().is_some_and(|place| place.is_large) {
            drop(self.engine.submit(Job::SubLive(*entry)));
        }
    }

    /// Keeps a response that could not be queued for the file in memory only.
    fn keep_in_memory_only(&self, stored: &Stored) {
        let volume = self.volume();
        let mut locked = volume.index.lock(stored.key.hash());
        volume.pending.lock().remove(&stored.short_version());
        if locked.remove(stored.short_version()).is_some_and(|entry| !entry.is_in_memory()) {
            volume.index.count_removal(Removal::Size);
        }
    }

    /// Removes from memory the responses of earlier processes after the wall clock was set: their
    /// age is another one than assumed, and is found when they come back.
    pub(super) fn judge_anew(&self) {
        let volume = self.volume();
        let turns = volume.times.turns();
        if self.judged_turns.swap(turns, Ordering::Relaxed) == turns {
            return;
        }
        self.memory.visit(&mut |stored| {
            if volume.times.is_of_earlier(stored.version) {
                self.memory.evict(stored);
            }
        });
    }

    pub(super) fn remove(
        &self,
        stored: &Arc<Stored>,
        reason: Removal,
        successor: Option<&Stored>,
    ) -> bool {
        let volume = self.volume();
        let hash = stored.key.hash();
        volume.supersede(hash, variant_of(stored));
        let mut taken = Vec::new();
        let is_removed = {
            let mut locked = volume.index.lock(hash);
            if self.memory.take(stored, reason) {
                taken.push(Arc::clone(stored));
            }
            let entry =
                if stored.version == 0 { None } else { locked.remove(stored.short_version()) };
            if let Some(entry) = &entry {
                self.retire(entry, Some(stored), successor);
                // It may have been evicted and recalled since: then another of the same version is
                // in memory.
                let again =
                    self.memory.by_hash(hash).into_iter().filter(|it| it.version == stored.version);
                taken.extend(again.filter(|it| self.memory.take(it, reason)));
                if taken.is_empty() {
                    volume.index.count_removal(reason);
                }
            }
            entry.is_some() || !taken.is_empty()
        };
        for it in &taken {
            self.memory.dismiss(it);
        }
        is_removed
    }

    pub(super) fn purge_cold(&self, key_hash: u64, mode: PurgeMode, before: Sequence) -> u64 {
        let volume = self.volume();
        let before = volume.short_born(before.number());
        let mut locked = volume.index.lock(key_hash);
        let is_usable = volume.disk.is_usable();
        let is_meant = |it: &&IndexEntry| is_usable && !it.is_in_memory() && it.born < before;
        let cold: Vec<IndexEntry> = locked.iter().filter(is_meant).copied().collect();
        if mode == PurgeMode::Hard {
            for entry in cold.iter().filter_map(|entry| locked.remove(entry.version)) {
                self.retire(&entry, None, None);
                volume.index.count_removal(Removal::Purged);
            }
        }
        cold.len() as u64
    }
}

/// Returns whether something was stored in its place that was fetched after a later purge.
fn is_outdated(volume: &Volume, locked: &Locked<'_>, stored: &Stored, variant: u32) -> bool {
    let born = volume.short_born(stored.provenance.born().number());
    locked.iter().any(|it| it.variant == variant && !it.is_in_memory() && it.born > born)
}
