//! What the purger owes for a record itself: dead letters, repeated purges, receipts.

use purge_protocol::PurgeMode;
use rdkafka::Message as _;

use crate::support::{Broker, Proxy, Purger, json, until, until_status};

#[tokio::test]
async fn a_record_that_cannot_be_read_is_kept_and_its_site_is_purged_softly() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "").await;
    until("adopted", || proxy.starts().len() == 1).await;
    let bytes = b"\xff\xfe{\"tags\":[";
    broker.write(0, "site-7", bytes).await;
    broker.purge(0, "after").await;
    until("it goes on", || proxy.has("after")).await;
    let guess = &proxy.diary()[0];
    assert_eq!(guess.request.tags, ["site-7"]);
    assert_eq!(guess.request.mode, Some(PurgeMode::Soft));
    let letters = broker.read("dead", 1).await;
    assert_eq!(letters[0].key(), Some(&b"site-7"[..]));
    let letter: shellac_purger::dead_letter::DeadLetter =
        serde_json::from_slice(letters[0].payload().unwrap()).unwrap();
    assert_eq!(letter.value_bytes().as_deref(), Some(&bytes[..]));
    assert_eq!((letter.topic.as_str(), letter.partition, letter.offset), ("purge", 0, 0));
    until_status(&purger, "both are done", |status| status.partitions[0].confirmed == 2).await;
}

#[tokio::test]
async fn an_offset_is_never_committed_before_its_dead_letter_is_written() {
    use rdkafka::types::RDKafkaRespErr;
    let broker = Broker::start(1);
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    broker.cluster.topic_error("dead", refused).unwrap();
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "").await;
    until("adopted", || proxy.starts().len() == 1).await;
    broker.write(0, "k", b"{").await;
    broker.purge(0, "after").await;
    until("delivery goes on", || proxy.has("after")).await;
    until_status(&purger, "both are read", |status| status.partitions[0].read_to == 2).await;
    assert_eq!(purger.status().await.partitions[0].confirmed, 0, "the dead letter is not written");
    let owing = "shellac_purger_owing{topic=\"purge\",partition=\"0\",kind=\"dead_letter\"}";
    assert_eq!(purger.metric(owing).await, "1");
    broker.cluster.topic_error("dead", RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    let letters = broker.read("dead", 1).await;
    assert_eq!(json(&letters[0])["offset"], 0);
    until_status(&purger, "both are done", |status| status.partitions[0].confirmed == 2).await;
}

#[tokio::test]
async fn a_purge_that_asks_for_it_is_repeated_and_its_offset_waits_for_that() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "").await;
    until("adopted", || proxy.starts().len() == 1).await;
    let event = br#"{"specversion":"1.0","id":"e1","source":"/t","type":"cache.purge.requested.v1",
        "data":{"siteId":"s","scope":"tags","tags":["a"],"mode":"hard","settleMs":[700]}}"#;
    broker.write(0, "s", event).await;
    until("it is applied at once", || proxy.has("a")).await;
    assert_eq!(
        purger.status().await.partitions[0].confirmed,
        0,
        "the repetition is not written yet"
    );
    until("it is repeated", || proxy.tags() == ["a", "a"]).await;
    let diary = proxy.diary();
    assert_eq!(diary[0].request.mode, Some(PurgeMode::Hard));
    assert_eq!(diary[1].request.mode, Some(PurgeMode::Soft), "what was fetched since is validated");
    until_status(&purger, "both are done", |status| status.partitions[0].confirmed == 2).await;
    assert_eq!(proxy.diary().len(), 2, "a repetition is not repeated");
}

#[tokio::test]
async fn a_repetition_is_never_forgotten_by_a_purger_that_leaves() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "").await;
    until("adopted", || proxy.starts().len() == 1).await;
    let event = br#"{"specversion":"1.0","id":"e1","source":"/t","type":"cache.purge.requested.v1",
        "data":{"siteId":"s","scope":"tags","tags":["a"],"settleMs":[6000]}}"#;
    broker.write(0, "s", event).await;
    until("it is applied at once", || proxy.has("a")).await;
    purger.stop().await;
    let _next = Purger::start(&broker, &[&proxy], "").await;
    until("it is repeated", || proxy.tags() == ["a", "a"]).await;
}

#[tokio::test]
async fn a_receipt_names_confirmed_and_unconfirmed_proxies() {
    let broker = Broker::start(1);
    let (one, mut other) = (Proxy::start(), Proxy::start());
    let settings = "receipts = \"receipts\"\nreceipt_timeout = \"1500ms\"\nbackoff_max = \"200ms\"\nslow_after = \"200ms\"";
    let purger = Purger::start(&broker, &[&one, &other], settings).await;
    until("adopted", || one.starts().len() == 1 && other.starts().len() == 1).await;
    broker.purge(0, "a").await;
    let first = json(&broker.read("receipts", 1).await[0]);
    assert_eq!(first["complete"], true, "{first}");
    assert_eq!(first["objects"], 4);
    assert_eq!(first["confirmed"].as_array().unwrap().len(), 2);
    other.stop().await;
    broker.purge(0, "b").await;
    let second = json(&broker.read("receipts", 2).await[1]);
    assert_eq!(second["complete"], false, "{second}");
    assert_eq!(second["unconfirmed"][0], other.url());
    assert_eq!(second["confirmed"][0]["proxy"], one.url());
    until_status(&purger, "both are done", |status| status.partitions[0].confirmed == 2).await;
}
