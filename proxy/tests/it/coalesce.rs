//! Request collapsing: one fetch for each response, which no client owns and requests for the same
//! response follow.

use std::time::Duration;

use crate::support::client::{Connection, Http2, text};
use crate::support::origin::{Gate, Origin, Reply, cacheable, ok, status};
use crate::support::proxy::Proxy;
use crate::support::{in_time, until};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 10\r\n\r\n";

/// Sends a request `count` times at once.
async fn begin(proxy: &Proxy, path: &str, count: usize) -> Vec<Connection> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(proxy.begin(path, &[]).await);
    }
    all
}

#[tokio::test]
async fn a_hundred_requests_for_a_cold_page_are_one_at_the_origin() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", cacheable("hello").after(&gate));
    let proxy = Proxy::start(&origin);

    let mut clients = begin(&proxy, "/a", 100).await;
    origin.seen("/a", 1).await;
    gate.open();

    for client in &mut clients {
        assert_eq!(client.answer().await.text(), "hello");
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn followers_read_the_content_as_it_arrives() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", Reply::bytes(HEAD).send("01234").hold(&gate).send("56789"));
    let proxy = Proxy::start(&origin);

    let mut clients = begin(&proxy, "/a", 100).await;
    let mut collapsed = 0;
    for client in &mut clients {
        let head = client.head().await;
        collapsed += usize::from(head.field("cache-status").unwrap().contains("; collapsed"));
        assert_eq!(client.bytes(5).await, b"01234"); // the origin has not sent more
    }
    gate.open();

    for client in &mut clients {
        assert_eq!(client.bytes(5).await, b"56789");
    }
    assert_eq!(collapsed, 99);
    assert_eq!(origin.count("/a"), 1);
    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn a_flight_goes_on_when_its_leader_has_left() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", Reply::bytes(HEAD).send("01234").hold(&gate).send("56789"));
    let proxy = Proxy::start(&origin);

    let mut leader = proxy.begin("/a", &[]).await;
    leader.head().await;
    let mut followers = begin(&proxy, "/a", 10).await;
    for follower in &mut followers {
        follower.head().await;
    }
    proxy.advance(2); // it does not end its side with its request, but while it waits: it leaves
    drop(leader);
    until("the leader's connection to end", || proxy.app.listeners.drain.remaining() == 10).await;
    gate.open();

    for follower in &mut followers {
        assert_eq!(follower.bytes(10).await, b"0123456789");
    }
    let hit = proxy.get("/a").await;
    assert_eq!((hit.text(), hit.is_hit()), ("0123456789", true));
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn a_flight_that_everybody_has_left_still_fills_the_store() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", cacheable("hello").after(&gate));
    let proxy = Proxy::start(&origin);

    let leader = proxy.begin("/a", &[]).await;
    origin.seen("/a", 1).await;
    proxy.advance(2);
    drop(leader);
    until("the client's connection to end", || proxy.app.listeners.drain.remaining() == 0).await;
    gate.open();
    until("storing", || proxy.app.store.usage().objects == 1).await;

    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn truncated_content_never_ends_cleanly_and_is_not_stored() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let chunked =
        "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n";
    for (path, begun) in [
        ("/length", Reply::bytes(HEAD).send("01234")),
        ("/chunks", Reply::bytes(chunked).send("5\r\n01234\r\n")),
        ("/within-a-chunk", Reply::bytes(chunked).send("8\r\n01234")),
        ("/without-last-line", Reply::bytes(chunked).send("5\r\n01234\r\n0\r\n")),
    ] {
        for (end, reply) in [("closed", begun.clone()), ("reset", begun.clone())] {
            let gate = Gate::closed();
            let held = reply.hold(&gate);
            origin.on(path, if end == "reset" { held.reset() } else { held.close() });

            let mut clients = begin(&proxy, path, 10).await;
            let mut heads = Vec::new();
            for client in &mut clients {
                heads.push(client.head().await);
            }
            gate.open();

            for (client, head) in clients.iter_mut().zip(heads) {
                assert!(client.rest(head).await.is_err(), "{path} {end}");
            }
            assert_eq!(origin.count(path), if end == "reset" { 2 } else { 1 }, "{path} {end}");
            assert_eq!(proxy.app.store.usage().objects, 0);
        }
    }
}

#[tokio::test]
async fn uncacheable_responses_are_fetched_in_parallel_by_all_followers() {
    let origin = Origin::start().await;
    let (first, others) = (Gate::closed(), Gate::closed());
    let private = |gate: &Gate| ok("mine").field("cache-control", "private").after(gate);
    origin.on_each("/a", [private(&first), private(&others)]);
    let proxy = Proxy::start(&origin);

    let mut clients = begin(&proxy, "/a", 50).await;
    origin.seen("/a", 1).await;
    first.open();
    origin.seen("/a", 50).await; // none waits for another's answer
    others.open();

    for client in &mut clients {
        let answer = client.answer().await;
        assert_eq!(answer.text(), "mine");
        assert_eq!(answer.cache_status(), "fwd=uri-miss; fwd-status=200; detail=private");
    }
    assert_eq!(origin.count("/a"), 50);
}

#[tokio::test]
async fn after_an_uncacheable_response_no_request_queues_for_a_while() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let private = ok("mine").field("cache-control", "private");
    origin.on_each("/a", [private.clone(), private.after(&gate)]);
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    let mut clients = begin(&proxy, "/a", 20).await;
    origin.seen("/a", 21).await;
    gate.open();

    for client in &mut clients {
        assert_eq!(client.answer().await.text(), "mine");
    }
}

#[tokio::test]
async fn conditions_on_uncacheable_pages_reach_the_origin() {
    let origin = Origin::start().await;
    origin.on("/a", ok("mine").field("cache-control", "private").field("etag", "\"1\""));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    proxy.get_with("/a", &[("If-None-Match", "\"1\"")]).await;
    assert_eq!(origin.last("/a").head.field("if-none-match").unwrap(), "\"1\"");

    proxy.get_with("/a", &[("Range", "bytes=0-1")]).await;
    assert_eq!(origin.last("/a").head.field("range").unwrap(), "bytes=0-1");
}

#[tokio::test]
async fn the_next_cacheable_response_replaces_the_marker() {
    let origin = Origin::start().await;
    origin.on_each("/a", [ok("mine").field("cache-control", "private"), cacheable("ours")]);
    let proxy = Proxy::start(&origin);

    proxy.get("/a").await;
    let stored = proxy.get("/a").await;
    let hit = proxy.get("/a").await;

    assert_eq!(stored.cache_status(), "fwd=uri-miss; fwd-status=200; stored");
    assert_eq!((hit.text(), hit.is_hit()), ("ours", true));
}

#[tokio::test]
async fn the_marker_of_an_uncacheable_response_runs_out() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin
        .on_each("/a", [ok("").field("cache-control", "private"), cacheable("ours").after(&gate)]);
    let proxy = Proxy::start(&origin);

    proxy.get("/a").await;
    proxy.advance(120);
    let mut clients = begin(&proxy, "/a", 10).await;
    origin.seen("/a", 2).await;
    gate.open();

    for client in &mut clients {
        assert_eq!(client.answer().await.text(), "ours");
    }
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn followers_lose_patience_with_a_hung_leader_and_share_another_flight() {
    let origin = Origin::start().await;
    let hung = Gate::closed();
    origin.on_each("/a", [cacheable("late").after(&hung), cacheable("soon")]);
    let proxy = Proxy::start_with(&origin, |config| {
        config.cache.collapse_patience = Duration::from_millis(300);
    });

    let mut leader = proxy.begin("/a", &[]).await;
    origin.seen("/a", 1).await;
    let mut followers = begin(&proxy, "/a", 10).await;
    for follower in &mut followers {
        assert_eq!(follower.answer().await.text(), "soon");
    }
    // The first request finds the response that the other flight has stored.
    assert_eq!(leader.answer().await.text(), "soon");
    hung.open();
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn too_many_followers_are_told_to_come_back() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", Reply::bytes(HEAD).hold(&gate).send("0123456789"));
    let proxy = Proxy::start_with(&origin, |config| config.cache.max_followers = 3);

    let mut leader = proxy.begin("/a", &[]).await;
    leader.head().await;
    let mut followers = begin(&proxy, "/a", 3).await;
    for follower in &mut followers {
        follower.head().await;
    }
    let refused = proxy.get("/a").await;
    gate.open();

    assert_eq!(refused.status(), 503);
    assert_eq!(refused.field("retry-after").unwrap(), "1");
    assert_eq!(refused.cache_status(), "fwd=uri-miss; detail=limit");
    for follower in &mut followers {
        assert_eq!(follower.bytes(10).await, b"0123456789");
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn too_many_requests_at_the_origin_are_told_to_come_back() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", cacheable("a").after(&gate));
    origin.on("/stale", cacheable("stale"));
    let proxy = Proxy::start_with(&origin, |config| config.limits.max_inflight_misses = 1);
    proxy.get("/stale").await;
    proxy.advance(61);

    let mut leader = proxy.begin("/a", &[]).await;
    origin.seen("/a", 1).await;
    let refused = proxy.get("/b").await;
    let stale = proxy.get("/stale").await;
    gate.open();

    assert_eq!(refused.status(), 503);
    assert_eq!(refused.field("retry-after").unwrap(), "1");
    assert_eq!(stale.cache_status(), "hit; ttl=-1; detail=stale_if_error");
    assert_eq!(leader.answer().await.text(), "a");
}

#[tokio::test]
async fn a_failure_reaches_all_who_waited_for_it() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/broken", Reply::held(&gate).close());
    origin.on("/error", status("503 Service Unavailable", "sorry").after(&gate));
    origin.on("/hit", cacheable(""));
    let proxy = Proxy::start_with(&origin, |config| {
        config.origins[0].retries = 0;
        config.origins[0].keepalive = 0; // a broken connection that was used before is tried once more
    });
    proxy.get("/hit").await;

    // Requests of one connection are taken up in order: when the last is answered, all others wait.
    let mut client = Http2::open(proxy.address).await;
    let broken: Vec<_> = (0..20).map(|_| client.get("/broken")).collect();
    let error: Vec<_> = (0..20).map(|_| client.get("/error")).collect();
    in_time("a hit", client.get("/hit")).await.unwrap();
    gate.open();

    for response in broken {
        assert_eq!(in_time("a failure", response).await.unwrap().status(), 502);
    }
    for response in error {
        let response = in_time("an error", response).await.unwrap();
        assert_eq!(response.status(), 503);
        assert_eq!(text(response).await.unwrap(), "sorry");
    }
    assert_eq!((origin.count("/broken"), origin.count("/error")), (1, 1));
}

#[tokio::test]
async fn without_collapsing_everyone_asks_the_origin() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", cacheable("hello").after(&gate));
    let proxy = Proxy::start_with(&origin, |config| config.cache.collapse = false);

    let mut clients = begin(&proxy, "/a", 5).await;
    origin.seen("/a", 5).await;
    gate.open();

    for client in &mut clients {
        assert_eq!(client.answer().await.text(), "hello");
    }
    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn content_beyond_the_largest_object_is_streamed_to_all_and_not_stored() {
    let origin = Origin::start().await;
    let content = "x".repeat(300_000);
    let chunked =
        "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n{content}\r\n", content.len());
    origin.on("/length", cacheable(&content));
    origin.on("/chunks", Reply::bytes(chunked).send(chunk).send("0\r\n\r\n"));
    let proxy = Proxy::start_with(&origin, |config| {
        config.storage.memory.max_object = 100_000;
        config.storage.file.max_object = 100_000;
    });

    for path in ["/length", "/chunks"] {
        for _ in 0..2 {
            let mut clients = begin(&proxy, path, 3).await;
            for client in &mut clients {
                let answer = client.answer().await;
                assert!(answer.text() == content);
                assert!(!answer.is_hit());
            }
        }
    }
    assert_eq!(proxy.app.store.usage().objects, 0);
    assert_eq!(proxy.app.front.cache.fetcher().in_flight().2, 0);
}

#[tokio::test]
async fn beyond_the_budget_in_flight_content_is_streamed_not_stored() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let (most, rest) = ("x".repeat(600_000), "x".repeat(200_000)); // most of both together is too much
    let head = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 800000\r\n\r\n";
    for path in ["/a", "/b"] {
        origin.on(path, Reply::bytes(head).send(&most).hold(&gate).send(&rest));
    }
    let proxy = Proxy::start_with(&origin, |config| config.cache.max_inflight_bytes = 1 << 20);

    let mut one = proxy.begin("/a", &[]).await;
    let mut other = proxy.begin("/b", &[]).await;
    for client in [&mut one, &mut other] {
        client.head().await;
        client.bytes(600_000).await;
    }
    gate.open();
    for client in [&mut one, &mut other] {
        client.bytes(200_000).await;
    }

    in_time("giving the budget back", async {
        until("flights to end", || proxy.app.front.cache.fetcher().in_flight() == (0, 0, 0)).await;
    })
    .await;
    assert!(proxy.app.store.usage().objects <= 1);
    let again = [proxy.get("/a").await, proxy.get("/b").await];
    assert!(again.iter().all(|answer| answer.content.len() == 800_000));
}
