//! Idle connections to the origin are closed before the origin closes them. A request that was lost
//! with one is sent again.

use std::time::Duration;

use crate::support::origin::{Origin, Reply, ok};
use crate::support::proxy::Proxy;
use crate::support::until;

#[tokio::test]
async fn an_idle_connection_is_given_up_before_the_origin_says_it_ends() {
    let origin = Origin::start().await;
    origin.on("/a", ok("a").field("keep-alive", "timeout=1"));
    origin.on("/b", ok("b").field("keep-alive", "timeout=0, max=5"));
    let proxy = Proxy::start_with(&origin, |config| {
        config.origins[0].keepalive_timeout = Duration::from_hours(1);
    });

    assert_eq!(proxy.get("/a").await.text(), "a");
    assert_eq!(proxy.app.origins().connections(), (0, 1));
    until("the connection to end", || {
        proxy.app.origins().sweep();
        proxy.app.origins().connections() == (0, 0)
    })
    .await;

    assert_eq!(proxy.get("/b").await.text(), "b");
    assert_eq!(proxy.get("/b").await.text(), "b");
    let connections: Vec<_> = origin.received("/b").iter().map(|one| one.connection).collect();
    assert_ne!(connections[0], connections[1]);
}

#[tokio::test]
async fn an_idempotent_request_lost_with_an_idle_connection_is_sent_again() {
    let origin = Origin::start().await;
    origin.on("/first", ok("first"));
    let proxy = Proxy::start_with(&origin, |config| config.origins[0].retries = 0);
    for (method, count, status) in
        [("GET", 2, 200), ("DELETE", 2, 200), ("PUT", 2, 200), ("POST", 1, 502)]
    {
        let path = format!("/{method}");
        origin.on_each(&path, [Reply::nothing(), ok("done")]);
        let first = proxy.get("/first").await;
        assert_eq!(first.text(), "first");

        assert_eq!(proxy.ask(method, &path, &[]).await.status(), status, "{method}");
        let all = origin.received(&path);
        assert_eq!(all.len(), count, "{method}");
        assert_eq!(all[0].connection, origin.last("/first").connection, "it was idle");
    }
}

#[tokio::test]
async fn a_request_whose_answer_had_begun_is_not_sent_again() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    origin.on_each("/a", [Reply::bytes("HTTP/1.1 200 OK\r\ncont").close(), ok("again")]);

    assert_eq!(proxy.get("/a").await.status(), 502);
    assert_eq!(origin.count("/a"), 1);
}
