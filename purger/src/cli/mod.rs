//! The command line. Data goes to standard output, everything else to standard error. Exit codes
//! are those of `shellac`.

mod awaited;
mod check;
mod demo;
mod dlq;
mod forecast;
mod group;
mod health;
mod own_listener;
mod proxies;
mod replay;
mod run;
mod send;
mod status;
mod tail;
mod top;
mod topic;
mod fates;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use process::configuration::{load, load_to_serve};
use process::exit::Exit;
use process::{manuals, version};
use serde_json::Value;
use settings::{Config, Flags};

/// Delivers purge requests from Kafka to every proxy: at least once, in bounded time, with proof.
#[derive(Debug, Parser)]
#[command(name = "shellac-purger", version, propagate_version = true, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Consume and deliver
    Run(run::RunArguments),
    /// Check the configuration, and that everything it names can be reached
    Check(check::CheckArguments),
    /// Write one purge event
    Send(Box<send::SendArguments>),
    /// Show events as they come
    Tail(tail::TailArguments),
    /// Show every proxy's positions
    Status(status::StatusArguments),
    /// Show the fleet as a screen of text: each proxy's traffic, version and position
    Top(top::TopArguments),
    /// Repeat the purges that the topics asked for since a moment
    Replay(replay::ReplayArguments),
    /// List, resend or drop dead letters
    Dlq(dlq::DlqArguments),
    /// Say whether a running purger is well, for probes of containers
    Health(health::ProbeArguments),
    /// Show what was built
    Version(version::VersionArguments),
    /// Print the completions of a shell
    Completions(manuals::CompletionsArguments),
    /// Write a manual page for each command
    Man(manuals::ManArguments),
    /// Show the whole story on this machine: renderer, Kafka, purger, proxy, traffic
    Demo(demo::DemoArguments),
}

/// Arguments of every command.
#[derive(Clone, Debug, Default, Args)]
struct CommonArguments {
    /// The configuration file; `-` reads standard input [default: `$SHELLAC_CONFIG`,
    /// `./config.toml`, `/etc/shellac/config.toml`]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Kafka's brokers, instead of the configured ones; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    broker: Vec<String>,
    /// The topic, instead of the configured ones; may be repeated
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,
    /// The admin listener of a proxy, instead of the configured ones; may be repeated
    #[arg(long, value_name = "URL", value_parser = target)]
    target: Vec<String>,
}

impl Arguments {
    /// Runs the command.
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Run(arguments) => run::run(&arguments),
            Command::Check(arguments) => check::check(&arguments),
            Command::Send(arguments) => send::send(&arguments),
            Command::Tail(arguments) => tail::tail(&arguments),
            Command::Status(arguments) => status::status(&arguments),
            Command::Top(arguments) => top::top(&arguments),
            Command::Replay(arguments) => replay::replay(arguments),
            Command::Dlq(arguments) => dlq::dlq(arguments),
            Command::Health(arguments) => health::health(&arguments),
            Command::Version(arguments) => version::version(&build(), &arguments),
            Command::Completions(arguments) => manuals::completions(Self::command(), &arguments),
            Command::Man(arguments) => manuals::man(Self::command(), &arguments),
            Command::Demo(arguments) => demo::demo(arguments),
        }
    }
}

impl CommonArguments {
    /// Loads the configuration and applies the flags.
    fn load(&self) -> Result<Config, Exit> {
        load(self.flags()).map(|config| self.applied(config))
    }

    /// The same for a program that is about to serve: its log begins here.
    fn load_to_serve(&self) -> Result<Config, Exit> {
        let loaded = load_to_serve("shellac-purger", self.flags(), |_| Vec::new());
        loaded.map(|(config, _sources, _written)| self.applied(config))
    }

    fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone(),
            origin: Some(NO_ORIGIN.to_owned()), // the purger needs none to be configured
            ..Flags::default()
        }
    }

    fn applied(&self, mut config: Config) -> Config {
        if !self.broker.is_empty() {
            config.kafka.brokers.clone_from(&self.broker);
        }
        if !self.topic.is_empty() {
            config.purger.topics.clone_from(&self.topic);
        }
        if !self.target.is_empty() {
            let targets = &mut config.purger.targets;
            targets.urls.clone_from(&self.target);
            targets.dns.clear();
            targets.srv.clear();
        }
        if config.purger.targets.token.is_none() {
            config.purger.targets.token.clone_from(&config.admin.token);
        }
        config
    }
}

/// Reads a proxy's admin listener as the configuration does: a token goes over no other scheme.
fn target(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        None => Ok(format!("http://{text}")),
        Some(("http", authority)) => Ok(format!("http://{}", authority.trim_end_matches('/'))),
        Some(_) => Err("an admin listener speaks plain HTTP: write http://HOST:PORT".to_owned()),
    }
}

const NO_ORIGIN: &str = "127.0.0.1:1";

const EXAMPLES: &str = "Examples:
  shellac-purger demo                              the whole story, on free ports
  shellac-purger run --broker kafka-0:9092 --target http://10.0.3.11:8081 --target http://10.0.3.12:8081
  shellac-purger check
  shellac-purger send --tag product-42 --wait";

/// Describes the build.
fn build() -> Value {
    let mut document = version::document("shellac-purger");
    if let Some(fields) = document.as_object_mut() {
        let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
        fields.insert("librdkafka".to_owned(), librdkafka.into());
    }
    document
}

/// Runs a future on a runtime of one thread.
fn block_on<T>(future: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_flags_of_a_command_are_the_same() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_target_of_another_scheme_is_refused() {
        assert_eq!(target("10.0.3.11:8081"), Ok("http://10.0.3.11:8081".to_owned()));
        assert_eq!(target("http://h:1/"), Ok("http://h:1".to_owned()));
        let line = ["shellac-purger", "run", "--target", "https://h:8443"];
        let error = Arguments::try_parse_from(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
    }

    #[test]
    fn it_names_the_library_that_speaks_to_kafka() {
        let document = build();
        assert_eq!(document["name"], "shellac-purger");
        assert!(document["librdkafka"].as_str().unwrap().starts_with("2."), "{document}");
    }
}
