//! `shellac upgrade`: have a running proxy replaced by a new process of its program.

use std::process::ExitCode;

use clap::Args;

use process::exit::Exit;
use process::terminal::say;

use crate::upgrade::{OperatorError, upgrade as ask};

#[derive(Debug, Args)]
pub(super) struct UpgradeArguments {
    /// The process to replace; needed where several run
    #[arg(long, value_name = "PID")]
    pid: Option<i32>,
    /// Wait for the end of the old process, too: until its clients are served
    #[arg(long)]
    wait: bool,
}

pub(super) fn upgrade(arguments: &UpgradeArguments) -> ExitCode {
    let outcome = ask(arguments.pid, arguments.wait, &mut |text| say(format_args!("{text}")));
    let error = match outcome {
        Ok(()) => return Exit::Done.into(),
        Err(error) => error,
    };
    say(format_args!("shellac upgrade: {error}"));
    match error {
        OperatorError::Unreachable(_) => Exit::Unavailable.into(),
        OperatorError::Failed(_) => Exit::No.into(),
    }
}
