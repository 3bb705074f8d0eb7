//! What the purger owes for records never delays a purge, is never more than it has memory for, and
//! is never forgotten.

use std::collections::BTreeSet;

use rdkafka::message::{Message as _, OwnedMessage};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::support::{Broker, Proxy, Purger, json, refuse, until, until_status};

/// Records of which not all can be held.
const MANY: usize = 3000;

fn settling(id: usize, delay_ms: usize) -> String {
    let reason = "x".repeat(500);
    format!(
        r#"{{"specversion":"1.0","id":"e{id}","source":"/t","type":"cache.purge.requested.v1",
        "data":{{"scope":"tags","tags":["t{id}"],"reason":"{reason}","settleMs":[{delay_ms}]}}}}"#
    )
}

#[tokio::test]
async fn delays_never_stop_delivery() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "").await;
    until("adopted", || proxy.starts().len() == 1).await;
    broker.write_many((0..MANY).map(|id| settling(id, 300_000))).await;
    broker.purge(0, "after").await;
    until("it goes on", || proxy.has("after")).await;
    let status = purger.status().await;
    assert_eq!((status.partitions[0].confirmed, status.partitions[0].full), (0, false));
    let deferred = "shellac_purger_owing_deferred{topic=\"purge\",partition=\"0\"}";
    assert_ne!(purger.metric(deferred).await, "0", "not all of it is held");
}

#[tokio::test]
async fn a_repetition_that_is_not_held_is_read_again_and_is_never_early() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "").await;
    until("adopted", || proxy.starts().len() == 1).await;
    let begun = tokio::time::Instant::now();
    broker.write_many((0..MANY).map(|id| settling(id, 3000))).await;
    until("all were delivered", || proxy.diary().len() >= MANY).await;
    until("all are repeated", || proxy.diary().len() == 2 * MANY).await;
    assert!(begun.elapsed().as_millis() >= 3000);
    let repeated = proxy.diary().split_off(MANY);
    let tags: BTreeSet<String> =
        repeated.iter().flat_map(|purge| purge.request.tags.clone()).collect();
    assert_eq!(tags.len(), MANY, "each is repeated");
    until_status(&purger, "nothing is owed", |status| {
        status.partitions[0].confirmed == i64::try_from(2 * MANY).unwrap()
    })
    .await;
}

#[tokio::test]
async fn blocked_dead_letters_never_stop_delivery_and_are_written_later() {
    let broker = Broker::start(1);
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    broker.cluster.topic_error("dead", refused).unwrap();
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "").await;
    until("adopted", || proxy.starts().len() == 1).await;
    broker.write_many((0..MANY).map(|id| format!("no event {id}"))).await;
    broker.purge(0, "after").await;
    until("it goes on", || proxy.has("after")).await;
    assert_eq!(purger.status().await.partitions[0].confirmed, 0);
    broker.cluster.topic_error("dead", RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    let last = i64::try_from(MANY).unwrap() + 1;
    until_status(&purger, "all is done", |status| status.partitions[0].confirmed == last).await;
    let offset = |letter: &OwnedMessage| json(letter)["offset"].as_i64().unwrap();
    let offsets: BTreeSet<i64> = broker.read("dead", MANY).await.iter().map(offset).collect();
    assert_eq!(offsets.len(), MANY, "each has its dead letter");
}

#[tokio::test]
async fn a_dead_letter_that_its_topic_refuses_holds_nothing_up_for_ever() {
    let broker = Broker::start(1);
    broker.write(0, "k", b"no event").await;
    let too_large = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    broker.cluster.request_errors(RDKafkaApiKey::Produce, &[too_large; 1000]);
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "").await;
    until_status(&purger, "it is given up", |status| {
        status.partitions.first().is_some_and(|partition| partition.confirmed == 1)
    })
    .await;
    assert_eq!(purger.metric("shellac_purger_dead_letters_total").await, "1");
}

#[tokio::test]
async fn a_refused_purge_never_waits_for_its_dead_letter() {
    let broker = Broker::start(1);
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    broker.cluster.topic_error("dead", refused).unwrap();
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "").await;
    until("adopted", || proxy.starts().len() == 1).await;
    proxy.answers(Box::new(|batch| {
        let is_bad = batch.purges.iter().any(|purge| purge.request.tags == ["bad"]);
        is_bad.then(|| refuse(batch, 400))
    }));
    let offset = broker.purge(0, "bad").await;
    broker.purge(0, "after").await;
    until("it goes on", || proxy.has("after")).await;
    assert_eq!(purger.status().await.partitions[0].confirmed, offset, "its letter is owed");
    broker.cluster.topic_error("dead", RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    assert_eq!(json(&broker.read("dead", 1).await[0])["offset"], offset);
    until_status(&purger, "all is done", |status| status.partitions[0].confirmed == 2).await;
}

#[tokio::test]
async fn a_producer_that_failed_for_good_is_replaced() {
    let broker = Broker::start(1);
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    broker.cluster.request_errors(RDKafkaApiKey::InitProducerId, &[refused; 2]);
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "").await;
    until("adopted", || proxy.starts().len() == 1).await;
    broker.write(0, "k", b"no event").await;
    let letters = broker.read("dead", 1).await;
    assert_eq!(json(&letters[0])["offset"], 0, "written after the right was granted");
    until_status(&purger, "nothing is owed", |status| status.partitions[0].confirmed == 1).await;
    assert_ne!(purger.metric("shellac_purger_producers_remade_total").await, "0");
}

#[tokio::test]
async fn receipts_that_wait_for_a_dead_proxy_never_delay_the_others() {
    let broker = Broker::start(1);
    let (alive, mut dead) = (Proxy::start(), Proxy::start());
    dead.stop().await;
    let settings = "receipts = \"receipts\"\nreceipt_timeout = \"20s\"\nslow_after = \"200ms\"";
    let purger = Purger::start(&broker, &[&alive, &dead], settings).await;
    until("adopted", || alive.starts().len() == 1).await;
    let count = 2 * MANY;
    broker.purge_many(1, 0..count).await;
    until("the other one has all", || alive.has(&format!("t{}", count - 1))).await;
    assert_eq!(purger.status().await.partitions[0].confirmed, 0, "no receipt is written yet");
    let receipts = broker.read("receipts", count).await;
    let offsets: BTreeSet<i64> =
        receipts.iter().map(|receipt| json(receipt)["offset"].as_i64().unwrap()).collect();
    assert_eq!(offsets.len(), count, "each has its receipt");
    for receipt in &receipts {
        let receipt: shellac_purger::receipt::Receipt =
            serde_json::from_slice(receipt.payload().unwrap()).unwrap();
        assert!(!receipt.complete && receipt.unconfirmed == [dead.url()]);
        assert!(receipt.closed_ms - receipt.read_ms >= 19_000, "none gives up early");
        let objects = receipt.confirmed[0].objects;
        assert!(objects.is_none_or(|objects| objects == 2), "told as it was, or not at all");
    }
    until_status(&purger, "nothing is owed", |status| {
        status.partitions[0].confirmed == i64::try_from(count).unwrap()
    })
    .await;
}
