//! Heads of requests that two parsers may read in two ways: refused, and not a byte of them reaches the origin.
//!
//! Each row is sent in one write with a second request behind it, which must be neither forwarded nor answered
//! (RFC 9112 §11.2). What is refused in content and on connections is in `hostile_bodies`.

use crate::support::hostile::{Row, Stage, row};
use crate::support::origin::ok;

const BAD: &[u16] = &[400];
/// `HTTP/` and a version that is none of ours: malformed or unsupported.
const VERSION: &[u16] = &[400, 505];
const NOT_IMPLEMENTED: &[u16] = &[501];
/// Not understood (501, RFC 9112 §6.1), and chunked is not the last coding (400, §6.3): both are true.
const UNFRAMED: &[u16] = &[400, 501];

/// A POST of `hello` with these lines between `Host` and the empty line.
fn post(lines: &str) -> String {
    format!("POST /row HTTP/1.1\r\nHost: site.example\r\n{lines}\r\nhello")
}

/// A POST of `hello` in one chunk.
fn chunked(lines: &str) -> String {
    format!("POST /row HTTP/1.1\r\nHost: site.example\r\n{lines}\r\n5\r\nhello\r\n0\r\n\r\n")
}

/// A GET with these lines between `Host` and the empty line.
fn get(lines: &str) -> String {
    format!("GET /row HTTP/1.1\r\nHost: site.example\r\n{lines}\r\n")
}

fn rows(make: fn(&str) -> String, cases: &[(&str, &str)], statuses: &'static [u16]) -> Vec<Row> {
    cases.iter().map(|(name, lines)| row(name, make(lines), statuses)).collect()
}

/// The same case under its own text: for tables whose names would repeat it.
fn plain(cases: &[&str], statuses: &'static [u16]) -> Vec<Row> {
    cases.iter().map(|case| row(&format!("{case:?}"), case, statuses)).collect()
}

//= https://www.rfc-editor.org/rfc/rfc9112#section-6.3
//# If a message is received without Transfer-Encoding and with an invalid Content-Length header field, then the message
//# framing is invalid and the recipient MUST treat it as an unrecoverable error
#[tokio::test]
async fn a_length_that_is_not_one_number_is_400() {
    let values = [
        "5, 5",
        "5,6",
        "5,",
        "+5",
        "-1",
        "0x5",
        "",
        " ",
        "5 5",
        "1e1",
        "5.0",
        "5;",
        "\"5\"",
        "5\t5",
        "99999999999999999999",
        "18446744073709551621",
        "00000000000000000000000000000000005x",
        "\u{665}",
    ];
    let lines = [
        ("two different lines", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        ("two equal lines", "Content-Length: 5\r\nContent-Length: 5\r\n"),
        ("an empty line first", "Content-Length:\r\nContent-Length: 5\r\n"),
        ("an empty line last", "Content-Length: 5\r\nContent-Length:\r\n"),
        ("other case", "Content-Length: 5\r\ncontent-LENGTH: 33\r\n"),
    ];
    let values = values.map(|value| {
        row(
            &format!("Content-Length: {value:?}"),
            post(&format!("Content-Length: {value}\r\n")),
            BAD,
        )
    });
    Stage::new().await.refuses(rows(post, &lines, BAD).into_iter().chain(values)).await;
}

//= https://www.rfc-editor.org/rfc/rfc9112#section-6.1
//# A server MAY reject a request that contains both Content-Length and Transfer-Encoding
#[tokio::test]
async fn a_length_beside_a_transfer_coding_is_400() {
    let both = [
        ("length first", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        ("coding first", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        ("a length of nothing", "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
        ("a broken coding", "Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n"),
        ("an empty coding", "Content-Length: 5\r\nTransfer-Encoding:\r\n"),
    ];
    let mut table = rows(chunked, &both[..3], BAD);
    table.extend(rows(post, &both[3..], BAD));
    Stage::new().await.refuses(table).await;
}

#[tokio::test]
async fn a_transfer_coding_that_is_not_chunked_alone_is_refused() {
    let malformed = [
        ("chunked twice", "Transfer-Encoding: chunked, chunked\r\n"),
        ("chunked on two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("a parameter", "Transfer-Encoding: chunked;q=1\r\n"),
        ("a parameter after a space", "Transfer-Encoding: chunked ; a=b\r\n"),
        ("quoted", "Transfer-Encoding: \"chunked\"\r\n"),
        ("empty", "Transfer-Encoding:\r\n"),
        ("blank", "Transfer-Encoding:  \r\n"),
        ("an empty line first", "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n"),
        ("a comma before", "Transfer-Encoding: ,chunked\r\n"),
        ("a comma behind", "Transfer-Encoding: chunked,\r\n"),
        ("two words", "Transfer-Encoding: chunked chunked\r\n"),
        ("a vertical tab", "Transfer-Encoding: \u{b}chunked\r\n"),
        ("a form feed", "Transfer-Encoding: chunked\u{c}\r\n"),
        ("a NUL", "Transfer-Encoding: chunked\0\r\n"),
        ("a no-break space", "Transfer-Encoding: \u{a0}chunked\r\n"),
        ("a space before the colon", "Transfer-Encoding : chunked\r\n"),
        ("a tab before the colon", "Transfer-Encoding\t: chunked\r\n"),
        ("folded", "Transfer-Encoding:\r\n chunked\r\n"),
        ("a bare CR", "Transfer-Encoding: chunked\rX: 1\r\n"),
    ];
    let unknown = [("gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n")];
    let unframed = [
        ("gzip", "Transfer-Encoding: gzip\r\n"),
        ("chunked, gzip", "Transfer-Encoding: chunked, gzip\r\n"),
        ("chunked and gzip lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n"),
        ("gzip and chunked lines", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
        ("identity", "Transfer-Encoding: identity\r\n"),
        ("chunked, identity", "Transfer-Encoding: chunked, identity\r\n"),
        ("xchunked", "Transfer-Encoding: xchunked\r\n"),
        ("chunkedx", "Transfer-Encoding: chunkedx\r\n"),
    ];
    let old = "POST /row HTTP/1.0\r\nHost: site.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut table = rows(chunked, &malformed, BAD);
    table.extend(rows(chunked, &unknown, NOT_IMPLEMENTED));
    table.extend(rows(chunked, &unframed, UNFRAMED));
    table.push(row("HTTP/1.0", format!("{old}5\r\nhello\r\n0\r\n\r\n"), BAD));
    Stage::new().await.refuses(table).await;
}

#[tokio::test]
async fn a_field_that_only_looks_like_a_transfer_coding_frames_nothing() {
    let stage = Stage::new().await;
    stage.origin.on("/row", ok("done"));
    for twin in ["Transfer_Encoding: chunked", "Transfer-Encodin: chunked", "TE: chunked"] {
        let mut client = stage.proxy.connect().await;
        client.send(post(&format!("{twin}\r\nContent-Length: 5\r\n"))).await;
        assert_eq!(client.answer().await.text(), "done", "{twin}");
        let received = stage.origin.last("/row");
        assert_eq!(received.content, b"hello", "{twin}");
        assert_eq!(received.head.length(), Some(5), "{twin}");
        assert!(!received.head.has("transfer_encoding") && !received.head.has("te"), "{twin}");
    }
}

//= https://www.rfc-editor.org/rfc/rfc9112#section-5.2
//# A server that receives an obs-fold in a request message that is not within a "message/http" container MUST either
//# reject the message by sending a 400 (Bad Request)
#[tokio::test]
async fn a_folded_line_is_400() {
    let first = "GET /row HTTP/1.1\r\n Host: site.example\r\n\r\n";
    let folds = [
        ("a space", "X: 1\r\n 2\r\n"),
        ("a tab", "X: 1\r\n\t2\r\n"),
        ("only blanks", "X: 1\r\n  \r\n"),
        ("behind Host", " evil.example\r\n"),
        ("a field in a fold", "X: 1\r\n Content-Length: 33\r\n"),
    ];
    let mut table = rows(get, &folds, BAD);
    table.push(row("the first line", first, BAD));
    table.push(row("the first line, tab", first.replace("\n ", "\n\t"), BAD));
    Stage::new().await.refuses(table).await;
}

//= https://www.rfc-editor.org/rfc/rfc9112#section-2.2
//# A recipient of such a bare CR MUST consider that element to be invalid or replace each bare CR with SP
#[tokio::test]
async fn a_line_that_does_not_end_in_crlf_is_400() {
    let cases = [
        "GET /row HTTP/1.1\nHost: site.example\r\n\r\n",
        "GET /row HTTP/1.1\r\nHost: site.example\n\r\n",
        "GET /row HTTP/1.1\r\nHost: site.example\nX: 1\r\n\r\n",
        "GET /row HTTP/1.1\r\nHost: site.example\r\nX: 1\nY: 2\r\n\r\n",
        "GET /row HTTP/1.1\r\nHost: site.example\r\n\n",
        "GET /row HTTP/1.1\nHost: site.example\n\n",
        "\nGET /row HTTP/1.1\r\nHost: site.example\r\n\r\n",
        "GET /row HTTP/1.1\rHost: site.example\r\n\r\n",
        "GET /row HTTP/1.1\r\r\nHost: site.example\r\n\r\n",
        "GET /row HTTP/1.1\r\nHost: site.example\r\r\n\r\n",
        "GET /row HTTP/1.1\r\nHost: site.example\rX: 1\r\n\r\n",
        "GET /row HTTP/1.1\r\nHost: site.example\r\nX: a\rb\r\n\r\n",
        "GET /row HTTP/1.1\r\nHost: site.example\r\nX: \rb\r\n\r\n",
        "GET /row HTTP/1.1\r\nHost: site.example\r\n\rX: 1\r\n\r\n",
        "GET /row HTTP/1.1\r\nHost: site.example\r\n\r\r\n",
        "\rGET /row HTTP/1.1\r\nHost: site.example\r\n\r\n",
    ];
    Stage::new().await.refuses(plain(&cases, BAD)).await;
}

#[tokio::test]
async fn a_field_with_a_byte_that_no_field_has_is_400() {
    let cases = [
        ("NUL in a value", "X: a\0b\r\n"),
        ("0x01 in a value", "X: a\u{1}b\r\n"),
        ("escape in a value", "X: \u{1b}[2J\r\n"),
        ("0x7f in a value", "X: a\u{7f}b\r\n"),
        ("NUL in a name", "X\0: 1\r\n"),
        ("0x01 in a name", "X\u{1}: 1\r\n"),
        ("0x7f in a name", "X\u{7f}: 1\r\n"),
        ("a letter beyond ASCII in a name", "X\u{e9}: 1\r\n"),
        ("a bracket in a name", "X(y): 1\r\n"),
        ("a quote in a name", "\"X\": 1\r\n"),
        ("a slash in a name", "X/y: 1\r\n"),
        ("a space in a name", "X y: 1\r\n"),
        ("a space before the colon", "X : 1\r\n"),
        ("a tab before the colon", "X\t: 1\r\n"),
        ("an empty name", ": 1\r\n"),
        ("no colon", "nonsense\r\n"),
        ("no colon, and a request", "GET /smuggled HTTP/1.1\r\n"),
        ("a length behind a NUL", "X: 1\0\r\nContent-Length: 0\r\n"),
    ];
    Stage::new().await.refuses(rows(get, &cases, BAD)).await;
}

#[tokio::test]
async fn a_request_line_that_is_not_three_words_is_400() {
    let host = "\r\nHost: site.example\r\n\r\n";
    let lines = [
        "GET /row",
        "GET",
        "GET  /row HTTP/1.1",
        "GET /row  HTTP/1.1",
        "GET\t/row HTTP/1.1",
        "GET /row\tHTTP/1.1",
        "GET /row HTTP/1.1 ",
        "GET /row HTTP/1.1\t",
        " GET /row HTTP/1.1",
        " /row HTTP/1.1",
        "/row HTTP/1.1",
        "G(T /row HTTP/1.1",
        "G\0T /row HTTP/1.1",
        "G\u{e9}T /row HTTP/1.1",
        "GET: /row HTTP/1.1",
        "GET /row GET HTTP/1.1",
        "GET HTTP/1.1",
        "GET /row HTTP/1.1 HTTP/1.1",
        "GET /row HTTP/1.1,",
        "GET /row HTTP/1.",
        "GET /row HTTP/.1",
        "GET /row HTTP/ 1.1",
        "GET /row HTTP /1.1",
        "GET /row HTTP/1.1x",
        "GET /row HTTPS/1.1",
        "GET /row ICY/1.1",
        "GET /row http/1.1",
        "GET /row Http/1.1",
    ];
    let versions = [
        "HTTP/0.9",
        "HTTP/1.10",
        "HTTP/1.01",
        "HTTP/01.1",
        "HTTP/11",
        "HTTP/2.0",
        "HTTP/2",
        "HTTP/3.0",
        "HTTP/9.9",
        "HTTP/1,1",
        "HTTP/-1.1",
    ];
    let lines = lines.map(|line| row(&format!("{line:?}"), format!("{line}{host}"), BAD));
    let versions = versions.map(|name| row(name, format!("GET /row {name}{host}"), VERSION));
    let bare = plain(&["GET /\r\n\r\n", "GET /row\r\n"], VERSION);
    Stage::new().await.refuses(lines.into_iter().chain(versions).chain(bare)).await;
}

//= https://www.rfc-editor.org/rfc/rfc9112#section-3.2
//# A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that lacks a Host header
//# field and to any request message that contains more than one Host header field line or a Host header field with an
//# invalid field value.
#[tokio::test]
async fn a_host_that_is_not_one_host_is_400() {
    let values = [
        "",
        " ",
        "user@a",
        "user:pass@a",
        "a@",
        "a/b",
        "/",
        "http://a",
        "a b",
        "a\tb",
        "a, b",
        "a,b",
        "a;b",
        "a\\b",
        "a?b",
        "a#b",
        "a\0",
        "a\u{1}b",
        "a\u{7f}",
        "a\u{e9}",
        "a:b",
        "a:99999",
        "a:-1",
        "a:+80",
        "a:0x50",
        "a:80:80",
        "a:8 0",
        ":80",
        "[::1",
        "::1]",
        "[::1]x",
        "[::1]:b",
        "[g::1]",
        "a..",
        ".",
        "\"a\"",
        "<a>",
        "a|b",
        "a{b}",
    ];
    let values = values.map(|host| {
        row(&format!("Host: {host:?}"), format!("GET /row HTTP/1.1\r\nHost: {host}\r\n\r\n"), BAD)
    });
    let heads = [
        "GET /row HTTP/1.1\r\n\r\n",
        "GET /row HTTP/1.1\r\nX-Forwarded-Host: site.example\r\n\r\n",
        "GET /row HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /row HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /row HTTP/1.1\r\nHost: a\r\nX: 1\r\nhost: b\r\n\r\n",
        "GET /row HTTP/1.1\r\nHost:\r\nHost: a\r\n\r\n",
        "GET /row HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /row HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET http://site.example/row HTTP/1.1\r\n\r\n",
        "GET http://site.example/row HTTP/1.1\r\nHost: other.example\r\n\r\n",
        "GET http://site.example/row HTTP/1.1\r\nHost: site.example:81\r\n\r\n",
        "GET http://user@site.example/row HTTP/1.1\r\nHost: site.example\r\n\r\n",
        "GET http://site.example@evil.example/row HTTP/1.1\r\nHost: site.example\r\n\r\n",
        "GET http://site.example\\@evil.example/row HTTP/1.1\r\nHost: site.example\r\n\r\n",
    ];
    Stage::new().await.refuses(values.into_iter().chain(plain(&heads, BAD))).await;
}

#[tokio::test]
async fn a_target_that_is_no_path_is_400() {
    let targets = [
        "ftp://site.example/row",
        "file:///row",
        "javascript:x",
        "http:///row",
        "http:row",
        "http://",
        "*",
        "**",
        "row",
        "./row",
        "?row",
        "#row",
        "site.example",
        "site.example:80",
        "/r\\ow",
        "/row#fragment",
        "/row?x#fragment",
        "http://site.example/row#fragment",
        "/row\0",
        "/row\u{1}",
        "/row\u{b}",
        "/row\u{7f}",
        "/r\u{e9}w",
        "/row?\u{e9}",
        "/row\u{a0}",
    ];
    let refused = targets.into_iter().map(|target| {
        row(
            &format!("{target:?}"),
            format!("GET {target} HTTP/1.1\r\nHost: site.example\r\n\r\n"),
            BAD,
        )
    });
    Stage::new().await.refuses(refused).await;
}

#[tokio::test]
async fn connect_and_trace_are_405_and_what_follows_them_is_no_request() {
    let rows = [
        row("CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", &[405]),
        row("CONNECT /", "CONNECT /row HTTP/1.1\r\nHost: site.example\r\n\r\n", &[400, 405]),
        row("CONNECT, no port", "CONNECT h HTTP/1.1\r\nHost: h\r\n\r\n", &[400, 405]),
        row("TRACE", "TRACE /row HTTP/1.1\r\nHost: site.example\r\n\r\n", &[405]),
    ];
    Stage::new().await.refuses(rows).await;
}

#[tokio::test]
async fn a_head_beyond_a_limit_is_refused_and_what_follows_it_is_no_request() {
    let stage = Stage::with(|config| {
        config.limits.max_url = 100;
        config.limits.max_header_bytes = 8192;
        config.limits.max_headers = 10;
    })
    .await;
    let long = "x".repeat(200);
    let huge = "x".repeat(9000);
    let path = |path: &str| format!("GET /{path} HTTP/1.1\r\nHost: site.example\r\n\r\n");
    let rows = [
        row("a long target", path(&long), &[414]),
        row("a long query", path(&format!("?{long}")), &[414]),
        row("a target beyond the head", path(&huge), &[414, 431]),
        row("a long value", get(&format!("X: {huge}\r\n")), &[431]),
        row("a long name", get(&format!("{huge}: 1\r\n")), &[431]),
        row("many bytes", get(&format!("X: {}\r\n", "x".repeat(1000)).repeat(9)), &[431]),
        row("many fields", get(&"X: 1\r\n".repeat(10)), &[431]),
        row("very many fields", get(&"X: 1\r\n".repeat(1000)), &[431]),
    ];
    stage.refuses(rows).await;
}
