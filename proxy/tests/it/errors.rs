//! Errors of the proxy: a small page with a request id, and a `Proxy-Status` (RFC 9209) with the
//! cause.

use std::time::Duration;

use process::clock::Clock;

use shellac::testing::reason::Reason;

use crate::support::client::Connection;
use crate::support::free_address;
use crate::support::origin::{Gate, Origin, Reply, cacheable, ok};
use crate::support::proxy::{Proxy, START, request};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
/// Its content has no bytes, and a trailer field without a name.
const BROKEN_AT_ONCE: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n0\r\n:\r\n\r\n";
/// A good chunk, before one without a size.
const GOOD_CHUNK: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
const BROKEN_CHUNK: &str = "zz\r\n";

#[tokio::test]
async fn each_kind_of_failure_has_its_status_and_says_what_it_is() {
    let origin = Origin::start().await;
    let never = Gate::closed();
    let calm = Proxy::start_with(&origin, |config| config.origins[0].retries = 0);
    let hasty = Proxy::start_with(&origin, |config| {
        config.origins[0].first_byte_timeout = Duration::from_millis(50);
    });
    for (proxy, path, reply, status, error) in [
        (&calm, "/closed", Reply::nothing(), 502, "connection_terminated"),
        (&calm, "/reset", Reply::nothing().reset(), 502, "connection_terminated"),
        (
            &calm,
            "/half",
            Reply::bytes("HTTP/1.1 200 OK\r\ncont").close(),
            502,
            "connection_terminated",
        ),
        (&calm, "/trailers", Reply::bytes(BROKEN_AT_ONCE), 502, "http_protocol_error"),
        (&calm, "/garbage", Reply::bytes("nonsense\r\n\r\n").close(), 502, "http_protocol_error"),
        (
            &hasty,
            "/silent",
            Reply::held(&never),
            504,
            "connection_read_timeout; details=\"first_byte_timeout\"",
        ),
    ] {
        origin.on(path, reply);
        for answer in [proxy.get(path).await, proxy.post(path, "x").await] {
            assert_eq!(answer.status(), status, "{path}");
            let expected = format!("shellac; error={error}");
            assert_eq!(answer.field("proxy-status").unwrap(), expected, "{path}");
            let detail = answer.field("cache-status").unwrap();
            let code = detail.rsplit_once("detail=").map(|(_, code)| code);
            assert!(code.and_then(Reason::of).is_some(), "{path}: {detail}");
            assert!(answer.text().contains(code.unwrap()), "{path}: the page names it, too");
            assert_eq!(answer.field("via").unwrap(), "1.1 shellac", "{path}");
            assert_eq!(answer.field("cache-control").unwrap(), "no-store", "{path}");
        }
    }
}

#[tokio::test]
async fn a_response_that_breaks_soon_is_an_error_or_cut_off_and_never_empty() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for round in 0..20 {
        let path = format!("/{round}");
        origin.on(&path, Reply::bytes(GOOD_CHUNK).send(BROKEN_CHUNK));
        for method in ["GET", "POST"] {
            let mut client = Connection::open(proxy.address).await;
            client.send(request(method, &path, &[("Connection", "close")], "")).await;
            let said = client.until_closed().await;
            let said = String::from_utf8_lossy(&said);
            // Both arrive together, or one after the other.
            let is_error = said.starts_with("HTTP/1.1 502 ");
            let is_cut = said.starts_with("HTTP/1.1 200 OK\r\n")
                && said.contains("hello")
                && !said.ends_with("0\r\n\r\n");
            assert!(is_error || is_cut, "{said:?}");
        }
    }
}

#[tokio::test]
async fn an_origin_that_is_not_there_is_502() {
    let nowhere = free_address();
    let proxy = Proxy::start_at(nowhere, Clock::manual(START), |_| {});

    let answer = proxy.get("/a").await;

    assert_eq!(answer.status(), 502);
    assert_eq!(answer.field("proxy-status").unwrap(), "shellac; error=connection_refused");
}

#[tokio::test]
async fn the_page_is_html_unless_json_is_asked_for() {
    let origin = Origin::start().await;
    origin.on("/a", Reply::nothing());
    let proxy = Proxy::start_with(&origin, |config| config.origins[0].retries = 0);

    let id = ("X-Request-ID", "trace-7");
    let html = proxy.get_with("/a", &[id]).await;
    let json = proxy.get_with("/a", &[id, ("Accept", "application/json, */*;q=0.1")]).await;

    assert_eq!(html.field("content-type").unwrap(), "text/html; charset=utf-8");
    assert!(html.text().contains("502 Bad Gateway") && html.text().contains("request trace-7"));
    assert!(html.content.len() < 1024);
    assert_eq!(json.field("content-type").unwrap(), "application/problem+json");
    let problem = json.json();
    assert_eq!(problem["status"], 502);
    assert_eq!(problem["title"], "Bad Gateway");
    assert_eq!(problem["request_id"], "trace-7");
    assert!(problem["detail"].as_str().unwrap().contains("the connection broke"));
    for answer in [html, json] {
        assert_eq!(answer.field("x-request-id").unwrap(), "trace-7");
    }
}

#[tokio::test]
async fn an_error_has_a_request_id_of_ours_when_the_client_gave_none() {
    let origin = Origin::start().await;
    origin.on("/a", Reply::nothing());
    let proxy = Proxy::start(&origin);

    let one = proxy.get("/a").await.field("x-request-id").unwrap();
    let other = proxy.get_with("/a", &[("X-Request-ID", "<b>")]).await;

    assert_eq!(one.len(), 36);
    assert_ne!(one, other.field("x-request-id").unwrap());
    assert!(!other.text().contains("<b>"));
}

#[tokio::test]
async fn an_error_of_the_origin_is_relayed_as_it_is() {
    let origin = Origin::start().await;
    origin.on(
        "/a",
        Reply::bytes(
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\nx-own: 1\r\n\r\noops",
        ),
    );
    let proxy = Proxy::start(&origin);

    let answer = proxy.get("/a").await;

    assert_eq!((answer.status(), answer.text()), (500, "oops"));
    assert_eq!(answer.field("x-own").unwrap(), "1");
    assert!(!answer.head.has("proxy-status"));
    assert!(!proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn a_get_is_sent_once_more_when_the_connection_broke_and_a_post_is_not() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for (method, count, status) in
        [("GET", 2, 200), ("HEAD", 2, 200), ("POST", 1, 502), ("DELETE", 1, 502)]
    {
        let path = format!("/{method}");
        let answer = match method {
            "HEAD" => Reply::bytes("HTTP/1.1 200 OK\r\n\r\n"),
            _ => ok("fine"),
        };
        origin.on_each(&path, [Reply::nothing(), answer]);
        assert_eq!(proxy.ask(method, &path, &[]).await.status(), status, "{method}");
        assert_eq!(origin.count(&path), count, "{method}");
        proxy.app.origins().sweep();
    }
}

#[tokio::test]
async fn content_that_stalls_is_cut_within_the_response() {
    let origin = Origin::start().await;
    let never = Gate::closed();
    origin.on(
        "/a",
        Reply::bytes(HEAD).field("cache-control", "max-age=60").send("01234").hold(&never),
    );
    origin
        .on("/b", Reply::bytes(HEAD).field("cache-control", "private").send("01234").hold(&never));
    let proxy = Proxy::start_with(&origin, |config| {
        config.origins[0].idle_timeout = Duration::from_millis(300);
    });

    for path in ["/a", "/b"] {
        let mut client = proxy.begin(path, &[]).await;
        client.head().await;
        assert_eq!(client.until_closed().await, b"01234", "{path}");
    }
    assert_eq!(proxy.app.store.usage().objects, 0);
}

#[tokio::test]
async fn a_whole_exchange_has_a_limit_however_steadily_it_trickles() {
    let origin = Origin::start().await;
    let never = Gate::closed();
    origin.on("/a", Reply::bytes(HEAD).send("0").hold(&never));
    let proxy = Proxy::start_with(&origin, |config| {
        config.origins[0].total_timeout = Some(Duration::from_millis(300));
    });

    let mut client = proxy.begin("/a", &[]).await;
    client.head().await;

    assert_eq!(client.until_closed().await, b"0");
}

#[tokio::test]
async fn the_proxy_recovers_with_its_origin() {
    let origin = Origin::start().await;
    origin.on_each("/a", [Reply::nothing(), cacheable("back")]);
    let proxy = Proxy::start_with(&origin, |config| config.origins[0].retries = 0);

    assert_eq!(proxy.get("/a").await.status(), 502);
    assert_eq!(proxy.get("/a").await.text(), "back");
    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn the_origin_and_the_page_show_the_same_request_id() {
    let origin = Origin::start().await;
    origin.on("/a", Reply::nothing());
    let proxy = Proxy::start_with(&origin, |config| config.origins[0].retries = 0);

    let answer = proxy.get("/a").await;

    let asked = origin.last("/a").head;
    assert_eq!(answer.field("x-request-id"), asked.field("x-request-id"));
    assert!(answer.field("x-request-id").is_some());
}

#[tokio::test]
async fn a_response_that_contradicts_itself_about_its_length_is_no_response() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for (path, framing) in [
        ("/both", "content-length: 4\r\ntransfer-encoding: chunked\r\n"),
        ("/turned", "transfer-encoding: chunked\r\ncontent-length: 4\r\n"),
        ("/coded", "transfer-encoding: gzip, chunked\r\n"),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\n{framing}\r\n");
        let body = "10\r\nAAAAHTTP/1.1 200\r\n0\r\n\r\n";
        origin.on(path, Reply::bytes(format!("{head}{body}")));
        for _ in 0..2 {
            let answer = proxy.get(path).await;
            assert_eq!(answer.status(), 502, "{path}");
            let error = "shellac; error=http_protocol_error";
            assert_eq!(answer.field("proxy-status").unwrap(), error, "{path}");
        }
    }
}
