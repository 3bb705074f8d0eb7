//! The index: where every response of the file store is, in 32 bytes each. Key, head and tags are
//! in the file.
//!
//! Entries are in many small shards by the hash of their key; a look-up walks one. A shard grows by
//! an eighth, not to the next power of two, so that an entry costs less than 48 bytes whatever
//! their number (measured, see `benches/README.md`).
//!
//! The lock of a key's shard orders everything that happens to its responses: what is put into
//! memory, what leaves it, what is read back, moved or dropped in the file. It is taken before the
//! lock of the memory map's shard, never after it.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockWriteGuard};

use crate::store::Removal;
use crate::store::file::format::record::FooterEntry;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) key_hash: u64,
    place: u64,
    /// The lower half of its version, unique under its key.
    pub(crate) version: u32,
    /// The purge sequence at which it was fetched, counted from the start of this process; 0:
    /// before.
    pub(crate) born: u32,
    /// The second since 1970 from which on it is useless.
    pub(crate) expires: u32,
    /// 32 bits of the hash of its variant; zero: it does not vary.
    pub(crate) variant: u32,
}

const _: () = assert!(size_of::<IndexEntry>() == 32, "the budget of the index");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordPlace {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) units: u16,
    pub(crate) is_large: bool,
}

impl IndexEntry {
    /// Makes the entry of a response that is in memory and on its way into the file.
    pub(crate) const fn pending(key_hash: u64, version: u32, variant: u32) -> Self {
        Self { key_hash, place: PENDING | IN_MEMORY, version, born: 0, expires: 0, variant }
    }

    /// Makes the entry of a response that is in the file only.
    pub(crate) fn cold(key_hash: u64, version: u32, variant: u32, place: RecordPlace) -> Self {
        let mut entry = Self { key_hash, place: 0, version, born: 0, expires: 0, variant };
        entry.set_place(place);
        entry
    }

    /// Returns the place in the file; `None` if the response is on its way there.
    pub(crate) fn place(&self) -> Option<RecordPlace> {
        let bits = |from: u32, count: u32| (self.place >> from) & ((1 << count) - 1);
        (self.place & PENDING == 0).then(|| RecordPlace {
            offset: u32::try_from(bits(0, 24)).unwrap_or(0),
            segment: u32::try_from(bits(24, 18)).unwrap_or(0),
            units: u16::try_from(bits(42, 16)).unwrap_or(0),
            is_large: self.place & LARGE != 0,
        })
    }

    /// Sets the place in the file. The frequency of use begins anew if there was no place before.
    pub(crate) fn set_place(&mut self, place: RecordPlace) {
        let large = if place.is_large { LARGE } else { 0 };
        let bits =
            u64::from(place.offset) | u64::from(place.segment) << 24 | u64::from(place.units) << 42;
        self.place = self.place & (IN_MEMORY | USES) | large | bits;
    }

    /// Returns whether the entry is about the record of this footer entry.
    pub(crate) fn is_at(&self, number: u32, entry: &FooterEntry) -> bool {
        self.place().is_some_and(|place| place.segment == number && place.offset == entry.offset)
    }

    pub(crate) const fn is_in_memory(&self) -> bool {
        self.place & IN_MEMORY != 0
    }

    /// Returns the uses since the record was last moved, up to three.
    pub(crate) const fn uses(&self) -> u64 {
        (self.place & USES) / USE
    }

    pub(crate) const fn used(&mut self) {
        if self.place & USES != USES {
            self.place += USE;
        }
    }

    pub(crate) const fn forget_uses(&mut self) {
        self.place &= !USES;
    }
}

/// One shard. Its entries are in no order.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    entries: Vec<IndexEntry>,
}

#[derive(Debug)]
pub(crate) struct Index {
    shards: Box<[RwLock<Shard>]>,
    entries_max: u64,
    entries: AtomicU64,
    in_memory: AtomicU64,
    removals: [AtomicU64; Removal::ALL.len()],
}

impl Index {
    pub(crate) fn new(entries_max: u64) -> Self {
        let shards = usize::try_from(entries_max / SHARD_ENTRIES).unwrap_or(usize::MAX);
        Self {
            shards: (0..shards.clamp(16, SHARDS_MAX)).map(|_| RwLock::default()).collect(),
            entries_max,
            entries: AtomicU64::new(0),
            in_memory: AtomicU64::new(0),
            removals: Default::default(),
        }
    }

    pub(crate) fn lock(&self, key_hash: u64) -> Locked<'_> {
        Locked { index: self, key_hash, shard: self.shard(key_hash).write() }
    }

    /// Copies the entries under this hash that are not in memory. Most often there are none.
    pub(crate) fn cold(&self, key_hash: u64) -> Vec<IndexEntry> {
        let shard = self.shard(key_hash).read();
        let is_meant = |entry: &&IndexEntry| entry.key_hash == key_hash && !entry.is_in_memory();
        shard.entries.iter().filter(is_meant).copied().collect()
    }

    /// Returns whether something under this hash is not in memory.
    pub(crate) fn has_cold(&self, key_hash: u64) -> bool {
        let shard = self.shard(key_hash).read();
        shard.entries.iter().any(|entry| entry.key_hash == key_hash && !entry.is_in_memory())
    }

    /// Returns whether the response of this version is in memory.
    pub(crate) fn is_in_memory(&self, key_hash: u64, version: u32) -> bool {
        let shard = self.shard(key_hash).read();
        let is_it = |entry: &&IndexEntry| entry.key_hash == key_hash && entry.version == version;
        shard.entries.iter().find(is_it).is_some_and(IndexEntry::is_in_memory)
    }

    pub(crate) fn visit(&self, visitor: &mut dyn FnMut(IndexEntry)) {
        for shard in &self.shards {
            let all = shard.read().entries.clone();
            all.into_iter().for_each(&mut *visitor);
        }
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    pub(crate) fn in_memory(&self) -> u64 {
        self.in_memory.load(Ordering::Relaxed)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries() >= self.entries_max
    }

    pub(crate) fn bytes(&self) -> u64 {
        let entries: usize = self.shards.iter().map(|shard| shard.read().entries.capacity()).sum();
        (entries * size_of::<IndexEntry>() + self.shards.len() * size_of::<RwLock<Shard>>()) as u64
    }

    pub(crate) fn count_removal(&self, reason: Removal) {
        if let Some(count) = self.removals.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn removals(&self) -> [u64; Removal::ALL.len()] {
        self.removals.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    fn shard(&self, key_hash: u64) -> &RwLock<Shard> {
        let upper = usize::try_from(key_hash >> 32).unwrap_or(0);
        &self.shards[upper % self.shards.len()]
    }
}

/// The entries under the hash of one key; nothing else happens to them meanwhile.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    index: &'a Index,
    key_hash: u64,
    shard: RwLockWriteGuard<'a, Shard>,
}

impl Locked<'_> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &IndexEntry> {
        self.shard.entries.iter().filter(|entry| entry.key_hash == self.key_hash)
    }

    pub(crate) fn find(&mut self, version: u32) -> Option<&mut IndexEntry> {
        let key_hash = self.key_hash;
        let is_it =
            |entry: &&mut IndexEntry| entry.key_hash == key_hash && entry.version == version;
        self.shard.entries.iter_mut().find(is_it)
    }

    /// Adds an entry of another version than any that is there.
    pub(crate) fn insert(&mut self, entry: IndexEntry) {
        let entries = &mut self.shard.entries;
        if entries.len() == entries.capacity() {
            entries.reserve_exact((entries.len() / 8).max(8));
        }
        entries.push(entry);
        self.index.entries.fetch_add(1, Ordering::Relaxed);
        if entry.is_in_memory() {
            self.index.in_memory.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn remove(&mut self, version: u32) -> Option<IndexEntry> {
        let entries = &mut self.shard.entries;
        let is_it =
            |entry: &IndexEntry| entry.key_hash == self.key_hash && entry.version == version;
        let place = entries.iter().position(is_it)?;
        let entry = entries.swap_remove(place);
        if entries.capacity() > entries.len() * 2 + 8 {
            entries.shrink_to(entries.len() + entries.len() / 8);
        }
        self.index.entries.fetch_sub(1, Ordering::Relaxed);
        if entry.is_in_memory() {
            self.index.in_memory.fetch_sub(1, Ordering::Relaxed);
        }
        Some(entry)
    }

    /// Notes that the response of this version is in memory from now on.
    pub(crate) fn mark_loaded(&mut self, version: u32) {
        if let Some(entry) = self.find(version).filter(|entry| !entry.is_in_memory()) {
            entry.place |= IN_MEMORY;
            self.index.in_memory.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that the response of this version is no longer in memory.
    pub(crate) fn mark_evicted(&mut self, version: u32) {
        if let Some(entry) = self.find(version).filter(|entry| entry.is_in_memory()) {
            entry.place &= !IN_MEMORY;
            self.index.in_memory.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

const PENDING: u64 = 1 << 63;
const IN_MEMORY: u64 = 1 << 62;
const LARGE: u64 = 1 << 61;
const USES: u64 = 3 << 59;
const USE: u64 = 1 << 59;
pub(crate) const SEGMENTS_MAX: u64 = 1 << 18;
/// Entries of a shard when the index is full: so many are walked by a look-up.
const SHARD_ENTRIES: u64 = 48;
const SHARDS_MAX: usize = 1 << 22;

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: RecordPlace = RecordPlace {
        segment: (1 << 18) - 1,
        offset: (1 << 24) - 1,
        units: u16::MAX,
        is_large: true,
    };

    #[test]
    fn an_entry_holds_its_place_whatever_is_noted_beside_it() {
        let mut entry = IndexEntry::pending(1, 2, 3);
        assert_eq!(entry.place(), None);
        (0..5).for_each(|_| entry.used());
        entry.set_place(PLACE);
        assert_eq!((entry.place(), entry.uses()), (Some(PLACE), 3));
        assert!(entry.is_in_memory());
        entry.forget_uses();
        assert_eq!((entry.place(), entry.uses()), (Some(PLACE), 0));
    }

    #[test]
    fn what_sleeps_is_counted_and_found_under_its_hash_only() {
        let index = Index::new(1000);
        index.lock(5).insert(IndexEntry::pending(5, 1, 0));
        index.lock(5).insert(IndexEntry::cold(5, 2, 9, PLACE));
        index.lock(6).insert(IndexEntry::cold(6, 3, 0, PLACE));
        assert_eq!((index.entries(), index.in_memory()), (3, 1));
        assert_eq!(index.cold(5).iter().map(|entry| entry.version).collect::<Vec<_>>(), [2]);
        index.lock(5).mark_evicted(1);
        index.lock(5).mark_loaded(2);
        index.lock(5).mark_loaded(2);
        assert_eq!(index.in_memory(), 1);
        assert!(index.has_cold(5) && !index.has_cold(7));
        assert!(index.lock(5).remove(2).is_some() && index.lock(5).remove(2).is_none());
        assert_eq!((index.entries(), index.in_memory()), (2, 0));
    }

    #[test]
    fn an_entry_costs_less_than_48_bytes() {
        for count in [10_000_u64, 30_000, 100_000] {
            let index = Index::new(count);
            for number in 0..count {
                let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                index.lock(hash).insert(IndexEntry::cold(hash, 1, 0, PLACE));
            }
            let each = index.bytes() / count;
            assert!(each <= 42, "{each} bytes each of {count}"); // beside the allocator's rounding
        }
    }
}
