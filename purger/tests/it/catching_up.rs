//! A proxy that was away gets what it missed, from where it stands.

use purge_protocol::log::Start;

use crate::support::{Broker, Proxy, Purger, until, until_status};

const SMALL: &str =
    "window = 100\nslow_after = \"200ms\"\nbackoff_max = \"200ms\"\nlinger = \"0s\"";

#[tokio::test]
async fn a_purge_is_never_lost_to_a_proxy_that_is_down() {
    let broker = Broker::start(2);
    let (steady, mut away) = (Proxy::start(), Proxy::start());
    let purger = Purger::start(&broker, &[&steady, &away], SMALL).await;
    until("adopted", || steady.positions().len() == 2 && away.positions().len() == 2).await;
    broker.purge_many(2, 0..20).await;
    until("both have the first", || steady.tags().len() == 20 && away.tags().len() == 20).await;
    away.stop().await;
    broker.purge_many(2, 20..1500).await;
    until("the other has all", || (0..1500).all(|tag| steady.has(&format!("t{tag}")))).await;
    away.resume();
    until("nothing is missing", || (0..1500).all(|tag| away.has(&format!("t{tag}")))).await;
    assert!(away.starts().len() <= 2, "it was not told to distrust what it stores");
    until_status(&purger, "it keeps up again", |status| {
        status.targets.iter().all(|target| target.state == "ok" && target.lag == 0)
    })
    .await;
}

#[tokio::test]
async fn a_purger_that_restarts_never_skips_what_a_proxy_missed() {
    let broker = Broker::start(1);
    let mut away = Proxy::start();
    let steady = Proxy::start();
    let purger = Purger::start(&broker, &[&steady, &away], SMALL).await;
    until("adopted", || steady.starts().len() == 1 && away.starts().len() == 1).await;
    broker.purge_many(1, 0..10).await;
    until("both have the first", || steady.tags().len() == 10 && away.tags().len() == 10).await;
    away.stop().await;
    broker.purge_many(1, 10..400).await;
    until_status(&purger, "the group went on", |status| status.partitions[0].confirmed == 400)
        .await;
    purger.stop().await;
    away.resume();
    let _next = Purger::start(&broker, &[&steady, &away], SMALL).await;
    until("nothing is missing", || (0..400).all(|tag| away.has(&format!("t{tag}")))).await;
    assert_eq!(away.starts().len(), 1);
    assert_eq!(steady.tags().len(), 400, "nothing is delivered twice to who has it");
}

#[tokio::test]
async fn a_lost_batch_is_never_papered_over() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let _purger = Purger::start(&broker, &[&proxy], SMALL).await;
    until("adopted", || proxy.starts().len() == 1).await;
    broker.purge_many(1, 0..10).await;
    until("all", || proxy.tags().len() == 10).await;
    // It comes back with an older state of its disk.
    let mut old = proxy.positions();
    old[0].next = 4;
    old[0].last = None;
    proxy.reborn(old);
    until("what was lost comes again", || {
        proxy.tags().iter().filter(|tag| *tag == "t4").count() == 2
    })
    .await;
    until("up to the end", || proxy.tags().iter().filter(|tag| *tag == "t9").count() == 2).await;
    assert_eq!(proxy.tags().iter().filter(|tag| *tag == "t3").count(), 1);
}

#[tokio::test]
async fn an_empty_proxy_begins_at_the_end() {
    let broker = Broker::start(1);
    broker.purge_many(1, 0..30).await;
    let proxy = Proxy::start();
    let _purger = Purger::start(&broker, &[&proxy], SMALL).await;
    until("adopted", || proxy.starts() == [Start::Adopt]).await;
    assert_eq!(proxy.batches().iter().find(|batch| batch.start.is_some()).unwrap().to, 30);
    broker.purge(0, "new").await;
    until("the new one", || proxy.has("new")).await;
    assert_eq!(proxy.tags(), ["new"]);
    proxy.reborn(Vec::new());
    until("adopted again", || proxy.starts().len() == 2).await;
}

#[tokio::test]
async fn a_position_in_another_log_is_never_believed() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], SMALL).await;
    until("adopted", || proxy.starts().len() == 1).await;
    broker.purge_many(1, 0..10).await;
    until("all", || proxy.tags().len() == 10).await;
    // The record before its position is another one: the topic was made anew, and has as many
    // records again.
    let mut other = proxy.positions();
    other[0].last = Some(1);
    proxy.reborn(other);
    until("it starts over", || proxy.starts() == [Start::Adopt, Start::Replaced]).await;
    // Its position lies beyond the end.
    let mut beyond = proxy.positions();
    beyond[0].next = 1000;
    proxy.reborn(beyond);
    until("it starts over", || proxy.starts().len() == 3).await;
    assert_eq!(proxy.starts()[2], Start::Replaced);
    assert_eq!(purger.metric("shellac_purger_starts_total{outcome=\"replaced\"}").await, "2");
}
