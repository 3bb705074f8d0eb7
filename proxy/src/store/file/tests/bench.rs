//! An engine on a simulated disk that does everything at once and in the caller's thread.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use purge_protocol::PurgeMode;

use crate::invalidation::{Invalidation, Mark, PurgeMark, PurgeTimes, Verdict};
use crate::store::ColdTier as _;
use crate::store::contract::{self, Engine, EngineLimits, Page, key};
use crate::store::file::device::disk::Disk;
use crate::store::file::device::simulated::{Crash, Random, SimulatedDisk};
use crate::store::file::format::superblock::Superblock;
use crate::store::file::tiering::{OpenedStore, TieredStore, Tiering};
use crate::store::file::volume::open::{
    Disks, FileLimits, Geometry, Opened, Seeds, Shape, open_disks,
};
use crate::store::file::write::threads::FileEngine;
use crate::store::journal::{Journal, JournalEntry, JournalError};
use crate::store::memory::MemoryLimits;
use crate::store::{Body, Removal, Store as _, StoreError, Stored};
use process::clock::Clock;
use process::timestamp::Timestamp;

#[derive(Debug)]
pub(super) struct SimulatedStore {
    pub(super) data: Arc<SimulatedDisk>,
    pub(super) log: Arc<SimulatedDisk>,
    pub(super) store: Arc<TieredStore>,
    pub(super) invalidation: Arc<Invalidation>,
    pub(super) journal: Journal,
    pub(super) clock: Clock,
    size: Size,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) geometry: Geometry,
    pub(super) memory: u64,
    pub(super) object: u64,
}

pub(super) const SMALL: Size = Size {
    geometry: Geometry { segment_bytes: 64 << 10, segments: 16, half_bytes: 32 << 10 },
    memory: 256 << 10,
    object: 200 << 10,
};
pub(super) const NOW: Timestamp = Timestamp::from_secs(100);

impl SimulatedStore {
    pub(super) fn new(size: Size) -> Self {
        let geometry = size.geometry;
        let data = SimulatedDisk::new(geometry.file_bytes());
        let log = SimulatedDisk::new(geometry.half_bytes * 2);
        Self::open(data, log, size, Clock::manual(NOW)).unwrap()
    }

    pub(super) fn open(
        data: Arc<SimulatedDisk>,
        log: Arc<SimulatedDisk>,
        size: Size,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let disks = Disks {
            data: Arc::clone(&data) as Arc<dyn Disk>,
            log: Arc::clone(&log) as Arc<dyn Disk>,
        };
        let usable = Superblock::load(&*disks.data)?.ok();
        let seeds = Seeds { key: 3, tag: 4 };
        let shape = Shape { geometry: size.geometry, entries_max: 100_000, seeds };
        let opened = open_disks(disks, usable, shape, &clock)?;
        let engine = FileEngine::inline(&opened);
        let limits = FileLimits {
            path: PathBuf::new(),
            capacity: size.geometry.file_bytes(),
            object_bytes_max: size.object,
            persists: true,
            wait: Duration::ZERO,
            sync: Duration::from_secs(1),
            entries_max: shape.entries_max,
        };
        let memory =
            MemoryLimits { capacity: size.memory, object_bytes_max: size.object, variants_max: 64 };
        let opened = TieredStore::over(engine, &opened, (&limits, memory, Tiering::File), &clock);
        let OpenedStore { store, invalidation, journal, .. } = opened;
        Ok(Self { data, log, store, invalidation, journal, clock, size })
    }

    /// Ends the store without a warning and opens the files as they are left.
    pub(super) fn crash(self, crash: Crash, random: &mut Random) -> Self {
        let (data, log) = (self.data.after(crash, random), self.log.after(crash, random));
        let (size, clock) = (self.size, self.next_clock());
        self.data.unplug();
        self.log.unplug();
        drop(self);
        Self::open(data, log, size, clock).unwrap()
    }

    pub(super) fn restart(self) -> Self {
        self.store.close();
        let (data, log, size, clock) =
            (Arc::clone(&self.data), Arc::clone(&self.log), self.size, self.next_clock());
        drop(self);
        Self::open(data, log, size, clock).unwrap()
    }

    fn next_clock(&self) -> Clock {
        Clock::manual(self.clock.wall())
    }

    pub(super) fn put(
        &self,
        path: &str,
        tags: &[&str],
        body: &[u8],
    ) -> Result<Arc<Stored>, StoreError> {
        self.put_page(Page { tags, ..Page::at(path) }, body)
    }

    pub(super) fn put_page(&self, page: Page<'_>, body: &[u8]) -> Result<Arc<Stored>, StoreError> {
        let mut writer = self.store.begin();
        for piece in body.chunks(16 << 10) {
            writer.append(Bytes::copy_from_slice(piece))?;
        }
        writer.commit(contract::draft(&self.invalidation, page))
    }

    /// Returns the body that a request is given, if it is stored and was not purged.
    pub(super) fn get(&self, path: &str) -> Option<Vec<u8>> {
        let key = key(path);
        contract::load(&*self.store, &key);
        let stored = self.store.lookup(&key, &|_| true).or_else(|| {
            contract::load(&*self.store, &key); // it was moved meanwhile
            self.store.lookup(&key, &|_| true)
        })?;
        let verdict = self.invalidation.verdict(&stored.provenance, &key);
        if verdict == Verdict::Purged {
            return None;
        }
        match &stored.response()?.body {
            Body::Deferred(body) => {
                Arc::clone(body).open().whole().ok().map(|pieces| pieces.concat())
            }
            body => Some(body.pieces().concat()),
        }
    }

    pub(super) fn purge(&self, mark: &Mark<'_>, mode: PurgeMode) -> Result<(), JournalError> {
        let _at_work = self.invalidation.begin_purge();
        let sequence = self.invalidation.mark(std::slice::from_ref(mark), mode, self.clock.now());
        self.store.visit(&mut |stored| {
            if self.invalidation.verdict(&stored.provenance, &stored.key) == Verdict::Purged {
                self.store.remove(stored, Removal::Purged);
            }
        });
        if mode == PurgeMode::Hard {
            self.store.sweep_purged(&[PurgeMark::of(mark)], sequence);
        }
        let past = PurgeTimes::of(mode, sequence, self.clock.now());
        self.journal.append(JournalEntry::Purge { marks: vec![PurgeMark::of(mark)], past });
        block_on(self.journal.settled())
    }

    pub(super) fn purge_tag(&self, tag: &str) -> Result<(), JournalError> {
        let id = self.invalidation.ids().tag(tag.as_bytes());
        self.purge(&Mark::Tag(id), PurgeMode::Hard)
    }

    /// Evicts all responses from memory: they have to be read again.
    pub(super) fn clear_source(&self) {
        for number in 0..40 {
            let filler = vec![b'f'; 40 << 10];
            drop(self.put(&format!("/filler/{number}"), &[], &filler));
        }
        self.store.settle();
    }
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(super) fn engine(limits: EngineLimits, tiering: Tiering) -> Engine {
    let EngineLimits { capacity, object_bytes_max, variants_max } = limits;
    let file = capacity * 4;
    let geometry = Geometry::of(file);
    let disks = Disks {
        data: SimulatedDisk::new(geometry.file_bytes()),
        log: SimulatedDisk::new(geometry.half_bytes * 2),
    };
    let clock = Clock::manual(NOW);
    let shape = Shape { geometry, entries_max: 100_000, seeds: Seeds { key: 3, tag: 4 } };
    let opened = open_disks(disks, None, shape, &clock).unwrap();
    let engine = FileEngine::inline(&opened);
    let limits = FileLimits {
        path: PathBuf::new(),
        capacity: file,
        object_bytes_max,
        persists: true,
        wait: Duration::ZERO,
        sync: Duration::from_secs(1),
        entries_max: 100_000,
    };
    let memory = MemoryLimits { capacity, object_bytes_max, variants_max };
    let opened = TieredStore::over(engine, &opened, (&limits, memory, tiering), &clock);
    let store = Arc::clone(&opened.store);
    Engine {
        settle: Box::new(move || store.settle()),
        store: opened.store,
        invalidation: Some(opened.invalidation),
    }
}

/// Opens the store on these disks, but reads no segment.
pub(super) fn open_unloaded(
    data: &Arc<SimulatedDisk>,
    log: &Arc<SimulatedDisk>,
    size: Size,
) -> Opened {
    let disks =
        Disks { data: Arc::clone(data) as Arc<dyn Disk>, log: Arc::clone(log) as Arc<dyn Disk> };
    let usable = Superblock::load(&*disks.data).unwrap().ok();
    let seeds = Seeds { key: 3, tag: 4 };
    let shape = Shape { geometry: size.geometry, entries_max: 1000, seeds };
    open_disks(disks, usable, shape, &Clock::manual(NOW)).unwrap()
}
