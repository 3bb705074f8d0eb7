//! `shellac check`: says whether a configuration is right, all problems at once.

use std::io::Write as _;
use std::process::ExitCode;

use bytesize::ByteSize;

use process::configuration::load_inspected;
use process::exit::Exit;
use process::terminal::say;
use settings::{Config, Flags, StorageKind};

use crate::policy;

pub(super) fn check(flags: Flags) -> ExitCode {
    match load_inspected(flags, policy::inspect) {
        Ok(config) => {
            if let Some(problem) = shortage(&config) {
                say(format_args!("shellac: {problem}"));
                return Exit::Config.into();
            }
            let written = writeln!(std::io::stdout(), "{}", config.check_summary());
            if written.is_ok() { Exit::Done.into() } else { Exit::Io.into() }
        }
        Err(exit) => exit.into(),
    }
}

/// Says so where the disk is too small for the store: the file system that its directory is, or
/// would be, on.
fn shortage(config: &Config) -> Option<String> {
    let file = &config.storage.file;
    if config.storage.kind == StorageKind::Memory {
        return None;
    }
    let room = file.path.ancestors().find_map(|path| rustix::fs::statvfs(path).ok())?;
    let own = std::fs::metadata(file.path.join("store.dat")).map_or(0, |own| own.len());
    let free = room.f_bavail.saturating_mul(room.f_frsize).saturating_add(own);
    (free < file.capacity).then(|| {
        format!(
            "the file system of {} has room for {}, and storage.file.capacity is {}: free some, or lower it",
            file.path.display(),
            ByteSize::b(free),
            ByteSize::b(file.capacity),
        )
    })
}
