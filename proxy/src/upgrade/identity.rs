//! Who is at the other end, and under which name a process is found.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;

use tokio::net::UnixStream;

/// The process at the other end, as the kernel says.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerProcess {
    pub(super) pid: Option<i32>,
    uid: u32,
}

impl PeerProcess {
    /// Returns who opened the other end.
    pub(super) fn of(channel: &impl AsFd) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let socket = StdUnixStream::from(channel.as_fd().try_clone_to_owned()?);
        socket.set_nonblocking(true)?;
        let cred = {
            let _context = runtime.enter();
            UnixStream::from_std(socket).and_then(|socket| socket.peer_cred())
        };
        StdUnixStream::from(channel.as_fd().try_clone_to_owned()?).set_nonblocking(false)?;
        let cred = cred?;
        Ok(Self { pid: cred.pid().filter(|pid| *pid > 0), uid: cred.uid() })
    }

    /// Returns whether it may replace this process: it is of the same user, or of root.
    pub(super) fn is_trusted(&self) -> bool {
        self.uid == 0 || self.uid == rustix::process::geteuid().as_raw()
    }
}

/// Returns the abstract name at which a process is found. Containers may share a network without
/// sharing numbers of processes.
pub(super) fn name_of(pid: i32) -> Vec<u8> {
    format!("{}{pid}", prefix()).into_bytes()
}

/// Returns the processes here that can be asked for an upgrade.
pub(super) fn running() -> io::Result<Vec<i32>> {
    let table = fs::read_to_string("/proc/net/unix")?;
    let prefix = format!("@{}", prefix());
    let pid = |line: &str| line.split_whitespace().last()?.strip_prefix(&prefix)?.parse().ok();
    let mut all: Vec<i32> = table.lines().filter_map(pid).collect();
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

fn prefix() -> String {
    let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("shellac/upgrade/{}/", space.display())
}
