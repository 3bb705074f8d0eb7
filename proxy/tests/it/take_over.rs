//! What a process that hands over still does to the origin: it is purged before another process
//! serves, or not done.

use std::sync::Arc;

use crate::support::client::Connection;
use crate::support::in_time;
use crate::support::origin::{Gate, Origin, cacheable, ok};
use crate::support::proxy::{Proxy, request};

#[tokio::test]
async fn a_process_that_hands_over_changes_nothing_that_it_does_not_purge_before() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let gate = Gate::closed();
    origin.on("/page", cacheable("old"));
    origin.on("/change", ok("changed").field("location", "/page").after(&gate));
    proxy.get("/page").await;
    let mut early = proxy.connect().await;
    early.send("POST /change HTTP/1.1\r\nHost: site.example\r\nContent-Length: 1\r\n\r\nx").await;
    origin.seen("/change", 1).await;
    let mut late = proxy.connect().await;
    late.send("POST /change HTTP/1.1\r\nHost: site.example\r\n").await;
    in_time("the connection", async {
        while proxy.app.listeners.connections() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    let sequence = proxy.app.invalidation.sequence();
    let app = Arc::clone(&proxy.app);
    let hand_over = tokio::task::spawn_blocking(move || app.hand_over());
    in_time("the end of accepting", proxy.app.listeners.drain.begun()).await;
    assert!(!proxy.app.invalidation.lease().is_over_for_good(), "a change is under way");
    gate.open();
    assert_eq!(early.answer().await.text(), "changed");
    in_time("handing over", hand_over).await.unwrap();
    assert!(proxy.app.invalidation.lease().is_over_for_good());
    assert!(proxy.app.invalidation.sequence() > sequence, "what it changed is purged");

    // The rest of its head comes too late: it is closed unread, or refused.
    late.try_send("Content-Length: 1\r\n\r\nx").await;
    let end = String::from_utf8(late.until_closed().await).unwrap();
    assert!(end.is_empty() || end.starts_with("HTTP/1.1 503 "), "{end}");
    assert_eq!(origin.count("/change"), 1, "the other process is to be asked");
}

#[tokio::test]
async fn a_request_that_is_on_its_way_when_idle_connections_are_closed_is_answered() {
    let origin = Origin::start().await;
    origin.on("/page", cacheable("page"));
    let proxy = Proxy::start(&origin);
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = proxy.connect().await;
        client.send("GET /page HTTP/1.1\r\n").await;
        clients.push(client);
    }
    in_time("the connections", async {
        while proxy.app.listeners.connections() < clients.len() {
            tokio::task::yield_now().await;
        }
    })
    .await;

    proxy.app.listeners.drain.hand_over();
    proxy.app.listeners.drain.close_idle();
    let mut slow = clients.pop().unwrap();
    for (part, mut other) in
        ["Host: site", ".example\r\n", "Accept: */*\r\n"].into_iter().zip(clients)
    {
        slow.send(part).await;
        // An answer on another connection: the part was most likely read by then.
        other.send("Host: site.example\r\n\r\n").await;
        assert_eq!(other.answer().await.text(), "page");
    }
    slow.send("\r\n").await;
    let answer = slow.answer().await;
    assert_eq!((answer.text(), &*answer.field("connection").unwrap()), ("page", "close"));
}

#[tokio::test]
async fn an_admin_connection_that_is_open_while_another_process_takes_over_gets_an_answer() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let mut admin = Connection::open(proxy.admin).await;
    admin.send(request("GET", "/healthz", &[], "")).await;
    assert_eq!(admin.answer().await.status(), 200);

    let app = Arc::clone(&proxy.app);
    in_time("handing over", tokio::task::spawn_blocking(move || app.hand_over())).await.unwrap();
    let json = [("content-type", "application/json")];
    admin.send(request("POST", "/api/v1/purge", &json, r#"{"tags":["a"]}"#)).await;
    let mut answer = admin.answer().await;
    // Each is answered, until one says that it is the last.
    while answer.field("connection").as_deref() != Some("close") {
        assert_eq!(answer.status(), 503);
        admin.send(request("POST", "/api/v1/purge", &json, r#"{"tags":["a"]}"#)).await;
        answer = admin.answer().await;
    }
    assert_eq!(answer.status(), 503);
}
