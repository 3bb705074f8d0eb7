//! `shellac-purger health`: a probe for containers without curl.

use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;
use http::Method;
use process::exit::Exit;
use process::terminal::say;

use super::block_on;
use super::own_listener::OwnListener;
use crate::delivery::target::Target;

#[derive(Debug, Args)]
pub(super) struct ProbeArguments {
    /// Ask whether it can deliver, not only whether the process is alive
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    listener: OwnListener,
}

/// Ends with 0 if the purger is well, with 1 if it says that it is not, with 69 if nobody answers.
pub(super) fn health(arguments: &ProbeArguments) -> ExitCode {
    let purger = match arguments.listener.purger() {
        Ok(purger) => purger,
        Err(exit) => return exit.into(),
    };
    let path = if arguments.ready { "/readyz" } else { "/healthz" };
    match block_on(ask(&purger, path)) {
        Ok(exit) => exit.into(),
        Err(error) => {
            say(format_args!("shellac-purger: {error}"));
            Exit::Io.into()
        }
    }
}

async fn ask(purger: &Target, path: &str) -> Exit {
    match purger.ask(Method::GET, path, Bytes::new()).await {
        Ok((status, _)) if status.is_success() => Exit::Done,
        Ok((status, body)) => {
            let text = String::from_utf8_lossy(&body);
            let first = text.trim().lines().next().unwrap_or_default();
            say(format_args!("shellac-purger: {status}: {first}"));
            Exit::No
        }
        Err(why) => {
            say(format_args!(
                "shellac-purger: no purger answers at {}: {why}; is it running, is --purger right?",
                purger.url
            ));
            Exit::Unavailable
        }
    }
}
