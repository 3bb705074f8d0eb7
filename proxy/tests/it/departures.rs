//! Clients that end their side of the connection: one that half-closes with its request is
//! answered; one that leaves while it waits ends a fetch that no other client shares.

use std::time::Duration;

use socket2::SockRef;

use crate::support::client::{Connection, Http2};
use crate::support::origin::{Gate, Origin, Reply, cacheable, ok};
use crate::support::proxy::{Proxy, request};
use crate::support::{in_time, until};

fn private(content: &str) -> Reply {
    ok(content).field("cache-control", "private")
}

/// Ends a connection by a reset.
fn reset(connection: Connection) {
    SockRef::from(connection.stream.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(connection);
}

/// Waits until no request is at the origin.
async fn until_idle(proxy: &Proxy) {
    let fetcher = proxy.app.front.cache.fetcher();
    until("the end of the exchange", || {
        fetcher.in_flight().0 == 0 && proxy.app.origins().connections().0 == 0
    })
    .await;
}

#[tokio::test]
async fn a_client_that_half_closes_with_its_request_is_answered() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let head = "HTTP/1.1 200 OK\r\ncache-control: private\r\ntransfer-encoding: chunked\r\n\r\n";
    for (method, path, content) in [
        ("GET", "/miss", ""),
        ("GET", "/hit", ""),
        ("GET", "/known", ""),
        ("GET", "/stream", ""),
        ("POST", "/post", "text"),
    ] {
        let (first, second) = (Gate::closed(), Gate::closed());
        let reply = match path {
            "/stream" => Reply::bytes(head).hold(&second).send("5\r\nhello\r\n0\r\n\r\n"),
            "/known" => private("hello"),
            _ => cacheable("hello"),
        };
        if matches!(path, "/hit" | "/known") {
            origin.on(path, reply.clone());
            proxy.get(path).await;
        }
        origin.on(path, reply.after(&first));

        let mut client = proxy.connect().await;
        client.send(request(method, path, &[], content)).await;
        client.finish().await;
        if path != "/hit" {
            origin.seen(path, 1 + usize::from(path == "/known")).await;
        }
        origin.on("/other", private("x"));
        proxy.get("/other").await; // the end has arrived by now
        first.open();
        if path == "/stream" {
            let head = client.head().await;
            proxy.get("/other").await;
            second.open();
            assert_eq!(client.rest(head).await.unwrap().text(), "hello");
        } else {
            assert_eq!(client.answer().await.text(), "hello", "{path}");
        }
        assert!(client.until_closed().await.is_empty(), "{path}: then the connection ends");
    }
}

#[tokio::test]
async fn the_end_of_the_only_client_cancels_its_fetch() {
    let origin = Origin::start().await;
    let never = Gate::closed();
    origin.on_each("/a", [private("mine"), private("mine").after(&never)]);
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;
    let fetcher = proxy.app.front.cache.fetcher();

    let client = proxy.begin("/a", &[]).await;
    origin.seen("/a", 2).await;
    proxy.advance(2);
    let shown = async || proxy.ask_admin("GET", "/metrics", &[], "").await.text().to_owned();
    assert!(!shown().await.contains("code=\"499\""));
    drop(client);
    until_idle(&proxy).await;
    assert_eq!(fetcher.metrics().cancelled.value(), 1);
    let left = "cache=\"miss\",code=\"499\"} 1\n";
    in_time("the request to be counted", async { while !shown().await.contains(left) {} }).await;
    let snapshot = proxy.ask_admin("GET", "/api/v1/stats", &[], "").await;
    let requests = snapshot.json()["requests"].as_object().unwrap().clone();
    let all: u64 = requests.values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(all, 2, "{requests:?}");

    let client = proxy.begin("/a", &[]).await;
    origin.seen("/a", 3).await;
    reset(client); // a reset counts at any time
    until_idle(&proxy).await;
    assert_eq!(fetcher.metrics().cancelled.value(), 2);

    let mut client = Http2::open(proxy.address).await;
    let response = client.get("/a");
    origin.seen("/a", 4).await;
    drop(response);
    until_idle(&proxy).await;
    assert_eq!(fetcher.metrics().cancelled.value(), 3);

    for fields in [&[("authorization", "x")] as &[_], &[("cookie", "session=1")], &[("range", "x")]]
    {
        let before = origin.count("/a");
        let client = proxy.begin("/a", fields).await;
        origin.seen("/a", before + 1).await;
        reset(client);
        until_idle(&proxy).await;
    }
    assert_eq!(
        proxy.app.origins().first().failures.count(proxy.clock.now()),
        0,
        "it is no failure of the URL"
    );
}

#[tokio::test]
async fn the_end_of_a_client_cancels_nothing_that_others_may_share() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", cacheable("ours").after(&gate));
    let proxy = Proxy::start(&origin);

    let client = proxy.begin("/a", &[]).await;
    origin.seen("/a", 1).await;
    proxy.advance(2);
    drop(client);
    until("the client's end", || proxy.app.listeners.drain.remaining() == 0).await;
    gate.open();
    until_idle(&proxy).await;

    assert!(proxy.get("/a").await.is_hit());
    assert_eq!(proxy.app.front.cache.fetcher().metrics().cancelled.value(), 0);
}

#[tokio::test]
async fn an_event_stream_ends_at_the_origin_when_its_client_leaves() {
    let origin = Origin::start().await;
    let never = Gate::closed();
    let head = "HTTP/1.1 200 OK\r\ncache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n";
    origin.on("/events", Reply::bytes(head).send("5\r\nhello\r\n").hold(&never));
    let proxy = Proxy::start(&origin);

    let mut client = proxy.begin("/events", &[]).await;
    client.head().await;
    client.bytes(10).await;
    proxy.advance(2);
    drop(client);

    in_time("the end of the stream", until_idle(&proxy)).await;
}
