//! `[storage]`: where stored responses live, and how much room they get.

use std::path::Path;

use crate::config::memory_limit::memory_limit;
use crate::config::report::Draft;
use crate::config::table::Table;
use crate::config::value::{Fault, choice, parsed, size, size_of};

/// The store. One kind so far: memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// `[storage.memory]`.
    pub memory: MemoryStorage,
}

/// Stored responses in memory, gone with the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryStorage {
    /// Bytes that keys, heads, bodies, tags and index may take together, at least 1MiB. A share ("60%") was resolved
    /// against the memory the process may use.
    pub capacity: u64,
    /// Bytes of the largest stored response, 1KiB to `capacity`. Larger ones are streamed through.
    pub max_object: u64,
}

/// A capacity as it is written.
#[derive(Clone, Copy)]
enum Capacity {
    Bytes(u64),
    /// Percent of the memory the process may use.
    Share(u64),
}

impl Storage {
    /// Reads `[storage]`, and how much memory there is, for a share of it.
    pub(crate) fn read(root: &mut Table<'_>) -> Self {
        let mut memory = MemoryStorage { capacity: 0, max_object: 8 << 20 };
        root.table("storage", |table| {
            table.read("kind", choice(&[("memory", ())]), &mut ());
            table.table("memory", |table| memory.read(table));
        });
        Self { memory }
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

fn no_limit() -> Draft {
    Draft::error("cannot tell how much memory this process may use, so there is no share of it", "")
        .help("[storage.memory]\ncapacity = \"2GiB\"")
}
