//! The end: what is in flight completes, idle connections are closed, nobody new is let in.

use std::time::Duration;

use shellac::server::Drained;
use tokio::net::TcpStream;

use crate::support::client::{Http2, text};
use crate::support::frames::Frames;
use crate::support::origin::{Gate, Origin, Reply, cacheable, ok};
use crate::support::proxy::{Proxy, request};
use crate::support::secure::Authority;
use crate::support::{in_time, until};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 10\r\n\r\n";

/// Drains for as long as the tests need.
fn patient(config: &mut settings::Config) {
    config.limits.drain_timeout = Duration::from_secs(20);
}

async fn refused(proxy: &Proxy) {
    in_time("the listeners to close", async {
        while TcpStream::connect(proxy.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_in_flight_completes_and_nobody_new_is_let_in() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/waiting", ok("done").after(&gate));
    origin.on("/streaming", Reply::bytes(HEAD).send("01234").hold(&gate).send("56789"));
    origin.on("/a", cacheable(""));
    let mut proxy = Proxy::start_with(&origin, patient);
    let mut waiting = proxy.begin("/waiting", &[]).await;
    let mut streaming = proxy.begin("/streaming", &[]).await;
    let streaming_head = streaming.head().await;
    let mut used = proxy.connect().await;
    used.send(request("GET", "/a", &[], "")).await;
    used.answer().await;
    let mut unused = proxy.connect().await;
    origin.seen("/waiting", 1).await;

    proxy.leave();

    assert_eq!(used.until_closed().await, b"");
    assert_eq!(unused.until_closed().await, b"");
    refused(&proxy).await;
    gate.open();
    assert_eq!(waiting.answer().await.text(), "done");
    assert_eq!(streaming.rest(streaming_head).await.unwrap().text(), "0123456789");
    assert_eq!(waiting.until_closed().await, b"");
    assert_eq!(streaming.until_closed().await, b"");
    assert_eq!(proxy.left().await, Drained::Completely);
}

#[tokio::test]
async fn streams_of_an_http2_connection_complete() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", ok("done").after(&gate));
    let mut proxy = Proxy::start_with(&origin, patient);
    let mut client = Http2::open(proxy.address).await;
    let response = client.get("/a");
    origin.seen("/a", 1).await;

    proxy.leave();
    refused(&proxy).await;
    gate.open();

    let response = in_time("the response", response).await.unwrap();
    assert_eq!(text(response).await.unwrap(), "done");
    drop(client);
    assert_eq!(proxy.left().await, Drained::Completely);
}

#[tokio::test]
async fn http2_is_told_twice_so_that_a_request_on_its_way_is_served() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", ok("done").after(&gate));
    let mut proxy = Proxy::start_with(&origin, patient);
    let mut client = Frames::open(proxy.address).await;
    let head: [(&[u8], &[u8]); 4] = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"site.example"),
        (b":path", b"/a"),
    ];
    let first = client.send(head, None, None).await;
    origin.seen("/a", 1).await;

    proxy.leave();
    assert_eq!(client.go_away().await, (1 << 31) - 1, "no stream is excluded yet");
    let second = client.send(head, None, None).await;
    assert_eq!(client.go_away().await, second);
    gate.open();

    // The second has joined the fetch of the first.
    let mut texts = Vec::new();
    for stream in [first, second] {
        texts.push(client.outcome(stream).await.answer().text().to_owned());
    }
    assert_eq!(texts, ["done"; 2]);
    drop(client);
    assert_eq!(proxy.left().await, Drained::Completely);
}

#[tokio::test]
async fn clients_that_have_asked_for_nothing_do_not_hold_the_drain_up() {
    let origin = Origin::start().await;
    let mut proxy = Proxy::start_with(&origin, |config| {
        config.limits.drain_timeout = Duration::from_mins(1);
    });
    let mut http2 = Frames::open(proxy.address).await;
    until("it is served", || proxy.app.listeners.metrics.http2.value() == 1).await;
    proxy.leave();
    assert_eq!(http2.go_away().await, (1 << 31) - 1);
    assert_eq!(http2.go_away().await, 0);
    drop(http2);
    assert_eq!(in_time("the end", proxy.left()).await, Drained::Completely);

    let authority = Authority::new();
    let certificate = authority.issue("site", &["site.example"]);
    let mut proxy = Proxy::start_with(&origin, |config| {
        config.limits.drain_timeout = Duration::from_mins(1);
        Authority::secure_listener(config, vec![certificate]);
    });
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(authority.connect(proxy.address).await);
    }
    until("all are secure", || proxy.app.listeners.metrics.tls.value() == 4).await;
    proxy.leave();
    assert_eq!(in_time("the end", proxy.left()).await, Drained::Completely);
    drop(clients);
}

#[tokio::test]
async fn a_response_that_begins_during_the_drain_says_that_the_connection_ends() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", ok("done").after(&gate));
    let mut proxy = Proxy::start_with(&origin, patient);
    let mut client = proxy.begin("/a", &[]).await;
    origin.seen("/a", 1).await;
    proxy.leave();
    refused(&proxy).await;
    gate.open();
    assert_eq!(client.answer().await.field("connection").as_deref(), Some("close"));
    assert_eq!(proxy.left().await, Drained::Completely);
}

#[tokio::test]
async fn at_the_deadline_those_who_are_left_are_cut() {
    let origin = Origin::start().await;
    let never = Gate::closed();
    origin.on("/a", ok("done").after(&never));
    let mut proxy = Proxy::start_with(&origin, |config| {
        config.limits.drain_timeout = Duration::from_millis(50);
    });
    let mut client = proxy.begin("/a", &[]).await;
    origin.seen("/a", 1).await;

    proxy.leave();

    assert_eq!(client.until_closed().await, b"");
    assert_eq!(proxy.left().await, Drained::Cut(1));
}

const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

/// A tunnel to an origin that sends back what comes.
async fn tunnel(origin: &Origin, proxy: &Proxy) -> crate::support::client::Connection {
    origin.on("/ws", Reply::bytes(SWITCHING).echo());
    let fields = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    let mut client = proxy.begin("/ws", &fields).await;
    assert_eq!(client.head().await.word(1), "101");
    client.send("hello").await;
    assert_eq!(client.bytes(5).await, b"hello");
    client
}

#[tokio::test]
async fn a_tunnel_goes_on_until_its_ends_have_done() {
    let origin = Origin::start().await;
    let mut proxy = Proxy::start_with(&origin, patient);
    let mut client = tunnel(&origin, &proxy).await;
    assert_eq!(proxy.app.listeners.connections(), 1);

    proxy.leave();
    refused(&proxy).await;
    client.send("still here").await;
    assert_eq!(client.bytes(10).await, b"still here");
    client.finish().await;

    assert_eq!(client.until_closed().await, b"");
    assert_eq!(proxy.left().await, Drained::Completely);
}

#[tokio::test]
async fn a_tunnel_that_is_in_use_at_the_deadline_is_cut_and_counted() {
    let origin = Origin::start().await;
    let mut proxy = Proxy::start_with(&origin, |config| {
        config.limits.drain_timeout = Duration::from_millis(50);
    });
    let mut client = tunnel(&origin, &proxy).await;

    proxy.leave();

    assert_eq!(client.until_closed().await, b"");
    assert_eq!(proxy.left().await, Drained::Cut(1));
}

#[tokio::test]
async fn requests_that_are_queued_when_the_listeners_close_are_answered() {
    use std::io::{Read as _, Write as _};

    let origin = Origin::start().await;
    origin.on("/a", cacheable("queued"));
    let mut proxy = Proxy::start_with(&origin, patient);
    proxy.get("/a").await;
    let mut clients: Vec<_> =
        (0..50).map(|_| std::net::TcpStream::connect(proxy.address).unwrap()).collect();
    for client in &mut clients {
        client.write_all(b"GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").unwrap();
    }

    proxy.leave();

    for mut client in clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("queued"), "{answer:?}");
    }
    assert_eq!(proxy.left().await, Drained::Completely);
}

#[tokio::test]
async fn readiness_ends_before_the_listeners_close() {
    let origin = Origin::start().await;
    origin.on("/a", ok("still here"));
    let mut proxy = Proxy::start_with(&origin, |config| {
        patient(config);
        config.limits.drain_delay = Duration::from_millis(300);
    });
    assert_eq!(proxy.ask_admin("GET", "/readyz", &[], "").await.status(), 200);

    proxy.leave();
    until("the announcement", || proxy.app.is_leaving()).await;
    let ready = proxy.ask_admin("GET", "/readyz", &[], "").await;
    let answer = proxy.get("/a").await;
    let alive = proxy.ask_admin("GET", "/healthz", &[], "").await;

    assert_eq!((ready.status(), ready.text()), (503, "draining\n"));
    assert_eq!(answer.text(), "still here");
    assert_eq!(alive.status(), 200);
    refused(&proxy).await;
    assert_eq!(proxy.left().await, Drained::Completely);
}
