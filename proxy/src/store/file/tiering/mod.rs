//! The engines with a file: memory in front of a log of segments. `file` has little memory, for
//! what is being used; `tiered` as much as it is given.
//!
//! A new response is in memory at once and goes into the file by the way; a response that memory
//! evicts stays in the file. A look-up sees memory only. If it finds nothing, the index says
//! whether the key has responses in the file; these are *recalled*: read, on a thread that may wait
//! if the system does not have them at hand, compared with all past purges, and handed out, or put
//! into memory (`promotion`).
//!
//! The lock of a key's shard of the index orders all changes to the responses of that key. So a
//! response is counted once, wherever it is, and one that was replaced in memory is never found in
//! the file.

mod body_writer;
mod load;
mod parts;
mod promotion;
mod memory_age;
mod walk;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use purge_protocol::PurgeMode;
use tokio::sync::Semaphore;

use self::body_writer::TieredWriter;
use self::memory_age::MemoryAge;
use self::parts::{TierParts, TieringRules, Turn};
use self::promotion::Promotion;
use crate::invalidation::{Invalidation, PurgeMark, Sequence, TagId};
use crate::key::{Key, KeySeed};
use crate::store::body::DeferredBody as _;
use crate::store::cold::{ColdTier, Load};
use crate::store::file::error::OpenError;
use crate::store::file::read::file_body::FileBody;
use crate::store::file::volume::Volume;
use crate::store::file::volume::journal_writer::JournalWriter;
use crate::store::file::volume::metrics::FileUsage;
use crate::store::file::volume::open::{FileLimits, Opened, open};
use crate::store::file::write::queue::{HEAD_BYTES, Job, QUEUE_BYTES_MAX};
use crate::store::file::write::recovery::sweep_expired;
use crate::store::file::write::sweeper;
use crate::store::file::write::threads::FileEngine;
use crate::store::journal::Journal;
use crate::store::memory::{Backing, MemoryLimits, MemoryStore};
use crate::store::{
    Body, EntryWriter, NewEntry, Promote, Removal, Store, StoreError, Stored, Usage,
};
use process::clock::Clock;

#[derive(Clone, Debug)]
pub struct TieredStore {
    parts: Arc<TierParts>,
}

/// A store that was opened, and what belongs to it.
#[derive(Debug)]
pub struct OpenedStore {
    pub store: Arc<TieredStore>,
    pub invalidation: Arc<Invalidation>,
    pub seed: KeySeed,
    pub journal: Journal,
}

/// The role of memory: only for responses in use, or a tier of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tiering {
    File,
    /// Responses that live for less than a minute, and no longer than memory keeps them, are not
    /// written.
    Tiered,
}

impl Tiering {
    /// Divides memory of so many bytes, in front of a file of so many: responses in the index, and
    /// bytes of stored responses.
    pub const fn share(self, memory: u64, file: u64) -> (u64, u64) {
        let index_max = file / OBJECT_BYTES_MEAN_MIN * ENTRY_BYTES;
        let index = match self {
            Self::File => memory - memory / 4,
            Self::Tiered => memory / 4,
        };
        let index = if index < index_max { index } else { index_max };
        let rest = memory - index;
        let stored = match self {
            Self::File if rest > IN_USE_BYTES_MAX => IN_USE_BYTES_MAX,
            Self::File | Self::Tiered => rest,
        };
        (index / ENTRY_BYTES, stored)
    }
}

impl TieredStore {
    /// Opens the store, or makes one. It serves at once; what was stored before is found once the
    /// recovery is through.
    pub fn open(
        limits: &FileLimits,
        memory: MemoryLimits,
        tiering: Tiering,
        clock: &Clock,
    ) -> Result<OpenedStore, OpenError> {
        let opened = open(limits, clock)?;
        let engine = FileEngine::start(&opened, limits.sync)
            .map_err(|source| OpenError::Io { path: limits.path.clone(), source })?;
        Ok(Self::over(engine, &opened, (limits, memory, tiering), clock))
    }

    pub(crate) fn over(
        engine: FileEngine,
        opened: &Opened,
        (limits, memory, tiering): (&FileLimits, MemoryLimits, Tiering),
        clock: &Clock,
    ) -> OpenedStore {
        let rules = TieringRules {
            object_bytes_max: limits.object_bytes_max.min(limits.capacity / 4),
            variants_max: memory.variants_max,
            short_life_millis: if tiering == Tiering::Tiered { SHORT_LIFE_MILLIS } else { 0 },
        };
        let journal = Journal::kept_by(Arc::<JournalWriter>::clone(&engine.volume.journal));
        let promotion = Promotion::new(memory.capacity);
        let memory = MemoryStore::new(memory, clock.clone());
        let memory_age = Arc::<MemoryAge>::default();
        memory.back_with(Arc::new(FileBacking {
            volume: Arc::clone(&engine.volume),
            memory_age: Arc::clone(&memory_age),
        }));
        let parts = TierParts {
            memory,
            engine,
            invalidation: Arc::clone(&opened.invalidation),
            clock: clock.clone(),
            judged_turns: AtomicU64::new(0),
            rules,
            reads: Arc::new(Semaphore::new(READS_MAX)),
            promotion,
            memory_age,
            turns: (0..TURNS).map(|_| Turn::default()).collect(),
        };
        OpenedStore {
            store: Arc::new(Self { parts: Arc::new(parts) }),
            invalidation: Arc::clone(&opened.invalidation),
            seed: opened.seed,
            journal,
        }
    }

    /// Evicts all responses from memory, as if there were no room.
    #[cfg(test)]
    pub(crate) fn evict_all(&self) {
        self.parts.memory.visit(&mut |stored| self.parts.memory.evict(stored));
    }

    pub fn settle(&self) {
        self.parts.memory.settle();
    }

    #[cfg(test)]
    pub(crate) fn volume(&self) -> &Arc<Volume> {
        self.parts.volume()
    }

    /// Runs the sweeper at once.
    #[cfg(test)]
    pub(crate) fn sweep(&self) {
        self.parts.engine.sweep();
    }

    pub fn memory(&self) -> &MemoryStore {
        &self.parts.memory
    }

    pub fn file_usage(&self) -> FileUsage {
        self.parts.volume().usage()
    }

    pub fn close(&self) {
        self.parts.engine.close();
    }

    /// Returns whether the queue of what is to be written is less than half full.
    pub fn has_room(&self) -> bool {
        self.parts.engine.queued_bytes() < QUEUE_BYTES_MAX / 2
    }

    /// Returns whether what was stored before is found by now, and everything that was stored since
    /// is in the file.
    pub fn is_settled(&self) -> bool {
        let engine = &self.parts.engine;
        !engine.volume.is_loading.load(Ordering::Acquire) && engine.queued_bytes() == 0
    }
}

impl Store for TieredStore {
    fn lookup(&self, key: &Key, selects: &dyn Fn(&Stored) -> bool) -> Option<Arc<Stored>> {
        let stored = self.parts.memory.lookup(key, selects)?;
        if let Some(body) = stored.response().and_then(|it| FileBody::in_body(&it.body))
            && !body.is_intact()
        {
            if body.is_lost() {
                self.parts.remove(&stored, Removal::Size, None);
            } else {
                self.parts.memory.evict(&stored); // it was moved in the file, or is gone there: reading it anew will tell
            }
            return None;
        }
        Some(stored)
    }

    fn begin(&self) -> Box<dyn EntryWriter> {
        Box::new(TieredWriter::new(&self.parts))
    }

    fn freshen(&self, old: &Arc<Stored>, draft: NewEntry) -> Result<Arc<Stored>, StoreError> {
        let body = old.response().map(|response| response.body.clone()).unwrap_or_default();
        let parts = &self.parts;
        let reserved = match &body {
            Body::Deferred(_) => Some(parts.engine.reserve(HEAD_BYTES).ok_or(StoreError::Busy)?),
            _ => parts.room_for(&draft, body.length()),
        };
        let new = parts.put(draft, body, reserved, Some(old))?;
        parts.remove(old, Removal::Replaced, Some(old)); // another variant than before
        Ok(new)
    }

    fn touch(&self, stored: &Arc<Stored>) {
        let parts = &self.parts;
        if stored.touched.load(Ordering::Relaxed) != parts.memory.now_secs() {
            parts.memory.touch(stored);
            if stored.version != 0
                && let Some(entry) =
                    parts.volume().index.lock(stored.key.hash()).find(stored.short_version())
            {
                entry.used();
            }
        }
    }

    fn remove(&self, stored: &Arc<Stored>, reason: Removal) -> bool {
        self.parts.remove(stored, reason, None)
    }

    fn by_hash(&self, key_hash: u64) -> Vec<Arc<Stored>> {
        self.parts.memory.by_hash(key_hash)
    }

    fn visit(&self, visitor: &mut dyn FnMut(&Arc<Stored>)) {
        self.parts.memory.visit(visitor);
    }

    fn usage(&self) -> Usage {
        let mut usage = self.parts.memory.usage();
        let Volume { index, disk, .. } = &**self.parts.volume();
        if disk.is_usable() {
            usage.objects += index.entries().saturating_sub(index.in_memory());
        }
        for (count, more) in usage.removals.iter_mut().zip(index.removals()) {
            *count += more;
        }
        usage
    }

    fn cold(&self) -> Option<&dyn ColdTier> {
        Some(self)
    }
}

impl ColdTier for TieredStore {
    fn holds(&self, key_hash: u64) -> bool {
        let volume = self.parts.volume();
        volume.index.has_cold(key_hash)
            && !volume.is_loading.load(Ordering::Acquire)
            && volume.disk.is_usable()
    }

    fn load<'a>(&'a self, key: &'a Key, promote: Promote) -> Load<'a> {
        Box::pin(async move {
            if self.holds(key.hash()) {
                load::load(&self.parts, key.hash(), promote).await
            } else {
                Vec::new()
            }
        })
    }

    fn walk(
        &self,
        from: u64,
        tag: Option<TagId>,
        visitor: &mut dyn FnMut(&Arc<Stored>) -> ControlFlow<()>,
    ) {
        let volume = self.parts.volume();
        if !volume.is_loading.load(Ordering::Acquire) && volume.disk.is_usable() {
            walk::walk(&self.parts, from, tag, visitor);
        }
    }

    fn purge(&self, hashes: Option<&[u64]>, mode: PurgeMode, before: Sequence) -> u64 {
        let purge = |hash| self.parts.purge_cold(hash, mode, before);
        let Some(hashes) = hashes else {
            let (mut count, mut seen) = (0, HashSet::new());
            self.parts.volume().index.visit(&mut |entry| {
                if !entry.is_in_memory() && seen.insert(entry.key_hash) {
                    count += purge(entry.key_hash);
                }
            });
            return count;
        };
        hashes.iter().map(|hash| purge(*hash)).sum()
    }

    fn sweep_purged(&self, marks: &[PurgeMark], before: Sequence) {
        sweeper::want(self.parts.volume(), marks, before);
    }

    fn sweep_useless(&self) {
        let volume = self.parts.volume();
        volume.note_clock(false);
        self.parts.judge_anew();
        sweep_expired(volume, volume.now_secs(), |entry| {
            drop(self.parts.engine.submit(Job::SubLive(*entry)));
        });
    }
}

#[derive(Debug)]
struct FileBacking {
    volume: Arc<Volume>,
    memory_age: Arc<MemoryAge>,
}

impl Backing for FileBacking {
    fn evict(&self, stored: &Stored, remove: &mut dyn FnMut(Option<Removal>) -> bool) -> bool {
        if stored.version == 0 {
            if let Some(response) = stored.response() {
                self.memory_age.note(response.freshness.received(), self.volume.clock.now());
            }
            return remove(Some(Removal::Size));
        }
        let version = stored.short_version();
        let mut locked = self.volume.index.lock(stored.key.hash());
        let is_kept = locked.find(version).is_some();
        let is_removed = remove((!is_kept).then_some(Removal::Size));
        if is_removed && is_kept {
            locked.mark_evicted(version);
        }
        is_removed
    }
}

/// Upper bound in bytes of an index entry in memory, with its share of the segments' filters.
const ENTRY_BYTES: u64 = 48;
/// The index never needs more entries than a file full of responses of this size has.
const OBJECT_BYTES_MEAN_MIN: u64 = 2 << 10;
/// Memory of the file engine for responses in use, in bytes.
const IN_USE_BYTES_MAX: u64 = 64 << 20;
/// A response that is useless within a minute is most likely written for nothing.
const SHORT_LIFE_MILLIS: u64 = 60_000;
/// Reads that wait for the device at once; more are answered as misses.
const READS_MAX: usize = 256;
const TURNS: usize = 1024;
