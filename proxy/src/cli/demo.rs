//! `shellac demo`: becomes `shellac-purger demo`, which leads to the program that links both the
//! proxy and librdkafka.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;
use process::exit::Exit;
use process::sibling::become_sibling;
use process::terminal::say;

/// Arguments for the other program.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub(super) struct DemoArguments {
    /// As `shellac-purger demo` takes them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Becomes the other program; returns if it is not in the same directory.
pub(super) fn demo(arguments: DemoArguments) -> ExitCode {
    let arguments = std::iter::once(OsString::from("demo")).chain(arguments.arguments);
    let error = become_sibling("shellac-purger", arguments);
    say(format_args!(
        "shellac: the demonstration is `shellac-purger demo`, which cannot be run from here: {error}"
    ));
    Exit::Usage.into()
}
