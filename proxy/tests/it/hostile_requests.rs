//! Heads of requests that two parsers may read in two ways: refused, and not a byte of them reaches
//! the origin.
//!
//! Each row is sent in one write with a second request behind it, which must be neither forwarded
//! nor answered (RFC 9112 §11.2). What can be said wrongly over HTTP/2 as well is in
//! `both_protocols`; what is refused in content and on connections in `hostile_bodies`.

use crate::support::hostile::{Row, Stage, row};
use crate::support::origin::ok;

const BAD: &[u16] = &[400];
/// `HTTP/` and a version that is none of ours: malformed or unsupported.
const VERSION: &[u16] = &[400, 505];
const NOT_IMPLEMENTED: &[u16] = &[501];
/// Not understood (501, RFC 9112 §6.1), and chunked is not the last coding (400, §6.3): both are
/// true.
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
async fn a_line_that_is_no_field_is_400() {
    let cases = [
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
async fn a_host_that_is_missing_or_contradicts_the_target_is_400() {
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
    Stage::new().await.refuses(plain(&heads, BAD)).await;
}

#[tokio::test]
async fn a_target_with_a_fragment_is_400() {
    let targets = [
        "/row#fragment",
        "/row#",
        "/row?x#fragment",
        "/row#?x",
        "http://site.example/row#fragment",
    ];
    let refused = targets.into_iter().map(|target| {
        row(target, format!("GET {target} HTTP/1.1\r\nHost: site.example\r\n\r\n"), BAD)
    });
    Stage::new().await.refuses(refused).await;
}
