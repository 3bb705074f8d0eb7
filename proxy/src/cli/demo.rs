//! `shellac demo`: becomes `shellac-purger demo`, which shows the purger as well. That program links librdkafka, this one does not.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use clap::Args;

use process::exit::Exit;
use process::terminal::say;

/// What is passed on.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub(super) struct DemoArguments {
    /// As `shellac-purger demo` takes them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Becomes the other program, if it is in the same directory; returns when it is not.
pub(super) fn demo(arguments: DemoArguments) -> ExitCode {
    let error = become_purger(arguments.arguments);
    say(format_args!(
        "shellac: the demonstration is `shellac-purger demo`, which cannot be run from here: {error}"
    ));
    Exit::Usage.into()
}

fn become_purger(arguments: Vec<OsString>) -> io::Error {
    match env::current_exe() {
        Ok(own) => Command::new(own.with_file_name(PURGER)).arg("demo").args(arguments).exec(),
        Err(error) => error,
    }
}

const PURGER: &str = "shellac-purger";
