//! `shellac version`: what was built.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;

use crate::admin::version::document;
use process::exit::Exit;

#[derive(Debug, Args)]
pub(super) struct VersionArguments {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn version(arguments: &VersionArguments) -> ExitCode {
    let text = if arguments.json {
        format!("{}\n", document())
    } else {
        format!("shellac {}\n", env!("CARGO_PKG_VERSION"))
    };
    let written = std::io::stdout().write_all(text.as_bytes());
    if written.is_ok() { Exit::Done.into() } else { Exit::Io.into() }
}
