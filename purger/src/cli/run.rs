//! `shellac-purger run`: consume and deliver until SIGTERM or SIGINT.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use shellac::cli::check::say;
use shellac::cli::exit::Exit;
use shellac::cli::logging;
use shellac::cli::run::told_to_leave;
use shellac::clock::Clock;
use shellac::config::Config;

use super::Common;
use crate::app::{App, Ended, RunError};

/// What to run with.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    common: Common,
    /// Address of the purger's own listener, instead of the configured one; port 0 takes any free port
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
}

/// Runs.
pub(super) fn run(arguments: &RunArguments) -> ExitCode {
    let mut config = match arguments.common.load() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    if let Some(admin) = arguments.admin {
        config.purger.admin = admin;
    }
    logging::start(&config.log);
    match super::block_on(serve(config)) {
        Ok(Ok(Ended::Clean)) => Exit::Done.into(),
        Ok(Ok(Ended::Cut)) => {
            tracing::warn!(
                "Kafka did not answer in time: what was not committed will be read again"
            );
            Exit::DrainCut.into()
        }
        Ok(Err(error)) => {
            say(format_args!("shellac-purger: {error}"));
            exit_of(&error).into()
        }
        Err(error) => {
            say(format_args!("shellac-purger: {error}"));
            Exit::Io.into()
        }
    }
}

async fn serve(config: Config) -> Result<Ended, RunError> {
    let summary = (
        config.kafka.brokers.join(", "),
        config.purger.topics.join(", "),
        config.purger.targets.clone(),
    );
    let app = App::new(config, Clock::system())?;
    let (brokers, topics, targets) = summary;
    say(format_args!("  kafka    {brokers}"));
    say(format_args!("  topics   {topics}"));
    for url in &targets.urls {
        say(format_args!("  proxy    {url}"));
    }
    for name in [&targets.dns, &targets.srv].into_iter().filter(|name| !name.is_empty()) {
        say(format_args!("  proxies  {name}"));
    }
    let admin = app.admin_address()?;
    say(format_args!("  admin    http://{admin}/  (healthz, readyz, metrics, api/v1/status)"));
    app.run(told_to_leave()).await
}

const fn exit_of(error: &RunError) -> Exit {
    match error {
        RunError::NoBrokers | RunError::Rule { .. } => Exit::Config,
        RunError::Bind { .. } | RunError::Thread(_) => Exit::Io,
        RunError::Kafka(_) | RunError::Consume(_) => Exit::Unavailable,
    }
}
