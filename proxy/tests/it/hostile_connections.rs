//! Connections to the origin: what comes on one that nobody asked for is nobody's answer, and ends
//! it (RFC 9112 §6.3, §9.2).

use crate::support::hostile::{EVIL, Stage};
use crate::support::origin::{Gate, Reply, cacheable, not_modified, ok, status};
use crate::support::proxy::request;
use crate::support::until;

/// Returns what came: the first response, and in one piece with it what nobody asked for. After
/// another request was sent on the connection, nobody could tell it from the answer.
fn with(surplus: &str, response: &str) -> Reply {
    Reply::bytes([response, surplus].concat())
}

const TEN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789";
const STORED: &str =
    "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 10\r\n\r\n0123456789";
const CHUNKS: &str =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n";
const NOTHING: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const NO_CONTENT_OF_76: &str = "HTTP/1.1 204 No Content\r\ncontent-length: 76\r\n\r\n";
const HEAD_OF_76: &str = "HTTP/1.1 200 OK\r\ncontent-length: 76\r\n\r\n";

#[tokio::test]
async fn bytes_behind_a_response_belong_to_nobody() {
    let stage = Stage::without_retries().await;
    let mut problems = Vec::new();
    for (number, (name, reply, method, content)) in [
        ("behind a length", with(EVIL, TEN), "GET", "0123456789"),
        ("behind what is stored", with(EVIL, STORED), "GET", "0123456789"),
        ("behind chunks", with(EVIL, CHUNKS), "GET", "0123456789"),
        ("behind nothing", with(EVIL, NOTHING), "GET", ""),
        ("behind a 204", with(EVIL, NO_CONTENT), "GET", ""),
        ("in a 204 with a length", with(EVIL, NO_CONTENT_OF_76), "GET", ""),
        ("behind an answer to a POST", with(EVIL, TEN), "POST", "0123456789"),
        ("in an answer to HEAD", with(EVIL, HEAD_OF_76), "HEAD", ""),
        ("behind an answer to HEAD", with(EVIL, NOTHING), "HEAD", ""),
        ("not a response", with("evil", TEN), "GET", "0123456789"),
        ("a single byte", with("\n", TEN), "GET", "0123456789"),
        ("an empty line", with("\r\n", TEN), "GET", "0123456789"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/row/{number}");
        stage.origin.on(&path, reply);
        let answer = stage.proxy.ask(method, &path, &[]).await;
        if !matches!(answer.status(), 200 | 204) || answer.text() != content {
            problems.push(format!("{name}: {} {:?}", answer.status(), answer.text()));
        }
        problems.extend(stage.spoiled(&path).await.iter().map(|wrong| format!("{name}: {wrong}")));
        stage.proxy.app.origins().sweep();
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The next request is there before the answer that it must not get: the proxy has no pause in
/// which it would notice.
#[tokio::test]
async fn bytes_behind_a_response_are_not_for_a_request_that_is_waiting() {
    let stage = Stage::without_retries().await;
    stage.origin.on("/next", ok("next"));
    for round in 0..20 {
        for first in [TEN, STORED, CHUNKS, NOTHING] {
            let path = format!("/row/{round}/{}", first.len());
            stage.origin.on(&path, with(EVIL, first));
            let mut client = stage.proxy.begin(&path, &[]).await;
            client.send(request("GET", "/next", &[], "")).await;
            client.answer().await;
            assert_eq!(client.answer().await.text(), "next", "{first:?}, round {round}");
            let before = stage.origin.last(&path).connection;
            assert_ne!(stage.origin.last("/next").connection, before, "{first:?}, round {round}");
        }
    }
}

/// The origin has sent both pieces before the client has the first: what is in the socket can be
/// seen before the next request is sent on it.
#[tokio::test]
async fn bytes_in_a_piece_of_their_own_belong_to_nobody() {
    let stage = Stage::without_retries().await;
    let mut problems = Vec::new();
    for round in 0..20 {
        for (number, first) in [TEN, STORED, CHUNKS, NOTHING, NO_CONTENT].into_iter().enumerate() {
            let path = format!("/row/{number}/{round}");
            let sent = Gate::closed();
            stage.origin.on(&path, Reply::bytes(first).send(EVIL).opens(&sent));
            stage.proxy.get(&path).await;
            sent.passed().await;
            let wrong = stage.spoiled(&path).await;
            problems.extend(wrong.iter().map(|wrong| format!("{path}: {wrong}")));
        }
    }
    assert!(problems.is_empty(), "{} of 100 rounds, {:#?}", problems.len(), problems.first());
}

#[tokio::test]
async fn content_of_a_304_belongs_to_nobody() {
    let stage = Stage::without_retries().await;
    let not_modified = "HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\n";
    let page = cacheable("page").field("etag", "\"1\"");
    let length = with(EVIL, &format!("{not_modified}content-length: 76\r\n\r\n"));
    let plain = with(EVIL, &format!("{not_modified}\r\n"));
    stage.origin.on_each("/a", [page, length, plain]);
    stage.proxy.get("/a").await;
    for _ in 0..2 {
        stage.proxy.advance(61);
        assert_eq!(stage.proxy.get("/a").await.text(), "page");
        assert_eq!(stage.spoiled("/a").await, [""; 0], "304");
    }
}

#[tokio::test]
async fn a_response_on_an_idle_connection_ends_it() {
    let stage = Stage::without_retries().await;
    for (number, surplus) in [
        EVIL,
        "HTTP/1.1 408 Request Timeout\r\ncontent-length: 4\r\n\r\nevil",
        "x",
        "\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/row/{number}");
        let gate = Gate::closed();
        stage.origin.on(&path, ok("0123456789").hold(&gate).send(surplus));
        assert_eq!(stage.proxy.get(&path).await.text(), "0123456789");
        until("the connection to be idle", || stage.proxy.app.origins().connections() == (0, 1))
            .await;
        gate.open();
        until("the connection to end", || {
            stage.proxy.app.origins().sweep();
            stage.proxy.app.origins().connections() == (0, 0)
        })
        .await;
        assert_eq!(stage.spoiled(&path).await, [""; 0], "{surplus:?}");
        stage.origin.on("/last", ok("last").close());
        assert_eq!(stage.proxy.get("/last").await.text(), "last");
        until("no connection", || {
            stage.proxy.app.origins().sweep();
            stage.proxy.app.origins().connections() == (0, 0)
        })
        .await;
    }
}

#[tokio::test]
async fn a_refusal_that_comes_before_the_content_was_read_is_relayed_and_ends_the_connection() {
    let stage = Stage::without_retries().await;
    for (path, framing, content) in [
        ("/length", ("Content-Length", "1000000"), "0123456789"),
        ("/chunked", ("Transfer-Encoding", "chunked"), "a\r\n0123456789\r\n"),
    ] {
        stage.origin.on_head(path, status("413 Content Too Large", "too much"));
        let mut client = stage.proxy.connect().await;
        client.send(request("POST", path, &[framing], "") + content).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.text()), (413, "too much"), "{path}");
        assert_eq!(stage.spoiled(path).await, [""; 0], "{path}");
    }
}

#[tokio::test]
async fn a_304_and_a_101_that_nobody_asked_for_are_502_and_end_the_connection() {
    let stage = Stage::without_retries().await;
    let switching =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    for (name, path, reply) in [
        ("304", "/304", not_modified()),
        (
            "304 with a tag",
            "/304t",
            not_modified().field("etag", "\"1\"").field("cache-control", "max-age=60"),
        ),
        ("101", "/101", Reply::bytes(switching)),
        ("101 and a response", "/101r", Reply::bytes([switching, EVIL].concat())),
    ] {
        stage.origin.on(path, reply);
        for _ in 0..2 {
            let answer = stage.proxy.get(path).await;
            assert_eq!(answer.status(), 502, "{name}");
            assert_eq!(
                answer.field("proxy-status").unwrap(),
                "shellac; error=http_protocol_error",
                "{name}"
            );
            assert_eq!(stage.spoiled(path).await, [""; 0], "{name}");
        }
    }
    assert_eq!(stage.proxy.app.store.usage().objects, 0);
}

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nset-cookie: a=evil\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n";

#[tokio::test]
async fn early_hints_are_relayed_as_they_arrive_and_leave_no_trace_in_what_is_stored() {
    let stage = Stage::without_retries().await;
    let gate = Gate::closed();
    stage.origin.on(
        "/a",
        Reply::bytes(HINTS)
            .hold(&gate)
            .send("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 4\r\n\r\npage"),
    );

    let mut client = stage.proxy.begin("/a", &[]).await;
    let hints = client.head().await; // the origin has sent no more
    gate.open();
    let answer = client.answer().await;
    let hit = stage.proxy.get("/a").await;

    assert_eq!(hints.word(1), "103");
    assert_eq!(hints.field("link").unwrap(), "</a.css>; rel=preload");
    assert!(!hints.has("connection") && !hints.has("x-hop"), "{}", hints.text);
    for answer in [answer, hit] {
        assert_eq!((answer.status(), answer.text()), (200, "page"));
        assert!(!answer.head.has("link") && !answer.head.has("set-cookie"), "{}", answer.head.text);
    }
    assert_eq!(stage.origin.count("/a"), 1);
}

//= https://www.rfc-editor.org/rfc/rfc9110#section-15.2
//# Since HTTP/1.0 did not define any 1xx status codes, a server MUST NOT send a 1xx response to an HTTP/1.0 client.
#[tokio::test]
async fn early_hints_do_not_reach_an_http_1_0_client() {
    let stage = Stage::without_retries().await;
    stage
        .origin
        .on("/a", Reply::bytes(HINTS).send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npage"));

    let mut client = stage.proxy.connect().await;
    client.send("GET /a HTTP/1.0\r\nHost: site.example\r\n\r\n").await;
    let answer = client.answer().await;

    assert_eq!((answer.status(), answer.text()), (200, "page"));
    assert!(!answer.head.has("link"));
}

#[tokio::test]
async fn a_redirect_is_the_clients_to_follow() {
    let stage = Stage::without_retries().await;
    for code in [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let number = code.split(' ').next().unwrap();
        let path = format!("/{number}");
        let location = format!("http://{}/admin", stage.origin.address);
        stage.origin.on(&path, status(code, "").field("location", &location));
        let answer = stage.proxy.get(&path).await;
        assert_eq!(answer.status().to_string(), number);
        assert_eq!(answer.field("location").unwrap(), location);
    }
    assert_eq!(stage.origin.count("/admin"), 0);
}

#[tokio::test]
async fn an_idle_connection_that_the_origin_closes_costs_no_request() {
    let stage = Stage::without_retries().await;
    for round in 0..20 {
        let gate = Gate::closed();
        stage.origin.on("/row", ok("row").hold(&gate).close());
        assert_eq!(stage.proxy.get("/row").await.text(), "row", "{round}");
        gate.open(); // before, while or after the next request is sent
        stage.origin.on("/next", ok("next"));
        assert_eq!(stage.proxy.get("/next").await.text(), "next", "{round}");
    }
}
