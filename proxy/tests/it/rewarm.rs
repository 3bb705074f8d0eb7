//! Rewarming: what a purge wants to be fetched again is fetched once, and never in the way of a
//! later purge.

use std::time::Duration;

use serde_json::json;
use shellac::testing::purge::log::rewarm::RewarmMetrics;

use crate::support::origin::{Gate, Origin, cacheable};
use crate::support::proxy::Proxy;
use crate::support::until;

fn start(origin: &Origin) -> Proxy {
    Proxy::start_with(origin, |config| config.purge.log.rewarm_jitter = Duration::ZERO)
}

fn metrics(proxy: &Proxy) -> &RewarmMetrics {
    proxy.app.purge_log.rewarming()
}

async fn fetched(proxy: &Proxy, count: u64) {
    until("fetches", || metrics(proxy).fetched.value() == count).await;
}

#[tokio::test]
async fn listed_urls_and_then_the_most_requested_are_fetched_again() {
    let origin = Origin::start().await;
    let proxy = start(&origin);
    let paths = ["/cold", "/warm", "/hot", "/listed"];
    for path in paths {
        origin.on(path, cacheable("old").field("surrogate-key", "t"));
        proxy.get(path).await;
    }
    for (path, seconds) in [("/warm", 2), ("/hot", 4)] {
        for _ in 0..seconds {
            proxy.advance(1);
            proxy.get(path).await;
        }
    }
    for path in paths {
        origin.on(path, cacheable("new").field("surrogate-key", "t"));
    }

    let rewarm = json!({"urls": ["http://site.example/listed"], "max": 3});
    proxy.deliver_purge(0, &json!({"tags": ["t"], "rewarm": rewarm})).await;
    fetched(&proxy, 3).await;

    for (path, is_hit) in [("/listed", true), ("/hot", true), ("/warm", true), ("/cold", false)] {
        let answer = proxy.get(path).await;
        assert_eq!((answer.text(), answer.is_hit()), ("new", is_hit), "{path}");
    }
}

#[tokio::test]
async fn the_variant_that_was_purged_is_the_one_that_is_fetched_again() {
    let origin = Origin::start().await;
    let proxy = start(&origin);
    origin.on("/a", cacheable("page").field("surrogate-key", "t").field("vary", "x-device"));
    let phone = [("X-Device", "phone")];
    proxy.get_with("/a", &phone).await;

    proxy.deliver_purge(0, &json!({"tags": ["t"], "rewarm": {"max": 5}})).await;
    fetched(&proxy, 1).await;

    assert!(proxy.get_with("/a", &phone).await.is_hit());
    assert!(!proxy.get_with("/a", &[("X-Device", "tv")]).await.is_hit());
}

#[tokio::test]
async fn a_softly_purged_page_is_refreshed() {
    let origin = Origin::start().await;
    let proxy = start(&origin);
    let page = |text: &str| {
        cacheable(text)
            .field("cache-control", "max-age=60, stale-while-revalidate=60")
            .field("surrogate-key", "t")
    };
    origin.on("/a", page("old"));
    proxy.get("/a").await;
    origin.on("/a", page("new"));

    proxy.deliver_purge(0, &json!({"tags": ["t"], "mode": "soft", "rewarm": {"max": 5}})).await;
    fetched(&proxy, 1).await;

    let answer = proxy.get("/a").await;
    assert_eq!((answer.text(), answer.is_hit()), ("new", true));
}

#[tokio::test]
async fn a_url_of_a_host_that_the_purge_does_not_concern_is_never_fetched() {
    let origin = Origin::start().await;
    let proxy = start(&origin);
    origin.on("/a", cacheable("").field("surrogate-key", "t"));
    proxy.get("/a").await;
    for path in ["/secret", "/ours"] {
        origin.on(path, cacheable(""));
    }
    let urls = json!([
        "http://169.254.169.254/secret",
        "http://other.example/secret",
        "ftp://site.example/secret",
        "nonsense",
        "http://site.example/ours",
    ]);

    proxy.deliver_purge(0, &json!({"tags": ["t"], "rewarm": {"urls": urls, "max": 10}})).await;
    fetched(&proxy, 2).await;

    assert_eq!(metrics(&proxy).dropped.value(), 4);
    assert_eq!((origin.count("/secret"), origin.count("/ours")), (0, 1));
}

/// R17: the fetch for the first purge ends after the second one.
#[tokio::test]
async fn a_rewarming_fetch_that_a_newer_purge_has_overtaken_never_becomes_a_hit() {
    let origin = Origin::start().await;
    let proxy = start(&origin);
    let page = |text: &str| cacheable(text).field("surrogate-key", "t");
    origin.on("/a", page("first"));
    proxy.get("/a").await;
    let gate = Gate::closed();
    origin.on("/a", page("second").after(&gate));

    proxy.deliver_purge(0, &json!({"tags": ["t"], "rewarm": {"max": 1}})).await;
    origin.seen("/a", 2).await;
    proxy.deliver_purge(1, &json!({"tags": ["t"]})).await;
    origin.on("/a", page("third"));
    gate.open();
    fetched(&proxy, 1).await;

    assert_eq!(proxy.get("/a").await.text(), "third");
}

#[tokio::test]
async fn a_waiting_fetch_is_cancelled_by_a_newer_purge_of_the_same() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| {
        config.purge.log.rewarm_jitter = Duration::ZERO;
        config.purge.log.rewarm_concurrency = 1;
        config.purge.log.rewarm_queue = 3;
    });
    for path in ["/block", "/a", "/b", "/c"] {
        origin.on(path, cacheable("").field("surrogate-key", path));
        proxy.get(path).await;
    }
    let gate = Gate::closed();
    origin.on("/block", cacheable("").after(&gate));
    let rewarm = |tag: &str| json!({"tags": [tag], "rewarm": {"max": 1}});
    proxy.deliver_purge(0, &rewarm("/block")).await;
    origin.seen("/block", 2).await;

    proxy.deliver_purge(1, &rewarm("/a")).await;
    proxy.deliver_purge(2, &rewarm("/b")).await;
    until("a full queue", || metrics(&proxy).queued.value() == 3).await;
    proxy.deliver_purge(3, &rewarm("/c")).await;
    until("a fetch without a place", || metrics(&proxy).dropped.value() == 1).await;
    proxy.deliver_purge(4, &json!({"tags": ["/a"]})).await;
    gate.open();
    fetched(&proxy, 2).await;

    assert_eq!(metrics(&proxy).cancelled.value(), 1);
    assert_eq!((origin.count("/a"), origin.count("/b"), origin.count("/c")), (1, 2, 1));
}
