//! `loadtest`: an open-loop load generator, a scripted origin, the bare hyper server, sweeps,
//! bursts, continuity, and soaks.
//!
//! Measures Shellac and its peers from outside; knows nothing of its code. One thread does
//! everything, so that the generator takes at most one core of a small machine. Every server and
//! every run ends by itself.

mod random;
mod popularity;
mod schedule;
mod histogram;
mod target;
mod urls;
mod connection;
mod outcome;
mod tally;
mod generator;
mod purges;
mod progress;
mod report;
mod scenario;
mod sweep;
mod burst;
mod continuity;
mod soak;
mod server;
mod server_tls;
mod origin;
mod bare;
mod descriptors;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// The proxy's allocator, so that the bare server is the floor of the same house.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Load for HTTP caches, and something to put behind them.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends paced requests (open loop) and reports hit ratio, origin requests saved and latencies.
    Run(Box<scenario::RunArguments>),
    /// Asks for each URL once, in random order, one request after the other: fills a cache, or
    /// times its hits.
    Sweep(sweep::SweepArguments),
    /// Sends many requests for one URL at the same moment.
    Burst(burst::BurstArguments),
    /// Sends requests without pause while a server is reloaded or replaced, and counts failures.
    Continuity(continuity::ContinuityArguments),
    /// Sends every kind of exchange, good and bad, and checks every byte that comes back.
    Soak(soak::SoakArguments),
    /// Serves deterministic pages: /p/{n}, /size/{bytes}, and counters at /stats.
    Origin(origin::OriginArguments),
    /// Answers everything with one body: the floor that a proxy on hyper can reach.
    Bare(bare::BareArguments),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match execute(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without standard error there is nobody to tell.
            writeln!(io::stderr(), "error: {error:#}").unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}

async fn execute(command: Command) -> anyhow::Result<()> {
    descriptors::raise_limit()?;
    match command {
        Command::Run(arguments) => scenario::run(*arguments).await,
        Command::Sweep(arguments) => sweep::run(arguments).await,
        Command::Burst(arguments) => burst::run(arguments).await,
        Command::Continuity(arguments) => continuity::run(arguments).await,
        Command::Soak(arguments) => soak::run(arguments).await,
        Command::Origin(arguments) => origin::run(arguments).await,
        Command::Bare(arguments) => bare::run(arguments).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_option_of_a_run_is_understood() {
        let line = "loadtest run --target http://127.0.0.1:8080 --urls list.txt --zipf 0.8 --rps 500 --duration 5s \
                    --connections 8 --seed 3 --purge-every 500ms --purge-url http://127.0.0.1:8081 \
                    --purge-tag-template product-{n} --json";

        let arguments = Arguments::try_parse_from(line.split_whitespace()).expect("valid");

        assert!(matches!(arguments.command, Command::Run(_)));
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        for line in [
            "loadtest run",
            "loadtest run --target ftp://127.0.0.1",
            "loadtest run --target http://127.0.0.1 --duration 5",
            "loadtest run --target http://127.0.0.1 --rps 0",
            "loadtest run --target http://127.0.0.1 --purge-every 1s",
            "loadtest run --target http://127.0.0.1 --purge-every 1s --purge-url http://x --purge-tag-template all",
            "loadtest sweep --target http://127.0.0.1",
            "loadtest sweep --target http://127.0.0.1 --urls list.txt --connections 0",
            "loadtest burst --target http://127.0.0.1 --count 0",
            "loadtest origin --size huge",
        ] {
            assert!(Arguments::try_parse_from(line.split_whitespace()).is_err(), "{line}");
        }
    }
}
