//! `Disk`: what the store needs of a file. The real one is here; tests have one that loses, tears
//! and reorders what was not synced.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;

use rustix::io::{Errno, ReadWriteFlags};

use super::mmap::Map;

/// A file of fixed length. Every call may block.
pub(crate) trait Disk: Send + Sync + std::fmt::Debug {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Fills the buffer if that needs no device; `WouldBlock`: it does. Does not block.
    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes all bytes at this offset, into the system's cache.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns when all that was written is on the device. After an error, nothing of it may be
    /// relied upon.
    fn sync(&self) -> io::Result<()>;

    fn length(&self) -> io::Result<u64>;

    /// Returns the map of the file, where it can be mapped.
    fn map(&self) -> Option<&Map>;
}

#[derive(Debug)]
pub(crate) struct FileDisk {
    file: File,
    map: Option<Map>,
    /// The path under which a next process finds the file.
    path: Option<PathBuf>,
}

impl FileDisk {
    /// Uses a file without mapping it.
    pub(crate) const fn unmapped(file: File) -> Self {
        Self { file, map: None, path: None }
    }

    /// Uses a file without mapping it. Nothing counts as written once another one is at its path.
    pub(crate) const fn at(path: PathBuf, file: File) -> Self {
        Self { file, map: None, path: Some(path) }
    }

    /// Uses a file and maps so many bytes of it.
    pub(crate) fn mapped(file: File, length: u64) -> io::Result<Self> {
        let map = Map::new(&file, length)?;
        Ok(Self { file, map: Some(map), path: None })
    }

    /// Checks that a next process would not read another file instead. Where there is none it
    /// begins empty, and misses nothing.
    fn check_place(&self) -> io::Result<()> {
        let Some(there) = self.path.as_ref().and_then(|path| std::fs::metadata(path).ok()) else {
            return Ok(());
        };
        let own = self.file.metadata()?;
        let is_own = (there.dev(), there.ino()) == (own.dev(), own.ino());
        is_own.then_some(()).ok_or_else(|| io::Error::other("another file has taken its place"))
    }
}

impl Disk for FileDisk {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let length = buffer.len();
        let mut slices = [IoSliceMut::new(buffer)];
        let flags = ReadWriteFlags::NOWAIT;
        let count = rustix::io::preadv2(&self.file, &mut slices, offset, flags)?;
        if count == length { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        match rustix::fs::fdatasync(&self.file) {
            // Never asked again after a failure: the system calls the pages clean then.
            Err(Errno::INTR) => rustix::fs::fdatasync(&self.file)?,
            result => result?,
        }
        self.check_place()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn map(&self) -> Option<&Map> {
        self.map.as_ref()
    }
}
