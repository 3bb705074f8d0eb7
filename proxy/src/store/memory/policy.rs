//! Residency: who stays when memory is short. Two moka caches decide; the map answers lookups.
//!
//! A newcomer enters the *window*, which keeps what was used last (LRU), so a fresh or large
//! response is never turned away. What the window pushes out asks for a place in *main*, which
//! keeps what is used most (`TinyLFU`). moka's own has no window: measured, it dropped all of 100
//! fresh responses in favour of warm ones, and never admitted a page of 1 MB.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::notification::RemovalCause;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::map::ResponseMap;
use crate::store::Stored;

/// The policy. Its caches hold exactly what the map holds, but for moments.
#[derive(Debug)]
pub(super) struct Residency {
    window: PolicyCache,
    main: PolicyCache,
    map: Arc<ResponseMap>,
    /// Bytes inserted since the caches last did their housekeeping.
    unsettled: AtomicU64,
    unsettled_max: u64,
    /// Up to so many bytes, nothing has to leave.
    roomy: u64,
}

impl Residency {
    /// Makes one that evicts from the map whatever exceeds the capacity in bytes.
    pub(super) fn new(map: &Arc<ResponseMap>, capacity: u64, largest: u64) -> Self {
        let capacity = capacity - capacity / RESERVE_SHARE;
        let window_capacity =
            (capacity / WINDOW_SHARE).max(largest.saturating_mul(2)).min(capacity / 2);
        let main = builder(capacity - window_capacity)
            .eviction_policy(EvictionPolicy::tiny_lfu())
            .eviction_listener(evicts_from(Arc::clone(map)))
            .build_with_hasher(IdentityHash);
        let window = builder(window_capacity)
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(promotes_to(main.clone(), Arc::clone(map)))
            .build_with_hasher(IdentityHash);
        let unsettled = AtomicU64::new(0);
        Self {
            window,
            main,
            map: Arc::clone(map),
            unsettled,
            unsettled_max: capacity / SETTLE_SHARE,
            roomy: capacity - capacity / ROOM_SHARE,
        }
    }

    /// Gives a stored response a place in the window. A new version of a hot one will find back to
    /// main by its uses.
    pub(super) fn admit(&self, stored: &Arc<Stored>) {
        let id = policy_key(stored);
        let _frequency = self.main.get(&id); // a miss counts as a use, too
        // One at a time for each name, as is `forget`: so whoever takes a response out of the map
        // either finds it here afterwards, or keeps it from coming in.
        self.window.entry(id).and_compute_with(|_| {
            if self.map.contains(stored) { Op::Put(Arc::clone(stored)) } else { Op::Nop }
        });
        if self.unsettled.fetch_add(stored.cost, Ordering::Relaxed) + stored.cost
            >= self.unsettled_max
        {
            self.settle();
        }
    }

    pub(super) fn dismiss(&self, stored: &Arc<Stored>) {
        forget(&self.window, stored);
        forget(&self.main, stored);
    }

    /// Notes a use. Costs about a microsecond; the caller does so at most once a second and
    /// response.
    pub(super) fn touch(&self, stored: &Arc<Stored>) {
        let id = policy_key(stored);
        let _recency = self.window.get(&id);
        let _frequency = self.main.get(&id);
    }

    /// Evicts now what moka would evict a little later.
    pub(super) fn settle(&self) {
        self.unsettled.store(0, Ordering::Relaxed);
        self.window.run_pending_tasks();
        self.main.run_pending_tasks();
    }

    pub(super) const fn roomy(&self) -> u64 {
        self.roomy
    }

    #[cfg(test)]
    pub(super) fn residents(&self) -> Vec<Arc<Stored>> {
        self.window.iter().chain(self.main.iter()).map(|(_, stored)| stored).collect()
    }
}

type PolicyCache = Cache<u64, Arc<Stored>, IdentityHash>;

fn forget(cache: &PolicyCache, stored: &Arc<Stored>) {
    cache.entry(policy_key(stored)).and_compute_with(|entry| match entry {
        Some(entry) if Arc::ptr_eq(entry.value(), stored) => Op::Remove,
        _ => Op::Nop,
    });
}

type Builder = moka::sync::CacheBuilder<u64, Arc<Stored>, Cache<u64, Arc<Stored>>>;

/// Begins a cache whose weights are in grains: moka weighs in 32 bits, and a grain of 64 bytes
/// carries up to 256 GiB.
fn builder(capacity: u64) -> Builder {
    Cache::builder().max_capacity(capacity / GRAIN_BYTES).weigher(|_, stored: &Arc<Stored>| {
        u32::try_from(stored.cost.div_ceil(GRAIN_BYTES)).unwrap_or(u32::MAX)
    })
}

/// Returns the listener of main: a response that it evicts, or does not admit, leaves the map.
/// Listeners must neither block nor panic.
fn evicts_from(
    map: Arc<ResponseMap>,
) -> impl Fn(Arc<u64>, Arc<Stored>, RemovalCause) + Send + Sync {
    move |_, stored, cause| match cause {
        // Replaced, and in the map still: two responses of one name, of which the policy knows the
        // newer one only.
        RemovalCause::Size | RemovalCause::Expired | RemovalCause::Replaced => {
            map.evict(&stored);
        }
        RemovalCause::Explicit => evict_if_found(&map, &stored),
    }
}

/// Returns the listener of the window: a response that it evicts asks for a place in main. The
/// listener may use main: no listener of main's uses a cache.
fn promotes_to(
    main: PolicyCache,
    map: Arc<ResponseMap>,
) -> impl Fn(Arc<u64>, Arc<Stored>, RemovalCause) + Send + Sync {
    move |id, stored, cause| match cause {
        RemovalCause::Size | RemovalCause::Expired => {
            if map.contains(&stored) {
                // Not through `entry`, which counts a use: measured, it made main no better than
                // LRU.
                main.insert(*id, Arc::clone(&stored));
                if !map.contains(&stored) {
                    forget(&main, &stored); // it left meanwhile
                }
            }
        }
        RemovalCause::Replaced => {
            map.evict(&stored);
        }
        RemovalCause::Explicit => evict_if_found(&map, &stored),
    }
}

/// Evicts from the map a response that main let go. [`forget`] takes out responses that have left
/// the map, but it looks first and takes then: a response that came into main in between, under the
/// same name, goes in its stead and must not stay in the map without a place.
fn evict_if_found(map: &ResponseMap, stored: &Arc<Stored>) {
    if map.contains(stored) {
        map.evict(stored);
    }
}

/// Returns the name under which uses are counted: a new version of a page inherits the old one's.
fn policy_key(stored: &Stored) -> u64 {
    stored.key.hash() ^ stored.variant.as_ref().map_or(0, |variant| variant.hash().get())
}

/// The key is a seeded hash already.
#[derive(Clone, Copy, Debug, Default)]
struct IdentityHash;

#[derive(Debug, Default)]
struct Identity(u64);

impl std::hash::BuildHasher for IdentityHash {
    type Hasher = Identity;

    fn build_hasher(&self) -> Identity {
        Identity::default()
    }
}

impl std::hash::Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}

const GRAIN_BYTES: u64 = 64;
/// A fifth of the capacity is left to the allocator, which cannot use every gap again: measured,
/// after the capacity was turned over ten times, resident memory was up to 1.23 of what is
/// accounted for, see `benches/memory.rs`.
const RESERVE_SHARE: u64 = 5;
/// The window takes a fifth: of the shares that were measured the best on average, see
/// `benches/README.md`.
const WINDOW_SHARE: u64 = 5;
/// Window and main are filled one after the other: with less than this part free, one of them may
/// be full.
const ROOM_SHARE: u64 = 16;
/// Housekeeping is forced after this part of the capacity was inserted: so much may be exceeded,
/// for moments.
const SETTLE_SHARE: u64 = 256;
