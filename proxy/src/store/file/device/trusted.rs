//! `Trusted`: `store.dat` for as long as it can be relied upon.
//!
//! A read that fails or comes short, or another length of the file, ends the trust in all of it
//! until the store is opened again. Every later read and write fails at once. The map is withdrawn,
//! so that even windows that wait to be sent fail (`EFAULT`).
//!
//! Behind all segments the file ends in a mark. Nothing is written there later, so a file that was
//! cut short never has it again, however long it becomes: zeros in the place of what was stored are
//! never taken for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::disk::Disk;
use super::mmap::Map;

/// The data file, and whether it may be used.
#[derive(Debug)]
pub(crate) struct Trusted {
    disk: Arc<dyn Disk>,
    length: u64,
    is_over: AtomicBool,
    /// Another process writes the file, and may have made it longer.
    is_handed_over: AtomicBool,
}

impl Trusted {
    /// Trusts a file of this length from now on, and writes its mark.
    pub(crate) fn new(disk: Arc<dyn Disk>, length: u64) -> io::Result<Self> {
        disk.write(length - END_BYTES, END_MARK)?;
        let (is_over, is_handed_over) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { disk, length, is_over, is_handed_over })
    }

    /// Returns whether the file may be used, as far as is known.
    pub(crate) fn is_usable(&self) -> bool {
        !self.is_over.load(Ordering::Acquire)
    }

    /// Looks at the file and returns whether it may be used. Costs about a microsecond: the mark is
    /// in the system's cache, as every use of the file reads it.
    pub(crate) fn check(&self) -> bool {
        if self.is_usable()
            && let Err(error) = self.check_length().and_then(|()| self.check_mark())
        {
            self.end(&error);
        }
        self.is_usable()
    }

    fn check_length(&self) -> io::Result<()> {
        let found = self.disk.length()?;
        let may_be_longer = self.is_handed_over.load(Ordering::Acquire);
        if found < self.length || (found > self.length && !may_be_longer) {
            let expected = self.length;
            return Err(io::Error::other(format!("it has {found} bytes instead of {expected}")));
        }
        Ok(())
    }

    /// Checks the mark by a plain read: some file systems cannot `read_cached`, and where the file
    /// was cut there is nothing in the cache.
    fn check_mark(&self) -> io::Result<()> {
        let mut mark = [0; END_MARK.len()];
        self.disk.read(self.length - END_BYTES, &mut mark)?;
        let cut = "it was cut short and made longer again";
        (mark == *END_MARK).then_some(()).ok_or_else(|| io::Error::other(cut))
    }

    /// Allows the file to become longer from now on.
    pub(crate) fn hand_over(&self) {
        self.is_handed_over.store(true, Ordering::Release);
    }

    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.usable()?;
        self.disk.read(offset, buffer).inspect_err(|error| self.end(error))
    }

    /// Reads what needs no device. A failure says nothing about the file: [`Self::read`] finds out
    /// why.
    pub(crate) fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.usable()?;
        self.disk.read_cached(offset, buffer)
    }

    /// Writes at this offset. Never makes a file longer that was cut short.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check();
        self.usable()?;
        self.disk.write(offset, bytes)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }

    pub(crate) fn map(&self) -> Option<&Map> {
        self.disk.map().filter(|_| self.is_usable())
    }

    /// Returns the file itself, for reads that must be tried even if it is not trusted: the
    /// superblock names the journal's half.
    pub(crate) fn device(&self) -> &dyn Disk {
        &*self.disk
    }

    fn usable(&self) -> io::Result<()> {
        self.is_usable().then_some(()).ok_or_else(|| io::Error::other("the file is out of service"))
    }

    fn end(&self, error: &io::Error) {
        if self.is_over.swap(true, Ordering::AcqRel) {
            return;
        }
        tracing::error!(
            %error,
            "store.dat cannot be trusted: it is out of service, responses are kept in memory only. Check the disk, and what else \
             writes to this file; then restart"
        );
        if let Some(map) = self.disk.map()
            && let Err(error) = map.withdraw()
        {
            tracing::error!(%error, "cannot withdraw what is shown of store.dat: restart at once");
        }
    }
}

/// The end of the file, which no segment uses: a page, so that it is read and written by itself.
pub(crate) const END_BYTES: u64 = 4096;
const END_MARK: &[u8; 16] = b"shellac end\r\n\0\0\0";
