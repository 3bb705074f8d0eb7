//! Becoming another program of Shellac.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Replaces this process by the program of this name in the same directory; returns only if that
/// fails.
pub fn become_sibling<A: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = A>,
) -> io::Error {
    match std::env::current_exe() {
        Ok(own) => Command::new(own.with_file_name(program)).args(arguments).exec(),
        Err(error) => error,
    }
}
