//! WebSocket and other upgrades: a tunnel after the 101, and not a byte before.

use std::time::Duration;

use socket2::SockRef;

use crate::support::client::Connection;
use crate::support::origin::{Gate, Origin, Reply, ok, status};
use crate::support::proxy::{Proxy, request};
use crate::support::until;

const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "keep-alive, Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

async fn upgraded(proxy: &Proxy) -> Connection {
    let mut client = proxy.begin("/ws", &UPGRADE).await;
    let head = client.head().await;
    assert_eq!(head.word(1), "101");
    assert_eq!(head.field("connection").unwrap(), "upgrade");
    assert_eq!(head.field("upgrade").unwrap(), "websocket");
    assert_eq!(head.field("sec-websocket-accept").unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    client
}

#[tokio::test]
async fn bytes_go_both_ways_after_the_101() {
    let origin = Origin::start().await;
    origin.on("/ws", Reply::bytes(SWITCHING).send("welcome").echo());
    let proxy = Proxy::start(&origin);

    let mut client = upgraded(&proxy).await;
    assert_eq!(client.bytes(7).await, b"welcome");
    for message in ["one", "two", "\0\u{1}\u{2}"] {
        client.send(message).await;
        assert_eq!(client.bytes(message.len()).await, message.as_bytes());
    }
    client.finish().await;

    assert_eq!(client.until_closed().await, b"");
    let head = origin.last("/ws").head;
    assert_eq!(head.field("connection").unwrap(), "upgrade");
    assert_eq!(head.field("upgrade").unwrap(), "websocket");
    assert_eq!(head.field("sec-websocket-key").unwrap(), "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(head.field("via").unwrap(), "1.1 shellac");
}

#[tokio::test]
async fn the_origins_end_ends_the_tunnel() {
    let origin = Origin::start().await;
    origin.on("/ws", Reply::bytes(SWITCHING).send("bye").close());
    let proxy = Proxy::start(&origin);

    assert_eq!(upgraded(&proxy).await.until_closed().await, b"bye");
}

#[tokio::test]
async fn bytes_sent_too_early_wait_for_the_101() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/ws", Reply::bytes(SWITCHING).echo().after(&gate));
    let proxy = Proxy::start(&origin);

    let mut client = proxy.connect().await;
    client.send(request("GET", "/ws", &UPGRADE, "") + "early").await;
    origin.seen("/ws", 1).await;
    gate.open();

    assert_eq!(client.head().await.word(1), "101");
    assert_eq!(client.bytes(5).await, b"early");
}

#[tokio::test]
async fn a_refused_upgrade_is_relayed_and_the_connection_goes_on() {
    let origin = Origin::start().await;
    origin.on("/ws", status("426 Upgrade Required", "not this one").field("upgrade", "other"));
    origin.on("/next", ok("next"));
    let proxy = Proxy::start(&origin);

    let mut client = proxy.connect().await;
    client.send(request("GET", "/ws", &UPGRADE, "") + &request("GET", "/next", &[], "")).await;
    let refused = client.answer().await;
    let next = client.answer().await;

    assert_eq!((refused.status(), refused.text()), (426, "not this one"));
    assert_eq!(next.text(), "next");
    assert!(origin.last("/next").head.has("via")); // it was not tunnelled
}

#[tokio::test]
async fn an_origin_that_switches_unasked_has_failed() {
    let origin = Origin::start().await;
    origin.on("/ws", Reply::bytes(SWITCHING).echo());
    let proxy = Proxy::start(&origin);

    assert_eq!(proxy.get("/ws").await.status(), 502);
    assert_eq!(proxy.post("/ws", "x").await.status(), 502);
}

#[tokio::test]
async fn an_idle_tunnel_is_closed() {
    let origin = Origin::start().await;
    origin.on("/ws", Reply::bytes(SWITCHING).echo());
    let proxy = Proxy::start_with(&origin, |config| {
        config.limits.tunnel_timeout = Duration::from_millis(200);
    });

    let mut client = upgraded(&proxy).await;
    client.send("hello").await;
    assert_eq!(client.bytes(5).await, b"hello");

    assert_eq!(client.until_closed().await, b"");
    let origins = proxy.app.origins();
    let metrics = &origins.iter().next().unwrap().metrics;
    let counted = || metrics.failures().find(|(reason, _)| *reason == "tunnel_timeout").unwrap().1;
    until("it is counted", || counted() == 1).await;
}

#[tokio::test]
async fn a_reset_of_the_origin_ends_the_tunnel_at_once() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/ws", Reply::bytes(SWITCHING).send("welcome").hold(&gate).reset());
    let proxy = Proxy::start(&origin);

    let mut client = upgraded(&proxy).await;
    assert_eq!(client.bytes(7).await, b"welcome");
    gate.open();

    assert_eq!(client.until_closed().await, b"");
}

#[tokio::test]
async fn a_reset_of_the_client_ends_the_tunnel_at_once() {
    let origin = Origin::start().await;
    origin.on("/ws", Reply::bytes(SWITCHING).send("welcome").hold(&Gate::closed()));
    let proxy = Proxy::start(&origin);

    let mut client = upgraded(&proxy).await;
    assert_eq!(client.bytes(7).await, b"welcome");
    assert_eq!(proxy.app.listeners.connections(), 1);
    SockRef::from(client.stream.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);

    until("the tunnel to end", || proxy.app.listeners.connections() == 0).await;
}
