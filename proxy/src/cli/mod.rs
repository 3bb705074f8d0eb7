//! The command line: data to standard output, everything else to standard error, exit codes after
//! `sysexits.h`.

mod admin_client;
pub mod check;
mod columns;
mod demo;
mod deploy;
mod drain;
mod event_stream;
mod explain;
mod health;
mod import_vcl;
mod listings;
mod log;
mod origins;
mod purge;
mod purges;
mod reload;
mod rules;
pub mod run;
mod stats;
mod store;
mod top;
mod upgrade;
mod warm;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use process::{manuals, version};

use settings::Flags;

/// HTTP cache for server-side renderers: collapses misses, serves stale while it fetches, purges by
/// tag.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start serving
    Run(RunArguments),
    /// Say whether a configuration is right; keeps no port
    Check(CheckArguments),
    /// Replace a running proxy by a new process of its program, without losing a connection
    Upgrade(upgrade::UpgradeArguments),
    /// Purge stored responses of a running proxy
    Purge(purge::PurgeArguments),
    /// Say which deployment of the site is the present one: stored responses of others are stale at
    /// once, and are not used any more after a grace
    Deploy(deploy::DeployArguments),
    /// Have a running proxy read its configuration again, wait, and say what changed
    Reload(reload::ReloadArguments),
    /// Keep load balancers away from a running proxy: readiness answers 503, requests are served
    Drain(drain::DrainArguments),
    /// End `drain`
    Undrain(drain::UndrainArguments),
    /// Say why a running proxy answers a request as it does: rules, key, look-up, origin, and what
    /// would have to be changed
    Explain(explain::ExplainArguments),
    /// Show requests of a running proxy as they end
    Log(log::LogArguments),
    /// Show the origins of a running proxy; drain, enable, disable or probe one of their servers
    Origins(origins::OriginsArguments),
    /// Show rules: what a running proxy has counted of them, which match a request, what a preset
    /// holds
    Rules(rules::RulesArguments),
    /// Show what a running proxy does, on a screen that is drawn each second
    Top(top::LiveScreenArguments),
    /// Print the metrics of a running proxy, once or as they change
    Stats(stats::StatsArguments),
    /// Show what is stored
    Objects(listings::ObjectsArguments),
    /// Show what the purges of each tag cost
    Tags(listings::TagsArguments),
    /// Show the last purges
    Purges(purges::PurgesArguments),
    /// Say by the exit code whether a running proxy is well: for probes of containers
    Health(health::HealthArguments),
    /// Translate Varnish's VCL into a configuration, and say what was not translated
    ImportVcl(import_vcl::ImportVclArguments),
    /// Look at the files of a store
    Store(store::StoreArguments),
    /// Fetch the pages of a sitemap, a list, or the most requested ones through a running proxy, so
    /// that they are in the cache
    Warm(warm::WarmArguments),
    /// Show the whole story on this machine: renderer, Kafka, purger, proxy, traffic (becomes
    /// `shellac-purger demo`)
    Demo(demo::DemoArguments),
    /// Say what was built
    Version(version::VersionArguments),
    /// Print completions for a shell
    Completions(manuals::CompletionsArguments),
    /// Write manual pages
    Man(manuals::ManArguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Take over from the process PID: it hands its sockets and its store over, and leaves when its
    /// clients are served
    #[arg(long, value_name = "PID")]
    take_over: Option<i32>,
}

#[derive(Debug, Args)]
struct ConfigArguments {
    /// The configuration file; `-` reads standard input [default: `$SHELLAC_CONFIG`,
    /// `./config.toml`, `/etc/shellac/config.toml`]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to serve on, instead of the configured ones; port 0 takes any free port
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// The origin, instead of the configured servers
    #[arg(long, value_name = "URL")]
    origin: Option<String>,
    /// Address of the admin listener
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// How long responses are fresh that do not say so themselves
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
}

#[derive(Debug, Args)]
struct CheckArguments {
    /// The configuration file; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print every setting that would hold, and where its value comes from; secrets are masked
    #[arg(long)]
    print_effective: bool,
    /// Look at the configuration alone, not at ports, disk and descriptors of this machine
    #[arg(long)]
    no_environment: bool,
}

impl Arguments {
    /// Runs the command.
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Run(RunArguments { config, take_over }) => run::run(config.into(), take_over),
            Command::Check(arguments) => {
                let CheckArguments { config, print_effective, no_environment } = arguments;
                let wants =
                    check::CheckScope { is_effective: print_effective, is_pure: no_environment };
                check::check(Flags { config, ..Flags::default() }, wants)
            }
            Command::Upgrade(arguments) => upgrade::upgrade(&arguments),
            Command::Purge(arguments) => purge::purge(arguments),
            Command::Deploy(arguments) => deploy::deploy(arguments),
            Command::Reload(arguments) => reload::reload(&arguments),
            Command::Drain(arguments) => drain::drain(&arguments),
            Command::Undrain(arguments) => drain::undrain(&arguments),
            Command::Explain(arguments) => explain::explain(&arguments),
            Command::Log(arguments) => log::log(&arguments),
            Command::Origins(arguments) => origins::origins(&arguments),
            Command::Rules(arguments) => rules::rules(arguments),
            Command::Top(arguments) => top::top(&arguments),
            Command::Stats(arguments) => stats::stats(&arguments),
            Command::Objects(arguments) => listings::objects(&arguments),
            Command::Tags(arguments) => listings::tags(&arguments),
            Command::Purges(arguments) => purges::purges(&arguments),
            Command::Health(arguments) => health::health(&arguments),
            Command::Version(arguments) => {
                version::version(&crate::admin::version::document(), &arguments)
            }
            Command::Completions(arguments) => manuals::completions(Self::command(), &arguments),
            Command::Man(arguments) => manuals::man(Self::command(), &arguments),
            Command::ImportVcl(arguments) => import_vcl::import_vcl(&arguments),
            Command::Store(arguments) => store::store(&arguments),
            Command::Warm(arguments) => warm::warm(&arguments),
            Command::Demo(arguments) => demo::demo(arguments),
        }
    }
}

/// Runs what has no command: this process was started to start another one.
pub fn launcher() -> Option<ExitCode> {
    crate::upgrade::launch()
}

impl From<ConfigArguments> for Flags {
    fn from(arguments: ConfigArguments) -> Self {
        let ConfigArguments { config, listen, origin, admin, ttl } = arguments;
        Self { listen, origin, admin, ttl, config }
    }
}

const EXAMPLES: &str = "Examples:
  shellac demo                                     the whole story, on free ports
  shellac run --origin http://127.0.0.1:3000 --ttl 2m
  shellac reload                                   exit code 78 and nothing changed if the file is bad
  shellac purge --tag product-42 --tag category-7
  shellac top                                      requests, ratios, latencies, URLs, tags, purges, live
  shellac explain https://shop.example/p/42        why it is a hit, or none, and how to change that
  shellac log slower than 1s or errors
  shellac origins drain app 10.0.1.12:3000
  shellac rules match https://shop.example/p/42?utm_source=x
  shellac warm --sitemap https://shop.example/sitemap.xml";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_flags_of_a_command_are_the_same() {
        Arguments::command().debug_assert();
    }
}
