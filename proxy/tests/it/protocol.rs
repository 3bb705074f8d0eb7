//! HTTP/1.0, 1.1 and 2 as clients speak them.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt as _;

use crate::support::client::{Http2, text};
use crate::support::in_time;
use crate::support::message::Head;
use crate::support::origin::{Gate, Origin, Reply, cacheable, ok};
use crate::support::proxy::{Proxy, request};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn http_1_0_ends_the_connection_unless_asked_to_keep_it() {
    let origin = Origin::start().await;
    origin.on("/a", ok("hello"));
    origin.on("/chunks", Reply::bytes(CHUNKED).send("5\r\nhello\r\n0\r\n\r\n"));
    let proxy = Proxy::start(&origin);

    for path in ["/a", "/chunks"] {
        let mut client = proxy.connect().await;
        client.send(format!("GET {path} HTTP/1.0\r\nHost: site.example\r\n\r\n")).await;
        let head = client.head().await;
        assert!(!head.has("transfer-encoding"), "{path}");
        assert_eq!(client.until_closed().await, b"hello", "{path}");
    }

    let mut client = proxy.connect().await;
    for _ in 0..2 {
        client
            .send("GET /a HTTP/1.0\r\nHost: site.example\r\nConnection: keep-alive\r\n\r\n")
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.text(), "hello");
        assert_eq!(answer.field("connection").unwrap(), "keep-alive");
    }
}

#[tokio::test]
async fn http_1_0_needs_no_host() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = Proxy::start(&origin);

    let mut client = proxy.connect().await;
    client.send("GET /a HTTP/1.0\r\n\r\n").await;

    assert_eq!(client.answer().await.status(), 200);
    assert_eq!(origin.last("/a").head.field("host").unwrap(), proxy.address.to_string());
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/slow", ok("slow").after(&gate));
    origin.on("/hit", cacheable("hit"));
    origin.on("/post", ok("posted"));
    let proxy = Proxy::start(&origin);
    proxy.get("/hit").await;

    let mut client = proxy.connect().await;
    let all = [
        request("GET", "/slow", &[], ""),
        request("GET", "/hit", &[], ""),
        request("POST", "/post", &[], "content"),
        request("GET", "/hit", &[], ""),
    ];
    client.send(all.concat()).await;
    origin.seen("/slow", 1).await;
    gate.open();

    for expected in ["slow", "hit", "posted", "hit"] {
        assert_eq!(client.answer().await.text(), expected);
    }
}

#[tokio::test]
async fn content_of_requests_arrives_as_it_was_sent() {
    let origin = Origin::start().await;
    origin.on("/a", ok("done"));
    let proxy = Proxy::start(&origin);

    let mut client = proxy.connect().await;
    client
        .send(request("POST", "/a", &[("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")], ""))
        .await;
    client.send("3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "done");
    let chunked = origin.last("/a");
    assert!(chunked.head.is_chunked() && chunked.is_complete);
    assert_eq!(chunked.content, b"abcde");
    assert_eq!(chunked.trailers.to_lowercase(), "x-sum: 5");

    client.send(request("PUT", "/a", &[], "whole")).await;
    assert_eq!(client.answer().await.text(), "done");
    let whole = origin.last("/a");
    assert_eq!(whole.head.length(), Some(5));
    assert_eq!(whole.content, b"whole");
}

#[tokio::test]
async fn content_of_a_get_is_forwarded_and_keeps_it_from_the_cache() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("page"));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    let mut client = proxy.connect().await;
    client.send(request("GET", "/a", &[], "question")).await;

    assert_eq!(client.answer().await.cache_status(), "fwd=bypass; fwd-status=200; detail=method");
    assert_eq!(origin.last("/a").content, b"question");
}

#[tokio::test]
async fn who_expects_100_continue_is_told_to_go_on_by_us() {
    let origin = Origin::start().await;
    origin.on("/a", ok("done"));
    let proxy = Proxy::start(&origin);

    let mut client = proxy.connect().await;
    let expecting = [("Expect", "100-continue"), ("Content-Length", "4")];
    client.send(request("POST", "/a", &expecting, "")).await;
    assert_eq!(client.head().await.line(), "HTTP/1.1 100 Continue");
    client.send("data").await;

    assert_eq!(client.answer().await.text(), "done");
    assert_eq!(origin.last("/a").content, b"data");
    assert!(!origin.last("/a").head.has("expect"));
}

#[tokio::test]
async fn an_interim_response_is_relayed_and_never_stored() {
    let origin = Origin::start().await;
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";
    origin.on(
        "/a",
        Reply::bytes(early)
            .send("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 2\r\n\r\nok"),
    );
    let proxy = Proxy::start(&origin);

    let mut client = proxy.begin("/a", &[]).await;
    let interim = client.head().await;
    let miss = client.answer().await;

    assert_eq!(interim.line(), "HTTP/1.1 103 Early Hints");
    assert_eq!(interim.field("link").unwrap(), "</a.css>");
    assert_eq!((miss.status(), miss.text()), (200, "ok"));
    assert!(!miss.head.has("link"));
    let hit = proxy.get("/a").await;
    assert!(hit.is_hit() && !hit.head.has("link"));
}

#[tokio::test]
async fn trailers_of_a_response_reach_clients_that_want_them() {
    let origin = Origin::start().await;
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\ncache-control: max-age=60\r\n\r\n";
    origin.on("/a", Reply::bytes(head).send("5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n"));
    let proxy = Proxy::start(&origin);

    let wanted = proxy.get_with("/a", &[("TE", "trailers")]).await;
    proxy.purge(r#"{"all":true}"#).await;
    let unwanted = proxy.get("/a").await;
    proxy.purge(r#"{"all":true}"#).await;
    let mut http2 = Http2::open(proxy.address).await;
    let response = in_time("a response", http2.get("/a")).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();

    assert_eq!((wanted.text(), wanted.trailers.to_lowercase().as_str()), ("hello", "x-sum: 5"));
    assert_eq!((unwanted.text(), unwanted.trailers.as_str()), ("hello", ""));
    assert_eq!(collected.trailers().unwrap()["x-sum"], "5");
    assert_eq!(collected.to_bytes(), "hello");
}

#[tokio::test]
async fn many_streams_of_one_http2_connection_are_answered_at_once() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    for number in 0..100 {
        let path = format!("/{number}");
        origin.on(&path, ok(&path).after(&gate));
    }
    origin.on("/hit", cacheable("hit"));
    let proxy = Proxy::start(&origin);
    proxy.get("/hit").await;

    let mut client = Http2::open(proxy.address).await;
    let all: Vec<_> = (0..100).map(|number| client.get(&format!("/{number}"))).collect();
    let hit = in_time("a hit", client.get("/hit")).await.unwrap();
    assert_eq!(text(hit).await.unwrap(), "hit"); // while all others wait
    for number in 0..100 {
        origin.seen(&format!("/{number}"), 1).await;
    }
    gate.open();

    for (number, response) in all.into_iter().enumerate() {
        let response = in_time("a response", response).await.unwrap();
        assert_eq!(text(response).await.unwrap(), format!("/{number}"));
    }
}

#[tokio::test]
async fn http2_requests_become_http_1_requests() {
    let origin = Origin::start().await;
    origin.on("/a?b", ok("done"));
    let proxy = Proxy::start(&origin);

    let mut client = Http2::open(proxy.address).await;
    let post =
        Request::post("http://Site.Example/a?b").header("cookie", "a=1").header("cookie", "b=2");
    let response = in_time("a response", client.send(post, "content")).await.unwrap();

    assert_eq!(response.status(), 200);
    assert_eq!(text(response).await.unwrap(), "done");
    let received = origin.last("/a?b");
    assert_eq!(received.head.line(), "POST /a?b HTTP/1.1");
    assert_eq!(received.head.field("host").unwrap(), "site.example");
    assert_eq!(received.content, b"content");
}

#[tokio::test]
async fn both_protocols_share_what_is_stored() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = Proxy::start(&origin);

    proxy.get("/a").await;
    let mut client = Http2::open(proxy.address).await;
    let hit = in_time("a hit", client.get("/a")).await.unwrap();

    assert_eq!(hit.headers()["cache-status"], "shellac; hit; ttl=60");
    assert_eq!(hit.headers()["content-length"], "5");
    assert_eq!(text(hit).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_truncated_response_resets_its_stream_and_no_other() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let head = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 10\r\n\r\n";
    origin.on("/cut", Reply::bytes(head).send("01234").hold(&gate).close());
    origin.on("/a", ok("fine"));
    let proxy = Proxy::start(&origin);

    let mut client = Http2::open(proxy.address).await;
    let cut = in_time("a head", client.get("/cut")).await.unwrap();
    gate.open();

    assert!(text(cut).await.is_err());
    let other = in_time("another response", client.get("/a")).await.unwrap();
    assert_eq!(text(other).await.unwrap(), "fine");
}

#[tokio::test]
async fn http2_can_be_switched_off() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| config.listen[0].http2 = settings::Http2::Off);

    let mut client = proxy.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let answer = client.until_closed().await;

    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 505"), "{answer:?}");
}

#[tokio::test]
async fn connect_and_trace_are_refused() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = Proxy::start(&origin);

    let mut client = proxy.connect().await;
    client.send("CONNECT site.example:443 HTTP/1.1\r\nHost: site.example:443\r\n\r\n").await;
    let connect = client.answer().await;
    let trace = proxy.ask("TRACE", "/a", &[]).await;
    let mut http2 = Http2::open(proxy.address).await;
    let trace2 = Request::builder().method(Method::TRACE).uri("http://site.example/a");
    let trace2 = in_time("a refusal", http2.send(trace2, "")).await.unwrap();

    assert_eq!((connect.status(), trace.status(), trace2.status().as_u16()), (405, 405, 405));
    assert!(trace.field("allow").unwrap().contains("GET"));
    assert_eq!(origin.count("/a"), 0);
}

#[tokio::test]
async fn options_of_the_server_is_forwarded() {
    let origin = Origin::start().await;
    origin.on("*", ok(""));
    let proxy = Proxy::start(&origin);

    assert_eq!(proxy.ask("OPTIONS", "*", &[]).await.status(), 200);
    assert_eq!(origin.last("*").head.line(), "OPTIONS * HTTP/1.1");
}

#[tokio::test]
async fn a_request_whose_host_cannot_be_told_is_400() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = Proxy::start(&origin);

    for head in [
        "GET /a HTTP/1.1\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
        "GET /a HTTP/1.1\r\nHost:\r\n",
        "GET /a HTTP/1.1\r\nHost: a b\r\n",
        "GET /a HTTP/1.1\r\nHost: a/b\r\n",
        "GET /a HTTP/1.1\r\nHost: user@a\r\n",
        "GET /a HTTP/1.1\r\nHost: a:port\r\n",
        "GET /a HTTP/1.1\r\nHost: a, b\r\n",
        "GET http://site.example/a HTTP/1.1\r\n",
        "GET http://site.example/a HTTP/1.1\r\nHost: other.example\r\n",
    ] {
        let mut client = proxy.connect().await;
        client.send(format!("{head}\r\n")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), 400, "{head:?}");
        assert_eq!(client.until_closed().await, b"", "{head:?}");
    }
    assert_eq!(origin.count("/a"), 0);
}

#[tokio::test]
async fn the_absolute_form_and_all_spellings_of_a_host_are_one_page() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable(""));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    for head in [
        "GET http://site.example/a HTTP/1.1\r\nHost: site.example\r\n",
        "GET HTTP://SITE.example:80/a HTTP/1.1\r\nHost: site.example.\r\n",
        "GET /a HTTP/1.1\r\nHost: SITE.EXAMPLE\r\n",
        "GET /a HTTP/1.1\r\nHost: site.example:80\r\n",
    ] {
        let mut client = proxy.connect().await;
        client.send(format!("{head}\r\n")).await;
        assert!(client.answer().await.is_hit(), "{head:?}");
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn a_malformed_request_is_refused_and_the_connection_ends() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);

    for (head, status) in [
        ("GET  /a HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /a HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n", "400"),
        ("GET /a HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", "400"),
        ("GET /a HTTP/9.9\r\nHost: a\r\n\r\n", "505"),
        ("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400"),
        ("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", "400"),
        ("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "501"),
    ] {
        let mut client = proxy.connect().await;
        client.send(head).await;
        let bytes = Bytes::from(client.until_closed().await);
        let mut reader = &bytes[..];
        let answer = Head::read(&mut reader).await.unwrap().unwrap();
        assert_eq!(answer.word(1), status, "{head:?}");
        assert!(answer.has("proxy-status") && answer.has("x-request-id"), "{head:?}");
    }
}

#[tokio::test]
async fn an_origin_that_closes_idle_connections_costs_no_request() {
    let origin = Origin::start().await;
    for number in 0..20 {
        origin.on(&format!("/{number}"), ok("fine").close());
    }
    let proxy = Proxy::start(&origin);

    for number in 0..20 {
        let answer = proxy.get(&format!("/{number}")).await;
        assert_eq!((answer.status(), answer.text()), (200, "fine"));
    }
}

#[tokio::test]
async fn connections_to_the_origin_are_kept() {
    let origin = Origin::start().await;
    origin.on("/a", ok("hello"));
    let proxy = Proxy::start(&origin);

    let mut client = proxy.connect().await;
    for count in 1..=5 {
        client.send(request("GET", "/a", &[], "")).await;
        client.answer().await;
        crate::support::until("the connection to be idle", || {
            proxy.app.origins().connections() == (0, 1)
        })
        .await;
        assert_eq!(origin.count("/a"), count);
    }
    assert!(origin.received("/a").iter().all(|request| request.connection == 0));
}
