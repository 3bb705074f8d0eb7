//! `StoreLock`: who may use the files of a store. One process writes; one that has handed the store
//! over may go on reading until its clients are served.
//!
//! The writer holds an exclusive lock on `store.dat`, every reader a shared one on `store.readers`.
//! A new writer overwrites nothing before it was alone once, that is, before all who read the store
//! under earlier writers have ended.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::store::file::error::OpenError;
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct StoreLock {
    data: File,
    readers: File,
    is_alone: AtomicBool,
}

impl StoreLock {
    /// Takes it for a store in this directory, whose data are in this file. Waits so long for
    /// another process to let go.
    pub(crate) fn take(folder: &Path, data: &File, wait: Duration) -> Result<Self, OpenError> {
        let fault = |source| OpenError::Io { path: folder.to_owned(), source };
        let started = Instant::now();
        while !taken(data.try_lock()).map_err(fault)? {
            if started.elapsed() >= wait {
                return Err(OpenError::InUse(folder.to_owned()));
            }
            pause();
        }
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let readers = options.open(folder.join(READERS)).map_err(fault)?;
        let data = data.try_clone().map_err(fault)?;
        Ok(Self { data, readers, is_alone: AtomicBool::new(false) })
    }

    /// Returns whether nobody reads the store any more who did under an earlier writer.
    pub(crate) fn is_alone(&self) -> io::Result<bool> {
        if !self.is_alone.load(Ordering::Acquire) && taken(self.readers.try_lock())? {
            self.readers.lock_shared()?; // nobody else can have it meanwhile: that takes the lock on the data
            self.is_alone.store(true, Ordering::Release);
        }
        Ok(self.is_alone.load(Ordering::Acquire))
    }

    /// Waits so long until nobody else reads the store.
    pub(crate) fn wait_to_be_alone(&self, folder: &Path, wait: Duration) -> Result<(), OpenError> {
        let fault = |source| OpenError::Io { path: folder.to_owned(), source };
        let started = Instant::now();
        while !self.is_alone().map_err(fault)? {
            if started.elapsed() >= wait {
                return Err(OpenError::InUse(folder.to_owned()));
            }
            pause();
        }
        Ok(())
    }

    /// Lets another process write. This one may go on reading until it ends.
    pub(crate) fn hand_over(&self) -> io::Result<()> {
        self.readers.lock_shared()?; // others hold it shared at most
        self.data.unlock()
    }
}

fn taken(attempt: Result<(), TryLockError>) -> io::Result<bool> {
    match attempt {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing is served before the store is open")]
fn pause() {
    thread::sleep(Duration::from_millis(10));
}

const READERS: &str = "store.readers";

#[cfg(test)]
mod tests {
    use super::*;

    fn take(folder: &Path) -> Result<StoreLock, OpenError> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let data = options.open(folder.join("store.dat")).unwrap();
        StoreLock::take(folder, &data, Duration::ZERO)
    }

    #[test]
    fn one_writes_and_the_next_is_alone_when_all_before_it_have_ended() {
        let folder = tempfile::tempdir().unwrap();
        let first = take(folder.path()).unwrap();
        assert!(first.is_alone().unwrap() && first.is_alone().unwrap());
        assert!(matches!(take(folder.path()), Err(OpenError::InUse(_))));
        first.hand_over().unwrap();
        let second = take(folder.path()).unwrap();
        assert!(!second.is_alone().unwrap(), "the first still reads");
        assert!(matches!(take(folder.path()), Err(OpenError::InUse(_))));
        second.hand_over().unwrap();
        drop(first);
        let third = take(folder.path()).unwrap();
        assert!(!third.is_alone().unwrap(), "the second still reads");
        drop(second);
        assert!(third.is_alone().unwrap());
    }
}
