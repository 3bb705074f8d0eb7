//! Unix sockets in the file system: made with their mode, and removed when nobody listens any more.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};

/// The file of a socket that this process made, or was handed. Dropped, it removes the file, unless
/// another socket is there by now.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Option<FileIdentity>,
}

/// A file and its birth: the numbers of files are used again.
type FileIdentity = (u64, u64, Option<SystemTime>);

impl SocketFile {
    /// Takes responsibility for the file that is there.
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: identity(path) }
    }

    /// Leaves the file to another process.
    pub(super) fn leave(&mut self) {
        self.identity = None;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some()
            && identity(&self.path) == self.identity
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove a socket's file");
        }
    }
}

/// Makes a socket at this path. The file of a process that is gone is replaced; one at which
/// somebody listens, or that is no socket, never is.
pub(super) fn make(path: &Path, mode: u32, backlog: u32) -> io::Result<(UnixListener, SocketFile)> {
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let folder = File::open(folder).map_err(|error| {
        io::Error::new(error.kind(), format!("the folder {}: {error}", folder.display()))
    })?;
    // Two that start at once would otherwise both find the same stale file, and the second remove
    // what the first has made.
    flock(&folder, FlockOperation::LockExclusive)?;
    remove_stale(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    let file = SocketFile::at(path);
    // Before it listens: nobody connects under another mode.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    listen(&socket, i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok((socket.into(), file))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !there.file_type().is_socket() {
        let message = "there is a file that is no socket: move it away";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Also when its queue is full, or it may not be asked: somebody has it.
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

fn identity(path: &Path) -> Option<FileIdentity> {
    let there = fs::symlink_metadata(path).ok()?;
    there.file_type().is_socket().then(|| (there.dev(), there.ino(), there.created().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_its_mode_and_goes_with_its_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let (socket, file) = make(&path, 0o620, 8).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o620);
        UnixStream::connect(&path).unwrap();
        drop((socket, file));
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_file_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "what a process leaves that was killed");

        let (_socket, _file) = make(&path, 0o600, 8).unwrap();
        let refused = make(&path, 0o600, 8).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, "x").unwrap();
        let refused = make(&path, 0o600, 8).unwrap_err();
        assert!(refused.to_string().contains("no socket"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "x");
    }

    #[test]
    fn a_file_that_another_process_has_by_now_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let (socket, file) = make(&path, 0o600, 8).unwrap();
        drop(socket);
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());

        let mut left = SocketFile::at(&path);
        left.leave();
        drop(left);
        assert!(path.exists());
    }
}
