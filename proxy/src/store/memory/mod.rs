//! The memory engine: a sharded map answers, `policy` decides who stays, the capacity counts all
//! bytes.

mod held;
mod map;
mod policy;

use std::sync::Arc;

use bytes::Bytes;

pub(in crate::store) use self::map::{Arrival, Backing};

use self::held::Held;
use self::map::ResponseMap;
use self::policy::Residency;
use super::crowded_urls::CrowdedUrls;
use super::{Body, ColdTier, EntryWriter, NewEntry, Removal, Store, StoreError, Stored, Usage};
use crate::key::Key;
use process::clock::Clock;

#[derive(Clone, Debug)]
pub struct MemoryStore {
    map: Arc<ResponseMap>,
    residency: Arc<Residency>,
    held: Arc<Held>,
    clock: Clock,
    capacity: u64,
    object_bytes_max: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct MemoryLimits {
    /// Bytes of responses, index and gaps together.
    pub capacity: u64,
    /// Bytes of one body; never more than a quarter of the capacity.
    pub object_bytes_max: u64,
    pub variants_max: usize,
}

impl MemoryStore {
    pub fn new(limits: MemoryLimits, clock: Clock) -> Self {
        let object_bytes_max = limits.object_bytes_max.min(limits.capacity / 4);
        let map = Arc::new(ResponseMap::new(limits.variants_max));
        let residency = Arc::new(Residency::new(&map, limits.capacity, object_bytes_max));
        Self {
            map,
            residency,
            held: Arc::default(),
            clock,
            capacity: limits.capacity,
            object_bytes_max,
        }
    }

    /// Returns the bytes of bodies that left the store, or were loaded for one use, and are in
    /// memory while a client reads them.
    pub fn pinned_bytes(&self) -> u64 {
        self.held.bytes().saturating_sub(self.map.body_bytes())
    }

    pub(in crate::store) fn crowded_urls(&self) -> &CrowdedUrls {
        self.map.crowded_urls()
    }

    pub fn settle(&self) {
        self.residency.settle();
    }

    /// Counts a body that is about to be stored, or was read, until nobody holds it any more.
    pub(in crate::store) fn hold(&self, body: Body) -> Body {
        self.held.count(body)
    }

    fn put(&self, stored: Stored) -> Arc<Stored> {
        let stored = Arc::new(stored);
        let displaced = self.enter(&stored, Arrival::Stored);
        self.accommodate(&stored, &displaced);
        stored
    }

    /// Puts it where look-ups see it, and returns what it displaces there. [`Self::accommodate`]
    /// has to follow.
    pub(in crate::store) fn enter(
        &self,
        stored: &Arc<Stored>,
        arrival: Arrival,
    ) -> Vec<Arc<Stored>> {
        self.map.insert(stored, arrival)
    }

    /// Gives it a place among those that stay, and that of those it has displaced to others.
    pub(in crate::store) fn accommodate(&self, stored: &Arc<Stored>, displaced: &[Arc<Stored>]) {
        self.residency.admit(stored);
        for old in displaced {
            stored.inherit(old);
            self.residency.dismiss(old);
        }
    }

    /// Takes it from where look-ups see it. [`Self::dismiss`] has to follow.
    pub(in crate::store) fn take(&self, stored: &Arc<Stored>, reason: Removal) -> bool {
        self.map.remove(stored, Some(reason))
    }

    /// Takes it out as if others needed the space.
    pub(in crate::store) fn evict(&self, stored: &Arc<Stored>) {
        if self.map.evict(stored) {
            self.residency.dismiss(stored);
        }
    }

    pub(in crate::store) fn dismiss(&self, stored: &Arc<Stored>) {
        self.residency.dismiss(stored);
    }

    pub(in crate::store) fn back_with(&self, backing: Arc<dyn Backing>) {
        self.map.back_with(backing);
    }

    /// Returns whether so many more bytes fit without an eviction.
    pub(in crate::store) fn has_room_for(&self, bytes: u64) -> bool {
        self.map.bytes() + bytes <= self.residency.roomy()
    }

    pub(in crate::store) fn objects(&self) -> u64 {
        self.map.objects()
    }

    pub(in crate::store) const fn object_bytes_max(&self) -> u64 {
        self.object_bytes_max
    }

    pub(in crate::store) fn now_secs(&self) -> u32 {
        u32::try_from(self.clock.now().as_secs()).unwrap_or(u32::MAX)
    }
}

impl Store for MemoryStore {
    fn lookup(&self, key: &Key, selects: &dyn Fn(&Stored) -> bool) -> Option<Arc<Stored>> {
        self.map.find(key, selects)
    }

    fn begin(&self) -> Box<dyn EntryWriter> {
        Box::new(MemoryWriter { store: self.clone(), pieces: Vec::new(), length: 0 })
    }

    fn freshen(&self, old: &Arc<Stored>, draft: NewEntry) -> Result<Arc<Stored>, StoreError> {
        let body = old.response().map(|response| response.body.clone()).unwrap_or_default();
        let new = self.put(Stored::new(draft, body, self.now_secs()));
        self.remove(old, Removal::Replaced); // another variant than before
        Ok(new)
    }

    fn touch(&self, stored: &Arc<Stored>) {
        if stored.note_use(self.now_secs()) {
            self.residency.touch(stored);
        }
    }

    fn remove(&self, stored: &Arc<Stored>, reason: Removal) -> bool {
        let is_removed = self.map.remove(stored, Some(reason));
        if is_removed {
            self.residency.dismiss(stored);
        }
        is_removed
    }

    fn by_hash(&self, key_hash: u64) -> Vec<Arc<Stored>> {
        self.map.by_hash(key_hash)
    }

    fn visit(&self, visitor: &mut dyn FnMut(&Arc<Stored>)) {
        self.map.visit(visitor);
    }

    fn usage(&self) -> Usage {
        Usage {
            objects: self.map.objects(),
            bytes: self.map.bytes(),
            capacity: self.capacity,
            inserts: self.map.inserts(),
            removals: self.map.removals(),
            crowded: self.map.crowded_urls().list(),
        }
    }

    fn cold(&self) -> Option<&dyn ColdTier> {
        None
    }
}

struct MemoryWriter {
    store: MemoryStore,
    pieces: Vec<Bytes>,
    length: u64,
}

impl EntryWriter for MemoryWriter {
    fn append(&mut self, piece: Bytes) -> Result<(), StoreError> {
        self.length += piece.len() as u64;
        if self.length > self.store.object_bytes_max {
            self.pieces = Vec::new();
            return Err(StoreError::TooLarge);
        }
        self.pieces.push(piece);
        Ok(())
    }

    fn commit(self: Box<Self>, draft: NewEntry) -> Result<Arc<Stored>, StoreError> {
        if self.length > self.store.object_bytes_max {
            return Err(StoreError::TooLarge);
        }
        let body = self.store.hold(Body::join(self.pieces));
        Ok(self.store.put(Stored::new(draft, body, self.store.now_secs())))
    }
}

#[cfg(test)]
mod tests;
