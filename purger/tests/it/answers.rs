//! What a proxy answers, and what the purger makes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use tokio::time::Instant;

use purge_protocol::log::Start;

use crate::support::{Broker, Proxy, Purger, json, refuse, until, until_status};

pub(crate) fn answer(status: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from("no"));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

#[tokio::test]
async fn one_purge_that_is_refused_never_takes_others_with_it() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "linger = \"100ms\"").await;
    until("adopted", || proxy.starts().len() == 1).await;
    proxy.answers(Box::new(|batch| {
        let is_bad = batch.purges.iter().any(|purge| purge.request.tags == ["t13"]);
        is_bad.then(|| refuse(batch, 400))
    }));
    broker.purge_many(1, 0..40).await;
    until("all others", || proxy.tags().len() == 39).await;
    assert!(!proxy.has("t13"));
    let letters = broker.read("dead", 1).await;
    assert_eq!(json(&letters[0])["code"], "refused");
    assert_eq!(json(&letters[0])["offset"], 13);
    let starts = [Start::Adopt, Start::Refused];
    assert_eq!(proxy.starts(), starts, "it validates what the purge may have meant");
    until_status(&purger, "the group goes on", |status| status.partitions[0].confirmed == 40).await;
}

#[tokio::test]
async fn one_selector_that_is_refused_never_takes_others_of_its_event_with_it() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "").await;
    until("adopted", || proxy.starts().len() == 1).await;
    proxy.answers(Box::new(|batch| {
        let mut tags = batch.purges.iter().flat_map(|purge| &purge.request.tags);
        tags.any(|tag| tag == "bad").then(|| refuse(batch, 400))
    }));
    broker.write(0, "k", br#"{"tags":["a","b","bad","c","d"]}"#).await;
    until("all others", || ["a", "b", "c", "d"].iter().all(|tag| proxy.has(tag))).await;
    until_status(&purger, "the group goes on", |status| status.partitions[0].confirmed == 1).await;
    assert!(!proxy.has("bad"));
    assert_eq!(proxy.starts(), [Start::Adopt, Start::Refused]);
}

#[tokio::test]
async fn a_refusal_by_another_server_gives_no_purge_up() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "backoff_max = \"100ms\"").await;
    until("adopted", || proxy.starts().len() == 1).await;
    let count = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&count);
    proxy.answers(Box::new(move |_| {
        let statuses = [400, 413, 422];
        let number = asked.fetch_add(1, Ordering::Relaxed);
        Some(answer(statuses[number % statuses.len()]))
    }));
    broker.purge(0, "a").await;
    until("it asks again", || count.load(Ordering::Relaxed) > 6).await;
    until_status(&purger, "an operator sees why", |status| {
        let error = status.targets[0].error.clone().unwrap_or_default();
        error.starts_with("no proxy's answer: 4")
    })
    .await;
    assert_eq!(purger.status().await.partitions[0].confirmed, 0);
    proxy.behaves();
    until("it comes", || proxy.has("a")).await;
    assert_eq!(proxy.starts(), [Start::Adopt]);
    assert_eq!(purger.metric("shellac_purger_dead_letters_total").await, "0");
}

#[tokio::test]
async fn a_pause_that_a_proxy_asks_for_is_kept() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let _purger = Purger::start(&broker, &[&proxy], "").await;
    until("adopted", || proxy.starts().len() == 1).await;
    let asked = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let times = Arc::clone(&asked);
    proxy.answers(Box::new(move |batch| {
        if batch.purges.is_empty() {
            return None;
        }
        let mut times = times.lock();
        times.push(Instant::now());
        (times.len() == 1).then(|| {
            let mut response = answer(503);
            response.headers_mut().insert("retry-after", "1".parse().unwrap());
            response
        })
    }));
    broker.purge(0, "a").await;
    until("it comes again", || proxy.has("a")).await;
    let times = asked.lock();
    assert!(times[1] - times[0] >= std::time::Duration::from_secs(1));
}

#[tokio::test]
async fn a_wrong_token_never_loses_a_purge() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "backoff_max = \"100ms\"").await;
    until("adopted", || proxy.starts().len() == 1).await;
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    proxy.answers(Box::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Some(answer(401))
    }));
    broker.purge(0, "a").await;
    until("it tries again and again", || refused.load(Ordering::Relaxed) > 3).await;
    until_status(&purger, "an operator sees why", |status| {
        let target = &status.targets[0];
        target.state == "down" && target.error.as_ref().is_some_and(|error| error.contains("401"))
    })
    .await;
    proxy.behaves();
    until("it comes", || proxy.has("a")).await;
    assert_eq!(purger.metric("shellac_purger_dead_letters_total").await, "0");
}

#[tokio::test]
async fn an_answer_that_is_none_is_no_confirmation() {
    let broker = Broker::start(1);
    let proxy = Proxy::start();
    let purger = Purger::start(&broker, &[&proxy], "backoff_max = \"100ms\"").await;
    until("adopted", || proxy.starts().len() == 1).await;
    let count = Arc::new(AtomicUsize::new(0));
    let answers = Arc::clone(&count);
    proxy.answers(Box::new(move |_| {
        let texts = ["<html>ok</html>", "{}", r#"{"instance":"process-1","next":0}"#];
        let number = answers.fetch_add(1, Ordering::Relaxed);
        Some(Response::new(Full::from(texts[number % texts.len()])))
    }));
    broker.purge(0, "a").await;
    until("it asks again", || count.load(Ordering::Relaxed) > 6).await;
    assert_eq!(purger.status().await.partitions[0].confirmed, 0);
    proxy.behaves();
    until("it comes", || proxy.has("a")).await;
}

#[tokio::test]
async fn a_token_never_goes_to_an_address_that_left_the_fleet() {
    use settings::{Secret, TargetHttp};
    use shellac_purger::delivery::target::{Target, TargetOptions};
    let proxy = Proxy::start();
    let token = Some(Secret::new("secret"));
    let timeout = std::time::Duration::from_secs(20);
    let target =
        Target::new(1, proxy.url(), &TargetOptions { http: TargetHttp::Http1, token, timeout });
    target.log_status().await.unwrap();
    assert_eq!(proxy.authorization().len(), 1);
    target.set_present(false);
    target.log_status().await.unwrap();
    assert_eq!(proxy.authorization().len(), 1, "without a token");
    target.set_present(true);
    target.log_status().await.unwrap();
    assert_eq!(proxy.authorization().len(), 2, "it is back");
}
