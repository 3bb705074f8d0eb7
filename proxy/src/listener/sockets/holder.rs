//! Which process listens at a port, as far as `/proc` tells this user.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use std::os::unix::ffi::OsStrExt as _;

/// Returns "NAME (process PID)" of a process that listens there.
pub(super) fn holder_of(address: SocketAddr) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let sockets: BTreeSet<String> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, address.port()))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|process| process.file_name().into_string().ok()).find_map(|pid| {
        let number: u32 = pid.parse().ok()?;
        let descriptors = fs::read_dir(format!("/proc/{number}/fd")).ok()?.flatten();
        let is_one = |target: std::path::PathBuf| {
            std::str::from_utf8(target.as_os_str().as_bytes())
                .is_ok_and(|target| sockets.contains(target))
        };
        let holds = descriptors
            .take(DESCRIPTORS_MAX)
            .any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(is_one));
        let name = || fs::read_to_string(format!("/proc/{number}/comm")).unwrap_or_default();
        holds.then(|| format!("{} (process {number})", name().trim()))
    })
}

/// The inodes of the sockets of a table that listen at this port.
fn listening(table: &str, port: u16) -> Vec<String> {
    let inode = |line: &str| {
        let mut words = line.split_whitespace();
        let (local, state) = (words.nth(1)?, words.nth(1)?);
        let (_, hex) = local.rsplit_once(':')?;
        let is_it = state == LISTEN && u16::from_str_radix(hex, 16).ok()? == port;
        is_it.then(|| words.nth(5).map(str::to_owned)).flatten()
    };
    table.lines().skip(1).filter_map(inode).collect()
}

/// The state in `/proc/net/tcp`.
const LISTEN: &str = "0A";
/// More than a process needs before it listens.
const DESCRIPTORS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::holder_of;

    #[test]
    fn the_process_that_listens_at_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let holder = holder_of(address).unwrap();
        assert!(holder.ends_with(&format!("(process {})", std::process::id())), "{holder}");
        drop(listener);
        assert_eq!(holder_of(address), None);
    }
}
