//! `shellac health`: a probe for containers without curl.

use std::process::ExitCode;

use clap::Args;
use http::Method;

use super::admin_client::{AdminArguments, AdminClient};
use process::exit::Exit;
use process::terminal::say;

#[derive(Debug, Args)]
pub(super) struct HealthArguments {
    /// Ask whether requests are welcome, not only whether the process is alive
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    admin: AdminArguments,
}

/// Ends with 0 if the proxy is well, with 1 if it says that it is not, with 69 if nobody answers.
pub(super) fn health(arguments: &HealthArguments) -> ExitCode {
    let path = if arguments.ready { "/readyz" } else { "/healthz" };
    let client = AdminClient::of(&arguments.admin);
    let exit = match client.and_then(|client| client.ask(&Method::GET, path, None)) {
        Ok(answer) if answer.status.is_success() => Exit::Done,
        Ok(answer) => {
            say(format_args!("shellac: {}", answer.detail()));
            Exit::No
        }
        Err(exit) => exit,
    };
    exit.into()
}
