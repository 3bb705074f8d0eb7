//! `[storage]`: where stored responses live, and how much room they get.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::memory_limit::memory_limit;
use crate::report::ProblemBuilder;
use crate::table::Table;
use crate::value::{Fault, boolean, choice, duration, parsed, size, size_of, size_or_off};

/// The store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageSettings {
    /// The engine.
    pub kind: StorageKind,
    /// `[storage.memory]`.
    pub memory: MemoryStorage,
    /// `[storage.file]`, for the kinds that have one.
    pub file: FileStorage,
}

/// The engine that keeps stored responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageKind {
    /// Memory only.
    Memory,
    /// A file; memory for its index and for what is being used.
    File,
    /// Memory in front of a file.
    Tiered,
}

/// Stored responses in a file, which outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStorage {
    /// The directory of its files; made if it is not there.
    pub path: PathBuf,
    /// Bytes of the file, at least 64MiB; reserved when it is made.
    pub capacity: u64,
    /// Bytes of the largest stored response, 1KiB to a quarter of `capacity`. Larger ones are
    /// streamed through.
    pub max_object: u64,
    /// Uses the responses that an earlier process stored.
    pub persist: bool,
    /// Interval of syncs to the device, 100ms to 1h. A loss of power loses no more than this.
    /// Purges are synced at once.
    pub sync: Duration,
    /// Longest wait at start for another process to close the files, up to 10m.
    pub wait: Duration,
}

/// Stored responses in memory, gone with the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryStorage {
    /// Bytes that keys, heads, bodies, tags and index may take together, at least 1MiB. A share
    /// ("60%") was resolved against the memory the process may use.
    pub capacity: u64,
    /// Bytes of the largest stored response, 1KiB to `capacity`. Larger ones are streamed through.
    pub max_object: u64,
    /// Bytes of the most used responses that an upgrade hands over to the new process where there
    /// is no file, 1MiB to 64GiB; `None`: none. While it lasts they are in memory three times.
    pub hand_over: Option<u64>,
}

/// A capacity as it is written.
#[derive(Clone, Copy)]
enum Capacity {
    Bytes(u64),
    /// Percent of the memory the process may use.
    Share(u64),
}

impl StorageSettings {
    /// Reads `[storage]`, and how much memory there is, for a share of it.
    pub(crate) fn read(root: &mut Table<'_>) -> Self {
        let mut kind = StorageKind::Memory;
        let mut memory =
            MemoryStorage { capacity: 0, max_object: 8 << 20, hand_over: Some(64 << 20) };
        let mut file = FileStorage::default();
        let kinds = [
            ("memory", StorageKind::Memory),
            ("file", StorageKind::File),
            ("tiered", StorageKind::Tiered),
        ];
        root.table("storage", |table| {
            table.read("kind", choice(&kinds), &mut kind);
            table.table("memory", |table| memory.read(table));
            table.table("file", |table| file.read(table));
        });
        Self { kind, memory, file }
    }

    /// Bytes of the largest response that is stored.
    pub const fn object_bytes_max(&self) -> u64 {
        match self.kind {
            StorageKind::Memory => self.memory.max_object,
            StorageKind::File | StorageKind::Tiered => self.file.max_object,
        }
    }
}

impl Default for FileStorage {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/cache/shellac"),
            capacity: 100 << 30,
            max_object: 1 << 30,
            persist: true,
            sync: Duration::from_secs(5),
            wait: Duration::ZERO,
        }
    }
}

impl FileStorage {
    fn read(&mut self, table: &mut Table<'_>) {
        let path = |text: &str| match text {
            "" => Err(Fault::new("must be a directory", "empty")),
            path => Ok(PathBuf::from(path)),
        };
        table.read("path", parsed(path), &mut self.path);
        table.read("capacity", size(64 << 20..=8 << 40), &mut self.capacity);
        // What is written is checked against the capacity; the default follows it.
        self.max_object = self.max_object.min(self.capacity / 4);
        table.read("max_object", size(1 << 10..=u64::MAX), &mut self.max_object);
        table.read("persist", boolean, &mut self.persist);
        let sync = Duration::from_millis(100)..=Duration::from_hours(1);
        table.read("sync", duration(sync), &mut self.sync);
        let wait = Duration::ZERO..=Duration::from_mins(10);
        table.read("wait", duration(wait), &mut self.wait);
    }
}

impl MemoryStorage {
    fn read(&mut self, table: &mut Table<'_>) {
        let mut capacity = Capacity::Share(60);
        table.read("capacity", parsed(Capacity::parse), &mut capacity);
        match capacity.resolve() {
            Some(bytes) => self.capacity = bytes,
            None => table.add(no_limit()),
        }
        table.read("max_object", size(1 << 10..=u64::MAX), &mut self.max_object);
        table.read("hand_over", size_or_off(1 << 20..=64 << 30), &mut self.hand_over);
    }
}

impl Capacity {
    fn parse(text: &str) -> Result<Self, Fault> {
        let fault =
            || Fault::new("must be a share from 1% to 100%, or at least 1MiB", "out of range");
        if let Some(percent) = text.strip_suffix('%') {
            let percent = percent.parse().ok().filter(|percent| (1..=100).contains(percent));
            return percent.map(Self::Share).ok_or_else(fault);
        }
        let bytes = size_of(text)?;
        if bytes < 1 << 20 { Err(fault()) } else { Ok(Self::Bytes(bytes)) }
    }

    /// Returns the bytes; `None`: the kernel does not tell what a share is a share of.
    fn resolve(self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Share(percent) => Some(memory_limit(Path::new("/"))? / 100 * percent),
        }
    }
}

fn no_limit() -> ProblemBuilder {
    ProblemBuilder::error(
        "cannot tell how much memory this process may use, so there is no share of it",
        "",
    )
    .help("[storage.memory]\ncapacity = \"2GiB\"")
}
