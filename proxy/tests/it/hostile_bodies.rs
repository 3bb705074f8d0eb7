//! Content and connections of requests that two parsers may cut in two ways: nothing behind, in or
//! under a request becomes another one (RFC 9112 §11.2).

use crate::support::client::Connection;
use crate::support::hostile::{Row, SMUGGLED, Stage, all_bytes, row};
use crate::support::in_time;
use crate::support::message::{Head, read_chunked};
use crate::support::origin::{Gate, Reply, cacheable, ok};
use crate::support::proxy::request;

const BAD: &[u16] = &[400];
const CHUNKED: &str =
    "POST /row HTTP/1.1\r\nHost: site.example\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Chunked content that is malformed within its first chunk.
const CHUNKS: [(&str, &str); 23] = [
    ("a size that is no number", "G\r\nhello\r\n0\r\n\r\n"),
    ("a negative size", "-1\r\nhello\r\n0\r\n\r\n"),
    ("a signed size", "+5\r\nhello\r\n0\r\n\r\n"),
    ("a prefixed size", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("a space before the size", " 5\r\nhello\r\n0\r\n\r\n"),
    ("a tab before the size", "\t5\r\nhello\r\n0\r\n\r\n"),
    ("an empty size", "\r\nhello\r\n0\r\n\r\n"),
    ("an extension without a size", ";a=b\r\nhello\r\n0\r\n\r\n"),
    ("an underscore in the size", "0_5\r\nhello\r\n0\r\n\r\n"),
    ("a comma in the size", "5,5\r\nhello\r\n0\r\n\r\n"),
    ("two sizes", "5 5\r\nhello\r\n0\r\n\r\n"),
    ("a size of 17 digits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("a size of 17 zeros and a 5", "000000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("a size that ends in LF", "5\nhello\r\n0\r\n\r\n"),
    ("a size that ends in CR", "5\rhello\r\n0\r\n\r\n"),
    ("an extension that ends in LF", "5;a=b\nhello\r\n0\r\n\r\n"),
    ("an empty extension that ends in LF", "5;\nhello\r\n0\r\n\r\n"),
    ("a CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("a NUL in an extension", "5;a\0b\r\nhello\r\n0\r\n\r\n"),
    ("a control byte in an extension", "5;a\u{1}b\r\nhello\r\n0\r\n\r\n"),
    ("no CRLF behind the data", "5\r\nhello0\r\n\r\n"),
    ("other bytes behind the data", "5\r\nhelloXX0\r\n\r\n"),
    ("LF behind the data", "5\r\nhello\n0\r\n\r\n"),
];

/// Chunked content that is malformed at its end.
const ENDS: [(&str, &str); 13] = [
    ("a last chunk with LF", "5\r\nhello\r\n0\n\n"),
    ("a last chunk with LF, then CRLF", "5\r\nhello\r\n0\n\r\n"),
    ("an end with LF", "5\r\nhello\r\n0\r\n\n"),
    ("an end with CR", "5\r\nhello\r\n0\r\n\r\r\n"),
    ("an extension of the last chunk with LF", "5\r\nhello\r\n0;a\n\r\n"),
    ("a folded trailer", "5\r\nhello\r\n0\r\nX: 1\r\n 2\r\n\r\n"),
    ("a trailer that begins folded", "5\r\nhello\r\n0\r\n X: 1\r\n\r\n"),
    ("a trailer without a colon", "5\r\nhello\r\n0\r\nnonsense\r\n\r\n"),
    ("a trailer that is a request line", "5\r\nhello\r\n0\r\nGET /smuggled HTTP/1.1\r\n\r\n"),
    ("a trailer without a name", "5\r\nhello\r\n0\r\n: 1\r\n\r\n"),
    ("a trailer with a space before its colon", "5\r\nhello\r\n0\r\nX : 1\r\n\r\n"),
    ("a trailer with LF", "5\r\nhello\r\n0\r\nX: 1\nY: 2\r\n\r\n"),
    ("a trailer with a NUL", "5\r\nhello\r\n0\r\nX: \0\r\n\r\n"),
];

#[tokio::test]
async fn chunked_content_that_is_malformed_never_reaches_the_origin() {
    let long = format!("5;a={}\r\nhello\r\n0\r\n\r\n", "x".repeat(8 << 10));
    let many = format!("5{}\r\nhello\r\n0\r\n\r\n", ";a".repeat(4 << 10));
    let rows: Vec<Row> = CHUNKS
        .iter()
        .chain(&ENDS)
        .chain(&[("a long extension", &*long), ("many extensions", &*many)])
        .map(|(name, chunks)| row(name, format!("{CHUNKED}{chunks}"), BAD))
        .collect();
    Stage::new().await.refuses(rows).await;
}

#[tokio::test]
async fn chunked_content_that_is_malformed_later_is_cut_at_the_origin_too() {
    let stage = Stage::new().await;
    let mut problems = Vec::new();
    for (name, chunks) in CHUNKS.iter().chain(&ENDS) {
        let mut client = stage.proxy.connect().await;
        client.send([CHUNKED, "3\r\nabc\r\n"].concat()).await;
        stage.origin.wire().seen("POST /row").await;
        stage.origin.wire().seen("abc").await;
        client.try_send([chunks, SMUGGLED].concat()).await;
        let (answers, has_ended) = all_bytes(&mut client).await;
        let text = String::from_utf8_lossy(&answers);
        if !has_ended || !(text.is_empty() || text.starts_with("HTTP/1.1 400 ")) {
            let line = text.lines().next().unwrap_or_default();
            problems.push(format!("{name}: {line}, ended: {has_ended}"));
        } else if stage.origin.seen("/row", 1).await.is_complete {
            problems.push(format!("{name}: the origin took it for complete"));
        }
        if stage.origin.wire().has("/smuggled") {
            problems.push(format!("{name}: the smuggled request crossed"));
        }
        stage.origin.forget();
        problems.extend(stage.trespass().await.iter().map(|wrong| format!("{name}: {wrong}")));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[tokio::test]
async fn a_chunk_extension_stays_here() {
    let stage = Stage::new().await;
    stage.origin.on("/row", ok("done"));
    for size in ["5;a=b", "5;a", "05;a=\"b;c\"", "5;a=\"b\\\"c\";d=e", "0000000000000005;a=b"] {
        let mut client = stage.proxy.connect().await;
        client.send(format!("{CHUNKED}{size}\r\nhello\r\n0;a=b\r\n\r\n")).await;
        assert_eq!(client.answer().await.text(), "done", "{size}");
        assert_eq!(stage.origin.last("/row").content, b"hello", "{size}");
        assert!(!stage.origin.wire().has(";a"), "{size}");
        client.send(request("GET", "/fence", &[], "")).await;
        assert_eq!(client.answer().await.text(), "fence", "{size}");
    }
}

#[tokio::test]
async fn a_trailer_that_frames_routes_or_authorizes_does_not_reach_the_origin() {
    let stage = Stage::new().await;
    stage.origin.on("/row", ok("done"));
    let mut problems = Vec::new();
    for name in FIELDS_THAT_ARE_NO_TRAILERS {
        let fields = [("Transfer-Encoding", "chunked"), ("Trailer", name)];
        let mut client = stage.proxy.connect().await;
        let head = request("POST", "/row", &fields, "");
        client.try_send(format!("{head}5\r\nhello\r\n0\r\n{name}: 666\r\n\r\n")).await;
        let status = client.answer().await.status();
        if !matches!(status, 200 | 400) {
            problems.push(format!("{name}: the status is {status}"));
        }
        if stage.origin.wire().has(": 666") {
            problems.push(format!("{name}: it crossed"));
        }
        stage.origin.forget();
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// They frame, route, authenticate, or say what the content is (RFC 9110 §6.5.1), and their twins.
const FIELDS_THAT_ARE_NO_TRAILERS: [&str; 25] = [
    "Content-Length",
    "Transfer-Encoding",
    "Host",
    "Authorization",
    "Cookie",
    "Connection",
    "Upgrade",
    "TE",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X_Forwarded_Host",
    "Forwarded",
    "Via",
    "X-Original-URL",
    "X-HTTP-Method-Override",
    "Content-Encoding",
    "Content-Type",
    "Content-Range",
    "Cache-Control",
    "Range",
    "If-Match",
    "Expect",
    "Proxy-Authorization",
    "Trailer",
];

#[tokio::test]
async fn connection_names_nothing_that_a_message_is_framed_routed_or_trusted_by() {
    let names = [
        "host",
        "content-length",
        "transfer-encoding",
        "authorization",
        "cookie",
        "via",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "Content-LENGTH",
        "close, Content-Length",
        "close,,content-length",
        "keep-alive\r\nConnection: content-length",
    ];
    let rows = names.map(|names| {
        let lines = format!("Content-Length: 5\r\nConnection: {names}\r\n");
        row(names, format!("POST /row HTTP/1.1\r\nHost: site.example\r\n{lines}\r\nhello"), BAD)
    });
    Stage::new().await.refuses(rows).await;
}

#[tokio::test]
async fn an_upgrade_to_http2_crosses_in_no_spelling() {
    let stage = Stage::new().await;
    stage.origin.on("/row", ok("plain"));
    let mut problems = Vec::new();
    for (connection, protocol) in [
        ("Upgrade, HTTP2-Settings", "h2c"),
        ("Upgrade", "H2C"),
        ("upgrade, http2-settings", "h2c-14"),
        ("Upgrade", "websocket, h2c"),
        ("Upgrade", "h2c, websocket"),
        ("Upgrade", "websocket\r\nUpgrade: h2c"),
    ] {
        let mut client = stage.proxy.connect().await;
        let fields =
            [("Connection", connection), ("Upgrade", protocol), ("HTTP2-Settings", "AAMAAABkAAQ")];
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        client.try_send(request("GET", "/row", &fields, "") + preface).await;
        let (bytes, has_ended) = all_bytes(&mut client).await;
        let text = String::from_utf8_lossy(&bytes);
        let is_sound = text.starts_with("HTTP/1.1 200 ") || text.starts_with("HTTP/1.1 400 ");
        if !is_sound || !has_ended || text.contains("HTTP/1.1 101") {
            problems.push(format!("{protocol:?}: {text}"));
        }
        let crossed: Vec<_> = ["h2c", "http2-settings", "PRI *"]
            .into_iter()
            .filter(|text| stage.origin.wire().has(text))
            .collect();
        if !crossed.is_empty() {
            problems.push(format!("Upgrade: {protocol:?}: {crossed:?} crossed"));
        }
        stage.origin.forget();
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

const WEBSOCKET: [(&str, &str); 2] = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

#[tokio::test]
async fn bytes_behind_an_upgrade_wait_for_the_101_of_the_origin() {
    let stage = Stage::new().await;
    let gate = Gate::closed();
    stage.origin.on("/ws", Reply::held(&gate).send(SWITCHING).echo());

    let mut client = stage.proxy.connect().await;
    client.send(request("GET", "/ws", &WEBSOCKET, "") + "early").await;
    stage.origin.wire().seen("/ws").await;
    for _ in 0..10 {
        assert_eq!(stage.proxy.get("/fence").await.text(), "fence"); // time for them to cross
    }
    assert!(!stage.origin.wire().has("early"));
    gate.open();

    assert_eq!(client.head().await.word(1), "101");
    assert_eq!(client.bytes(5).await, b"early");
}

#[tokio::test]
async fn bytes_behind_an_upgrade_that_is_declined_never_cross() {
    let stage = Stage::new().await;
    for reply in [ok("no"), ok("no").field("connection", "upgrade").field("upgrade", "websocket")] {
        stage.origin.on("/ws", reply);
        let mut client = stage.proxy.connect().await;
        client.try_send(request("GET", "/ws", &WEBSOCKET, "") + "early\0bytes\r\n\r\n").await;
        assert_eq!(client.answer().await.text(), "no");
        let rest = String::from_utf8_lossy(&client.until_closed().await).into_owned();
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400 "), "{rest}");
        assert!(!stage.origin.wire().has("early"));
    }
}

/// Reads answers to the end of the connection.
async fn all_answers(client: &mut Connection) -> Vec<String> {
    let bytes = in_time("the end", client.until_closed()).await;
    let mut rest = &*bytes;
    let mut statuses = Vec::new();
    while let Ok(Some(head)) = Head::read(&mut rest).await {
        if head.is_chunked() {
            read_chunked(&mut rest).await.unwrap();
        }
        rest = &rest[head.length().unwrap_or_default()..];
        statuses.push(head.word(1).to_owned());
    }
    statuses
}

/// When a client sends its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    AtOnce,
    AfterTheAnswer,
}

/// Content is never a request: neither forwarded as one, nor answered. Behind it goes one that may
/// be answered.
async fn is_no_request(stage: &Stage, head: &str, when: Content, content: &str, status: &str) {
    let last = request("GET", "/last", &[("Connection", "close")], "");
    let mut client = stage.proxy.connect().await;
    let mut statuses = Vec::new();
    client.send(head).await;
    if when == Content::AfterTheAnswer {
        statuses.push(client.answer().await.status().to_string());
    }
    client.try_send([content, &last].concat()).await;
    statuses.extend(all_answers(&mut client).await);
    assert!(statuses == [status] || statuses == [status, "200"], "{head:?} {when:?}: {statuses:?}");
    let all = stage.origin.all_received();
    assert!(all.iter().all(|one| one.head.word(1) != "/smuggled"), "{head:?} {when:?}");
}

fn head_of(line: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: site.example\r\nContent-Length: {}\r\n\r\n", SMUGGLED.len())
}

#[tokio::test]
async fn content_that_an_answer_does_not_need_is_no_request() {
    let stage = Stage::new().await;
    stage.origin.on("/last", ok("last"));
    stage.origin.on("/cached", cacheable("cached"));
    stage.proxy.get("/cached").await;

    for (line, status) in [
        ("GET /cached", "200"),
        ("GET /nothing", "404"),
        ("DELETE /nothing", "404"),
        ("PURGE /cached", "405"),
        ("TRACE /cached", "405"),
    ] {
        is_no_request(&stage, &head_of(line), Content::AtOnce, SMUGGLED, status).await;
        if status == "405" {
            is_no_request(&stage, &head_of(line), Content::AfterTheAnswer, SMUGGLED, status).await;
        }
    }
}

#[tokio::test]
async fn content_beyond_the_limit_is_no_request() {
    let stage = Stage::with(|config| config.limits.max_body = 10).await;
    stage.origin.on("/last", ok("last"));
    let chunk = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());

    for when in [Content::AtOnce, Content::AfterTheAnswer] {
        is_no_request(&stage, &head_of("POST /row"), when, SMUGGLED, "413").await;
    }
    is_no_request(&stage, CHUNKED, Content::AtOnce, &chunk, "413").await;
}

#[tokio::test]
async fn an_answer_that_comes_before_the_content_ends_the_connection_or_skips_the_content() {
    let stage = Stage::new().await;
    stage.origin.on("/last", ok("last"));
    stage.origin.on_head("/early", ok("early"));

    let mut client = stage.proxy.connect().await;
    let length = [("Content-Length", &*SMUGGLED.len().to_string())];
    client.send(request("POST", "/early", &length, "")).await;
    assert_eq!(client.answer().await.text(), "early");
    client
        .try_send([SMUGGLED, &request("GET", "/last", &[("Connection", "close")], "")].concat())
        .await;

    let statuses = all_answers(&mut client).await;
    assert!(statuses.is_empty() || statuses == ["200"], "{statuses:?}");
    let all = stage.origin.all_received();
    assert!(all.iter().all(|one| one.head.word(1) != "/smuggled"));
}

/// Two requests, one framed by its length and one by chunks.
fn stream() -> String {
    let post = request("POST", "/one", &[("X-A", "b")], "hello");
    let head = request("POST", "/two", &[("Transfer-Encoding", "chunked")], "");
    format!("{post}{head}3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n")
}

/// Makes a stage of one worker whose fence is a hit: when it is answered, the worker has seen what
/// was sent before.
async fn stage_of_one_worker() -> (Stage, Connection) {
    let stage = Stage::with(|config| config.workers = 1).await;
    stage.origin.on("/fence", cacheable("fence"));
    stage.origin.on("/one", ok("first"));
    stage.origin.on("/two", ok("second"));
    let fence = stage.proxy.connect().await;
    (stage, fence)
}

async fn pass(fence: &mut Connection) {
    fence.send(request("GET", "/fence", &[], "")).await;
    assert_eq!(fence.answer().await.text(), "fence");
}

async fn is_answered_twice(stage: &Stage, client: &mut Connection, how: &str) {
    assert_eq!(client.answer().await.text(), "first", "{how}");
    assert_eq!(client.answer().await.text(), "second", "{how}");
    assert_eq!(stage.origin.last("/one").content, b"hello", "{how}");
    assert_eq!(stage.origin.last("/two").content, b"abcde", "{how}");
}

#[tokio::test]
async fn a_stream_cut_in_two_at_any_byte_is_the_same_two_requests() {
    let (stage, mut fence) = stage_of_one_worker().await;
    let stream = stream();
    for at in 1..stream.len() {
        let mut client = stage.proxy.connect().await;
        client.send(&stream.as_bytes()[..at]).await;
        pass(&mut fence).await;
        client.send(&stream.as_bytes()[at..]).await;
        is_answered_twice(&stage, &mut client, &format!("cut at {at}")).await;
    }
    assert_eq!(stage.origin.count("/one"), stream.len() - 1);
    assert_eq!(stage.origin.count("/two"), stream.len() - 1);
}

#[tokio::test]
async fn a_stream_sent_byte_by_byte_is_the_same_two_requests() {
    let (stage, mut fence) = stage_of_one_worker().await;
    let mut client = stage.proxy.connect().await;
    for byte in stream().as_bytes() {
        client.send([*byte]).await;
        pass(&mut fence).await;
    }
    is_answered_twice(&stage, &mut client, "byte by byte").await;
}
