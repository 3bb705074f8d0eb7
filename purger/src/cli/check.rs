//! `shellac-purger check`: whether everything it needs can be reached, each with the remedy.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use shellac::cli::exit::Exit;
use shellac::config::Config;

use super::topic::Broker;
use super::{Common, print, proxies};
use crate::app::event_rules;
use crate::kafka::client::{self, PATIENCE};

/// Of what.
#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    common: Common,
    /// Check the configuration only, and connect to nothing
    #[arg(long)]
    no_environment: bool,
}

/// One thing that was looked at.
#[derive(Debug)]
struct Row {
    what: String,
    /// Why it is wrong, and what to do; `None`: it is right.
    wrong: Option<String>,
}

/// Checks.
pub(super) fn check(arguments: &CheckArguments) -> ExitCode {
    let config = match arguments.common.load() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    let mut rows = vec![configuration(&config)];
    let is_wrong = rows.iter().any(|row| row.wrong.is_some());
    if !arguments.no_environment && !is_wrong {
        kafka(&config, &mut rows);
        targets(&config, &mut rows);
    }
    let line = |row: &Row| match &row.wrong {
        None => format!("✓ {}\n", row.what),
        Some(wrong) => format!("✗ {}: {wrong}\n", row.what),
    };
    let printed = print(&rows.iter().map(line).collect::<String>());
    match rows.iter().any(|row| row.wrong.is_some()) {
        true if is_wrong => Exit::Config.into(),
        true => Exit::Unavailable.into(),
        false => printed.into(),
    }
}

fn right(what: impl Into<String>) -> Row {
    Row { what: what.into(), wrong: None }
}

fn wrong(what: impl Into<String>, why: impl Into<String>) -> Row {
    Row { what: what.into(), wrong: Some(why.into()) }
}

fn configuration(config: &Config) -> Row {
    if config.kafka.brokers.is_empty() {
        return wrong(
            "configuration",
            "kafka.brokers is empty: set it, or give --broker HOST:PORT",
        );
    }
    match event_rules(&config.purger) {
        Ok(_) => right("configuration"),
        Err(error) => wrong("configuration", error.to_string()),
    }
}

fn kafka(config: &Config, rows: &mut Vec<Row>) {
    let asked = config.kafka.brokers.join(", ");
    let broker = match Broker::connect(config) {
        Ok(broker) => {
            rows.push(right(format!("brokers {asked}")));
            broker
        }
        Err(error) => {
            let why = unreachable(&config.kafka.brokers, &error.to_string());
            return rows.push(wrong(format!("brokers {asked}"), why));
        }
    };
    if let Ok(metadata) = broker.consumer().fetch_metadata(None, PATIENCE) {
        for member in metadata.brokers() {
            rows.push(advertised(&config.kafka.brokers, member.host(), member.port()));
        }
    }
    let purger = &config.purger;
    for topic in &purger.topics {
        rows.push(self::topic(&broker, topic, "purger.topics"));
    }
    for (topic, setting) in
        [(&purger.dead_letter, "purger.dead_letter"), (&purger.receipts, "purger.receipts")]
    {
        if !topic.is_empty() {
            rows.push(self::topic(&broker, topic, setting));
        }
    }
    rows.push(group(&broker, config));
}

/// Says which part of reaching a broker fails: the name, the port, or what answers there.
fn unreachable(brokers: &[String], error: &str) -> String {
    let mut reasons = Vec::new();
    for broker in brokers {
        match broker.to_socket_addrs() {
            Err(error) => reasons.push(format!("{broker} is no known name ({error}): correct kafka.brokers")),
            Ok(mut addresses) => match addresses.next() {
                Some(address) => match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                    Ok(_) => reasons.push(format!(
                        "{broker} takes connections, but does not answer as a broker: is kafka.security right? For brokers before 0.10 set \"broker.version.fallback\" and \"api.version.request\" in [kafka.properties]"
                    )),
                    Err(error) => reasons.push(format!("{broker} takes no connection ({error}): is Kafka running there, is a firewall between?")),
                },
                None => reasons.push(format!("{broker} has no address")),
            },
        }
    }
    format!("{error}; {}", reasons.join("; "))
}

/// A broker sends its clients on to the address that it advertises: that has to lead somewhere from here.
fn advertised(brokers: &[String], host: &str, port: i32) -> Row {
    let name = format!("{host}:{port}");
    let what = format!("advertised listener {name}");
    let is_local = matches!(host, "localhost" | "127.0.0.1" | "::1");
    let asked_elsewhere = !brokers.iter().any(|broker| {
        broker.starts_with("localhost:")
            || broker.starts_with("127.")
            || broker.starts_with("[::1]")
    });
    if is_local && asked_elsewhere {
        return wrong(
            what,
            format!(
                "Kafka answered at {}, but sends its clients to this machine: let advertised.listeners name an address that the purger can reach",
                brokers.join(", ")
            ),
        );
    }
    let reached = name
        .to_socket_addrs()
        .map_err(|error| format!("no known name ({error})"))
        .and_then(|mut found| {
            let address = found.next().ok_or_else(|| "it has no address".to_owned())?;
            TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)
                .map_err(|error| format!("no connection ({error})"))
        });
    match reached {
        Ok(_) => right(what),
        Err(error) => wrong(
            what,
            format!(
                "{error}: let the broker's advertised.listeners name an address that the purger can reach"
            ),
        ),
    }
}

fn topic(broker: &Broker, name: &str, setting: &str) -> Row {
    let what = format!("topic {name}");
    match broker.partitions(name) {
        Ok(extents) if extents.is_empty() => wrong(
            what,
            format!(
                "it does not exist: create it (kafka-topics --create --topic {name} --partitions 12 --replication-factor 3), or correct {setting}"
            ),
        ),
        Ok(extents) => right(format!("topic {name}, {} partitions", extents.len())),
        Err(error) => match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                wrong(what, format!("it does not exist: create it, or correct {setting}"))
            }
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => wrong(
                what,
                "not allowed: give the purger's user DESCRIBE and READ (WRITE for dead letters, receipts and delayed purges)",
            ),
            _ => wrong(what, error.to_string()),
        },
    }
}

fn group(broker: &Broker, config: &Config) -> Row {
    let what = format!("group {}", config.purger.group);
    let consumer = broker.cursors.bookkeeper(&config.purger.group);
    let mut list = TopicPartitionList::new();
    for topic in &config.purger.topics {
        list.add_partition(topic, 0);
    }
    match consumer.and_then(|consumer| client::committed(&consumer, &list)) {
        Ok(_) => right(what),
        Err(error) => match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                wrong(what, "not allowed: give the purger's user READ on this group")
            }
            _ => wrong(what, error.to_string()),
        },
    }
}

fn targets(config: &Config, rows: &mut Vec<Row>) {
    let asked = super::block_on(async {
        let targets = proxies::find(config).await;
        let standings = proxies::standings(&targets).await;
        (targets, standings)
    });
    match asked {
        Ok((targets, standings)) => {
            if targets.is_empty() {
                rows.push(wrong(
                    "proxies",
                    "there are none: set purger.targets, or give --target URL",
                ));
            }
            for (target, standing) in targets.iter().zip(standings) {
                let what = format!("proxy {}", target.url);
                rows.push(standing.map_or_else(|why| wrong(&what, why), |_| right(&what)));
            }
        }
        Err(error) => rows.push(wrong("proxies", error.to_string())),
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
