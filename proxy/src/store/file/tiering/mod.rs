//! The engines with a file: memory in front of a log of segments. `file` has little memory, for what is being used; `tiered` as much
//! as it is given.
//!
//! What is stored is in memory at once and goes into the file by the way; what memory evicts stays in the file. A look-up sees
//! memory only. Where it finds nothing, the index says whether there is something in the file; it is *recalled*: read, on a thread
//! that may wait where the system does not have it at hand, compared with everything that was purged, and handed out, or put
//! into memory (`promotion`).
//!
//! Everything that happens to the responses of one key is ordered by the lock of its shard of the index. So a response is counted
//! once, wherever it is, and what was replaced in memory is never found in the file.

mod body_writer;
mod load;
mod promotion;
mod memory_age;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use purge_protocol::PurgeMode;
use tokio::sync::Semaphore;

use self::body_writer::TieredWriter;
use self::memory_age::MemoryAge;
use self::promotion::Promotion;
use crate::invalidation::{Invalidation, PurgeMark, Sequence};
use crate::key::{Key, KeySeed};
use crate::store::body::DeferredBody as _;
use crate::store::cold::{ColdTier, Load};
use crate::store::file::error::OpenError;
use crate::store::file::read::file_body::FileBody;
use crate::store::file::volume::Volume;
use crate::store::file::volume::index::{IndexEntry, Locked};
use crate::store::file::volume::journal_writer::JournalWriter;
use crate::store::file::volume::metrics::FileUsage;
use crate::store::file::volume::open::{FileLimits, Opened, open};
use crate::store::file::write::queue::{HEAD_BYTES, Job, QUEUE_BYTES_MAX, Reserved};
use crate::store::file::write::recovery::sweep_expired;
use crate::store::file::write::sweeper;
use crate::store::file::write::threads::FileEngine;
use crate::store::file::write::writer::variant_of;
use crate::store::journal::Journal;
use crate::store::memory::{Arrival, Backing, MemoryLimits, MemoryStore};
use crate::store::{
    Body, Content, EntryWriter, NewEntry, Promote, Removal, Store, StoreError, Stored, Usage,
};
use process::clock::Clock;

/// Stored responses in memory and in a file.
#[derive(Clone, Debug)]
pub struct TieredStore {
    parts: Arc<TierParts>,
}

#[derive(Debug)]
pub(crate) struct TierParts {
    pub(crate) memory: MemoryStore,
    pub(crate) engine: FileEngine,
    pub(crate) invalidation: Arc<Invalidation>,
    clock: Clock,
    /// Times that the wall clock had been set when memory was looked through for that.
    judged_turns: AtomicU64,
    pub(crate) rules: Rules,
    /// Reads that may wait for the device at once.
    pub(crate) reads: Arc<Semaphore>,
    pub(crate) promotion: Promotion,
    memory_age: Arc<MemoryAge>,
    /// Who waits for the device takes turns, by key: a crowd reads once.
    pub(crate) turns: Box<[Turn]>,
}

/// The right to read what is under some keys.
pub(crate) type Turn = tokio::sync::Mutex<()>;

/// What goes where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) object_bytes_max: u64,
    variants_max: usize,
    /// What is useless sooner is written only if memory would evict it before, in milliseconds.
    short_life_millis: u64,
}

/// A store that was opened, and what belongs to it.
#[derive(Debug)]
pub struct OpenedStore {
    /// The engine.
    pub store: Arc<TieredStore>,
    /// The purges that it remembers.
    pub invalidation: Arc<Invalidation>,
    /// The secret of its keys' hashes.
    pub seed: KeySeed,
    /// What it keeps durable.
    pub journal: Journal,
}

/// Whether memory is only for what is being used, or a tier of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tiering {
    /// Everything goes into the file.
    File,
    /// What lives for less than a minute, and no longer than memory keeps it, is not written.
    Tiered,
}

impl Tiering {
    /// Divides memory of so many bytes, in front of a file of so many: responses in the index, and bytes of stored responses.
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
    /// Opens the store, or makes one. It serves at once; what was stored before is found once the recovery is through.
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
        let rules = Rules {
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

    /// Everything leaves memory, as if there were no room.
    #[cfg(test)]
    pub(crate) fn evict_all(&self) {
        self.parts.memory.visit(&mut |stored| self.parts.memory.evict(stored));
    }

    /// Finishes the evictions from memory that are due.
    pub fn settle(&self) {
        self.parts.memory.settle();
    }

    /// What is behind it.
    #[cfg(test)]
    pub(crate) fn volume(&self) -> &Arc<Volume> {
        self.parts.volume()
    }

    /// Looks at once for what was purged in the file.
    #[cfg(test)]
    pub(crate) fn sweep(&self) {
        self.parts.engine.sweep();
    }

    /// Returns the memory before the file.
    pub fn memory(&self) -> &MemoryStore {
        &self.parts.memory
    }

    /// Returns the numbers of the file.
    pub fn file_usage(&self) -> FileUsage {
        self.parts.volume().usage()
    }

    /// Makes everything durable. Nothing is stored any more.
    pub fn close(&self) {
        self.parts.engine.close();
    }

    /// Returns whether the queue of what is to be written is less than half full.
    pub fn has_room(&self) -> bool {
        self.parts.engine.queued_bytes() < QUEUE_BYTES_MAX / 2
    }

    /// Returns whether what was stored before is found by now, and everything that was stored since is in the file.
    pub fn is_settled(&self) -> bool {
        let engine = &self.parts.engine;
        !engine.volume.is_loading.load(Ordering::Acquire) && engine.queued_bytes() == 0
    }
}

impl TierParts {
    pub(crate) fn volume(&self) -> &Arc<Volume> {
        &self.engine.volume
    }

    /// Whether a response is worth a place in the file.
    fn is_lasting(&self, draft: &NewEntry) -> bool {
        let Content::Response(response) = &draft.content else { return false };
        let until = response.freshness.useless_after();
        let life = until.as_millis().saturating_sub(self.clock.now().as_millis());
        life >= self.rules.short_life_millis || !self.memory_age.covers(life)
    }

    /// Takes room in the queue for a response of this length, if it is to be in the file, and there is.
    pub(crate) fn room_for(&self, draft: &NewEntry, body_bytes: u64) -> Option<Reserved> {
        self.is_lasting(draft).then(|| self.engine.reserve(body_bytes + HEAD_BYTES)).flatten()
    }

    /// Stores a response: in memory, and on its way into the file where it was given room in the queue.
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

    /// Takes out what the newcomer replaces in the file, and the oldest variants where there are too many.
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
            }
        }
    }

    /// What this entry was about is dead. `stored`: it, where it is in memory; `successor`: who goes on using its body. Under the
    /// lock of its shard, so that its segment is not given away meanwhile.
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

    /// It could not be queued for the file.
    fn keep_in_memory_only(&self, stored: &Stored) {
        let volume = self.volume();
        let mut locked = volume.index.lock(stored.key.hash());
        volume.pending.lock().remove(&stored.short_version());
        if locked.remove(stored.short_version()).is_some_and(|entry| !entry.is_in_memory()) {
            volume.index.count_removal(Removal::Size);
        }
    }

    /// After the wall clock was set, what an earlier process has stored leaves memory: its age is another one than it was taken
    /// for, and is found when it comes back.
    fn judge_anew(&self) {
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

    fn remove(&self, stored: &Arc<Stored>, reason: Removal, successor: Option<&Stored>) -> bool {
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
                // It may have been evicted and recalled since: then another of the same version is in memory.
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

    fn purge_cold(&self, key_hash: u64, mode: PurgeMode, before: Sequence) -> u64 {
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
                self.parts.load(key.hash(), promote).await
            } else {
                Vec::new()
            }
        })
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

/// What memory evicts stays in the file.
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

/// What an entry of the index takes in memory at most, with its share of the segments' filters.
const ENTRY_BYTES: u64 = 48;
/// The index never needs more entries than a file full of responses of this size has.
const OBJECT_BYTES_MEAN_MIN: u64 = 2 << 10;
/// What the file engine keeps in memory of what is being used.
const IN_USE_BYTES_MAX: u64 = 64 << 20;
/// What is useless within a minute is most likely written for nothing.
const SHORT_LIFE_MILLIS: u64 = 60_000;
/// Reads that wait for the device at once; more are answered as misses.
const READS_MAX: usize = 256;
const TURNS: usize = 1024;
