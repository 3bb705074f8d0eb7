//! Every purge reaches every proxy, whoever is slow or dead.

use std::time::Duration;

use crate::support::{Broker, Proxy, Purger, until, until_status};

#[tokio::test]
async fn every_purge_reaches_every_proxy_and_only_then_its_offset_is_committed() {
    let broker = Broker::start(3);
    let (one, other) = (Proxy::start(), Proxy::start());
    let purger = Purger::start(&broker, &[&one, &other], "").await;
    until("both proxies are adopted", || {
        one.positions().len() == 3 && other.positions().len() == 3
    })
    .await;
    broker.purge_many(3, 0..300).await;
    for proxy in [&one, &other] {
        until("all tags", || (0..300).all(|tag| proxy.has(&format!("t{tag}")))).await;
        assert_eq!(proxy.tags().len(), 300, "each once");
    }
    until_status(&purger, "nothing is left", |status| {
        status.partitions.iter().map(|partition| partition.confirmed).sum::<i64>() == 300
            && status.targets.iter().all(|target| target.state == "ok" && target.lag == 0)
    })
    .await;
    purger.stop().await;
    for partition in 0..3 {
        assert_eq!(broker.committed(partition).await, Some(100));
    }
    assert!(one.authorization().iter().all(|value| value == "Bearer secret"));
}

#[tokio::test]
async fn batches_abut_and_name_their_range() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let _purger = Purger::start(&broker, &[&proxy], "batch = 7").await;
    until("adopted", || proxy.starts().len() == 1).await;
    broker.purge_many(1, 0..100).await;
    until("all tags", || proxy.tags().len() == 100).await;
    let mut next = 0;
    for batch in proxy.batches() {
        assert_eq!(batch.from, next, "a gap");
        assert!(batch.purges.len() <= 7);
        assert!(batch.purges.iter().all(|purge| (batch.from..batch.to).contains(&purge.offset)));
        next = batch.to;
    }
    assert_eq!(next, 100);
}

#[tokio::test]
async fn a_dead_proxy_never_delays_the_others_nor_holds_the_group() {
    let broker = Broker::start(1);
    let (alive, mut dead) = (Proxy::start(), Proxy::start());
    dead.stop().await;
    let settings = "slow_after = \"300ms\"\nbackoff_max = \"200ms\"";
    let purger = Purger::start(&broker, &[&alive, &dead], settings).await;
    until("adopted", || alive.starts().len() == 1).await;
    broker.purge_many(1, 0..50).await;
    until("the other one has all", || alive.tags().len() == 50).await;
    until_status(&purger, "the group goes on", |status| status.partitions[0].confirmed == 50).await;
    let status = purger.status().await;
    let of_dead = status.targets.iter().find(|target| target.url == dead.url()).unwrap();
    assert_eq!(of_dead.state, "down");
    assert!(of_dead.error.as_ref().unwrap().contains("refused"), "{of_dead:?}");
    assert_eq!(purger.metric("shellac_purger_targets{state=\"down\"}").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_proxy_that_never_answers_does_not_fill_the_window_for_the_others() {
    let broker = Broker::start(1);
    let (alive, stuck) = (Proxy::start(), Proxy::start());
    let settings = "window = 100\nbatch = 5\nlinger = \"0s\"\ntimeout = \"20s\"";
    let purger = Purger::start(&broker, &[&alive, &stuck], settings).await;
    until("adopted", || alive.starts().len() == 1 && stuck.starts().len() == 1).await;
    // Each of its batches takes a fifth of a second.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    stuck.answers(Box::new(move |batch| {
        if !batch.purges.is_empty() {
            let _released = held.lock().unwrap().recv_timeout(Duration::from_millis(200));
        }
        None
    }));
    broker.purge_many(1, 0..2000).await;
    until("the other one has all", || (0..2000).all(|tag| alive.has(&format!("t{tag}")))).await;
    drop(release);
    stuck.behaves();
    until("the slow one catches up", || (0..2000).all(|tag| stuck.has(&format!("t{tag}")))).await;
    assert_ne!(purger.metric("shellac_purger_catch_ups_total").await, "0");
}

#[tokio::test]
async fn a_batch_that_takes_a_proxy_too_long_is_sent_in_parts() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let settings = "timeout = \"300ms\"\nbackoff_max = \"100ms\"";
    let purger = Purger::start(&broker, &[&proxy], settings).await;
    until("adopted", || proxy.starts().len() == 1).await;
    proxy.labours(3, Duration::from_hours(1));
    broker.purge_many(1, 0..20).await;
    until("all tags", || (0..20).all(|tag| proxy.has(&format!("t{tag}")))).await;
    until_status(&purger, "its offset is committed", |status| status.partitions[0].confirmed == 20)
        .await;
}

#[tokio::test]
async fn a_purge_that_takes_long_gets_the_time_that_it_takes() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let settings = "timeout = \"300ms\"\nbackoff_max = \"100ms\"";
    let _purger = Purger::start(&broker, &[&proxy], settings).await;
    until("adopted", || proxy.starts().len() == 1).await;
    proxy.labours(0, Duration::from_secs(1));
    broker.purge(0, "slow").await;
    until("it is applied", || proxy.has("slow")).await;
}

#[tokio::test]
async fn no_offset_is_committed_while_no_proxy_confirms() {
    let broker = Broker::start(1);
    let mut proxy = Proxy::start();
    let settings = "slow_after = \"100ms\"\nbackoff_max = \"100ms\"\nwindow = 100";
    let purger = Purger::start(&broker, &[&proxy], settings).await;
    until("adopted", || proxy.starts().len() == 1).await;
    proxy.stop().await;
    broker.purge_many(1, 0..500).await;
    until_status(&purger, "reading pauses", |status| status.partitions[0].full).await;
    assert_eq!(purger.status().await.partitions[0].confirmed, 0);
    proxy.resume();
    until("all tags", || (0..500).all(|tag| proxy.has(&format!("t{tag}")))).await;
    until_status(&purger, "the group goes on", |status| status.partitions[0].confirmed == 500)
        .await;
}

#[tokio::test]
async fn http_2_carries_batches_over_one_connection() {
    let broker = Broker::start(4);
    let proxy = Proxy::start();
    let _purger = Purger::start(&broker, &[&proxy], "targets.http = \"2\"").await;
    until("adopted", || proxy.positions().len() == 4).await;
    broker.purge_many(4, 0..100).await;
    until("all tags", || proxy.tags().len() == 100).await;
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn a_partition_without_a_leader_never_stops_the_others() {
    let broker = Broker::start(2);
    broker.cluster.partition_leader("purge", 0, None).unwrap();
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "").await;
    until("the other one is adopted", || proxy.starts().len() == 1).await;
    broker.purge(1, "healthy").await;
    until("it delivers", || proxy.has("healthy")).await;
    assert!(purger.status().await.kafka_connected);
    broker.cluster.partition_leader("purge", 0, Some(1)).unwrap();
    broker.purge(0, "later").await;
    until("it delivers what has a leader again", || proxy.has("later")).await;
}
