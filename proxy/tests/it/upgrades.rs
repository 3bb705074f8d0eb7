//! `Upgrade` (RFC 9110 §7.8): a WebSocket becomes a tunnel, and an offer of any other protocol has
//! no effect.

use crate::support::message::Head;
use crate::support::origin::{Origin, Reply, cacheable, status};
use crate::support::proxy::{Proxy, request};

/// The offer of `curl --http2` with its first request, and of Java's `HttpClient` with every one.
const CURL: [(&str, &str); 3] = [
    ("Connection", "Upgrade, HTTP2-Settings"),
    ("Upgrade", "h2c"),
    ("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
];

const OTHERS: [&[(&str, &str)]; 12] = [
    &CURL,
    &[("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAEA")],
    &[("Connection", "upgrade"), ("Upgrade", "TLS/1.0, HTTP/1.1")],
    &[("Connection", "upgrade"), ("Upgrade", "h2c, websocket")],
    &[("Connection", "upgrade"), ("Upgrade", "websocket, h2c")],
    &[("Connection", "upgrade"), ("Upgrade", "websocket"), ("Upgrade", "h2c")],
    &[("Connection", "upgrade"), ("Upgrade", "websocket"), ("Upgrade", "websocket")],
    &[("Connection", "upgrade"), ("Upgrade", "websocket/13")],
    &[("Connection", "upgrade"), ("Upgrade", "")],
    &[("Connection", "upgrade")],
    &[("Connection", "keep-alive"), ("Upgrade", "websocket")],
    &[("Upgrade", "websocket")],
];

fn says_nothing_of_a_connection(head: &Head) -> bool {
    !["connection", "upgrade", "http2-settings"].iter().any(|name| head.has(name))
}

#[tokio::test]
async fn an_upgrade_to_anything_but_a_websocket_is_as_if_it_were_not_there() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for (number, fields) in OTHERS.iter().enumerate() {
        let path = format!("/{number}");
        origin.on(&path, cacheable("page"));

        let miss = proxy.get_with(&path, fields).await;
        assert_eq!(miss.cache_status(), "fwd=uri-miss; fwd-status=200; stored", "{fields:?}");
        assert!(says_nothing_of_a_connection(&origin.last(&path).head), "{fields:?}");
        assert!(proxy.get_with(&path, fields).await.is_hit(), "{fields:?}");
        assert!(proxy.ask("HEAD", &path, fields).await.is_hit(), "{fields:?}");
        assert!(proxy.get(&path).await.is_hit(), "{fields:?}");
        assert_eq!(origin.count(&path), 1, "{fields:?}");
    }
}

#[tokio::test]
async fn a_websocket_is_asked_for_by_get_over_http_1_1() {
    let origin = Origin::start().await;
    let switching =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    origin.on("/ws", status("426 Upgrade Required", ""));
    origin.on("/open", Reply::bytes(switching).echo());
    let proxy = Proxy::start(&origin);
    let ask = [("Connection", "Upgrade"), ("Upgrade", "WebSocket")];

    let refused = proxy.get_with("/ws", &ask).await;
    assert_eq!(refused.cache_status(), "fwd=bypass; fwd-status=426; detail=upgrade");
    assert_eq!(origin.last("/ws").head.field("upgrade").unwrap(), "websocket");
    assert_eq!(proxy.begin("/open", &ask).await.head().await.word(1), "101");

    proxy.ask("POST", "/ws", &ask).await;
    assert!(says_nothing_of_a_connection(&origin.last("/ws").head), "POST");
    let mut with_content = proxy.connect().await;
    with_content.send(request("GET", "/ws", &ask, "content")).await;
    with_content.answer().await;
    assert!(says_nothing_of_a_connection(&origin.last("/ws").head), "content");
    let mut old = proxy.connect().await;
    let lines = "Host: site.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    old.send(format!("GET /ws HTTP/1.0\r\n{lines}\r\n")).await;
    old.answer().await;
    assert!(says_nothing_of_a_connection(&origin.last("/ws").head), "HTTP/1.0");
}

#[tokio::test]
async fn requests_behind_an_upgrade_that_is_ignored_are_answered_in_turn() {
    let origin = Origin::start().await;
    for path in ["/a", "/b", "/c"] {
        origin.on(path, cacheable(path));
    }
    let proxy = Proxy::start(&origin);
    proxy.get("/b").await;

    let mut client = proxy.connect().await;
    let all = ["/a", "/b", "/c", "/b"].map(|path| request("GET", path, &CURL, ""));
    client.send(all.concat()).await;

    for expected in ["/a", "/b", "/c", "/b"] {
        assert_eq!(client.answer().await.text(), expected);
    }
}
