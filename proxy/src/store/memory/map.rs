//! The sharded map that answers lookups: stored responses by the hash of their key, variants side
//! by side.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use hashbrown::HashTable;
use parking_lot::RwLock;

use crate::key::Key;
use crate::store::crowded_urls::CrowdedUrls;
use crate::store::{Content, Removal, Stored};

/// All stored responses of the memory engine, and what they add up to.
#[derive(Debug)]
pub(super) struct ResponseMap {
    shards: Box<[RwLock<HashTable<Arc<Stored>>>]>,
    variants_max: usize,
    objects: AtomicU64,
    bytes: AtomicU64,
    body_bytes: AtomicU64,
    inserts: AtomicU64,
    removals: [AtomicU64; Removal::ALL.len()],
    crowded: CrowdedUrls,
    backing: OnceLock<Arc<dyn Backing>>,
}

pub(in crate::store) trait Backing: Send + Sync + std::fmt::Debug {
    /// Notes that this response leaves memory: calls `remove` with the reason, or without one where
    /// it stays elsewhere, and returns what that returns.
    fn evict(&self, stored: &Stored, remove: &mut dyn FnMut(Option<Removal>) -> bool) -> bool;
}

/// The origin of a response that enters memory: stored now, or recalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Arrival {
    Stored,
    Loaded,
}

impl ResponseMap {
    pub(super) fn new(variants_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            variants_max,
            objects: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            body_bytes: AtomicU64::new(0),
            inserts: AtomicU64::new(0),
            removals: Default::default(),
            crowded: CrowdedUrls::default(),
            backing: OnceLock::new(),
        }
    }

    pub(super) fn back_with(&self, backing: Arc<dyn Backing>) {
        let _first = self.backing.set(backing);
    }

    /// Takes this one out because others need the space.
    pub(super) fn evict(&self, stored: &Arc<Stored>) -> bool {
        match self.backing.get() {
            None => self.remove(stored, Some(Removal::Size)),
            Some(backing) => backing.evict(stored, &mut |reason| self.remove(stored, reason)),
        }
    }

    /// Returns the newest under this key that is accepted. Responses that vary come before markers,
    /// which do not.
    pub(super) fn find(&self, key: &Key, selects: &dyn Fn(&Stored) -> bool) -> Option<Arc<Stored>> {
        let shard = self.shard(key.hash()).read();
        let candidates =
            shard.iter_hash(key.hash()).filter(|stored| stored.key == *key && selects(stored));
        candidates.max_by_key(|stored| received(stored)).map(Arc::clone)
    }

    pub(super) fn by_hash(&self, hash: u64) -> Vec<Arc<Stored>> {
        let shard = self.shard(hash).read();
        shard.iter_hash(hash).filter(|stored| stored.key.hash() == hash).map(Arc::clone).collect()
    }

    /// Puts it in and returns what it displaces: the same variant, and what was not used for the
    /// longest where there are too many.
    pub(super) fn insert(&self, stored: &Arc<Stored>, arrival: Arrival) -> Vec<Arc<Stored>> {
        let hash = stored.key.hash();
        register(stored);
        self.count_in(stored, arrival);
        let mut displaced = Vec::new();
        {
            let mut shard = self.shard(hash).write();
            while let Ok(entry) = shard.find_entry(hash, |other| is_replaced_by(other, stored)) {
                displaced.push((entry.remove().0, Removal::Replaced));
            }
            while self.is_full_of_variants(&shard, stored)
                && let Some(unused) = least_used_variant(&shard, &stored.key)
                && let Ok(entry) = shard.find_entry(hash, |other| Arc::ptr_eq(other, &unused))
            {
                displaced.push((entry.remove().0, Removal::Variants));
            }
            shard.insert_unique(hash, Arc::clone(stored), |other| other.key.hash());
        }
        for (old, reason) in &displaced {
            self.count_out(old, Some(*reason));
            if *reason == Removal::Variants {
                self.crowded.count(&old.key);
            }
        }
        displaced.into_iter().map(|(old, _)| old).collect()
    }

    /// Takes exactly this one out; without a reason, it stays elsewhere.
    pub(super) fn remove(&self, stored: &Arc<Stored>, reason: Option<Removal>) -> bool {
        let hash = stored.key.hash();
        let is_found = {
            let mut shard = self.shard(hash).write();
            shard
                .find_entry(hash, |other| Arc::ptr_eq(other, stored))
                .map(|entry| drop(entry.remove().0))
                .is_ok()
        };
        if is_found {
            self.count_out(stored, reason);
        }
        is_found
    }

    pub(super) fn contains(&self, stored: &Arc<Stored>) -> bool {
        let hash = stored.key.hash();
        self.shard(hash).read().find(hash, |other| Arc::ptr_eq(other, stored)).is_some()
    }

    /// Shows every one, a shard at a time and outside its lock.
    pub(super) fn visit(&self, visitor: &mut dyn FnMut(&Arc<Stored>)) {
        for shard in &self.shards {
            let all: Vec<_> = shard.read().iter().map(Arc::clone).collect();
            all.iter().for_each(&mut *visitor);
        }
    }

    pub(super) fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn body_bytes(&self) -> u64 {
        self.body_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn inserts(&self) -> u64 {
        self.inserts.load(Ordering::Relaxed)
    }

    pub(super) fn removals(&self) -> [u64; Removal::ALL.len()] {
        self.removals.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    pub(super) const fn crowded_urls(&self) -> &CrowdedUrls {
        &self.crowded
    }

    fn is_full_of_variants(&self, shard: &HashTable<Arc<Stored>>, stored: &Stored) -> bool {
        stored.variant.is_some()
            && shard.iter_hash(stored.key.hash()).filter(|other| other.key == stored.key).count()
                >= self.variants_max
    }

    fn count_in(&self, stored: &Stored, arrival: Arrival) {
        self.bytes.fetch_add(stored.cost, Ordering::Relaxed);
        if let Some(response) = stored.response() {
            self.body_bytes.fetch_add(response.body.memory_bytes(), Ordering::Relaxed);
            self.objects.fetch_add(1, Ordering::Relaxed);
            self.inserts.fetch_add(u64::from(arrival == Arrival::Stored), Ordering::Relaxed);
        }
    }

    fn count_out(&self, stored: &Stored, reason: Option<Removal>) {
        stored.provenance.unregister();
        self.bytes.fetch_sub(stored.cost, Ordering::Relaxed);
        if let Some(response) = stored.response() {
            self.body_bytes.fetch_sub(response.body.memory_bytes(), Ordering::Relaxed);
            self.objects.fetch_sub(1, Ordering::Relaxed);
            if let Some(count) = reason.and_then(|reason| self.removals.get(reason as usize)) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    fn shard(&self, hash: u64) -> &RwLock<HashTable<Arc<Stored>>> {
        // Not the lowest bits, which the table uses, nor the highest seven, which it compares.
        &self.shards[usize::try_from((hash >> 40) & 0xffff).unwrap_or(0) % SHARDS]
    }
}

/// Enters a stored response among the holders of its tags. A marker holds its tags' marks, but no
/// purge counts it.
fn register(stored: &Stored) {
    if stored.response().is_some() {
        stored.provenance.register(stored.key.hash());
    }
}

/// Returns whether the newcomer answers the requests that this one answers.
fn is_replaced_by(old: &Stored, new: &Stored) -> bool {
    old.key == new.key
        && (old.variant == new.variant || matches!(old.content, Content::Uncacheable { .. }))
}

/// Returns the variant to give up: one that was never used, if there is one, however many of those
/// come; of equals, the least recently used.
fn least_used_variant(shard: &HashTable<Arc<Stored>>, key: &Key) -> Option<Arc<Stored>> {
    shard
        .iter_hash(key.hash())
        .filter(|stored| stored.key == *key)
        .min_by_key(|stored| (stored.uses() > 0, stored.last_use(), received(stored)))
        .map(Arc::clone)
}

/// Returns the time of the head, by which responses are ordered; a marker comes after all of them,
/// however new.
fn received(stored: &Stored) -> u64 {
    stored.response().map_or(0, |response| response.freshness.received().as_millis())
}

/// A growing shard stops lookups in a thousandth of the keys for less than a millisecond.
const SHARDS: usize = 1024;
