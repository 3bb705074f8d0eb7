//! Stale responses (RFC 9111 §4.2.4, RFC 5861): served while one request validates, and while the
//! origin fails.

use std::time::Duration;

use process::clock::Clock;

use crate::support::client::{Connection, Http2, text};
use crate::support::origin::{Gate, Origin, Reply, cacheable, not_modified, ok, status};
use crate::support::proxy::{Proxy, START};
use crate::support::{free_address, in_time, join_all, until};

const REVALIDATE: &str = "max-age=60, stale-while-revalidate=30";

fn revalidating(content: &str) -> Reply {
    ok(content).field("cache-control", REVALIDATE)
}

#[tokio::test]
async fn a_stale_response_is_served_while_one_request_validates() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on_each("/a", [revalidating("old"), revalidating("new").after(&gate)]);
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;
    proxy.advance(61);

    let clients = (0..50).map(|_| proxy.address).map(async |address| {
        let mut connection = Connection::open(address).await;
        connection.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
        connection.answer().await
    });
    for answer in join_all(clients).await {
        assert_eq!(answer.cache_status(), "hit; ttl=-1; detail=stale_while_revalidate");
        assert_eq!(answer.text(), "old");
    }
    origin.seen("/a", 2).await;
    gate.open();
    until("the refresh", || proxy.app.store.usage().inserts == 2).await;

    let fresh = proxy.get("/a").await;
    assert_eq!((fresh.text(), &*fresh.cache_status()), ("new", "hit; ttl=60"));
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn a_background_refresh_validates_and_a_304_freshens() {
    let origin = Origin::start().await;
    let confirmed = not_modified().field("etag", "\"1\"").field("cache-control", "max-age=90");
    origin.on_each("/a", [revalidating("hello").field("etag", "\"1\""), confirmed]);
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;
    proxy.advance(61);

    proxy.get("/a").await;
    let asked = origin.seen("/a", 2).await;
    until("freshening", || proxy.app.front.cache.fetcher().in_flight().0 == 0).await;

    assert_eq!(asked.head.field("if-none-match").unwrap(), "\"1\"");
    assert_eq!(proxy.get("/a").await.cache_status(), "hit; ttl=90");
}

#[tokio::test]
async fn after_the_window_the_request_waits_for_the_origin() {
    let origin = Origin::start().await;
    origin.on_each("/a", [revalidating("old"), revalidating("new")]);
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;
    proxy.advance(90);

    let answer = proxy.get("/a").await;

    assert_eq!(
        (answer.text(), &*answer.cache_status()),
        ("new", "fwd=stale; fwd-status=200; stored")
    );
}

#[tokio::test]
async fn a_refresh_that_a_head_request_caused_is_stored() {
    let origin = Origin::start().await;
    origin.on_each("/a", [revalidating("old"), revalidating("new")]);
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;
    proxy.advance(61);

    assert!(proxy.ask("HEAD", "/a", &[]).await.is_hit());
    let asked = origin.seen("/a", 2).await;
    until("the refresh", || proxy.app.front.cache.fetcher().in_flight().0 == 0).await;

    assert_eq!(asked.head.word(0), "GET");
    let fresh = proxy.get("/a").await;
    assert_eq!((fresh.text(), &*fresh.cache_status()), ("new", "hit; ttl=60"));
}

#[tokio::test]
async fn a_clients_no_store_does_not_evict_what_it_made_refresh() {
    let origin = Origin::start().await;
    origin.on_each("/a", [revalidating("old"), revalidating("new")]);
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;
    proxy.advance(61);

    proxy.get_with("/a", &[("Cache-Control", "no-store")]).await;
    proxy.get("/a").await;
    origin.seen("/a", 2).await;
    until("the refresh", || proxy.app.front.cache.fetcher().in_flight().0 == 0).await;

    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn an_error_in_the_background_replaces_nothing() {
    let origin = Origin::start().await;
    let error = status("503 Service Unavailable", "broken").field("cache-control", "max-age=60");
    origin.on_each("/a", [revalidating("old"), error.clone(), Reply::nothing(), error]);
    let proxy = Proxy::start_with(&origin, |config| config.origins[0].retries = 0);
    proxy.get("/a").await;
    proxy.advance(61);

    for count in 2..5 {
        proxy.advance(1); // an origin that has just failed is left alone for a second
        for _ in 0..3 {
            assert_eq!(proxy.get("/a").await.text(), "old");
            origin.seen("/a", count).await;
            until("the refresh", || proxy.app.front.cache.fetcher().in_flight().0 == 0).await;
        }
    }
    assert_eq!(origin.count("/a"), 4);
}

#[tokio::test]
async fn a_stale_response_is_served_on_each_failure_of_the_origin() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| config.origins[0].retries = 0);
    let failures = [
        ("/500", status("500 Internal Server Error", "broken")),
        ("/502", status("502 Bad Gateway", "broken")),
        ("/503", status("503 Service Unavailable", "broken").field("cache-control", "max-age=60")),
        ("/504", status("504 Gateway Timeout", "broken")),
        ("/closed", Reply::nothing()),
        ("/reset", Reply::nothing().reset()),
        ("/garbage", Reply::bytes("nonsense\r\n\r\n").close()),
        ("/half-a-head", Reply::bytes("HTTP/1.1 200 OK\r\ncache-con").close()),
    ];
    for (path, failure) in failures {
        origin.on_each(path, [cacheable("good"), failure]);
        proxy.get(path).await;
        proxy.advance(61);

        let answer = proxy.get(path).await;

        assert_eq!((answer.status(), answer.text()), (200, "good"), "{path}");
        assert_eq!(answer.cache_status(), "hit; ttl=-1; detail=stale_if_error", "{path}");
    }
}

#[tokio::test]
async fn a_stale_response_stands_in_for_an_origin_that_says_nothing() {
    let origin = Origin::start().await;
    let never = Gate::closed();
    origin.on("/a", cacheable("good"));
    let proxy = Proxy::start_with(&origin, |config| {
        config.origins[0].first_byte_timeout = Duration::from_millis(50);
    });
    while !proxy.get("/a").await.is_hit() {} // on a loaded machine the time-out may come first
    origin.on("/a", Reply::held(&never));
    proxy.advance(61);

    assert_eq!(proxy.get("/a").await.cache_status(), "hit; ttl=-1; detail=stale_if_error");
}

#[tokio::test]
async fn a_stale_response_is_served_when_the_origin_is_down() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("good").field("connection", "close").close());
    let nowhere = free_address();
    let proxy = Proxy::start_at(nowhere, Clock::manual(START), |config| {
        config.origins[0].servers.push(origin.address.into());
    });
    proxy.get("/a").await; // the first server refuses, the second one answers
    proxy.advance(61);
    origin.on("/a", Reply::nothing());

    assert_eq!(proxy.get("/a").await.cache_status(), "hit; ttl=-1; detail=stale_if_error");
}

#[tokio::test]
async fn a_client_error_is_no_failure_and_replaces_the_stale_response() {
    let origin = Origin::start().await;
    origin.on_each("/a", [cacheable("good"), status("404 Not Found", "gone")]);
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;
    proxy.advance(61);

    assert_eq!(proxy.get("/a").await.status(), 404);
}

/// Anybody can send a request that is refused. What is stored is there for others.
#[tokio::test]
async fn a_refusal_of_one_clients_request_takes_no_stale_response_away() {
    for refusal in
        ["400 Bad Request", "429 Too Many Requests", "431 Request Header Fields Too Large"]
    {
        let origin = Origin::start().await;
        let failed = || status("503 Service Unavailable", "");
        origin.on_each("/a", [cacheable("good"), status(refusal, "you"), failed()]);
        let proxy = Proxy::start(&origin);
        proxy.get("/a").await;
        proxy.advance(61);

        assert_eq!(proxy.get("/a").await.text(), "you", "{refusal}");
        assert_eq!(proxy.get("/a").await.text(), "good", "after {refusal}");
    }
}

#[tokio::test]
async fn must_revalidate_forbids_stale_if_error() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| config.origins[0].retries = 0);
    for (path, control) in [
        ("/a", "max-age=60, must-revalidate"),
        ("/b", "max-age=60, proxy-revalidate, stale-if-error=600"),
        ("/c", "s-maxage=60"),
        ("/d", "max-age=60, stale-if-error=0"),
        ("/e", "no-cache, stale-if-error=600"),
    ] {
        let stored = ok("good").field("cache-control", control).field("etag", "\"1\"");
        origin.on_each(path, [stored, Reply::nothing()]);
        proxy.get(path).await;
        proxy.advance(61);

        assert_eq!(proxy.get(path).await.status(), 502, "{control}");
    }
}

#[tokio::test]
async fn the_operators_window_ends_and_the_origins_goes_first() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| config.origins[0].retries = 0);
    for (path, control, seconds, status) in [
        ("/a", "max-age=60", 60 + 3599, 200),
        ("/b", "max-age=60", 60 + 3601, 502),
        ("/c", "max-age=60, stale-if-error=10", 69, 200),
        ("/d", "max-age=60, stale-if-error=10", 71, 502),
    ] {
        origin.on_each(path, [ok("good").field("cache-control", control), Reply::nothing()]);
        proxy.get(path).await;
        proxy.advance(seconds);

        assert_eq!(proxy.get(path).await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn a_purged_response_is_never_served_on_error() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| config.origins[0].retries = 0);
    for (path, purge) in [
        ("/fresh", r#"{"tags":["t"]}"#),
        ("/url", r#"{"urls":["http://site.example/url"]}"#),
        ("/all", r#"{"all":true}"#),
    ] {
        origin.on_each(path, [cacheable("purged").field("surrogate-key", "t"), Reply::nothing()]);
        proxy.get(path).await;
        assert_eq!(proxy.purge(purge).await["matched"]["objects"], 1);

        assert_eq!(proxy.get(path).await.status(), 502, "{path}");
    }
}

#[tokio::test]
async fn a_soft_purged_response_serves_all_requests_of_one_failed_fetch() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let failing = status("503 Service Unavailable", "broken").after(&gate);
    origin.on_each("/a", [cacheable("old"), failing]);
    origin.on("/hit", cacheable(""));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;
    proxy.get("/hit").await;
    proxy.purge(r#"{"urls":["http://site.example/a"],"mode":"soft"}"#).await;

    let mut client = Http2::open(proxy.address).await;
    let waiting: Vec<_> = (0..20).map(|_| client.get("/a")).collect();
    in_time("a hit", client.get("/hit")).await.unwrap(); // those before it have been taken up
    gate.open();

    for response in waiting {
        let response = in_time("a stale response", response).await.unwrap();
        assert_eq!(
            response.headers()["cache-status"],
            "shellac; hit; ttl=0; detail=stale_if_error"
        );
        assert_eq!(text(response).await.unwrap(), "old");
    }
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn max_stale_is_answered_without_a_request_to_the_origin() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("old").field("etag", "\"1\""));
    origin.on("/strict", ok("strict").field("cache-control", "max-age=60, must-revalidate"));
    let proxy = Proxy::start(&origin);
    let accept = [("Cache-Control", "max-stale=30")];
    proxy.get("/a").await;
    proxy.get("/strict").await;
    proxy.advance(80);

    let accepted = proxy.get_with("/a", &accept).await;
    let forbidden = proxy.get_with("/strict", &accept).await;

    assert_eq!(accepted.cache_status(), "hit; ttl=-20; detail=max_stale");
    assert_eq!(origin.count("/a"), 1);
    assert!(!forbidden.is_hit(), "{}", forbidden.cache_status());

    proxy.purge(r#"{"urls":["http://site.example/a"],"mode":"soft"}"#).await;
    let purged = proxy.get_with("/a", &accept).await;
    assert!(!purged.is_hit(), "{}", purged.cache_status());
}
