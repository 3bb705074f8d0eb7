//! A proxy is told how fresh its knowledge is, and only what the broker said.

use crate::support::{Broker, Proxy, Purger, until, until_status};

#[tokio::test]
async fn a_lease_is_never_renewed_without_word_from_the_broker() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let settings = "heartbeat = \"100ms\"";
    let purger = Purger::start(&broker, &[&proxy], settings).await;
    until("adopted", || proxy.starts().len() == 1).await;
    let clean = || proxy.batches().last().and_then(|batch| batch.clean_ms);
    until("it is told that nothing is missing", || clean().is_some_and(|clean| clean < 500)).await;
    assert_eq!(purger.get("/readyz").await.0, 200);
    broker.cluster.broker_down(1).unwrap();
    until("heartbeats admit how old their knowledge is", || {
        clean().is_some_and(|clean| clean > 1500)
    })
    .await;
    until_status(&purger, "an operator sees it", |status| !status.kafka_connected).await;
    assert_eq!(purger.get("/readyz").await.0, 503);
    assert_eq!(purger.metric("shellac_purger_kafka_connected").await, "0");
    broker.cluster.broker_up(1).unwrap();
    until("and recovers", || clean().is_some_and(|clean| clean < 500)).await;
    broker.purge(0, "after").await;
    until("purges flow again", || proxy.has("after")).await;
    until_status(&purger, "an operator sees it", |status| status.kafka_connected).await;
}

#[tokio::test]
async fn a_proxy_that_lags_is_never_told_that_it_is_clean() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let _purger =
        Purger::start(&broker, &[&proxy], "heartbeat = \"100ms\"\nbatch = 1\nlinger = \"400ms\"")
            .await;
    until("adopted", || proxy.starts().len() == 1).await;
    broker.purge_many(1, 0..10).await;
    until("all", || proxy.tags().len() == 10).await;
    // While it was behind, what it was told to be clean of lay before the records that it did not
    // have.
    let behind: Vec<_> = proxy.batches().into_iter().filter(|batch| batch.to == 5).collect();
    assert!(!behind.is_empty());
    assert!(
        behind.iter().all(|batch| batch.clean_ms.is_none_or(|clean| clean >= 1000)),
        "{behind:?}"
    );
}
