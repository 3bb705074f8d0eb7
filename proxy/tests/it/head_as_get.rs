//! HEAD without a stored response: sent as GET, so that the next request hits.

use http::Request;

use crate::support::client::Answer;
use crate::support::origin::{Gate, Origin, Reply, cacheable, not_modified, ok, status};
use crate::support::proxy::Proxy;
use crate::support::{in_time, until};

async fn head(proxy: &Proxy, path: &str) -> Answer {
    proxy.ask("HEAD", path, &[]).await
}

/// The methods of the requests for a path, in order.
fn methods(origin: &Origin, path: &str) -> Vec<String> {
    origin.received(path).iter().map(|one| one.head.word(0).to_owned()).collect()
}

/// Waits until no fetch is in flight.
async fn until_idle(proxy: &Proxy) {
    until("the fetch to end", || proxy.app.front.cache.fetcher().in_flight().1 == 0).await;
}

#[tokio::test]
async fn a_second_head_hits_without_a_get_before() {
    let origin = Origin::start().await;
    let chunked =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncache-control: max-age=60\r\n\r\n";
    origin.on("/a", cacheable("hello").field("etag", "\"a\""));
    origin.on("/chunks", Reply::bytes(chunked).send("5\r\nhello\r\n0\r\n\r\n"));
    let proxy = Proxy::start(&origin);

    for (path, length) in [("/a", Some("5")), ("/chunks", None)] {
        let miss = head(&proxy, path).await;
        until_idle(&proxy).await;
        let hit = head(&proxy, path).await;
        let get = proxy.get(path).await;

        assert_eq!(miss.cache_status(), "fwd=uri-miss; fwd-status=200; stored");
        assert_eq!(miss.field("content-length").as_deref(), length);
        assert!(!miss.head.has("transfer-encoding"));
        assert!(hit.is_hit() && get.is_hit());
        assert_eq!(hit.field("content-length").unwrap(), "5");
        assert_eq!((miss.field("etag"), miss.status()), (hit.field("etag"), hit.status()));
        assert_eq!(get.text(), "hello");
        assert_eq!(methods(&origin, path), ["GET"]);
    }
}

#[tokio::test]
async fn head_is_answered_before_the_content_arrives_and_shares_the_fetch() {
    let origin = Origin::start().await;
    let (heads, content) = (Gate::closed(), Gate::closed());
    let page =
        Reply::bytes("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncache-control: max-age=60\r\n\r\n");
    origin.on("/a", page.hold(&content).send("hello").after(&heads));
    let proxy = Proxy::start(&origin);

    let mut first = proxy.connect().await;
    first.send("HEAD /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    origin.seen("/a", 1).await;
    let mut get = proxy.begin("/a", &[]).await;
    let mut second = proxy.connect().await;
    second.send("HEAD /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    heads.open();
    for client in [&mut first, &mut second] {
        let answer = client.answer_to_head().await;
        assert_eq!(answer.field("content-length").unwrap(), "5");
        assert!(answer.cache_status().contains("stored"), "{}", answer.cache_status());
    }
    content.open();

    assert_eq!(get.answer().await.text(), "hello");
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn over_http2_a_second_head_hits_as_well() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = Proxy::start(&origin);
    let mut client = crate::support::client::Http2::open(proxy.address).await;

    for is_hit in [false, true] {
        let request = Request::head("http://site.example/a");
        let response = in_time("an answer", client.send(request, "")).await.unwrap();
        let status = response.headers().get("cache-status").unwrap().to_str().unwrap();
        assert_eq!(status.contains("hit"), is_hit, "{status}");
        assert_eq!(response.headers().get("content-length").unwrap(), "5");
        until_idle(&proxy).await;
    }
    assert_eq!(methods(&origin, "/a"), ["GET"]);
}

#[tokio::test]
async fn a_stale_response_is_validated_by_get() {
    let origin = Origin::start().await;
    let fresh = || cacheable("hello").field("etag", "\"a\"");
    origin.on_each("/a", [fresh(), not_modified().field("cache-control", "max-age=60"), fresh()]);
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;
    proxy.advance(61);

    let validated = head(&proxy, "/a").await;

    assert_eq!(validated.status(), 200);
    assert_eq!(validated.field("content-length").unwrap(), "5");
    assert!(proxy.get("/a").await.is_hit());
    assert_eq!(methods(&origin, "/a"), ["GET", "GET"]);
    assert_eq!(origin.last("/a").head.field("if-none-match").unwrap(), "\"a\"");
}

#[tokio::test]
async fn conditions_of_a_head_are_answered_from_the_fetched_response() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello").field("etag", "\"a\""));
    let proxy = Proxy::start(&origin);

    let answer = proxy.ask("HEAD", "/a", &[("If-None-Match", "\"a\"")]).await;
    until_idle(&proxy).await;

    assert_eq!(answer.status(), 304);
    assert!(head(&proxy, "/a").await.is_hit());
}

/// The content never ends, so a fetch that read on would stay in flight.
#[tokio::test]
async fn content_that_is_not_stored_is_not_read_for_head() {
    let origin = Origin::start().await;
    let never = Gate::closed();
    let proxy = Proxy::start_with(&origin, |config| {
        config.cache.stale_if_error = std::time::Duration::ZERO;
    });
    for (path, line, field) in [
        ("/private", "200 OK", "cache-control: private"),
        ("/large", "200 OK", "cache-control: max-age=60"),
        ("/error", "503 Service Unavailable", "x: y"),
    ] {
        let length = if path == "/large" { 1_u64 << 40 } else { 100 };
        let reply = format!("HTTP/1.1 {line}\r\ncontent-length: {length}\r\n{field}\r\n\r\n");
        origin.on(path, Reply::bytes(reply).hold(&never));

        let answer = head(&proxy, path).await;
        until_idle(&proxy).await;

        assert_eq!(answer.head.word(1), line.split(' ').next().unwrap(), "{path}");
        assert_eq!(answer.field("content-length"), Some(length.to_string()), "{path}");
        assert!(!answer.cache_status().contains("stored"), "{path}");
        until("the connection to end", || proxy.app.origins().connections().0 == 0).await;
    }
}

#[tokio::test]
async fn a_url_known_to_be_uncacheable_is_asked_for_by_head() {
    let origin = Origin::start().await;
    origin.script("/a", |request| match request.head.word(0) {
        "HEAD" => Reply::bytes("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        _ => ok("hello").field("cache-control", "no-store"),
    });
    origin.on("/b", Reply::bytes("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"));
    let proxy = Proxy::start(&origin);

    for _ in 0..3 {
        let answer = head(&proxy, "/a").await;
        assert_eq!((answer.status(), answer.field("content-length")), (200, Some("5".to_owned())));
        until_idle(&proxy).await;
    }
    for fields in [
        [("Authorization", "Basic eDp4")],
        [("Cookie", "session=1")],
        [("If-Match", "*")],
        [("Cache-Control", "no-store")],
    ] {
        proxy.ask("HEAD", "/b", &fields).await;
    }

    assert_eq!(methods(&origin, "/a"), ["GET", "HEAD", "HEAD"]);
    assert_eq!(methods(&origin, "/b"), ["HEAD"; 4]);
}

#[tokio::test]
async fn a_response_without_content_has_no_length_in_answer_to_head() {
    let origin = Origin::start().await;
    origin.on("/a", Reply::bytes("HTTP/1.1 204 No Content\r\ncache-control: max-age=60\r\n\r\n"));
    origin.on("/gone", status("410 Gone", "").field("cache-control", "max-age=60"));
    let proxy = Proxy::start(&origin);

    for is_hit in [false, true] {
        let answer = head(&proxy, "/a").await;
        until_idle(&proxy).await;
        assert_eq!((answer.status(), answer.is_hit()), (204, is_hit));
        assert!(!answer.head.has("content-length"), "{is_hit}");
        let gone = head(&proxy, "/gone").await;
        until_idle(&proxy).await;
        assert_eq!((gone.status(), gone.is_hit()), (410, is_hit));
        assert_eq!(gone.field("content-length").unwrap(), "0");
    }
}
