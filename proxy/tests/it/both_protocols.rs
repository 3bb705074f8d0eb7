//! What a request has to be over HTTP/1 and over HTTP/2 alike. Each case is sent over both: it is
//! refused with one status and one sentence, and not a byte of it reaches the origin.
//!
//! What only HTTP/1 can say wrongly, where its lines and its content end, is in `hostile_requests`
//! and `hostile_bodies`.

use crate::support::case::Case;
use crate::support::frames::{Frames, Outcome};
use crate::support::hostile::Stage;
use crate::support::origin::ok;

const BAD: &[u16] = &[400];

fn get(target: &str) -> Case {
    Case::new("GET", target)
}

fn row() -> Case {
    get("/row")
}

fn post() -> Case {
    Case::new("POST", "/row").content("hello")
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
    let lines: [(&str, &[&str]); 6] = [
        ("two different lines", &["5", "6"]),
        ("two equal lines", &["5", "5"]),
        ("an empty line first", &["", "5"]),
        ("an empty line last", &["5", ""]),
        ("two numbers that mean the same", &["5", "05"]),
        ("three", &["5", "5", "5"]),
    ];
    let lines = lines.map(|(name, values)| {
        let repeat = |case: Case, value: &&str| case.field("Content-Length", value);
        (name.to_owned(), values.iter().fold(post(), repeat))
    });
    let values = values.map(|value| (format!("{value:?}"), post().field("Content-Length", value)));
    Stage::new().await.refuses_over_both(lines.into_iter().chain(values), BAD).await;
}

#[tokio::test]
async fn a_transfer_coding_is_for_http_1_and_only_chunked_alone() {
    let values = ["gzip", "chunked, chunked", "chunked, gzip", "identity", "xchunked", ""];
    let cases = values.map(|value| {
        let case = Case::new("POST", "/row").field("Transfer-Encoding", value);
        (format!("{value:?}"), case)
    });
    let beside = post().field("Content-Length", "5").field("Transfer-Encoding", "chunked");
    let cases = cases.into_iter().chain([("beside a length".to_owned(), beside)]);
    Stage::new().await.refuses_over_both(cases, &[400, 501]).await;
}

#[tokio::test]
async fn a_field_with_a_byte_that_no_field_has_is_400() {
    let fields = [
        ("X", "a\0b"),
        ("X", "a\u{1}b"),
        ("X", "\u{1b}[2J"),
        ("X", "a\u{7f}b"),
        ("X", "a\rb"),
        ("X", "a\nb"),
        ("X", "a\r\nY: b"),
        ("X", "a\r\n b"),
        ("X\0", "1"),
        ("X\u{1}", "1"),
        ("X\u{7f}", "1"),
        ("X\u{e9}", "1"),
        ("X(y)", "1"),
        ("\"X\"", "1"),
        ("X/y", "1"),
        ("X y", "1"),
        ("X ", "1"),
        ("X\t", "1"),
        ("X\r\nY", "1"),
        (":X", "1"),
        ("", "1"),
    ];
    let is_sound_over_http1 = |value: &str| value.contains("\r\nY: b");
    let cases = fields
        .into_iter()
        .filter(|(_, value)| !is_sound_over_http1(value))
        .map(|(name, value)| (format!("{name:?}: {value:?}"), row().field(name, value)));
    Stage::new().await.refuses_over_both(cases, BAD).await;
}

//= https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1
//# The recipient of an HTTP/2 request MUST NOT use the Host header field to determine the target URI if ":authority" is
//# present.
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
        "%61",
        "a%00b",
    ];
    let named = values.map(|host| (format!("{host:?}"), row().authority(Some(host))));
    // Over HTTP/2, a request without `:authority` may have `Host`.
    let is_blank = |host: &&str| host.trim().is_empty();
    let field = values.into_iter().filter(|host| !is_blank(host)).map(|host| {
        let case = row().authority(None).field("Host", host);
        (format!("Host: {host:?}"), case)
    });
    let others: [(&str, Case); 4] = [
        ("none", row().authority(None)),
        ("two equal ones", row().authority(None).field("Host", "a").field("Host", "a")),
        ("two", row().authority(None).field("Host", "a").field("Host", "b")),
        ("an empty one first", row().authority(None).field("Host", "").field("Host", "a")),
    ];
    let others = others.map(|(name, case)| (name.to_owned(), case));
    let cases: Vec<_> = named.into_iter().chain(field).chain(others).collect();
    let stage = Stage::new().await;
    stage.refuses_over_both(cases, BAD).await;

    for host in ["other.example", "site.example:81", "", " ", "site.example, site.example"] {
        let mut client = Frames::open(stage.proxy.address).await;
        let beside = row().field("Host", host);
        assert_eq!(beside.http2(&mut client).await.answer().status(), 400, "{host:?}");
        assert_eq!(stage.trespass().await, [""; 0], "{host:?}");
    }
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
        "*/row",
        "row",
        "./row",
        "",
        "?row",
        "?",
        "#",
        "#row",
        "?row#x",
        "site.example",
        "site.example:80",
        "/r\\ow",
        "/r\"ow",
        "/r<ow",
        "/r>ow",
        "/r`ow",
        "/row?\"",
        "/row?<",
        "/row?>",
        "/r ow",
        " /row",
        "/row ",
        "/row HTTP/1.1\r\nX: 1\r\n",
        "/row\0",
        "/row\u{1}",
        "/row\t",
        "/row\r",
        "/row\n",
        "/row\u{b}",
        "/row\u{7f}",
        "/r\u{e9}w",
        "/row?\u{e9}",
        "/row\u{a0}",
    ];
    let is_two_lines = |target: &str| target.contains("\r\nX");
    let texts = targets
        .into_iter()
        .filter(|target| !is_two_lines(target))
        .map(|target| (format!("{target:?}"), get(target)));
    let bytes = [&b"/\xff"[..], b"/row?\xc3", b"/\xed\xa0\x80"]
        .map(|target| (target.escape_ascii().to_string(), Case::new("GET", target)));
    let star = ["POST", "DELETE", "PURGE", "options"]
        .map(|method| (format!("{method} *"), Case::new(method, "*")));
    let options =
        ["", "?x", "#", "**"].map(|target| (target.to_owned(), Case::new("OPTIONS", target)));
    let cases = texts.chain(bytes).chain(star).chain(options);
    Stage::new().await.refuses_over_both(cases, BAD).await;
}

/// HTTP/2's library cuts a fragment off before anybody sees it: the path before it is then what
/// everybody has.
#[tokio::test]
async fn a_fragment_behind_a_path_is_400_or_gone() {
    let stage = Stage::new().await;
    stage.origin.on("/row", ok("row"));
    for target in ["/row#fragment", "/row#", "/row#?x"] {
        let mut http1 = stage.proxy.connect().await;
        http1.send(get(target).http1()).await;
        assert_eq!(http1.answer().await.status(), 400, "{target}");
        assert_eq!(stage.origin.all_received().len(), 0, "{target}");

        let mut http2 = Frames::open(stage.proxy.address).await;
        assert_eq!(get(target).http2(&mut http2).await.answer().text(), "row", "{target}");
        assert_eq!(stage.origin.last("/row").head.line(), "GET /row HTTP/1.1", "{target}");
        stage.origin.forget();
    }
}

//= https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1
//# The ":scheme" pseudo-header field includes the scheme portion of the request target.
#[tokio::test]
async fn a_scheme_other_than_http_and_https_is_400() {
    let stage = Stage::new().await;
    for scheme in ["", "0", "443", "ftp", "file", "javascript", "ws", "httpx", "http:", "http://a"]
    {
        let mut client = Frames::open(stage.proxy.address).await;
        let case = Case { scheme: scheme.to_owned(), ..row() };
        match case.http2(&mut client).await {
            Outcome::Answer(response) => assert_eq!(response.status(), 400, "{scheme:?}"),
            Outcome::Reset(_) => {}
            Outcome::GoAway => panic!("{scheme:?}"),
        }
        assert_eq!(stage.trespass().await, [""; 0], "{scheme:?}");
    }
    stage.origin.on("/row", ok("row"));
    for scheme in ["http", "https", "HTTP", "Https"] {
        let mut client = Frames::open(stage.proxy.address).await;
        let case = Case { scheme: scheme.to_owned(), ..row() };
        assert_eq!(case.http2(&mut client).await.answer().text(), "row", "{scheme}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_for_us_is_405() {
    let cases = [
        ("TRACE", Case::new("TRACE", "/row")),
        ("TRACE *", Case::new("TRACE", "*")),
        ("TRACE with content", Case::new("TRACE", "/row").content("hello")),
    ];
    let cases = cases.map(|(name, case)| (name.to_owned(), case));
    Stage::new().await.refuses_over_both(cases, &[405]).await;
    let authorities = ["/row", "site.example:443", "site.example", "*"];
    let connect = authorities.map(|to| (to.to_owned(), Case::new("CONNECT", to)));
    Stage::new().await.refuses_over_both(connect, &[400, 405]).await;
    let malformed =
        ["", " ", "G T", "G\0T", "G\u{e9}T", "GET ", "G:T", "G/T", "G(T", "GET\r\nX: 1"]
            .map(|method| (format!("{method:?}"), Case::new(method, "/row")));
    Stage::new().await.refuses_over_both(malformed, BAD).await;
}

#[tokio::test]
async fn the_method_of_the_preface_is_never_a_request() {
    let stage = Stage::new().await;
    for target in ["/row", "*"] {
        let mut client = Frames::open(stage.proxy.address).await;
        let refused = Case::new("PRI", target).http2(&mut client).await.answer();
        assert_eq!(refused.status(), 405, "{target}");
        assert_eq!(stage.trespass().await, [""; 0]);
    }
    let without = Stage::with(|config| config.listen[0].http2 = settings::Http2::Off).await;
    let mut client = without.proxy.connect().await;
    client.send(Case::new("PRI", "/row").http1()).await;
    assert_eq!(client.answer().await.status(), 405);
    assert_eq!(without.trespass().await, [""; 0]);
}

#[tokio::test]
async fn a_head_beyond_a_limit_is_refused() {
    let stage = Stage::with(|config| {
        config.limits.max_url = 100;
        config.limits.max_header_bytes = 8192;
        config.limits.max_headers = 10;
    })
    .await;
    let fields = |count: usize, value: &str| {
        (0..count).fold(row(), |case, number| case.field(&format!("x-{number}"), value))
    };
    let same = |count: usize| (0..count).fold(row(), |case, _| case.field("x", "1"));
    let long = "x".repeat(200);
    let targets = [
        ("a long target", get(&format!("/{long}"))),
        ("a long query", get(&format!("/?{long}"))),
        ("a target beyond the head", get(&format!("/{}", "x".repeat(9000)))),
    ];
    let heads = [
        ("a long value", row().field("x", "x".repeat(9000))),
        ("a long name", row().field(&"x".repeat(9000), "1")),
        ("a long method", Case::new(&"X".repeat(9000), "/row")),
        ("many bytes", fields(9, &"x".repeat(1000))),
        ("many fields", fields(11, "1")),
        ("many equal fields", same(11)),
        ("very many fields", same(200)),
    ];
    let own = |cases: &[(&str, Case)]| -> Vec<(String, Case)> {
        cases.iter().map(|(name, case)| ((*name).to_owned(), case.clone())).collect()
    };
    stage.refuses_over_both(own(&targets), &[414]).await;
    let (method, heads): (Vec<_>, Vec<_>) =
        own(&heads).into_iter().partition(|(name, _)| name == "a long method");
    stage.refuses_over_both(method, &[414, 431]).await;
    stage.refuses_over_both(heads, &[431]).await;
}
