//! `shellac-purger run`: consume and deliver until SIGTERM or SIGINT.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use process::clock::Clock;
use process::exit::Exit;
use process::signals::{ExitSignals, RequestSignals};
use process::{logging, notify};
use settings::Config;
use tokio::time::sleep;

use super::CommonArguments;
use crate::app::{App, RunError, ShutdownResult};
use crate::delivery::fleet::Fleet;
use crate::partition::Partition;

/// Overrides of the configuration.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// Address of the purger's own listener, instead of the configured one; port 0 takes any free
    /// port
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// End when every proxy that keeps up has confirmed everything in the topics
    #[arg(long)]
    once: bool,
}

/// Runs.
pub(super) fn run(arguments: &RunArguments) -> ExitCode {
    let mut config = match arguments.common.load_to_serve() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    if let Some(admin) = arguments.admin {
        config.purger.admin = admin;
    }
    let log = config.log.clone();
    match super::block_on(serve(config, arguments.once)) {
        Ok(Ok(ShutdownResult::Clean)) => Exit::Done.into(),
        Ok(Ok(ShutdownResult::Cut)) => {
            tracing::warn!(
                "Kafka did not answer in time: what was not committed will be read again"
            );
            Exit::DrainCut.into()
        }
        Ok(Err(error)) => {
            logging::say_failure(&log, "shellac-purger", &error);
            exit_of(&error).into()
        }
        Err(error) => {
            logging::say_failure(&log, "shellac-purger", &error);
            Exit::Io.into()
        }
    }
}

async fn serve(config: Config, is_once: bool) -> Result<ShutdownResult, RunError> {
    let summary = (
        config.kafka.brokers.join(", "),
        config.purger.topics.join(", "),
        config.purger.targets.clone(),
    );
    let log = config.log.clone();
    let say = |label, value: std::fmt::Arguments<'_>| logging::say_at_start(&log, label, value);
    let app = App::new(config, Clock::system())?;
    // Before anything is announced, since a reader of that may send a signal immediately.
    let exit = ExitSignals::listen().map_err(RunError::Signals)?;
    let hang_ups = RequestSignals::listen().map_err(RunError::Signals)?;
    tokio::spawn(hang_ups.answer("the configuration is read at the start only: restart"));
    let (brokers, topics, targets) = summary;
    say("kafka", format_args!("{brokers}"));
    say("topics", format_args!("{topics}"));
    for url in &targets.urls {
        say("proxy", format_args!("{url}"));
    }
    for name in [&targets.dns, &targets.srv].into_iter().filter(|name| !name.is_empty()) {
        say("proxies", format_args!("{name}"));
    }
    let admin = app.admin_address()?;
    say("admin", format_args!("http://{admin}/  (healthz, readyz, metrics, api/v1/status)"));
    let fleet = Arc::clone(&app.fleet);
    let summarized = Arc::clone(&fleet);
    let leave = async move {
        tokio::select! {
            _ = exit.told_to_leave(move || summarize(&summarized)) => {}
            () = caught_up(&fleet), if is_once => tracing::info!("everything is confirmed"),
        }
        notify::stopping("committing what is confirmed");
    };
    tokio::spawn(notify::keep_alive());
    notify::ready("consuming and delivering");
    app.run(leave).await
}

/// Logs how far every partition is when the process is ended at once.
fn summarize(fleet: &Fleet) {
    for partition in fleet.assignment().partitions() {
        let progress = partition.progress();
        tracing::warn!(
            log = ?partition.log,
            committable = progress.committable,
            end = progress.high,
            "ended at once: what was not committed will be read again"
        );
    }
}

/// Waits until all partitions are confirmed up to their latest end offsets.
async fn caught_up(fleet: &Fleet) {
    let is_confirmed = |partition: &Arc<Partition>| {
        let progress = partition.progress();
        progress.high.is_some_and(|high| progress.committable >= high)
    };
    loop {
        sleep(LOOK).await;
        let partitions = fleet.assignment().partitions();
        if !partitions.is_empty() && partitions.iter().all(is_confirmed) {
            return;
        }
    }
}

const LOOK: Duration = Duration::from_millis(100);

const fn exit_of(error: &RunError) -> Exit {
    match error {
        RunError::NoBrokers | RunError::Rule { .. } => Exit::Config,
        RunError::Bind { .. } | RunError::Thread(_) | RunError::Signals(_) => Exit::Io,
        RunError::Kafka(_) | RunError::Consume(_) => Exit::Unavailable,
    }
}
