//! `shellac run`: start serving, say where, drain on SIGTERM or SIGINT.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::check::{load, say};
use super::exit::Exit;
use super::logging;
use crate::app::{App, Bound, Drained, StartError};
use crate::clock::Clock;
use crate::config::Flags;

/// Serves until it is told to leave.
pub(super) fn run(flags: Flags) -> ExitCode {
    let config = match load(flags) {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    logging::start(&config.log);
    raise_descriptor_limit(config.limits.max_connections);
    let bound = match App::new(config, Clock::system()).bind() {
        Ok(bound) => bound,
        Err(error) => return failed(&error),
    };
    announce(&bound);
    match bound.run(told_to_leave()) {
        Ok(Drained::Completely) => {
            tracing::info!("everyone was served, goodbye");
            Exit::Done.into()
        }
        Ok(Drained::Cut(connections)) => {
            tracing::warn!(connections, "the drain deadline came first");
            Exit::DrainCut.into()
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &StartError) -> ExitCode {
    say(format_args!("shellac: {error}"));
    Exit::Io.into()
}

/// Says what is bound: a port 0 has become a number.
fn announce(bound: &Bound) {
    let config = &bound.app().config;
    for address in bound.traffic_addresses() {
        say(format_args!("  listen   http://{address}"));
    }
    let servers: Vec<&str> =
        config.origin.servers.iter().map(http::uri::Authority::as_str).collect();
    say(format_args!("  origin   {} → {}", config.origin.name, servers.join(", ")));
    say(format_args!("  storage  {}", config.storage_summary()));
    for address in bound.admin_addresses() {
        say(format_args!(
            "  admin    http://{address}/  (healthz, readyz, metrics, api/v1/stats, api/v1/purge)"
        ));
    }
    say(format_args!("  workers  {}", config.workers));
}

/// Ends at SIGTERM or SIGINT; a second one kills as usual.
pub async fn told_to_leave() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("cannot listen to signals: leaving");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM"),
        _ = interrupt.recv() => tracing::info!("SIGINT"),
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        say(format_args!("shellac: told twice, leaving at once"));
        std::process::abort();
    });
}

/// Connections need file descriptors: takes as many as the system allows, up to what is configured.
pub fn raise_descriptor_limit(connections_max: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = (connections_max as u64).saturating_mul(2) + 1024;
    let target = limit.maximum.map_or(wanted, |hard| wanted.min(hard));
    if limit.current.is_some_and(|soft| soft < target)
        && let Err(error) =
            setrlimit(Resource::Nofile, Rlimit { current: Some(target), maximum: limit.maximum })
    {
        tracing::warn!(%error, "cannot raise the limit on open files");
    }
    if target < wanted {
        tracing::warn!(
            limit = target,
            wanted,
            "few file descriptors: raise the hard limit, or lower limits.max_connections"
        );
    }
}
