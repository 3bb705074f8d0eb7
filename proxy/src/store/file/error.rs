//! The errors of opening a store.

use std::io;
use std::path::PathBuf;

use bytesize::ByteSize;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses it. The operator stops that one, or chooses another directory.
    #[error(
        "the store in {0} is in use by another process: stop it, take over from it (shellac upgrade, --take-over PID), or wait for it (storage.file.wait)"
    )]
    InUse(PathBuf),
    /// The disk lacks the space. The operator frees some, or lowers `storage.file.capacity`.
    #[error("no room for {} in {path}: free some, or lower storage.file.capacity", size(.bytes))]
    NoSpace {
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
    OtherVersion { path: PathBuf, version: u32 },
    #[error("cannot open the store in {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "it is given so by `thiserror`")]
const fn size(bytes: &u64) -> ByteSize {
    ByteSize::b(*bytes)
}
