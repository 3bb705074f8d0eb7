//! Opens the store that is configured.

use std::sync::Arc;

use crate::invalidation::Invalidation;
use crate::key::KeySeed;
use crate::store::Store;
use crate::store::file::{self, FileLimits, OpenError, OpenedStore, TieredStore, Tiering};
use crate::store::journal::Journal;
use crate::store::memory::{MemoryLimits, MemoryStore};
use process::clock::Clock;
use settings::{Config, StorageKind};

/// The store that is configured, and what belongs to it.
pub(super) struct Storage {
    pub(super) store: Arc<dyn Store>,
    pub(super) memory: MemoryStore,
    pub(super) file: Option<Arc<TieredStore>>,
    pub(super) invalidation: Arc<Invalidation>,
    pub(super) seed: KeySeed,
    pub(super) journal: Journal,
}

impl Storage {
    /// Opens it. Tags that another process has handed over have identities by its seed.
    pub(super) fn open(
        config: &Config,
        clock: &Clock,
        tag_seed: Option<u64>,
    ) -> Result<Self, OpenError> {
        let tiering = match config.storage.kind {
            StorageKind::Memory => return Ok(Self::in_memory(config, clock, tag_seed)),
            StorageKind::File => Tiering::File,
            StorageKind::Tiered => Tiering::Tiered,
        };
        let (limits, capacity) = file_limits(config, tiering);
        let memory = MemoryLimits { capacity, ..memory_limits(config) };
        let opened = TieredStore::open(&limits, memory, tiering, clock)?;
        let OpenedStore { store, invalidation, seed, journal } = opened;
        let (memory, file) = (store.memory().clone(), Some(Arc::clone(&store)));
        Ok(Self { store, memory, file, invalidation, seed, journal })
    }

    pub(super) fn check(config: &Config) -> Result<(), OpenError> {
        match config.storage.kind {
            StorageKind::Memory => Ok(()),
            StorageKind::File | StorageKind::Tiered => {
                file::check(&file_limits(config, Tiering::File).0)
            }
        }
    }

    fn in_memory(config: &Config, clock: &Clock, tag_seed: Option<u64>) -> Self {
        let memory = MemoryStore::new(memory_limits(config), clock.clone());
        Self {
            store: Arc::new(memory.clone()),
            memory,
            file: None,
            invalidation: Arc::new(Invalidation::new(tag_seed.unwrap_or_else(random))),
            seed: KeySeed(random()),
            journal: Journal::default(),
        }
    }
}

/// Returns the bounds of the file, and the capacity of the memory in front of it.
fn file_limits(config: &Config, tiering: Tiering) -> (FileLimits, u64) {
    let file = &config.storage.file;
    let (entries_max, capacity) = tiering.share(config.storage.memory.capacity, file.capacity);
    let limits = FileLimits {
        path: file.path.clone(),
        capacity: file.capacity,
        object_bytes_max: file.max_object,
        persists: file.persist,
        sync: file.sync,
        wait: file.wait,
        entries_max,
    };
    (limits, capacity)
}

const fn memory_limits(config: &Config) -> MemoryLimits {
    MemoryLimits {
        capacity: config.storage.memory.capacity,
        object_bytes_max: config.storage.memory.max_object,
        variants_max: config.cache.vary_max_variants,
    }
}

/// Returns a number that nobody can guess: the standard library's hash keys come from the system.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0_u8)
}
