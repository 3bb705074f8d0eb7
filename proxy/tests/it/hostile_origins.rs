//! Responses that break the rules are never stored, never believed in part, and never reach another
//! exchange.

use crate::support::hostile::{EVIL, Stage};
use crate::support::message::Head;
use crate::support::origin::{Gate, Origin, Reply, cacheable, ok};
use crate::support::proxy::{Proxy, request};
use crate::support::{join_all, until};

/// A cacheable response of `hello` with this first line and these lines behind its fields.
fn response(line: &str, lines: &str) -> String {
    format!("{line}\r\ncache-control: max-age=60\r\n{lines}\r\nhello")
}

fn lengthy(lines: &str) -> String {
    response("HTTP/1.1 200 OK", &format!("content-length: 5\r\n{lines}"))
}

/// Sends a GET, a GET and a POST for each response: 502 each time, nothing stored, no connection
/// used again.
async fn is_502(stage: &Stage, rows: impl IntoIterator<Item = (&str, String)>) {
    let (mut problems, mut count) = (Vec::new(), 0);
    for (name, bytes) in rows {
        count += 1;
        stage.origin.on("/row", Reply::bytes(&bytes));
        let mut wrong = Vec::new();
        for method in ["GET", "GET", "POST"] {
            let answer = stage.proxy.ask(method, "/row", &[]).await;
            let error = answer.field("proxy-status").unwrap_or_default();
            if answer.status() != 502 || !error.starts_with("shellac; error=") {
                wrong.push(format!("{method}: {} {error} {:?}", answer.status(), answer.text()));
            }
            wrong.extend(stage.spoiled("/row").await);
        }
        if stage.proxy.app.store.usage().objects > 0 {
            wrong.push("it was stored".to_owned());
            stage.proxy.purge(r#"{"all":true}"#).await;
        }
        if !wrong.is_empty() {
            problems.push(format!("{name}: {}", wrong.join("; ")));
        }
    }
    assert!(problems.is_empty(), "{} of {count} rows\n{}", problems.len(), problems.join("\n"));
}

#[tokio::test]
async fn a_response_whose_length_is_in_doubt_is_502() {
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    let framings = [
        ("two lengths", "content-length: 5\r\ncontent-length: 6\r\n"),
        ("two lengths in a line", "content-length: 5, 6\r\n"),
        ("a signed length", "content-length: +5\r\n"),
        ("a negative length", "content-length: -5\r\n"),
        ("a length that is no number", "content-length: 5x\r\n"),
        ("an empty length", "content-length:\r\n"),
        ("a length beyond all numbers", "content-length: 99999999999999999999\r\n"),
        ("a length before a coding", "content-length: 5\r\ntransfer-encoding: chunked\r\n"),
        ("a length behind a coding", "transfer-encoding: chunked\r\ncontent-length: 5\r\n"),
        ("gzip", "transfer-encoding: gzip\r\n"),
        ("gzip, chunked", "transfer-encoding: gzip, chunked\r\n"),
        ("chunked, gzip", "transfer-encoding: chunked, gzip\r\n"),
        ("chunked twice", "transfer-encoding: chunked, chunked\r\n"),
        ("chunked on two lines", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"),
        ("a coding with a parameter", "transfer-encoding: chunked;q=1\r\n"),
        ("an unknown coding", "transfer-encoding: xchunked\r\n"),
        ("an empty coding", "transfer-encoding:\r\n"),
        ("a coding with a vertical tab", "transfer-encoding: \u{b}chunked\r\n"),
    ];
    let rows = framings.map(|(name, lines)| {
        let head = response("HTTP/1.1 200 OK", lines);
        let is_chunked = lines.contains("chunked");
        (
            name,
            if is_chunked {
                head.replace("\r\n\r\nhello", &format!("\r\n\r\n{chunked}"))
            } else {
                head
            },
        )
    });
    is_502(&Stage::without_retries().await, rows).await;
}

#[tokio::test]
async fn a_status_line_that_is_none_is_502() {
    let lines = [
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 xx",
        "HTTP/1.1 20",
        "HTTP/1.1 20x OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 000 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/2 200",
        "HTTP/2.0 200 OK",
        "HTTP/3.0 200 OK",
        "HTTP/0.9 200 OK",
        "HTTP/1.10 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        " HTTP/1.1 200 OK",
        "garbage",
        "garbage\r\nHTTP/1.1 200 OK",
        "\0HTTP/1.1 200 OK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\rK",
        "HTTP/1.1 200OK",
        "GET / HTTP/1.1",
    ];
    let rows = lines.map(|line| (line, response(line, "content-length: 5\r\n")));
    is_502(&Stage::without_retries().await, rows).await;
}

#[tokio::test]
async fn a_head_with_what_no_head_has_is_502() {
    let fields = [
        ("NUL in a value", "x: a\0b\r\n"),
        ("a control byte in a value", "x: a\u{1}b\r\n"),
        ("0x7f in a value", "x: a\u{7f}b\r\n"),
        ("NUL in a name", "x\0: 1\r\n"),
        ("a bare CR in a value", "x: a\rb\r\n"),
        ("a bare CR that hides a field", "x: a\rset-cookie: evil=1\r\n"),
        ("a bare CR before CRLF", "x: a\r\r\n"),
        ("a folded line", "x: a\r\n b\r\n"),
        ("a line folded with a tab", "x: a\r\n\tb\r\n"),
        ("LF behind a field", "x: a\n"),
        ("LF within a field", "x: a\ny: b\r\n"),
        ("no colon", "nonsense\r\n"),
        ("no name", ": 1\r\n"),
        ("a space in a name", "x y: 1\r\n"),
        ("a space before the colon", "x : 1\r\n"),
        ("a space before the colon of a length", "content-length : 4\r\n"),
    ];
    let mut rows = fields.map(|(name, lines)| (name, lengthy(lines))).to_vec();
    rows.push(("a folded first line", lengthy("").replacen("\r\n", "\r\n ", 1)));
    rows.push(("LF behind the status line", lengthy("").replacen("\r\n", "\n", 1)));
    rows.push(("LF at the end", lengthy("").replace("\r\n\r\n", "\r\n\n")));
    rows.push(("LF everywhere", lengthy("").replace("\r\n", "\n")));
    rows.push(("a value beyond 256 KiB", lengthy(&format!("x: {}\r\n", "x".repeat(257 << 10)))));
    rows.push(("a name beyond 256 KiB", lengthy(&format!("{}: x\r\n", "x".repeat(257 << 10)))));
    rows.push(("many fields", lengthy(&"x: 1\r\n".repeat(1000))));
    rows.push((
        "fields beyond 256 KiB",
        lengthy(&format!("x: {}\r\n", "x".repeat(2 << 10)).repeat(140)),
    ));
    is_502(&Stage::without_retries().await, rows).await;
}

const LONG: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 10\r\n\r\n";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n";

//= https://www.rfc-editor.org/rfc/rfc9111#section-3.3
//# A cache MUST NOT store incomplete or partial-content responses if it does not support the Range and Content-Range
//# header fields
#[tokio::test]
async fn a_truncated_response_is_cut_for_all_and_never_stored() {
    let stage = Stage::without_retries().await;
    let mut problems = Vec::new();
    for (number, (name, head, first, last, is_reset)) in [
        ("a short length", LONG, "01234", "", false),
        ("a short length, reset", LONG, "01234", "", true),
        ("no last chunk", CHUNKED, "5\r\n01234\r\n", "5\r\n56789\r\n", false),
        ("no last chunk, reset", CHUNKED, "5\r\n01234\r\n", "", true),
        ("half a chunk", CHUNKED, "5\r\n01234\r\n", "5\r\n567", false),
        ("no end of the trailers", CHUNKED, "5\r\n01234\r\n", "0\r\n", false),
        ("half a trailer", CHUNKED, "5\r\n01234\r\n", "0\r\nx: 1", false),
        ("a size that is no number", CHUNKED, "5\r\n01234\r\n", "G\r\n56789\r\n0\r\n\r\n", false),
        ("a negative size", CHUNKED, "5\r\n01234\r\n", "-5\r\n56789\r\n0\r\n\r\n", false),
        ("an empty size", CHUNKED, "5\r\n01234\r\n", "\r\n56789\r\n0\r\n\r\n", false),
        ("a size with LF", CHUNKED, "5\r\n01234\r\n", "5\n56789\r\n0\r\n\r\n", false),
        ("an extension with LF", CHUNKED, "5\r\n01234\r\n", "5;a\n56789\r\n0\r\n\r\n", false),
        ("too long a chunk", CHUNKED, "5\r\n01234\r\n", "5\r\n56789evil\r\n0\r\n\r\n", false),
        ("LF behind a chunk", CHUNKED, "5\r\n01234\r\n", "5\r\n56789\n0\r\n\r\n", false),
        ("a last chunk with LF", CHUNKED, "5\r\n01234\r\n", "0\n\n", false),
        ("a trailer without a colon", CHUNKED, "5\r\n01234\r\n", "0\r\nnonsense\r\n\r\n", false),
        ("a folded trailer", CHUNKED, "5\r\n01234\r\n", "0\r\nx: 1\r\n 2\r\n\r\n", false),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/cut/{number}");
        let gate = Gate::closed();
        let cut = Reply::bytes([head, first].concat()).hold(&gate).send(last);
        let cut = if is_reset { cut.reset() } else { cut.close() };
        stage.origin.on_each(&path, [cut, cacheable("whole")]);
        problems.extend(
            cut_for_all(&stage, &path, &gate).await.map(|wrong| format!("{name}: {wrong}")),
        );
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Sends two requests for a response that will be cut and one after it. Returns the faults of the
/// answers.
async fn cut_for_all(stage: &Stage, path: &str, gate: &Gate) -> impl Iterator<Item = String> {
    let mut wrong = Vec::new();
    let mut leader = stage.proxy.begin(path, &[]).await;
    let leaders_head = leader.head().await;
    let mut follower = stage.proxy.begin(path, &[]).await;
    let followers_head = follower.head().await;
    if !followers_head.field("cache-status").unwrap_or_default().contains("; collapsed") {
        wrong.push("the second request did not follow".to_owned());
    }
    gate.open();
    for (name, answer) in [
        ("leader", leader.rest(leaders_head).await),
        ("follower", follower.rest(followers_head).await),
    ] {
        if let Ok(answer) = answer {
            wrong.push(format!("the {name} got {:?} as if it were whole", answer.text()));
        }
    }
    let again = stage.proxy.get(path).await;
    if again.text() != "whole" || again.is_hit() {
        wrong.push(format!("the next request got {:?}, {}", again.text(), again.cache_status()));
    }
    wrong.into_iter()
}

#[tokio::test]
async fn an_error_page_and_a_private_page_are_cut_as_well() {
    let stage = Stage::without_retries().await;
    for line in ["HTTP/1.1 200 OK\r\ncache-control: private", "HTTP/1.1 500 Oops"] {
        let head = format!("{line}\r\ncontent-length: 10\r\n\r\n01234");
        stage.origin.on("/cut", Reply::bytes(head).close());
        for method in ["GET", "POST"] {
            let mut client = stage.proxy.connect().await;
            client.send(request(method, "/cut", &[], "")).await;
            let head = client.head().await;
            assert!(client.rest(head).await.is_err(), "{method} {line:?}");
        }
    }
    assert_eq!(stage.proxy.app.store.usage().objects, 0);
}

#[tokio::test]
async fn a_1xx_is_never_the_response() {
    let stage = Stage::without_retries().await;
    let fields = "cache-control: max-age=60\r\n";
    for (name, bytes) in [
        ("103", format!("HTTP/1.1 103 Early Hints\r\n{fields}\r\n")),
        ("100", format!("HTTP/1.1 100 Continue\r\n{fields}\r\n")),
        ("199 with a length", format!("HTTP/1.1 199 Odd\r\n{fields}content-length: 4\r\n\r\nevil")),
        (
            "103 with chunks",
            format!(
                "HTTP/1.1 103 Early Hints\r\n{fields}transfer-encoding: chunked\r\n\r\n4\r\nevil"
            ),
        ),
    ] {
        stage.origin.on("/row", Reply::bytes(bytes).close());
        for _ in 0..2 {
            let mut client = stage.proxy.begin("/row", &[]).await;
            let mut head = client.head().await;
            if head.word(1) == "103" {
                head = client.head().await; // relayed as it came; what is final is a failure
            }
            assert_eq!(head.word(1), "502", "{name}");
        }
        assert_eq!(stage.proxy.app.store.usage().objects, 0, "{name}");
    }
}

#[tokio::test]
async fn an_origin_that_answers_nothing_spoils_no_other_exchange() {
    let stage = Stage::without_retries().await;
    stage.origin.on("/none", Reply::nothing());
    let mut others = Vec::new();
    for number in 0..20 {
        let path = format!("/{number}");
        stage.origin.on(&path, ok(&path));
        others.push(stage.proxy.begin("/none", &[]).await);
        others.push(stage.proxy.begin(&path, &[]).await);
    }
    for (number, pair) in others.chunks_mut(2).enumerate() {
        assert_eq!(pair[0].answer().await.status(), 502, "{number}");
        assert_eq!(pair[1].answer().await.text(), format!("/{number}"));
    }
}

/// The hostile responses among fifty, in turn. Surplus bytes come in one piece with the response:
/// after another request on the connection they could not be told from its answer.
fn hostile(number: usize) -> Reply {
    let with_surplus = |head: &str| Reply::bytes([head, EVIL].concat());
    match number % 5 {
        0 => with_surplus("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789"),
        1 => with_surplus("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        2 => with_surplus("HTTP/1.1 204 No Content\r\n\r\n"),
        3 => with_surplus("garbage\r\n\r\n"),
        _ => Reply::bytes(LONG).send("01").close(),
    }
}

#[tokio::test]
async fn among_fifty_exchanges_the_sound_ones_get_exactly_their_own_bytes() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    for number in 0..50 {
        let path = format!("/{number}");
        let sound = format!("sound {number}");
        let reply = if number % 2 == 0 { ok(&sound) } else { hostile(number / 2) };
        origin.on(&path, reply.after(&gate));
    }
    let proxy = Proxy::start(&origin);
    for round in 0..4 {
        let clients = join_all((0..50).map(|number| {
            let address = proxy.address;
            let text = request("GET", &format!("/{number}"), &[], "");
            async move {
                let mut client = crate::support::client::Connection::open(address).await;
                client.send(text).await;
                client
            }
        }))
        .await;
        gate.open(); // in the rounds after the first one, connections are taken as they become free
        for (number, mut client) in clients.into_iter().enumerate() {
            let Ok(Some(head)) = Head::read(&mut client.stream).await else {
                // What breaks at once may be cut before its head.
                assert_eq!(number % 2, 1, "{number}, round {round}");
                continue;
            };
            let answer = client.rest(head).await;
            if number % 2 == 0 {
                assert_eq!(answer.unwrap().text(), format!("sound {number}"), "round {round}");
            } else if let Ok(answer) = answer {
                assert!(!answer.text().contains("evil"), "{number}, round {round}");
            }
        }
    }
    until("the origin to have no exchange", || proxy.app.origins().connections().0 == 0).await;
}
