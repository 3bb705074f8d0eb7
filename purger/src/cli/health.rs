//! `shellac-purger health`: a probe for containers without curl.

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::Method;
use process::exit::Exit;
use process::terminal::say;
use settings::TargetHttp;

use super::{CommonArguments, block_on, url_of};
use crate::delivery::target::{Target, TargetOptions};

#[derive(Debug, Args)]
pub(super) struct ProbeArguments {
    /// Ask whether it can deliver, not only whether the process is alive
    #[arg(long)]
    ready: bool,
    /// The purger's own listener, instead of the configured `purger.admin`
    #[arg(long, value_name = "URL")]
    purger: Option<String>,
    #[command(flatten)]
    common: CommonArguments,
}

/// Ends with 0 if the purger is well, with 1 if it says that it is not, with 69 if nobody answers.
pub(super) fn health(arguments: &ProbeArguments) -> ExitCode {
    let url = match &arguments.purger {
        Some(url) if url.contains("://") => url.clone(),
        Some(address) => format!("http://{address}"),
        None => match arguments.common.load() {
            Ok(config) => url_of(config.purger.admin),
            Err(exit) => return exit.into(),
        },
    };
    let path = if arguments.ready { "/readyz" } else { "/healthz" };
    match block_on(ask(&url, path)) {
        Ok(exit) => exit.into(),
        Err(error) => {
            say(format_args!("shellac-purger: {error}"));
            Exit::Io.into()
        }
    }
}

async fn ask(url: &str, path: &str) -> Exit {
    let options = TargetOptions { http: TargetHttp::Http1, token: None, timeout: PATIENCE };
    let purger = Target::new(0, url.trim_end_matches('/').to_owned(), &options);
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
                "shellac-purger: no purger answers at {url}: {why}; is it running, is --purger right?"
            ));
            Exit::Unavailable
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
