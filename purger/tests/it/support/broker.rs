//! A broker that librdkafka plays.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Message as _, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};

use super::LoginBroker;

pub(crate) struct Broker {
    pub(crate) cluster: MockCluster<'static, DefaultProducerContext>,
    producer: FutureProducer,
    /// Where clients are to connect instead.
    front: Option<String>,
}

impl Broker {
    /// Starts a broker with the topic `purge` of so many partitions, and the topics `dead` and
    /// `receipts` of one.
    pub(crate) fn start(partitions: i32) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("purge", partitions, 1).unwrap();
        cluster.create_topic("dead", 1, 1).unwrap();
        cluster.create_topic("receipts", 1, 1).unwrap();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .create()
            .unwrap();
        Self { cluster, producer, front: None }
    }

    pub(crate) fn address(&self) -> String {
        self.front.clone().unwrap_or_else(|| self.cluster.bootstrap_servers())
    }

    /// From now on clients connect to what stands before it.
    pub(crate) fn behind(mut self, login: &LoginBroker) -> Self {
        self.front = Some(login.address.clone());
        self
    }

    pub(crate) async fn write(&self, partition: i32, key: &str, value: &[u8]) -> i64 {
        let record = FutureRecord::to("purge").partition(partition).key(key).payload(value);
        let sent = self.producer.send(record, Duration::from_secs(10)).await;
        sent.map_err(|(error, _)| error).unwrap().offset
    }

    pub(crate) async fn purge(&self, partition: i32, tag: &str) -> i64 {
        self.write(partition, tag, format!(r#"{{"tags":["{tag}"]}}"#).as_bytes()).await
    }

    /// Writes records to the first partition, without waiting for each.
    pub(crate) async fn write_many(&self, values: impl Iterator<Item = String>) {
        let mut sent = Vec::new();
        for value in values {
            let record = FutureRecord::to("purge").partition(0).key("k").payload(&value);
            sent.push(self.producer.send_result(record).map_err(|(error, _)| error).unwrap());
        }
        for delivery in sent {
            delivery.await.unwrap().map_err(|(error, _)| error).unwrap();
        }
    }

    /// Writes purges of the tags `t0`, `t1`, ... in turn to all partitions, without waiting for
    /// each.
    pub(crate) async fn purge_many(&self, partitions: i32, tags: std::ops::Range<usize>) {
        let mut sent = Vec::new();
        for tag in tags {
            let value = format!(r#"{{"tags":["t{tag}"]}}"#);
            let partition = i32::try_from(tag).unwrap() % partitions;
            let record = FutureRecord::to("purge").partition(partition).key("k").payload(&value);
            sent.push(self.producer.send_result(record).map_err(|(error, _)| error).unwrap());
        }
        for delivery in sent {
            delivery.await.unwrap().map_err(|(error, _)| error).unwrap();
        }
    }

    /// Reads a topic of one partition from its beginning, so many records.
    pub(crate) async fn read(&self, topic: &'static str, count: usize) -> Vec<OwnedMessage> {
        let address = self.cluster.bootstrap_servers();
        let read = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", address)
                .set("group.id", "reader")
                .create()
                .unwrap();
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
            consumer.assign(&list).unwrap();
            let mut records = Vec::new();
            let mut patience = 300;
            while records.len() < count {
                match consumer.poll(Duration::from_millis(100)) {
                    Some(Ok(message)) => records.push(message.detach()),
                    Some(Err(_)) | None => patience -= 1,
                }
                assert!(patience > 0, "{topic} has {} of {count} records", records.len());
            }
            records
        });
        read.await.unwrap()
    }

    pub(crate) async fn committed(&self, partition: i32) -> Option<i64> {
        let address = self.cluster.bootstrap_servers();
        let asked = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", address)
                .set("group.id", "shellac-purger")
                .create()
                .unwrap();
            let mut list = TopicPartitionList::new();
            list.add_partition("purge", partition);
            let list = shellac_purger::kafka::client::committed(&consumer, &list).unwrap();
            list.find_partition("purge", partition)?.offset().to_raw().filter(|offset| *offset >= 0)
        });
        asked.await.unwrap()
    }
}

pub(crate) fn json(record: &OwnedMessage) -> serde_json::Value {
    serde_json::from_slice(record.payload().unwrap()).unwrap()
}
