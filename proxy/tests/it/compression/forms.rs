//! The form that a client gets, of stored pages and of those that pass.

use std::io::Read as _;

use http_body_util::BodyExt as _;
use settings::Coding;

use super::{BR, GZIP, PLAIN, coding, decoded, html, on, page, stored};
use crate::support::client::{Connection, Http2};
use crate::support::in_time;
use crate::support::origin::{Gate, Origin, Received, Reply, cacheable, not_modified, ok, status};
use crate::support::proxy::{Proxy, request};

#[tokio::test]
async fn nothing_is_compressed_unless_it_is_switched_on() {
    let origin = Origin::start().await;
    origin.on("/a", html("a"));
    let proxy = Proxy::start(&origin);
    for _ in 0..2 {
        let answer = proxy.get_with("/a", BR).await;
        assert_eq!((coding(&answer), answer.field("vary")), (String::new(), None));
    }
    assert_eq!(origin.last("/a").head.field("accept-encoding").unwrap(), "br, gzip");
}

#[tokio::test]
async fn a_page_is_compressed_once_for_each_coding_and_then_hits() {
    let origin = Origin::start().await;
    origin.on("/a", html("a"));
    let proxy = Proxy::start_with(&origin, |config| {
        on(config);
        config.compression.encodings = vec![Coding::Br, Coding::Gzip, Coding::Zstd];
    });

    let miss = proxy.get_with("/a", BR).await;
    assert_eq!(miss.cache_status(), "fwd=uri-miss; fwd-status=200; stored");
    assert_eq!((coding(&miss), decoded(&miss)), ("br".into(), page("a")));
    let plain = proxy.get("/a").await;
    assert_eq!((coding(&plain), plain.text()), (String::new(), &*page("a")));
    assert!(plain.is_hit());
    assert_eq!(plain.field("etag").unwrap(), "\"a\"");

    let zstd = [("accept-encoding", "zstd")];
    for (fields, name) in [(BR, "br"), (GZIP, "gzip"), (&zstd[..], "zstd")] {
        let first = proxy.get_with("/a", fields).await;
        assert_eq!((coding(&first), first.is_hit()), (name.into(), true));
        assert_eq!(first.field("age").unwrap(), "0", "{name}");
        let hit = stored(&proxy, "/a", fields).await;
        assert_eq!((coding(&hit), decoded(&hit)), (name.into(), page("a")));
        assert_eq!(hit.field("content-length").unwrap(), hit.content.len().to_string());
        assert!(hit.content.len() * 10 < page("a").len());
        assert_eq!(hit.field("vary").unwrap(), "Accept-Encoding");
        assert_eq!(hit.field("etag").unwrap(), format!("W/\"a~{name}\""));
        assert_eq!(hit.field("shellac-form"), None);
    }
    assert_eq!(proxy.get("/a").await.field("vary").unwrap(), "Accept-Encoding");
    assert_eq!(origin.count("/a"), 1, "all forms are of one fetch");
    assert_eq!(origin.last("/a").head.field("accept-encoding").unwrap(), "br");
    let metrics = proxy.ask_admin("GET", "/metrics", &[], "").await;
    for name in ["br", "gzip", "zstd"] {
        let responses = format!("shellac_compression_responses_total{{coding=\"{name}\"}} 1\n");
        assert!(metrics.text().contains(&responses), "{name} is made once");
        let bytes = format!(
            "shellac_compression_bytes_in_total{{coding=\"{name}\"}} {}\n",
            page("a").len()
        );
        assert!(metrics.text().contains(&bytes), "{name}");
    }
}

#[tokio::test]
async fn clients_of_every_coding_wait_for_one_fetch() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", html("a").after(&gate));
    let proxy = Proxy::start_with(&origin, on);
    let mut clients = Vec::new();
    for fields in [BR, GZIP, PLAIN, BR, GZIP, PLAIN] {
        clients.push(proxy.begin("/a", fields).await);
        origin.seen("/a", 1).await;
    }
    gate.open();
    for (client, expected) in clients.iter_mut().zip(["br", "gzip", "", "br", "gzip", ""]) {
        let answer = client.answer().await;
        assert_eq!((&*coding(&answer), decoded(&answer)), (expected, page("a")));
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn a_client_validates_the_form_that_it_was_given() {
    let origin = Origin::start().await;
    origin.on("/a", html("a"));
    let proxy = Proxy::start_with(&origin, on);
    proxy.get_with("/a", BR).await;
    stored(&proxy, "/a", BR).await;
    stored(&proxy, "/a", GZIP).await;
    for (accepted, tag, expected) in [
        ("br", r#"W/"a~br""#, 304),
        ("gzip", r#"W/"a~gzip""#, 304),
        ("identity", r#""a""#, 304),
        ("br", r#""a""#, 200),
        ("gzip", r#"W/"a~br""#, 200),
        ("identity", r#"W/"a~br""#, 200),
    ] {
        let fields = [("accept-encoding", accepted), ("if-none-match", tag)];
        let answer = proxy.get_with("/a", &fields).await;
        assert_eq!(answer.status(), expected, "{accepted} {tag}");
        assert_eq!(answer.field("vary").unwrap(), "Accept-Encoding");
        if expected == 304 {
            assert_eq!(answer.field("etag").unwrap(), tag);
            assert_eq!(answer.field("content-encoding"), None);
        }
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn parts_are_of_the_plain_form() {
    let origin = Origin::start().await;
    origin.on("/a", html("a"));
    let proxy = Proxy::start_with(&origin, on);
    proxy.get_with("/a", BR).await;
    stored(&proxy, "/a", BR).await;
    for (fields, expected) in
        [(&[][..], 206), (&[("if-range", "\"a\"")], 206), (&[("if-range", "W/\"a~br\"")], 200)]
    {
        let asked = [&[("accept-encoding", "br"), ("range", "bytes=0-9")], fields].concat();
        let part = proxy.get_with("/a", &asked).await;
        assert_eq!(part.status(), expected, "{fields:?}");
        assert_eq!((coding(&part), part.field("etag").unwrap()), (String::new(), "\"a\"".into()));
        let length = if expected == 206 { 10 } else { page("a").len() };
        assert_eq!(part.text(), page("a").get(..length).unwrap());
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn each_coding_has_a_tag_of_its_own_and_none_but_the_plain_one_joins_parts() {
    let origin = Origin::start().await;
    origin.on("/a", html("a"));
    let proxy = Proxy::start_with(&origin, |config| {
        on(config);
        config.compression.encodings = vec![Coding::Br, Coding::Gzip, Coding::Zstd];
    });
    let mut tags = Vec::new();
    for accepted in ["br", "gzip", "zstd", "identity"] {
        let answer = proxy.get_with("/a", &[("accept-encoding", accepted)]).await;
        let tag = answer.field("etag").unwrap();
        assert!(!tags.contains(&tag), "{accepted}: {tag}");
        tags.push(tag);
    }
    for accepted in ["br", "gzip", "zstd", "identity"] {
        for tag in &tags {
            let asked = [("accept-encoding", accepted), ("range", "bytes=5-9"), ("if-range", tag)];
            let answer = proxy.get_with("/a", &asked).await;
            let is_plain = tag == "\"a\"";
            assert_eq!(answer.status(), if is_plain { 206 } else { 200 }, "{accepted} {tag}");
            assert_eq!(
                (coding(&answer), answer.field("etag").unwrap()),
                (String::new(), "\"a\"".into())
            );
        }
    }
    assert_eq!(origin.count("/a"), 1);
}

/// RFC 9110 §14.2: a range is of the selected representation, with its coding.
#[tokio::test]
async fn parts_of_what_the_origin_has_compressed_are_of_the_coding_that_was_selected() {
    let origin = Origin::start().await;
    origin.script("/a", |request: &Received| {
        let accepted = request.head.field("accept-encoding").unwrap_or_default();
        let reply = if accepted.contains("gzip") {
            cacheable("0123456789").field("content-encoding", "gzip").field("etag", "\"g\"")
        } else {
            cacheable("abcdefghij").field("etag", "\"p\"")
        };
        reply.field("vary", "Accept-Encoding").field("content-type", "text/html")
    });
    let proxy = Proxy::start(&origin);
    let (gzip, plain) = ("gzip", "identity");
    for accepted in [gzip, plain] {
        proxy.get_with("/a", &[("accept-encoding", accepted)]).await;
    }
    for (accepted, condition, status, content) in [
        (gzip, None, 206, "234"),
        (gzip, Some("\"g\""), 206, "234"),
        (gzip, Some("\"p\""), 200, "0123456789"),
        (plain, None, 206, "cde"),
        (plain, Some("\"p\""), 206, "cde"),
        (plain, Some("\"g\""), 200, "abcdefghij"),
    ] {
        let mut asked = vec![("accept-encoding", accepted), ("range", "bytes=2-4")];
        asked.extend(condition.map(|tag| ("if-range", tag)));
        let answer = proxy.get_with("/a", &asked).await;
        assert_eq!((answer.status(), answer.text()), (status, content), "{accepted} {condition:?}");
        assert_eq!(coding(&answer), if accepted == gzip { "gzip" } else { "" });
        assert!(answer.is_hit());
    }
}

#[tokio::test]
async fn head_tells_what_get_would_be_given() {
    let origin = Origin::start().await;
    origin.on("/a", html("a"));
    origin.on("/private", html("a").field("cache-control", "private"));
    let proxy = Proxy::start_with(&origin, on);
    let mut heads = Vec::new();
    for path in ["/a", "/private"] {
        let mut connection = proxy.connect().await;
        connection.send(request("HEAD", path, BR, "")).await;
        heads.push(connection.answer_to_head().await);
    }
    for head in &heads {
        assert_eq!((coding(head), head.field("content-length")), ("br".into(), None));
        assert_eq!(head.field("etag").unwrap(), r#"W/"a~br""#);
        assert_eq!(head.field("vary").unwrap(), "Accept-Encoding");
    }
    let get = stored(&proxy, "/a", BR).await;
    let mut connection = proxy.connect().await;
    connection.send(request("HEAD", "/a", BR, "")).await;
    let head = connection.answer_to_head().await;
    for name in ["content-encoding", "content-length", "etag", "vary", "content-type"] {
        assert_eq!(head.field(name), get.field(name), "{name}");
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn what_may_not_be_changed_or_would_not_shrink_stays_as_it_is() {
    let origin = Origin::start().await;
    let text = page("a");
    let rows = [
        ("/image", cacheable(&text).field("content-type", "image/png"), None),
        ("/small", cacheable("<p>small</p>").field("content-type", "text/html"), None),
        ("/no-transform", html("a").field("cache-control", "no-transform"), None),
        ("/events", ok(&text).field("content-type", "text/event-stream"), None),
        ("/untyped", cacheable(&text), None),
        ("/gzip", html("a").field("content-encoding", "gzip"), Some("gzip")),
    ];
    for (path, reply, _) in &rows {
        origin.on(path, reply.clone());
    }
    origin.on("/empty", status("204 No Content", "").field("content-type", "text/html"));
    let proxy = Proxy::start_with(&origin, on);
    for (path, _, expected) in rows {
        for _ in 0..2 {
            let answer = proxy.get_with(path, BR).await;
            assert_eq!(answer.field("content-encoding").as_deref(), expected, "{path}");
            assert_eq!(answer.field("vary"), None, "{path}");
            assert!(answer.field("etag").is_none_or(|tag| tag == "\"a\""), "{path}");
        }
    }
    assert_eq!(proxy.get_with("/empty", BR).await.field("content-encoding"), None);
}

#[tokio::test]
async fn the_origins_own_coding_is_kept_and_varied_on() {
    let origin = Origin::start().await;
    origin.script("/a", |asked| {
        match asked.head.field("accept-encoding").as_deref() {
            Some("br") => cacheable("pretend br").field("content-encoding", "br"),
            _ => cacheable(&page("a")),
        }
        .field("vary", "Accept-Encoding")
        .field("content-type", "text/html")
    });
    let proxy = Proxy::start_with(&origin, on);
    for _ in 0..2 {
        let own = proxy.get_with("/a", BR).await;
        assert_eq!((coding(&own), own.text()), ("br".into(), "pretend br"));
        let ours = proxy.get_with("/a", GZIP).await;
        assert_eq!((coding(&ours), decoded(&ours)), ("gzip".into(), page("a")));
        let plain = proxy.get("/a").await;
        assert_eq!(plain.text(), page("a"));
    }
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn pages_that_are_not_stored_are_compressed_while_they_arrive() {
    let origin = Origin::start().await;
    let private = || html("a").field("cache-control", "private");
    origin.script("/a", move |asked| match asked.head.field("if-none-match") {
        Some(tags) if tags.contains("\"a\"") => not_modified().field("etag", "\"a\""),
        _ => private(),
    });
    origin.on("/form", ok(&page("sent")).field("content-type", "application/json"));
    let proxy = Proxy::start_with(&origin, on);
    for _ in 0..2 {
        let answer = proxy.get_with("/a", BR).await;
        assert!(!answer.is_hit());
        assert_eq!((coding(&answer), decoded(&answer)), ("br".into(), page("a")));
        assert_eq!(answer.field("etag").unwrap(), r#"W/"a~br""#);
    }
    let cookie = [("cookie", "session=1"), BR[0]];
    let asked = [cookie[0], cookie[1], ("if-none-match", r#"W/"a~br""#)];
    let unchanged = proxy.get_with("/a", &asked).await;
    assert_eq!((unchanged.status(), &*unchanged.field("etag").unwrap()), (304, r#"W/"a~br""#));
    assert_eq!(unchanged.field("vary").unwrap(), "Accept-Encoding");
    let changed = proxy.get_with("/a", &[cookie[0], cookie[1], ("if-none-match", "\"b\"")]).await;
    assert_eq!((changed.status(), decoded(&changed)), (200, page("a")));

    let sent = proxy.ask("POST", "/form", BR).await;
    assert_eq!((coding(&sent), decoded(&sent)), ("br".into(), page("sent")));
    let plain = proxy.get("/a").await;
    assert_eq!((coding(&plain), plain.text()), (String::new(), &*page("a")));
    assert_eq!(plain.field("vary").unwrap(), "Accept-Encoding");
}

#[tokio::test]
async fn what_has_arrived_can_be_read_before_the_rest_comes() {
    for control in ["max-age=60", "private"] {
        let origin = Origin::start().await;
        let gate = Gate::closed();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncache-control: {control}\r\n\
             transfer-encoding: chunked\r\n\r\n1a\r\n<head><link rel=preload>\n\n\r\n"
        );
        let rest = "9\r\n<p>rest\n\n\r\n0\r\n\r\n";
        origin.on("/a", Reply::bytes(head).hold(&gate).send(rest));
        let proxy = Proxy::start_with(&origin, on);
        let mut client = proxy.begin("/a", GZIP).await;
        let head = client.head().await;
        assert_eq!(head.field("content-encoding").unwrap(), "gzip");
        let mut sent = Vec::new();
        let mut text = String::new();
        while !text.contains("preload") {
            let size = String::from_utf8(line(&mut client).await).unwrap();
            let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
            sent.extend(client.bytes(size).await);
            client.bytes(2).await;
            let mut plain = Vec::new();
            let _more_comes: std::io::Result<usize> =
                flate2::read::GzDecoder::new(&*sent).read_to_end(&mut plain);
            text = String::from_utf8(plain).unwrap();
        }
        gate.open();
        let rest = client.rest(head).await.unwrap();
        sent.extend(rest.content);
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*sent).read_to_string(&mut text).unwrap();
        assert_eq!(text, "<head><link rel=preload>\n\n<p>rest\n\n");
    }
}

async fn line(client: &mut Connection) -> Vec<u8> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(client.bytes(1).await);
    }
    line
}

#[tokio::test]
async fn a_page_that_breaks_off_breaks_off_compressed_and_is_not_stored() {
    for control in ["max-age=60", "private"] {
        let origin = Origin::start().await;
        let text = page("a");
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncache-control: {control}\r\ncontent-length: {}\r\n\r\n",
            text.len() + 1
        );
        origin.on_each("/a", [Reply::bytes(head).send(&text).close(), html("whole")]);
        let proxy = Proxy::start_with(&origin, on);
        let mut client = proxy.begin("/a", BR).await;
        let head = client.head().await;
        assert_eq!(head.field("content-encoding").unwrap(), "br");
        assert!(client.rest(head).await.is_err(), "no clean end");
        assert_eq!(decoded(&proxy.get_with("/a", BR).await), page("whole"));
    }
}

#[tokio::test]
async fn past_the_limit_pages_are_sent_as_they_are() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncache-control: private\r\ncontent-length: 2000\r\n\r\n";
    origin
        .on("/slow", Reply::bytes(head).send("x".repeat(1000)).hold(&gate).send("x".repeat(1000)));
    origin.on("/a", html("a"));
    let proxy = Proxy::start_with(&origin, |config| {
        on(config);
        config.compression.max_running = 1;
    });
    let mut slow = proxy.begin("/slow", BR).await;
    let head = slow.head().await;
    let plain = proxy.get_with("/a", BR).await;
    assert_eq!((coding(&plain), decoded(&plain)), (String::new(), page("a")));
    let hit = proxy.get_with("/a", BR).await;
    assert!(hit.is_hit());
    assert_eq!(hit.text(), page("a"));
    gate.open();
    assert_eq!(decoded(&slow.rest(head).await.unwrap()), "x".repeat(2000));
    assert_eq!(coding(&stored(&proxy, "/a", BR).await), "br");
    let metrics = proxy.ask_admin("GET", "/metrics", &[], "").await;
    assert!(metrics.text().contains("shellac_compression_overloads_total 2\n"));
}

#[tokio::test]
async fn weights_decide_and_refusals_are_obeyed() {
    let origin = Origin::start().await;
    origin.on("/a", html("a"));
    let proxy = Proxy::start_with(&origin, on);
    for (accepted, expected) in [
        ("br;q=0.5, gzip", "gzip"),
        ("br;q=0, gzip;q=0", ""),
        ("*", "br"),
        ("identity, br;q=0.5", ""),
        ("identity;q=0, gzip", "gzip"),
        ("zstd", ""),
        ("deflate", ""),
    ] {
        let answer = proxy.get_with("/a", &[("accept-encoding", accepted)]).await;
        assert_eq!((&*coding(&answer), decoded(&answer)), (expected, page("a")), "{accepted}");
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn trailers_follow_the_compressed_content_over_http2() {
    let origin = Origin::start().await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncache-control: private\r\n\
                transfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n";
    origin.on("/a", Reply::bytes(head));
    let proxy = Proxy::start_with(&origin, on);
    let mut client = Http2::open(proxy.address).await;
    let request = http::Request::get("http://site.example/a")
        .header("te", "trailers")
        .header("accept-encoding", "gzip");
    let response = in_time("a response", client.send(request, "")).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let collected = in_time("content", response.into_body().collect()).await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "7");
    let mut text = String::new();
    let content = collected.to_bytes();
    flate2::read::GzDecoder::new(&*content).read_to_string(&mut text).unwrap();
    assert_eq!(text, "abc");
}

#[tokio::test]
async fn an_error_page_is_compressed_for_all_that_wait() {
    let origin = Origin::start().await;
    let page_of = || status("404 Not Found", &page("none")).field("content-type", "text/html");
    origin.on("/a", page_of());
    origin.on("/failing", status("500 Oops", &page("none")).field("content-type", "text/html"));
    let proxy = Proxy::start_with(&origin, on);
    for (path, code) in [("/a", 404), ("/failing", 500)] {
        for (fields, expected) in [(BR, "br"), (GZIP, "gzip"), (PLAIN, "")] {
            let answer = proxy.get_with(path, fields).await;
            assert_eq!((answer.status(), &*coding(&answer)), (code, expected), "{path}");
            assert_eq!(decoded(&answer), page("none"));
            assert_eq!(answer.field("vary").unwrap(), "Accept-Encoding");
        }
    }
}
