//! A broker: genuine Kafka, what is asked of it, and how it is made to fail.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::process::{self, Command};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Message as _, OwnedMessage};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tempfile::TempDir;
use tokio::time::Instant;

use super::{PATIENCE, eventually, free_port, guard, pause};

/// A running broker with a `ZooKeeper` of its own.
#[derive(Debug)]
pub(crate) struct Kafka {
    directory: TempDir,
    port: u16,
    tls_port: Option<u16>,
    zookeeper_port: u16,
}

impl Kafka {
    /// Starts a broker for one test, that may do to it what it likes.
    pub(crate) fn start() -> Self {
        Self::listening(None)
    }

    /// Starts a broker that also listens by TLS, and asks for certificates there.
    pub(crate) fn start_with_tls() -> Self {
        Self::listening(Some(free_port()))
    }

    fn listening(tls_port: Option<u16>) -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (port, zookeeper_port) = (free_port(), free_port());
        let kafka = Self { directory, port, tls_port, zookeeper_port };
        kafka.script(&["start"]);
        kafka
    }

    /// A broker that tests share which only use it.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Kafka>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let kafka = shared.upgrade().unwrap_or_else(|| Arc::new(Self::start()));
        *shared = Arc::downgrade(&kafka);
        kafka
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn tls_address(&self) -> String {
        format!("127.0.0.1:{}", self.tls_port.unwrap())
    }

    /// A certificate or a key, by its name in the script.
    pub(crate) fn tls_file(&self, name: &str) -> String {
        self.directory.path().join("tls").join(name).display().to_string()
    }

    pub(crate) fn kill(&self) {
        self.script(&["kill"]);
    }

    /// Starts it again, with all that it had stored.
    pub(crate) fn start_again(&self) {
        self.script(&["start"]);
    }

    pub(crate) fn make_topic(&self, name: &str, partitions: i32, settings: &[&str]) {
        let partitions = partitions.to_string();
        self.script(&[&["topic", name, &partitions], settings].concat());
    }

    pub(crate) fn delete_topic(&self, name: &str) {
        self.script(&["delete", name]);
    }

    /// Changes a byte of the record that holds this text, in the file of the topic's first
    /// partition.
    pub(crate) fn damage(&self, topic: &str, text: &str) {
        let log = self.directory.path().join("log").join(format!("{topic}-0"));
        let files = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path());
        let file = files.into_iter().find(|path| path.extension().is_some_and(|it| it == "log"));
        let mut file = OpenOptions::new().read(true).write(true).open(file.unwrap()).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let found = bytes.windows(text.len()).position(|part| part == text.as_bytes());
        file.seek(SeekFrom::Start(found.unwrap() as u64)).unwrap();
        file.write_all(b"P").unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        let pid = std::fs::read_to_string(self.directory.path().join("broker.pid")).unwrap();
        pid.trim().parse().unwrap()
    }

    fn script(&self, arguments: &[&str]) {
        let mut command = Command::new(guard::script());
        command.args(arguments);
        if let Some(port) = self.tls_port {
            command.env("KAFKA_TLS_PORT", port.to_string());
        }
        let output = command
            .env("KAFKA_DIR", self.directory.path())
            .env("KAFKA_PORT", self.port.to_string())
            .env("ZOOKEEPER_PORT", self.zookeeper_port.to_string())
            .env("KAFKA_OWNER", process::id().to_string())
            .output()
            .expect("bash runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kafka.sh {arguments:?}: {said}");
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.address())
            .set("api.version.request", "false")
            .set("broker.version.fallback", "0.9.0.1")
            .set("topic.metadata.refresh.interval.ms", "2000")
            .set("reconnect.backoff.max.ms", "500")
            .set("message.max.bytes", "16000000")
            .set("log_level", "0");
        config
    }

    fn consumer(&self, group: &str) -> BaseConsumer {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.message.max.bytes", "16000000")
            .set("receive.message.max.bytes", "100000000")
            .set("fetch.wait.max.ms", "10")
            .set("auto.offset.reset", "earliest");
        config.create().unwrap()
    }

    /// The partitions of a topic, each with its oldest offset and the one behind its newest.
    pub(crate) fn extents(&self, topic: &str) -> Vec<(i64, i64)> {
        let consumer = self.consumer("extents");
        let partitions = eventually("the broker knows the topic", || {
            let found =
                consumer.fetch_metadata(Some(topic), PATIENCE).map_err(|e| e.to_string())?;
            match found.topics()[0].partitions().len() {
                0 => Err("no partition".to_owned()),
                count => Ok(i32::try_from(count).unwrap()),
            }
        });
        let extent = |partition| {
            eventually("the broker knows where a log ends", || {
                consumer.fetch_watermarks(topic, partition, Duration::from_secs(5))
            })
        };
        (0..partitions).map(extent).collect()
    }

    /// Where the partitions of a topic end.
    pub(crate) fn ends(&self, topic: &str) -> Vec<i64> {
        self.extents(topic).into_iter().map(|(_, end)| end).collect()
    }

    /// What a group has committed, by partition; `-1`: nothing.
    pub(crate) fn committed(&self, group: &str, topic: &str, partitions: usize) -> Vec<i64> {
        let consumer = self.consumer(group);
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, i32::try_from(partitions).unwrap() - 1);
        let found = eventually("the broker tells what was committed", || {
            consumer.committed_offsets(list.clone(), Duration::from_millis(500))
        });
        let offset =
            |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element
                .offset()
            {
                Offset::Offset(offset) => offset,
                _ => -1,
            };
        found.elements().iter().map(offset).collect()
    }

    pub(crate) fn records(&self, topic: &str) -> Vec<OwnedMessage> {
        let consumer = self.consumer("records");
        let extents = self.extents(topic);
        let mut records = Vec::new();
        for (partition, (low, end)) in (0..).zip(extents) {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(topic, partition, Offset::Offset(low)).unwrap();
            consumer.assign(&list).unwrap();
            let mut next = low;
            let deadline = Instant::now() + PATIENCE;
            while next < end {
                assert!(Instant::now() < deadline, "{topic}/{partition} is not read to its end");
                if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
                    next = record.offset() + 1;
                    records.push(record.detach());
                }
            }
        }
        records
    }

    /// Somebody who publishes events, many at once.
    pub(crate) fn publisher(&self) -> Publisher {
        self.publisher_with_linger("5")
    }

    /// Somebody who publishes events; how many milliseconds they wait for others on their way.
    pub(crate) fn publisher_with_linger(&self, linger: &str) -> Publisher {
        let mut config = self.client();
        config
            .set("acks", "all")
            .set("linger.ms", linger)
            .set("max.in.flight", "1") // retries keep the order
            .set("retries", "1000000")
            .set("retry.backoff.ms", "50")
            .set("message.timeout.ms", "120000")
            .set("queue.buffering.max.messages", "1000000")
            .set("batch.num.messages", "100");
        Publisher { producer: config.create().unwrap() }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let _ended = Command::new(guard::script())
            .arg("stop")
            .env("KAFKA_DIR", self.directory.path())
            .status();
    }
}

pub(crate) struct Publisher {
    producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext>,
}

impl Publisher {
    /// Hands a record over; it is on its way.
    pub(crate) fn publish(&self, topic: &str, key: &str, value: &[u8]) {
        self.put(BaseRecord::to(topic).key(key).payload(value));
    }

    pub(crate) fn publish_to(&self, topic: &str, partition: i32, value: Option<&[u8]>) {
        let record = BaseRecord::<(), [u8]>::to(topic).partition(partition);
        match value {
            Some(value) => self.put(record.payload(value)),
            None => self.put(record),
        }
    }

    fn put<K: rdkafka::message::ToBytes + ?Sized>(&self, record: BaseRecord<'_, K, [u8]>) {
        let mut record = record;
        loop {
            match self.producer.send(record) {
                Ok(()) => return,
                Err((error, again))
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) =>
                {
                    record = again;
                    pause();
                }
                Err((error, _)) => panic!("{error}"),
            }
        }
    }

    /// Waits until the broker has everything.
    pub(crate) fn flush(&self) {
        self.producer.flush(Duration::from_mins(2)).expect("the broker takes the events");
    }
}
