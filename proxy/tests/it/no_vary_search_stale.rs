//! Stale responses of equivalent URLs (`No-Vary-Search`): validated, served stale and shared while
//! they are fetched, as those of one URL are, and purged as exactly.

use serde_json::json;

use crate::support::origin::{Gate, Origin, Reply, cacheable, not_modified, ok, status};
use crate::support::proxy::Proxy;
use crate::support::until;

const NAME: &str = "no-vary-search";
const REF: &str = "params=(\"ref\")";

fn page(content: &str, cache_control: &str) -> Reply {
    ok(content).field("cache-control", cache_control).field(NAME, REF).field("etag", "\"1\"")
}

async fn purge_url(proxy: &Proxy, path: &str) {
    let url = format!("http://site.example{path}");
    proxy.purge(&json!({ "urls": [url] }).to_string()).await;
}

/// Starts a proxy that has a stale response of `/p?ref=a`.
async fn with_stale(origin: &Origin, reply: Reply) -> Proxy {
    origin.on_each("/p?ref=a", [reply]);
    let proxy = Proxy::start(origin);
    proxy.get("/p?ref=a").await;
    proxy.advance(61);
    proxy
}

#[tokio::test]
async fn a_stale_response_of_an_equivalent_url_is_validated_by_its_entity_tag() {
    let origin = Origin::start().await;
    let confirmed = not_modified().field("etag", "\"1\"").field("cache-control", "max-age=90");
    origin.on_each("/p?ref=b", [confirmed]);
    let proxy = with_stale(&origin, page("one", "max-age=60")).await;

    let answer = proxy.get("/p?ref=b").await;

    assert_eq!((answer.status(), answer.text()), (200, "one"));
    assert_eq!(origin.last("/p?ref=b").head.field("if-none-match").unwrap(), "\"1\"");
    for same in ["/p?ref=a", "/p?ref=b", "/p?ref=c", "/p"] {
        let answer = proxy.get(same).await;
        assert_eq!((answer.text(), &*answer.cache_status()), ("one", "hit; ttl=90"), "{same}");
    }
    assert_eq!(proxy.app.store.usage().objects, 1);
}

#[tokio::test]
async fn a_newer_response_takes_the_place_of_the_stale_one_for_all_equivalent_urls() {
    let origin = Origin::start().await;
    origin.on("/p?ref=b", page("two", "max-age=60"));
    let proxy = with_stale(&origin, page("one", "max-age=60")).await;

    assert_eq!(proxy.get("/p?ref=b").await.text(), "two");

    for same in ["/p?ref=a", "/p?ref=b", "/p?ref=c"] {
        let answer = proxy.get(same).await;
        assert_eq!((answer.text(), answer.is_hit()), ("two", true), "{same}");
    }
    assert_eq!((proxy.app.store.usage().objects, origin.all_received().len()), (1, 2));
}

#[tokio::test]
async fn a_fresh_response_of_an_equivalent_url_goes_before_the_stale_one_of_its_own() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/p?ref=a", page("older", "max-age=60").after(&gate));
    origin.on("/p?ref=b", page("newer", "max-age=600").after(&gate));
    let proxy = Proxy::start(&origin);
    let mut both = Vec::new(); // nothing is declared yet: each is fetched
    for path in ["/p?ref=a", "/p?ref=b"] {
        both.push(proxy.begin(path, &[]).await);
        origin.seen(path, 1).await;
    }
    gate.open();
    for client in &mut both {
        client.answer().await;
    }
    proxy.advance(61);

    let answer = proxy.get("/p?ref=a").await;
    assert_eq!((answer.text(), answer.is_hit()), ("newer", true));
}

#[tokio::test]
async fn a_stale_response_is_served_to_equivalent_urls_while_one_request_validates() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let declared = "max-age=60, stale-while-revalidate=30";
    origin.on("/p?ref=b", page("new", declared).after(&gate));
    let proxy = with_stale(&origin, page("old", declared)).await;

    for same in ["/p?ref=b", "/p?ref=c", "/p?ref=a", "/p"] {
        let answer = proxy.get(same).await;
        let status = "hit; ttl=-1; detail=stale_while_revalidate";
        assert_eq!((answer.text(), &*answer.cache_status()), ("old", status), "{same}");
        origin.seen("/p?ref=b", 1).await;
    }
    gate.open();
    until("the refresh", || proxy.app.store.usage().inserts == 2).await;

    assert_eq!(proxy.get("/p?ref=d").await.text(), "new");
    assert_eq!(origin.all_received().len(), 2);
}

#[tokio::test]
async fn a_stale_response_is_served_to_equivalent_urls_while_the_origin_fails() {
    let origin = Origin::start().await;
    origin.on("/p?ref=b", status("503 Service Unavailable", "down"));
    let proxy = with_stale(&origin, page("one", "max-age=60, stale-if-error=600")).await;

    let answer = proxy.get("/p?ref=b").await;

    assert_eq!((answer.status(), answer.text()), (200, "one"));
    assert!(answer.cache_status().contains("stale_if_error"), "{}", answer.cache_status());
    assert_eq!(proxy.get("/q?ref=b").await.status(), 404, "no other page stands in");
}

#[tokio::test]
async fn requests_for_equivalent_urls_share_the_fetch_for_a_stale_response() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/p?ref=0", page("new", "max-age=60").after(&gate));
    let proxy = with_stale(&origin, page("old", "max-age=60")).await;

    let mut clients = vec![proxy.begin("/p?ref=0", &[]).await];
    origin.seen("/p?ref=0", 1).await;
    for number in 1..20 {
        clients.push(proxy.begin(&format!("/p?ref={number}"), &[]).await);
    }
    clients.push(proxy.begin("/p?ref=a", &[]).await);
    let fetcher = proxy.app.front.cache.fetcher();
    until("all requests", || proxy.app.listeners.drain.remaining() == clients.len()).await;
    until("the flight", || fetcher.in_flight().1 == 1).await;
    gate.open();

    for client in &mut clients {
        assert_eq!(client.answer().await.text(), "new");
    }
    assert_eq!(origin.all_received().len(), 2);
    assert_eq!(proxy.app.store.usage().objects, 1);
}

#[tokio::test]
async fn what_is_declared_no_longer_is_for_its_own_url_only() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on_each("/p?ref=a", [page("old", "max-age=60"), cacheable("a")]);
    origin.on("/p?ref=b", cacheable("b").field("etag", "\"2\"").after(&gate));
    origin.on("/p?ref=c", cacheable("c"));
    let proxy = Proxy::start(&origin);
    proxy.get("/p?ref=a").await;
    proxy.advance(61);
    let mut first = proxy.begin("/p?ref=b", &[]).await;
    origin.seen("/p?ref=b", 1).await;
    let mut others = Vec::new();
    for name in ["c", "a", "b"] {
        others.push((proxy.begin(&format!("/p?ref={name}"), &[]).await, name));
    }
    gate.open();

    assert_eq!(first.answer().await.text(), "b");
    for (other, name) in &mut others {
        assert_eq!(other.answer().await.text(), *name);
    }
    for name in ["a", "b", "c"] {
        let answer = proxy.get(&format!("/p?ref={name}")).await;
        assert_eq!((answer.text(), answer.is_hit()), (name, true));
    }
    let asked = ["a", "b", "c"].map(|name| origin.received(&format!("/p?ref={name}")).len());
    // One for b that comes just when the first ends may be on its own.
    assert!(matches!(asked, [2, 1 | 2, 1]), "{asked:?}");
}

#[tokio::test]
async fn a_confirmation_that_declares_less_confirms_nothing_for_another_url() {
    let origin = Origin::start().await;
    let narrowed = not_modified().field("etag", "\"1\"").field(NAME, "params=(\"x\")");
    origin.on_each("/p?ref=b", [narrowed, cacheable("b")]);
    let proxy = with_stale(&origin, page("a", "max-age=60")).await;

    assert_eq!(proxy.get("/p?ref=b").await.text(), "b");

    let asked = origin.received("/p?ref=b");
    assert_eq!(asked.len(), 2);
    assert!(asked[1].head.field("if-none-match").is_none());
    assert!(proxy.get("/p?ref=b").await.is_hit());
}

#[tokio::test]
async fn a_response_that_is_not_shared_leaves_the_stale_one_of_another_url_alone() {
    let origin = Origin::start().await;
    let own = || ok("own").field("cache-control", "private");
    origin.on("/p?ref=b", own());
    let confirmed = not_modified().field("etag", "\"1\"").field("cache-control", "max-age=60");
    origin.on("/p?ref=c", confirmed);
    let proxy = with_stale(&origin, page("one", "max-age=60")).await;

    assert_eq!(proxy.get("/p?ref=b").await.text(), "own");

    assert_eq!(proxy.get("/p?ref=c").await.text(), "one");
    assert_eq!(proxy.get("/p?ref=b").await.text(), "own", "its marker is its own");
}

#[tokio::test]
async fn a_purge_of_any_equivalent_url_hits_what_is_being_fetched_for_another() {
    for purged in ["/p?ref=a", "/p?ref=b", "/p?ref=never-seen"] {
        let origin = Origin::start().await;
        let gate = Gate::closed();
        let confirmed = not_modified().field("etag", "\"1\"").field("cache-control", "max-age=60");
        origin.on_each("/p?ref=b", [confirmed.after(&gate)]);
        origin.on("/p?ref=c", page("new", "max-age=60"));
        let proxy = with_stale(&origin, page("old", "max-age=60")).await;
        let mut early = proxy.begin("/p?ref=b", &[]).await;
        origin.seen("/p?ref=b", 1).await;

        purge_url(&proxy, purged).await;
        let mut late = proxy.begin("/p?ref=c", &[]).await;
        gate.open();

        assert_eq!(late.answer().await.text(), "new", "{purged}: it asked after the purge");
        drop(early.answer().await);
        let third = proxy.get("/p?ref=d").await;
        assert_eq!((third.text(), third.is_hit()), ("new", true), "{purged}");
    }
}

#[tokio::test]
async fn a_purge_of_the_url_that_was_asked_for_hits_what_is_for_it_alone_after_all() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on_each("/p?ref=b", [cacheable("before").after(&gate), cacheable("after")]);
    let proxy = with_stale(&origin, page("one", "max-age=60")).await;
    let mut client = proxy.begin("/p?ref=b", &[]).await;
    origin.seen("/p?ref=b", 1).await;

    purge_url(&proxy, "/p?ref=b").await;
    gate.open();

    assert_eq!(client.answer().await.text(), "before");
    assert_eq!(proxy.get("/p?ref=b").await.text(), "after");
}

#[tokio::test]
async fn each_client_gets_the_coding_that_it_takes_of_an_equivalent_url() {
    let origin = Origin::start().await;
    let text = "text of a page ".repeat(200);
    let reply = page(&text, "max-age=60").field("content-type", "text/html");
    origin.on("/p?ref=b", reply);
    let stale = page("old", "max-age=60").field("content-type", "text/html");
    origin.on_each("/p?ref=a", [stale]);
    let proxy = Proxy::start_with(&origin, |config| {
        config.compression.mode = settings::CompressionMode::On;
    });
    proxy.get("/p?ref=a").await;
    proxy.advance(61);

    let gzip = proxy.get_with("/p?ref=b", &[("accept-encoding", "gzip")]).await;
    assert_eq!(gzip.field("content-encoding").unwrap(), "gzip");
    let stored = || proxy.app.store.usage().objects;
    until("the compressed form", || stored() == 2).await;
    assert_eq!(proxy.get("/p?ref=c").await.text(), text);
    let hit = proxy.get_with("/p?ref=d", &[("accept-encoding", "gzip")]).await;
    assert!(hit.is_hit() && hit.field("content-encoding").is_some());
    assert_eq!((stored(), origin.all_received().len()), (2, 2));
}
