//! Far more is missed than fits into one batch: all of it is delivered, checked by content.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use purge_protocol::log::Start;
use tokio::time::Instant;

use crate::support::{Broker, Proxy, Purger, asks_for_a_pause, until, until_status};

const SMALL: &str = "window = 100\nslow_after = \"200ms\"\nbackoff_max = \"200ms\"";

fn url(event: usize, number: usize) -> String {
    format!("http://h/{event}/{number}")
}

/// Writes events of so many URLs each.
async fn publish(broker: &Broker, events: std::ops::Range<usize>, urls: usize) {
    let values = events.map(|event| {
        let urls: Vec<String> = (0..urls).map(|number| url(event, number)).collect();
        serde_json::json!({ "urls": urls }).to_string()
    });
    broker.write_many(values).await;
}

async fn delivers_all_to_a_proxy_that_was_away(events: usize, urls: usize, limit: fn(&Proxy)) {
    let broker = Broker::start(1);
    let (steady, mut away) = (Proxy::start(), Proxy::start());
    limit(&away);
    let purger = Purger::start(&broker, &[&steady, &away], SMALL).await;
    until("adopted", || steady.positions().len() == 1 && away.positions().len() == 1).await;
    publish(&broker, 0..10, urls).await;
    until("both have the first", || away.positions()[0].next == 10).await;
    away.stop().await;
    publish(&broker, 10..events, urls).await;
    let end = i64::try_from(events).unwrap();
    until_status(&purger, "the group went on", |status| status.partitions[0].confirmed == end)
        .await;
    away.resume();
    until("the position is at the end", || away.positions()[0].next == end).await;
    let delivered: HashSet<String> =
        away.diary().into_iter().flat_map(|purge| purge.request.urls).collect();
    let missing = (0..events)
        .flat_map(|event| (0..urls).map(move |number| url(event, number)))
        .filter(|url| !delivered.contains(url))
        .count();
    assert_eq!(away.starts(), [Start::Adopt], "nothing was given up");
    assert_eq!(missing, 0, "of {}", events * urls);
}

#[tokio::test]
async fn a_proxy_that_missed_much_gets_all_of_it() {
    delivers_all_to_a_proxy_that_was_away(11_000, 10, |_| {}).await;
}

#[tokio::test]
async fn a_proxy_that_takes_little_at_once_gets_all_that_it_missed() {
    delivers_all_to_a_proxy_that_was_away(600, 12, |proxy| {
        proxy.limit(|purge| {
            purge.max_selectors = 5;
            purge.log.max_body = 16 << 10;
            purge.log.max_purges = 30;
            purge.log.max_selectors = 100;
        });
    })
    .await;
}

/// The limits of an event and those of one purge at a proxy need not agree.
#[tokio::test]
async fn an_event_with_too_many_selectors_for_one_purge_is_split() {
    let broker = Broker::start(1);
    let (ample, small) = (Proxy::start(), Proxy::start());
    small.limit(|purge| purge.max_selectors = 7);
    let _purger = Purger::start(&broker, &[&ample, &small], "").await;
    until("adopted", || ample.starts().len() == 1 && small.starts().len() == 1).await;
    let tags: Vec<String> = (0..600).map(|tag| format!("t{tag}")).collect();
    let urls: Vec<String> = (0..600).map(|number| url(0, number)).collect();
    let event = serde_json::json!({ "tags": tags, "urls": urls });
    broker.write(0, "k", event.to_string().as_bytes()).await;
    for proxy in [&ample, &small] {
        until("it is taken", || proxy.positions()[0].next == 1).await;
        let diary = proxy.diary();
        let all: HashSet<String> = diary
            .into_iter()
            .flat_map(|purge| purge.request.tags.into_iter().chain(purge.request.urls))
            .collect();
        assert_eq!(all.len(), 1200);
        assert_eq!(proxy.starts(), [Start::Adopt]);
    }
}

#[tokio::test]
async fn proxies_that_return_together_get_all_they_missed_within_little_memory() {
    let broker = Broker::start(4);
    let mut proxies: Vec<Proxy> = (0..8).map(|_| Proxy::start()).collect();
    let settings =
        "window = 100000\nmemory = \"64MiB\"\nslow_after = \"200ms\"\nbackoff_max = \"200ms\"";
    let purger = Purger::start(&broker, &proxies.iter().collect::<Vec<_>>(), settings).await;
    until("adopted", || proxies.iter().all(|proxy| proxy.positions().len() == 4)).await;
    let (steady, away) = proxies.split_first_mut().unwrap();
    for proxy in away.iter_mut() {
        proxy.stop().await;
    }
    broker.purge_many(4, 0..40_000).await;
    let is_at_the_end = |proxy: &Proxy| proxy.positions().iter().all(|it| it.next == 10_000);
    until("the others go on", || is_at_the_end(steady)).await;
    away.iter_mut().for_each(Proxy::resume);
    for proxy in &*away {
        until("it is at the end", || is_at_the_end(proxy)).await;
        let tags: HashSet<String> = proxy.tags().into_iter().collect();
        assert_eq!(tags.len(), 40_000);
    }
    for number in 0..4 {
        let labels = format!("{{topic=\"purge\",partition=\"{number}\"}}");
        let bytes = purger.metric(&format!("shellac_purger_backlog_bytes{labels}")).await;
        let bytes: u64 = bytes.parse().unwrap();
        assert!(bytes <= (64 << 20) / 2 / 4, "{number}: {bytes}");
    }
}

/// There are few cursors, and a proxy that hangs must not keep one.
#[tokio::test]
async fn a_proxy_catches_up_beside_many_that_never_answer() {
    let broker = Broker::start(4);
    let mut proxies: Vec<Proxy> = (0..6).map(|_| Proxy::start()).collect();
    let settings = "window = 100\nmemory = \"64MiB\"\nslow_after = \"200ms\"\ntimeout = \"1s\"\n\
                    backoff_max = \"500ms\"";
    let _purger = Purger::start(&broker, &proxies.iter().collect::<Vec<_>>(), settings).await;
    until("adopted", || proxies.iter().all(|proxy| proxy.positions().len() == 4)).await;
    for proxy in &mut proxies[1..] {
        proxy.stop().await;
    }
    broker.purge_many(4, 0..4000).await;
    let is_at_the_end = |proxy: &Proxy| proxy.positions().iter().all(|it| it.next == 1000);
    until("the first goes on", || is_at_the_end(&proxies[0])).await;
    proxies[2..].iter().for_each(Proxy::hang);
    proxies[2..].iter_mut().for_each(Proxy::resume);
    until("they hang", || proxies[2..].iter().map(Proxy::hung).sum::<usize>() > 0).await;
    proxies[1].resume();
    let returned = Instant::now();
    until("it has caught up", || is_at_the_end(&proxies[1])).await;
    assert!(returned.elapsed() < Duration::from_secs(12), "{:?}", returned.elapsed());
    assert_eq!(proxies[1].tags().into_iter().collect::<HashSet<_>>().len(), 4000);
}

/// There is one cursor, and a proxy that refuses all batches for a while must not keep it.
#[tokio::test]
async fn a_proxy_catches_up_while_another_is_in_back_off() {
    let broker = Broker::start(1);
    let (steady, mut pausing, mut returning) = (Proxy::start(), Proxy::start(), Proxy::start());
    let settings = "window = 100\nmemory = \"64MiB\"\nslow_after = \"200ms\"\n\
                    backoff_max = \"200ms\"";
    let _purger = Purger::start(&broker, &[&steady, &pausing, &returning], settings).await;
    until("adopted", || [&steady, &pausing, &returning].iter().all(|it| it.starts().len() == 1))
        .await;
    pausing.stop().await;
    returning.stop().await;
    broker.purge_many(1, 0..1000).await;
    until("the first goes on", || steady.positions()[0].next == 1000).await;
    let told = Arc::new(AtomicUsize::new(0));
    let telling = Arc::clone(&told);
    pausing.answers(Box::new(move |batch| {
        // More than the window holds: from a cursor.
        let answer = (batch.to > 200).then(|| asks_for_a_pause(PAUSE));
        telling.fetch_add(usize::from(answer.is_some()), Ordering::Relaxed);
        answer
    }));
    pausing.resume();
    until("it is in back-off", || told.load(Ordering::Relaxed) == 1).await;
    returning.resume();
    let returned = Instant::now();
    until("it has caught up", || returning.positions()[0].next == 1000).await;
    assert!(returned.elapsed() < PAUSE / 2, "{:?}", returned.elapsed());
}

/// The longest that a proxy may ask for.
const PAUSE: Duration = Duration::from_secs(30);
