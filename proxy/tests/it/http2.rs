//! HTTP/2 on the wire, frame by frame: what crosses to the origin, what must not, and what is sent
//! back.

use crate::support::case::Case;
use crate::support::frames::{Frames, Outcome};
use crate::support::hostile::{Stage, not_allowed_over_http2};
use crate::support::origin::{Origin, Reply, cacheable, ok, status};
use crate::support::proxy::Proxy;

fn get(path: &str) -> Case {
    Case::new("GET", path)
}

/// Sends a request on a connection of its own.
async fn ask(proxy: &Proxy, case: Case) -> Outcome {
    let mut client = Frames::open(proxy.address).await;
    case.http2(&mut client).await
}

#[tokio::test]
async fn a_path_that_is_only_a_fragment_poisons_no_page() {
    let origin = Origin::start().await;
    origin.on("/", cacheable("front page"));
    origin.on("", cacheable("of nobody"));
    origin.on("HTTP/1.1", cacheable("of nobody"));
    let proxy = Proxy::start(&origin);

    for path in ["#x", "#", "?", "?x", "?#"] {
        let refused = ask(&proxy, get(path)).await.answer();
        assert_eq!(refused.status(), 400, "{path}");
        assert!(refused.field("cache-status").unwrap().ends_with("detail=bad_request"), "{path}");
    }

    assert_eq!(proxy.get("/").await.text(), "front page");
    assert_eq!(origin.all_received().len(), 1);
}

#[tokio::test]
async fn as_many_fields_as_over_http_1_are_let_in() {
    let stage = Stage::new().await;
    stage.origin.on("/row", ok("row"));
    let fields = |count: usize| {
        (0..count).fold(get("/row"), |case, number| case.field(&format!("x-{number}"), "1"))
    };
    for (count, expected) in [(100, 200), (101, 431), (150, 431), (500, 431)] {
        let answer = ask(&stage.proxy, fields(count)).await.answer();
        assert_eq!(answer.status(), expected, "{count}");
        let is_ours = answer.field("proxy-status").is_some();
        assert_eq!(is_ours, expected == 431, "{count}");
    }
    let crumbs =
        (0..200).fold(get("/row"), |case, number| case.field("cookie", format!("crumb{number}=1")));
    assert_eq!(ask(&stage.proxy, crumbs).await.answer().status(), 200, "a cookie is one field");
}

#[tokio::test]
async fn the_crumbs_of_a_cookie_are_one_field_for_the_rules_and_for_the_origin() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("page"));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    let crumbs =
        |values: &[&str]| values.iter().fold(get("/a"), |case, value| case.field("cookie", value));
    let analytics = ask(&proxy, crumbs(&["_ga=1", "_gid=2"])).await.answer();
    assert_eq!(analytics.field("cache-status").unwrap(), "shellac; hit; ttl=60");

    let session = ask(&proxy, crumbs(&["_ga=1", "session=2", "theme=dark"])).await.answer();
    let expected = "shellac; fwd=bypass; fwd-status=200; detail=cookie";
    assert_eq!(session.field("cache-status").unwrap(), expected);
    let head = origin.last("/a").head;
    assert_eq!(head.fields("cookie").collect::<Vec<_>>(), ["_ga=1; session=2; theme=dark"]);
}

#[tokio::test]
async fn a_get_whose_content_has_no_bytes_is_answered_from_the_cache() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("page"));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    // `content-length: 0` in the head, and an empty frame at the end of the stream.
    let hit = ask(&proxy, get("/a").content("")).await.answer();

    assert_eq!(hit.field("cache-status").unwrap(), "shellac; hit; ttl=60");
}

//= https://www.rfc-editor.org/rfc/rfc9113#section-8.1
//# Pseudo-header fields MUST NOT appear in a trailer section.
#[tokio::test]
async fn a_trailer_that_is_no_field_of_http_1_does_not_cross() {
    let stage = Stage::new().await;
    stage.origin.on("/row", ok("row"));
    let post = || Case::new("POST", "/row").content("hello").field("trailer", "x-sum, host, x");
    for name in
        [":path", ":method", ":authority", ":status", "host", "content-length", "connection"]
    {
        let outcome = ask(&stage.proxy, post().trailer("x-sum", "5").trailer(name, "666")).await;
        if let Outcome::Answer(response) = outcome {
            assert_eq!(response.text(), "row", "{name}");
        }
        assert!(!stage.origin.wire().has(": 666\r"), "{name}");
        stage.origin.forget();
    }
    for (name, value) in [("\"x\"", "1"), ("x-sum", " 5"), ("x-sum", &*"5".repeat(17 << 10))] {
        let outcome = ask(&stage.proxy, post().trailer(name, value)).await;
        if let Outcome::Answer(response) = outcome {
            assert_eq!(response.status(), 400, "{name}");
        }
        assert_eq!(ask(&stage.proxy, get("/fence")).await.answer().text(), "fence");
        assert!(stage.origin.received("/row").iter().all(|one| !one.is_complete), "{name}");
        stage.origin.forget();
    }
    ask(&stage.proxy, post().trailer("x-sum", "5")).await.answer();
    assert_eq!(stage.origin.last("/row").trailers.to_lowercase(), "x-sum: 5");
}

//= https://www.rfc-editor.org/rfc/rfc9113#section-8.2.2
//# Any message containing connection-specific header fields MUST be treated as malformed
#[tokio::test]
async fn fields_of_a_connection_and_another_protocol_are_refused() {
    let stage = Stage::new().await;
    for (name, value) in [
        ("connection", "close"),
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("te", "gzip"),
    ] {
        let outcome = ask(&stage.proxy, get("/row").field(name, value)).await;
        assert_eq!(outcome, Outcome::Reset(PROTOCOL_ERROR), "{name}");
        assert_eq!(stage.trespass().await, [""; 0], "{name}");
    }
    // Extended CONNECT (RFC 8441) was not offered.
    let mut client = Frames::open(stage.proxy.address).await;
    let websocket = [
        (&b":method"[..], &b"CONNECT"[..]),
        (b":protocol", b"websocket"),
        (b":scheme", b"http"),
        (b":path", b"/row"),
        (b":authority", b"site.example"),
    ];
    let stream = client.send(websocket, None, None).await;
    assert_eq!(client.outcome(stream).await, Outcome::Reset(PROTOCOL_ERROR));
    let plain = [(&b":method"[..], &b"CONNECT"[..]), (b":authority", b"site.example:443")];
    let stream = client.send(plain, None, None).await;
    assert_eq!(client.outcome(stream).await.answer().status(), 405);
    assert_eq!(stage.trespass().await, [""; 0]);
}

#[tokio::test]
async fn the_connection_goes_on_after_a_refused_stream() {
    let stage = Stage::new().await;
    stage.origin.on("/row", ok("row"));
    let mut client = Frames::open(stage.proxy.address).await;
    for refused in
        [get("#x"), Case::new("POST", "*").content("hello"), get("/row").field("te", "x")]
    {
        let outcome = refused.http2(&mut client).await;
        assert_ne!(outcome, Outcome::GoAway, "{refused:?}");
        assert_eq!(get("/row").http2(&mut client).await.answer().text(), "row", "{refused:?}");
    }
}

/// What an origin may say of its connection, in a response to anything.
fn of_its_connection(reply: Reply) -> Reply {
    reply
        .field("Connection", "keep-alive, Upgrade, X-Private")
        .field("X-Private", "1")
        .field("Keep-Alive", "timeout=5")
        .field("Proxy-Connection", "keep-alive")
        .field("Upgrade", "h2,h2c")
        .field("TE", "trailers")
        .field("X-Mixed-CASE", " padded ")
}

#[tokio::test]
async fn every_response_is_one_that_http_2_may_have() {
    let origin = Origin::start().await;
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
    let page = cacheable("0123456789").field("ETag", "\"1\"");
    for (path, reply) in [
        ("/page", page),
        ("/private", ok("own").field("cache-control", "private")),
        ("/chunks", Reply::bytes(chunked).send("5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n")),
        ("/gone", status("410 Gone", "gone")),
        ("/empty", Reply::bytes("HTTP/1.1 204 No Content\r\n\r\n")),
    ] {
        origin.on(path, of_its_connection(reply));
    }
    origin.on("/broken", Reply::nothing());
    let proxy = Proxy::start(&origin);

    let page = || get("/page");
    for (case, expected) in [
        (page(), 200),
        (page(), 200),
        (page().field("if-none-match", "\"1\""), 304),
        (page().field("range", "bytes=2-4"), 206),
        (page().field("range", "bytes=90-"), 416),
        (Case::new("HEAD", "/page"), 200),
        (get("/private"), 200),
        (Case::new("POST", "/page").content("x"), 200),
        (get("/chunks"), 200),
        (get("/gone"), 410),
        (get("/empty"), 204),
        (get("/broken"), 502),
        (Case::new("PURGE", "/page"), 405),
        (Case::new("OPTIONS", "*").field("max-forwards", "0"), 204),
        (get("#x"), 400),
        (get("/none").field("cache-control", "only-if-cached"), 504),
    ] {
        let response = ask(&proxy, case.clone()).await.answer();
        assert_eq!(response.status(), expected, "{case:?}");
        assert_eq!(not_allowed_over_http2(&response), [""; 0], "{case:?} {response:?}");
        assert_eq!(response.field("x-private"), None, "{case:?}");
        let length = response.field("content-length");
        let has_content = case.method != "HEAD" && expected != 304;
        let is_told = length.is_none_or(|length| length == response.content.len().to_string());
        assert!(is_told || !has_content, "{case:?}");
    }
}

//= https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2
//# the server MUST NOT send content in the response
#[tokio::test]
async fn a_response_to_head_has_no_content_though_it_is_our_own() {
    let origin = Origin::start().await;
    origin.on("/broken", Reply::nothing());
    let proxy = Proxy::start(&origin);
    let head = |path: &str| Case::new("HEAD", path);
    let cached = head("/none").field("cache-control", "only-if-cached");
    for (address, case, expected) in [
        (proxy.address, cached, 504),
        (proxy.address, head("/broken"), 502),
        (proxy.address, head("#x"), 400),
        (proxy.admin, head("/metrics"), 200),
        (proxy.admin, head("/none"), 403),
    ] {
        let mut client = Frames::open(address).await;
        let response = case.http2(&mut client).await.answer();
        assert_eq!((response.status(), response.text()), (expected, ""), "{case:?}");
        assert_ne!(response.field("content-length").unwrap(), "0", "{case:?}");
    }
}

/// RFC 9113 §7.
const PROTOCOL_ERROR: u32 = 1;
