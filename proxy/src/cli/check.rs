//! `shellac check`: says whether a configuration is right, all problems at once.

use std::io::Write as _;
use std::process::ExitCode;

use bytesize::ByteSize;

use super::exit::Exit;
use crate::config::{Config, Flags, Sources, StorageKind};

/// Checks.
pub(super) fn check(flags: Flags) -> ExitCode {
    match load(flags) {
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

/// Says so where the disk is too small for the store: the file system that its directory is, or would be, on.
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

/// Loads the configuration; what is wrong, or looks so, goes to standard error.
pub fn load(flags: Flags) -> Result<Config, Exit> {
    let sources = Sources::of_process(flags).map_err(|error| {
        say(format_args!("cannot read the configuration: {error}"));
        Exit::Io
    })?;
    match Config::load(&sources) {
        Ok(config) => {
            for warning in &config.warnings {
                say(format_args!("{:?}", miette::Report::new(warning.clone())));
            }
            Ok(config)
        }
        Err(errors) => {
            say(format_args!("{:?}", miette::Report::new(errors)));
            Err(Exit::Config)
        }
    }
}

/// Writes a line to standard error; nobody can be told when that fails.
pub fn say(line: std::fmt::Arguments<'_>) {
    let _written = writeln!(std::io::stderr(), "{line}");
}
