//! `shellac check`: says whether a configuration is right, all problems at once.

use std::io::Write as _;
use std::process::ExitCode;

use super::exit::Exit;
use crate::config::{Config, Flags, Sources};

/// Checks.
pub(super) fn check(flags: Flags) -> ExitCode {
    match load(flags) {
        Ok(config) => {
            let written = writeln!(std::io::stdout(), "{}", config.check_summary());
            if written.is_ok() { Exit::Done.into() } else { Exit::Io.into() }
        }
        Err(exit) => exit.into(),
    }
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
