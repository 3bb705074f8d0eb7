//! HEAD: answered from a stored GET, which its own response from the origin updates (RFC 9111
//! §4.3.5).

use crate::support::origin::{Origin, Received, Reply, cacheable, status};
use crate::support::proxy::Proxy;

/// Answers GET with a page and HEAD with a head of its own.
fn page_and_head(head: &str) -> impl Fn(&Received) -> Reply + Send + Sync + 'static {
    let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
    move |request| {
        if request.head.word(0) == "HEAD" {
            Reply::bytes(&head)
        } else {
            cacheable("page").field("etag", "\"a\"").field("x-old", "1")
        }
    }
}

/// A proxy that sends HEAD as it is.
fn forwarding(origin: &Origin) -> Proxy {
    Proxy::start_with(origin, |config| config.cache.convert_head = false)
}

#[tokio::test]
async fn head_is_answered_from_a_stored_get_with_its_length() {
    let origin = Origin::start().await;
    origin.script("/a", page_and_head("etag: \"a\""));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    let head = proxy.ask("HEAD", "/a", &[]).await;

    assert!(head.is_hit());
    assert_eq!(head.field("content-length").unwrap(), "4");
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn an_answer_to_head_that_agrees_freshens_the_stored_get() {
    let origin = Origin::start().await;
    let newer = "etag: \"a\"\r\ncontent-length: 4\r\ncache-control: max-age=600\r\nx-new: 2";
    origin.script("/a", page_and_head(newer));
    let proxy = forwarding(&origin);
    proxy.get("/a").await;
    proxy.advance(61);

    let head = proxy.ask("HEAD", "/a", &[]).await;
    assert_eq!((head.status(), head.is_hit()), (200, false));
    proxy.advance(300);
    let hit = proxy.get("/a").await;

    assert!(hit.is_hit(), "{}", hit.cache_status());
    assert_eq!(hit.text(), "page");
    assert_eq!(hit.field("x-old").unwrap(), "1");
    assert_eq!(hit.field("x-new").unwrap(), "2");
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn an_answer_to_head_that_disagrees_takes_the_stored_get_out() {
    for newer in
        ["etag: \"b\"", "content-length: 5", "last-modified: Sun, 06 Nov 1994 08:49:37 GMT"]
    {
        let origin = Origin::start().await;
        origin.script("/a", page_and_head(newer));
        let proxy = forwarding(&origin);
        proxy.get("/a").await;
        proxy.advance(61);

        proxy.ask("HEAD", "/a", &[]).await;
        let next = proxy.get("/a").await;

        assert!(
            next.cache_status().starts_with("fwd=uri-miss"),
            "{newer}: {}",
            next.cache_status()
        );
    }
}

#[tokio::test]
async fn an_error_in_answer_to_head_changes_nothing() {
    let origin = Origin::start().await;
    origin.script("/a", |request| match request.head.word(0) {
        "HEAD" => status("410 Gone", ""),
        _ => cacheable("page").field("etag", "\"a\""),
    });
    let proxy = forwarding(&origin);
    proxy.get("/a").await;
    proxy.advance(61);

    assert_eq!(proxy.ask("HEAD", "/a", &[]).await.status(), 410);
    let next = proxy.get("/a").await;

    assert!(next.cache_status().starts_with("fwd=stale"), "{}", next.cache_status());
}

#[tokio::test]
async fn without_conversion_head_alone_stores_nothing() {
    let origin = Origin::start().await;
    origin.script("/a", page_and_head("cache-control: max-age=60\r\ncontent-length: 4"));
    let proxy = forwarding(&origin);

    let head = proxy.ask("HEAD", "/a", &[]).await;

    assert_eq!(head.cache_status(), "fwd=uri-miss; fwd-status=200; detail=method");
    assert_eq!(head.field("content-length").unwrap(), "4");
    assert!(!proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn a_head_that_is_one_clients_own_changes_nothing() {
    let origin = Origin::start().await;
    origin.script("/a", page_and_head("etag: \"b\"\r\ncache-control: no-store\r\nx-user: me"));
    let proxy = Proxy::start(&origin);
    for fields in [
        &[("Authorization", "Basic eDp4")][..],
        &[("If-Match", "*")],
        &[("If-Match", "*"), ("Cache-Control", "no-store")],
        &[("Cookie", "session=1")],
        &[("Cookie", "session=1"), ("If-Match", "*")],
    ] {
        proxy.get("/a").await;
        proxy.ask("HEAD", "/a", fields).await;
        let hit = proxy.get("/a").await;
        assert!(hit.is_hit() && !hit.head.has("x-user"), "{fields:?}: {}", hit.cache_status());
    }
}

#[tokio::test]
async fn a_refused_head_is_answered_without_content() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let mut client = proxy.connect().await;

    client.send("HEAD /a HTTP/1.1\nHost: a\r\n\r\n").await;
    let bytes = client.until_closed().await;

    assert!(bytes.starts_with(b"HTTP/1.1 400") && bytes.ends_with(b"\r\n\r\n"));
}
