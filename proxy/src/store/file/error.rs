//! Why the store cannot be opened.

use std::io;
use std::path::PathBuf;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses it. The operator stops that one, or chooses another directory.
    #[error(
        "the store in {0} is in use by another process: stop it, take over from it (--take-over PID), or wait for it (storage.file.wait)"
    )]
    InUse(PathBuf),
    /// The disk lacks the space. The operator frees some, or lowers `storage.file.capacity`.
    #[error("no room for {bytes} bytes in {path}: free some, or lower storage.file.capacity")]
    NoSpace {
        /// The file.
        path: PathBuf,
        /// Bytes that it needs.
        bytes: u64,
    },
    /// The file system cannot reserve space. The operator chooses another one.
    #[error("the file system of {0} cannot reserve space: use ext4, xfs or tmpfs")]
    NotReservable(PathBuf),
    /// Another version of this program has written it. The operator deletes it: it is a cache.
    #[error(
        "{path} has format {version}, which this version does not read: delete it to start empty"
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its format.
        version: u32,
    },
    /// The files cannot be made, read or written.
    #[error("cannot open the store in {path}: {source}")]
    Io {
        /// The file, or the directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
