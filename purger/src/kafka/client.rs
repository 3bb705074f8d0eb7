//! The configuration of librdkafka's clients.

use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use settings::{KafkaSettings, PurgerSettings, SaslMechanism, StartAt};
use tokio::time::Instant;

use crate::memory::Memory;

/// The settings that all clients share. `[kafka.properties]` overrides them.
pub fn base(kafka: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka.brokers.join(","))
        .set("client.id", &kafka.client_id)
        .set("security.protocol", kafka.security.as_str())
        .set("socket.keepalive.enable", "true")
        .set("topic.metadata.refresh.interval.ms", "10000") // to see new topics soon
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "3000");
    if kafka.security.has_sasl() {
        config.set("sasl.mechanism", kafka.sasl_mechanism.as_str());
        if kafka.sasl_mechanism != SaslMechanism::OauthBearer {
            config.set("sasl.username", &kafka.username);
            config
                .set("sasl.password", kafka.password.as_ref().map_or("", |secret| secret.expose()));
        }
    }
    let files = [
        ("ssl.ca.location", &kafka.ca),
        ("ssl.certificate.location", &kafka.certificate),
        ("ssl.key.location", &kafka.key),
    ];
    for (name, path) in files {
        if let Some(path) = path {
            config.set(name, path.display().to_string());
        }
    }
    if let Some(password) = &kafka.key_password {
        config.set("ssl.key.password", password.expose());
    }
    config
}

/// The group's consumer: offsets are stored by hand, after delivery.
pub fn group(kafka: &KafkaSettings, purger: &PurgerSettings) -> ClientConfig {
    let bytes = Memory::new(purger.memory).of_consumer();
    let mut config = reader(kafka, purger, bytes);
    config
        .set("group.id", &purger.group)
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", millis(purger.session_timeout))
        .set("heartbeat.interval.ms", millis(purger.session_timeout / 10))
        .set(
            "auto.offset.reset",
            match purger.start {
                StartAt::Earliest => "earliest",
                StartAt::Latest => "latest",
            },
        );
    if !purger.instance.is_empty() {
        config.set("group.instance.id", &purger.instance);
    }
    finish(config, kafka)
}

/// A client that reads and commits a group's offsets without being a member.
pub fn offset_client(kafka: &KafkaSettings, group: &str) -> ClientConfig {
    let mut config = finish(base(kafka), kafka);
    config.set("group.id", group).set("enable.auto.commit", "false");
    config
}

/// A consumer without a group, which reports the end of a partition.
pub fn cursor(kafka: &KafkaSettings, purger: &PurgerSettings) -> ClientConfig {
    let mut config = reader(kafka, purger, CURSOR_BYTES);
    config
        .set("group.id", format!("{}-cursor", purger.group)) // required, never joined
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error");
    let mut config = finish(config, kafka);
    // A follower in the same rack may not have the log's end yet, and the end of what it has is no
    // end.
    if kafka.properties.iter().any(|(name, _)| name == "client.rack") {
        config.set("client.rack", "");
    }
    config
}

/// A client that asks for the ends of logs, including records of open transactions and those behind
/// them.
pub fn end_client(kafka: &KafkaSettings, purger: &PurgerSettings) -> ClientConfig {
    let mut config = cursor(kafka, purger);
    config.set("isolation.level", "read_uncommitted");
    config
}

pub fn producer(kafka: &KafkaSettings) -> ClientConfig {
    let mut config = base(kafka);
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "2")
        .set("message.timeout.ms", "30000");
    finish(config, kafka)
}

/// A consumer that queues half of `bytes`, plus one fetch of each partition or a single larger
/// record. The limit `fetch.max.bytes` keeps its default: a lower one would make larger records
/// unreadable.
fn reader(kafka: &KafkaSettings, purger: &PurgerSettings, bytes: u64) -> ClientConfig {
    let mut config = base(kafka);
    let record_max = usize::try_from(purger.max_event).unwrap_or(usize::MAX).max(FETCH_BYTES);
    config
        .set("fetch.wait.max.ms", "50")
        .set("fetch.min.bytes", "1")
        .set("queued.min.messages", "10000")
        .set("fetch.queue.backoff.ms", "10") // 1 s by default
        .set("queued.max.messages.kbytes", (bytes / 2 / 1024).to_string())
        .set("fetch.message.max.bytes", record_max.to_string())
        .set("fetch.error.backoff.ms", "100")
        .set("check.crcs", "true")
        .set("isolation.level", "read_committed");
    config
}

fn finish(mut config: ClientConfig, kafka: &KafkaSettings) -> ClientConfig {
    for (name, value) in &kafka.properties {
        config.set(name, value);
    }
    let is_old = kafka
        .properties
        .iter()
        .any(|(name, value)| name == "broker.version.fallback" && value.starts_with("0."));
    if is_old {
        config.set("enable.idempotence", "false"); // needs 0.11
        // librdkafka's buffer for an answer about topics is four times as large as the message, and
        // five times with a rack. The short messages of such a broker about several topics of one
        // partition and one replica need more than four. It knows no racks.
        if config.get("client.rack").is_none() {
            config.set("client.rack", "none");
        }
    }
    config
}

fn millis(duration: Duration) -> String {
    duration.as_millis().max(1).to_string()
}

/// Asks for a group's committed offsets, in short calls: librdkafka does not notice a coordinator
/// that is found during a call. Blocks up to [`PATIENCE`].
pub fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &TopicPartitionList,
) -> KafkaResult<TopicPartitionList> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match consumer.committed_offsets(partitions.clone(), PATIENCE / ATTEMPTS) {
            Err(error)
                if attempt < ATTEMPTS
                    && error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut) => {}
            result => return result,
        }
    }
}

/// Asks the brokers for metadata, to learn whether they answer. librdkafka's buffer for the answer
/// is four times as large as the message, which does not suffice while many topics have no
/// partitions, such as during their deletion. It reports a bad message then, but the brokers have
/// answered. Blocks up to [`PATIENCE`].
///
/// A consumer of a group must name a topic: an answer about all topics that comes while the group
/// assigns partitions makes librdkafka join again, and so for ever if both take turns at one pace.
pub fn brokers_answer<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: Option<&str>,
) -> KafkaResult<()> {
    match consumer.fetch_metadata(topic, PATIENCE) {
        Err(error) if error.rdkafka_error_code() != Some(RDKafkaErrorCode::BadMessage) => {
            Err(error)
        }
        _answered => Ok(()),
    }
}

/// Returns the oldest offset of a partition and the one behind its newest. librdkafka reports every
/// refusal by the broker as a bad message, even one because a leader is not ready yet, so the call
/// is repeated. Blocks up to `patience`.
#[expect(clippy::disallowed_methods, reason = "its callers are on threads that may block")]
pub fn watermarks<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    patience: Duration,
) -> KafkaResult<(i64, i64)> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match consumer.fetch_watermarks(topic, partition, left.max(WATERMARKS_PAUSE)) {
            Err(error)
                if !left.is_zero()
                    && error.rdkafka_error_code() == Some(RDKafkaErrorCode::BadMessage) =>
            {
                thread::sleep(WATERMARKS_PAUSE);
            }
            result => return result,
        }
    }
}

/// Returns a list of one partition at an offset.
pub fn partition_at(
    topic: &str,
    partition: i32,
    offset: Offset,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, offset)?;
    Ok(list)
}

/// Bytes of one partition in one answer, as they are compressed: they take many times as much when
/// they are read. Of larger records, librdkafka asks for more.
const FETCH_BYTES: usize = 128 << 10;
const ATTEMPTS: u32 = 10;
/// Between two questions about a partition that is not ready.
const WATERMARKS_PAUSE: Duration = Duration::from_millis(100);
/// Bytes that a cursor fetches ahead.
const CURSOR_BYTES: u64 = 4 << 20;
/// Longest time that a call to the brokers may block.
pub const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use settings::{Secret, Security};

    use super::*;

    #[test]
    fn no_offset_is_committed_before_its_delivery() {
        let config = group(&KafkaSettings::default(), &PurgerSettings::default());
        assert_eq!(config.get("enable.auto.offset.store"), Some("false"));
        assert_eq!(config.get("partition.assignment.strategy"), Some("cooperative-sticky"));
        assert_eq!(config.get("group.instance.id"), None);
    }

    #[test]
    fn a_cursor_never_jumps() {
        let config = cursor(&KafkaSettings::default(), &PurgerSettings::default());
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
    }

    #[test]
    fn a_cursor_asks_the_leader() {
        let properties = vec![("client.rack".to_owned(), "a".to_owned())];
        let kafka = KafkaSettings { properties, ..KafkaSettings::default() };
        let config = cursor(&kafka, &PurgerSettings::default());
        assert_eq!(config.get("client.rack"), Some(""));
        assert!(config.create::<BaseConsumer>().is_ok());
        assert_eq!(group(&kafka, &PurgerSettings::default()).get("client.rack"), Some("a"));
    }

    #[test]
    fn the_end_of_a_log_lies_behind_open_transactions() {
        let properties = vec![("isolation.level".to_owned(), "read_committed".to_owned())];
        let kafka = KafkaSettings { properties, ..KafkaSettings::default() };
        let config = end_client(&kafka, &PurgerSettings::default());
        assert_eq!(config.get("isolation.level"), Some("read_uncommitted"));
        let config = group(&KafkaSettings::default(), &PurgerSettings::default());
        assert_eq!(config.get("isolation.level"), Some("read_committed"));
    }

    #[test]
    fn operators_settings_override_all_others() {
        let properties = vec![("fetch.wait.max.ms".to_owned(), "10".to_owned())];
        let config = group(
            &KafkaSettings { properties, ..KafkaSettings::default() },
            &PurgerSettings::default(),
        );
        assert_eq!(config.get("fetch.wait.max.ms"), Some("10"));
    }

    #[test]
    fn old_brokers_get_neither_idempotence_nor_too_small_a_buffer() {
        let kafka = |properties: &[(&str, &str)]| KafkaSettings {
            properties: properties.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            ..KafkaSettings::default()
        };
        let old = ("broker.version.fallback", "0.9.0.1");
        for (properties, rack) in
            [(&[][..], None), (&[old], Some("none")), (&[old, ("client.rack", "a")], Some("a"))]
        {
            let kafka = kafka(properties);
            let made = [producer(&kafka), offset_client(&kafka, "g")];
            for config in made {
                assert_eq!(config.get("client.rack"), rack);
            }
        }
        assert_eq!(producer(&kafka(&[old])).get("enable.idempotence"), Some("false"));
    }

    #[test]
    fn librdkafka_takes_every_way_to_authenticate() {
        use SaslMechanism::{OauthBearer, Plain, ScramSha256, ScramSha512};
        for sasl_mechanism in [Plain, ScramSha256, ScramSha512, OauthBearer] {
            for security in [Security::SaslPlaintext, Security::SaslSsl, Security::Ssl] {
                let kafka = KafkaSettings {
                    brokers: vec!["127.0.0.1:1".to_owned()],
                    username: "purger".to_owned(),
                    password: Some(Secret::new("secret")),
                    security,
                    sasl_mechanism,
                    ..KafkaSettings::default()
                };
                let made: KafkaResult<BaseConsumer> = base(&kafka).set("group.id", "g").create();
                assert!(made.is_ok(), "{security:?} {sasl_mechanism:?}: {:?}", made.err());
            }
        }
    }
}
