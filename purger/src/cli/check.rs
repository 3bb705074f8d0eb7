//! `shellac-purger check`: tests whether everything that the purger needs can be reached, and names
//! the remedy.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use process::clock::Clock;
use process::exit::Exit;
use process::terminal::print;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::BaseProducer;
use settings::Config;

use super::topic::BrokerClient;
use super::{CommonArguments, proxies};
use crate::app::event_rules;
use crate::kafka::cause::words;
use crate::kafka::client::{self, PATIENCE};
use crate::kafka::context::{PlainContext, TokenSource};
use crate::kafka::cursor::CursorError;

/// Selects the configuration.
#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// Check the configuration only, and connect to nothing
    #[arg(long)]
    no_environment: bool,
}

/// The result for one subject.
#[derive(Debug)]
struct CheckLine {
    what: String,
    /// The problem with its remedy; `None`: there is none.
    wrong: Option<String>,
    /// A remark, though there is no problem.
    note: Option<String>,
}

/// Checks configuration, brokers, topics, group and proxies.
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
    let line = |row: &CheckLine| match &row.wrong {
        None => match &row.note {
            None => format!("✓ {}\n", row.what),
            Some(note) => format!("! {}: {note}\n", row.what),
        },
        Some(wrong) => format!("✗ {}: {wrong}\n", row.what),
    };
    let printed = print(&rows.iter().map(line).collect::<String>());
    match rows.iter().any(|row| row.wrong.is_some()) {
        true if is_wrong => Exit::Config.into(),
        true => Exit::Unavailable.into(),
        false => printed.into(),
    }
}

fn right(what: impl Into<String>) -> CheckLine {
    CheckLine { what: what.into(), wrong: None, note: None }
}

fn wrong(what: impl Into<String>, why: impl Into<String>) -> CheckLine {
    CheckLine { what: what.into(), wrong: Some(why.into()), note: None }
}

fn noted(what: impl Into<String>, note: impl Into<String>) -> CheckLine {
    CheckLine { what: what.into(), wrong: None, note: Some(note.into()) }
}

fn configuration(config: &Config) -> CheckLine {
    if config.kafka.brokers.is_empty() {
        return wrong(
            "configuration",
            "kafka.brokers is empty: set it, or give --broker HOST:PORT",
        );
    }
    match event_rules(&config.purger) {
        Ok(_) => {}
        Err(error) => return wrong("configuration", error.to_string()),
    }
    match clients(config) {
        Ok(()) => right("configuration"),
        Err(error) => wrong("configuration", client_fault(config, &error)),
    }
}

/// Makes each kind of client that `run` makes, without connecting.
fn clients(config: &Config) -> Result<(), KafkaError> {
    let (kafka, purger) = (&config.kafka, &config.purger);
    let _group: BaseConsumer = client::group(kafka, purger).create()?;
    let _cursor: BaseConsumer = client::cursor(kafka, purger).create()?;
    let _producer: BaseProducer = client::producer(kafka).create()?;
    Ok(())
}

fn client_fault(config: &Config, error: &KafkaError) -> String {
    let is_new_protocol =
        |(name, value): &(String, String)| name == "group.protocol" && value == "consumer";
    if config.kafka.properties.iter().any(is_new_protocol) {
        return format!(
            "kafka.properties: group.protocol = \"consumer\" is not supported ({error}): take it out; the purger joins its group by the classic protocol, which brokers still speak"
        );
    }
    format!("librdkafka does not take it: {error}")
}

fn kafka(config: &Config, rows: &mut Vec<CheckLine>) {
    let asked = config.kafka.brokers.join(", ");
    let broker = match BrokerClient::connect(config) {
        Ok(broker) => {
            rows.push(right(format!("brokers {asked}")));
            broker
        }
        Err(error) => {
            let why = match remedy(&error.causes.join("; ")) {
                Some(remedy) => format!("{error}: {remedy}"),
                None => unreachable(&config.kafka.brokers, &error.to_string()),
            };
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
        let row = self::topic(&broker, topic, "purger.topics");
        let is_there = row.wrong.is_none();
        rows.push(row);
        if is_there {
            rows.extend(unreadable(&broker, topic));
            rows.extend(compacted(config, topic));
        }
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

/// Returns the remedy for errors of librdkafka, by the one that says most.
fn remedy(causes: &str) -> Option<&'static str> {
    let causes = causes.to_ascii_lowercase();
    let has = |part: &str| causes.contains(part);
    Some(match () {
        () if has("certificate verify failed") || has("unable to get local issuer") => {
            "let kafka.ca name the authority that signed the broker's certificate, and kafka.brokers the names in it"
        }
        () if has("certificate required")
            || has("bad certificate")
            || has("client ssl authentication might be required") =>
        {
            "the broker asks for a certificate of its clients: set kafka.certificate and kafka.key"
        }
        // A peer that does not speak TLS may also reset the connection during the handshake.
        () if has("wrong version number") || has("ssl handshake") || has("ssl_handshake") => {
            "does that port speak TLS? Set kafka.security accordingly"
        }
        () if has("unsupported sasl") || has("unsupported mechanism") => {
            "set kafka.sasl_mechanism to one that the broker has enabled"
        }
        () if has("cannot read") => "correct kafka.token_file",
        () if has("authentication") || has("invalid credentials") => {
            "correct kafka.username and kafka.password, or kafka.token_file"
        }
        () if has("disconnected while requesting apiversion") => {
            "is kafka.security right? For brokers before 0.10 set \"broker.version.fallback\" and \"api.version.request\" in [kafka.properties]"
        }
        () => return None,
    })
}

/// Returns the problem of reading a topic, which may be visible and yet not readable.
fn unreadable(broker: &BrokerClient, topic: &str) -> Option<CheckLine> {
    let extents = broker.partitions(topic).ok()?;
    let extent = extents.first()?;
    let read =
        broker.cursors.open(&extent.log, extent.high).and_then(|mut cursor| cursor.next(PATIENCE));
    let what = format!("topic {topic}");
    match read.err()? {
        CursorError::Kafka(error)
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) =>
        {
            Some(wrong(what, "not allowed: give the purger's user READ on this topic"))
        }
        // It was cut just now; or a record came that is damaged.
        CursorError::OutOfRange(_) | CursorError::Damaged(_) => None,
        error => Some(wrong(what, format!("it cannot be read: {error}"))),
    }
}

/// Returns the problem of a compacted topic, which loses purges. Brokers that do not report it are
/// believed.
fn compacted(config: &Config, topic: &str) -> Option<CheckLine> {
    let admin: AdminClient<PlainContext> = {
        let tokens = TokenSource { file: config.kafka.token_file.clone(), clock: Clock::system() };
        let mut client = client::base(&config.kafka);
        for (name, value) in &config.kafka.properties {
            client.set(name, value);
        }
        client.create_with_context(PlainContext::plain(tokens)).ok()?
    };
    let asked = super::block_on(async {
        let options = AdminOptions::new().request_timeout(Some(CONFIGS_TIMEOUT));
        admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await
    });
    let answers = asked.ok()?.ok()?;
    let resource = answers.into_iter().next()?.ok()?;
    let policy = resource.entries.iter().find(|entry| entry.name == "cleanup.policy")?;
    keeps_last_only(policy.value.as_deref()?).then(|| {
        wrong(
            format!("topic {topic}"),
            "it is compacted, and so keeps the last purge of each key only: set cleanup.policy=delete",
        )
    })
}

fn keeps_last_only(policy: &str) -> bool {
    policy.split(',').any(|part| part.trim() == "compact")
}

/// Returns the part of reaching a broker that fails: the name, the port, or the server there.
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

/// Returns the problem with an advertised address, to which brokers redirect their clients.
fn advertised(brokers: &[String], host: &str, port: i32) -> CheckLine {
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

fn topic(broker: &BrokerClient, name: &str, setting: &str) -> CheckLine {
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
            _ => wrong(what, words(&error)),
        },
    }
}

fn group(broker: &BrokerClient, config: &Config) -> CheckLine {
    let what = format!("group {}", config.purger.group);
    let mut list = TopicPartitionList::new();
    for topic in &config.purger.topics {
        list.add_partition(topic, 0);
    }
    match super::group::committed(broker, config, &list) {
        Ok(_) => match super::group::missing_members(broker, config) {
            Some(nobody) => noted(what, nobody),
            None => right(what),
        },
        Err(why) => wrong(what, why),
    }
}

fn targets(config: &Config, rows: &mut Vec<CheckLine>) {
    let asked = super::block_on(async {
        let targets = proxies::find(config).await;
        let log_statuses = proxies::log_statuses(&targets).await;
        (targets, log_statuses)
    });
    match asked {
        Ok((targets, log_statuses)) => {
            if targets.is_empty() {
                rows.push(wrong(
                    "proxies",
                    "there are none: set purger.targets, or give --target URL",
                ));
            }
            for (target, log_status) in targets.iter().zip(log_statuses) {
                let what = format!("proxy {}", target.url);
                rows.push(log_status.map_or_else(|why| wrong(&what, why), |_| right(&what)));
            }
        }
        Err(error) => rows.push(wrong("proxies", error.to_string())),
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const CONFIGS_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_librdkafka_tells_has_a_remedy() {
        for (cause, word) in [
            (
                "ssl://k:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could not be verified",
                "kafka.ca",
            ),
            (
                "ssl://k:9093/bootstrap: SSL handshake failed: error:0A0000F4:SSL routines::unexpected message: client SSL authentication might be required (see ssl.key.location)",
                "kafka.certificate",
            ),
            (
                "ssl://k:9092/bootstrap: SSL handshake failed: error:0A00010B:SSL routines::wrong version number",
                "kafka.security",
            ),
            (
                "sasl_ssl://k:9093/bootstrap: SASL authentication error: Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512 (after 309ms in state AUTH_REQ)",
                "kafka.password",
            ),
            (
                "k:9093/bootstrap: Unsupported SASL mechanism: broker's supported mechanisms: PLAIN",
                "kafka.sasl_mechanism",
            ),
            (
                "Failed to acquire SASL OAUTHBEARER token: cannot read /run/token: No such file",
                "kafka.token_file",
            ),
        ] {
            assert!(remedy(cause).is_some_and(|remedy| remedy.contains(word)), "{cause}");
        }
        assert_eq!(remedy("Connect to ipv4#127.0.0.1:1 failed: Connection refused"), None);
    }

    #[test]
    fn a_compacted_topic_is_told_from_one_that_expires() {
        assert!(keeps_last_only("compact") && keeps_last_only("delete,compact"));
        assert!(!keeps_last_only("delete"));
    }

    #[test]
    fn a_client_that_run_could_not_make_is_found_by_check() {
        let text =
            "[origin.app]\nservers = [\"127.0.0.1:1\"]\n[kafka]\nbrokers = [\"127.0.0.1:1\"]";
        let file = Some(("test.toml".to_owned(), text.to_owned()));
        let sources = settings::Sources { file, ..settings::Sources::default() };
        let mut config = Config::load(&sources).unwrap();
        assert!(configuration(&config).wrong.is_none());
        config.kafka.properties = vec![("group.protocol".to_owned(), "consumer".to_owned())];
        let wrong = configuration(&config).wrong.unwrap();
        assert!(wrong.contains("group.protocol") && wrong.contains("take it out"), "{wrong}");
        config.kafka.properties = vec![("no.such.property".to_owned(), "1".to_owned())];
        assert!(configuration(&config).wrong.unwrap().contains("no.such.property"));
    }
}
