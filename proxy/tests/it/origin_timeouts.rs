//! The origin's time-outs: each runs only while the origin is waited for, not the client.

use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};

use crate::support::in_time;
use crate::support::message::Head;
use crate::support::origin::{Gate, Origin, Reply, ok};
use crate::support::proxy::{Proxy, request};

const SOON: Duration = Duration::from_millis(300);

/// Lets at least one [`SOON`] pass, by the proxy's own clock: an origin that is silent is cut after
/// it.
async fn pass(origin: &Origin, proxy: &Proxy) {
    origin.on("/silent", Reply::held(&Gate::closed()));
    for _ in 0..2 {
        assert_eq!(proxy.get("/silent").await.status(), 504);
    }
}

fn failures(proxy: &Proxy, reason: &str) -> u64 {
    let origins = proxy.app.origins();
    let mut all = origins.first().metrics.failures();
    all.find(|(known, _)| *known == reason).unwrap().1
}

#[tokio::test]
async fn an_upload_may_take_longer_than_the_first_byte() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| config.origins[0].first_byte_timeout = SOON);
    for (path, framing, pieces) in [
        ("/length", ("Content-Length", "10"), ["01234", "56789"]),
        (
            "/chunked",
            ("Transfer-Encoding", "chunked"),
            ["5\r\n01234\r\n", "5\r\n56789\r\n0\r\n\r\n"],
        ),
    ] {
        origin.on(path, ok("done"));
        let mut client = proxy.connect().await;
        client.send(request("POST", path, &[framing], "") + pieces[0]).await;
        pass(&origin, &proxy).await;
        client.send(pieces[1]).await;

        assert_eq!(client.answer().await.text(), "done", "{path}");
        assert_eq!(origin.last(path).content, b"0123456789", "{path}");
    }
}

#[tokio::test]
async fn an_origin_that_is_silent_after_an_upload_is_cut() {
    let origin = Origin::start().await;
    origin.on("/a", Reply::held(&Gate::closed()));
    let proxy = Proxy::start_with(&origin, |config| config.origins[0].first_byte_timeout = SOON);

    let answer = proxy.post("/a", "0123456789").await;

    assert_eq!(answer.status(), 504);
    let expected = "shellac; error=connection_read_timeout; details=\"first_byte_timeout\"";
    assert_eq!(answer.field("proxy-status").unwrap(), expected);
    assert!(origin.last("/a").is_complete);
    assert_eq!(failures(&proxy, "first_byte_timeout"), 1);
}

#[tokio::test]
async fn an_origin_that_does_not_read_an_upload_is_cut() {
    let origin = Origin::start().await;
    origin.on_head("/a", Reply::held(&Gate::closed()));
    let proxy = Proxy::start_with(&origin, |config| {
        config.origins[0].idle_timeout = SOON;
        config.limits.max_body = 1 << 30;
    });
    let length = (64_usize << 20).to_string(); // more than the kernel buffers
    let head = request("POST", "/a", &[("Content-Length", &length)], "");

    let (from, mut to) = proxy.connect().await.stream.into_inner().into_split();
    to.write_all(head.as_bytes()).await.unwrap();
    let sending = tokio::spawn(async move { while to.write_all(&[0; 1 << 12]).await.is_ok() {} });
    let answer = in_time("the answer", Head::read(&mut BufReader::new(from))).await;
    let answer = answer.unwrap().unwrap();
    sending.abort();

    assert_eq!(answer.word(1), "504");
    let expected = "shellac; error=connection_write_timeout; details=\"idle_timeout\"";
    assert_eq!(answer.field("proxy-status").unwrap(), expected);
    assert_eq!(failures(&proxy, "send_timeout"), 1);
}

#[tokio::test]
async fn a_client_that_reads_slowly_does_not_make_the_origin_late() {
    const HALF: usize = 16 << 20; // more than the kernel buffers
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 2 * HALF);
    origin.on(
        "/a",
        Reply::bytes(head)
            .field("cache-control", "private")
            .send(vec![b'x'; HALF])
            .opens(&gate)
            .send(vec![b'x'; HALF]),
    );
    let proxy = Proxy::start_with(&origin, |config| {
        config.origins[0].first_byte_timeout = SOON;
        config.origins[0].idle_timeout = SOON;
    });

    let mut client = proxy.begin("/a", &[]).await;
    let head = client.head().await;
    pass(&origin, &proxy).await; // the client takes nothing meanwhile
    let answer = client.rest(head).await.unwrap();

    assert_eq!(answer.content.len(), 2 * HALF);
    assert_eq!(failures(&proxy, "idle_timeout"), 0);
}

#[tokio::test]
async fn a_client_that_waits_for_the_origin_is_not_taken_for_slow() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on(
        "/events",
        Reply::bytes("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
            .field("cache-control", "no-store")
            .send("01234")
            .hold(&gate)
            .send("56789"),
    );
    let proxy = Proxy::start_with(&origin, |config| {
        config.origins[0].first_byte_timeout = SOON;
        config.limits.send_timeout = SOON / 2;
    });

    let mut client = proxy.begin("/events", &[]).await;
    let head = client.head().await;
    assert_eq!(client.bytes(5).await, b"01234");
    pass(&origin, &proxy).await;
    gate.open();

    assert_eq!(client.bytes(5).await, b"56789");
    assert_eq!(head.word(1), "200");
}

#[tokio::test]
async fn an_event_stream_may_pause_for_longer_than_other_content() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let events = || Reply::bytes(head).field("cache-control", "no-store").send("data: 1\n\n");
    origin.on("/events", events().hold(&gate).send("data: 2\n\n").close());
    let proxy = Proxy::start_with(&origin, |config| {
        config.origins[0].first_byte_timeout = SOON;
        config.origins[0].idle_timeout = SOON;
    });

    let mut client = proxy.begin("/events", &[]).await;
    let head = client.head().await;
    pass(&origin, &proxy).await;
    gate.open();
    assert_eq!(client.rest(head).await.unwrap().text(), "data: 1\n\ndata: 2\n\n");
    assert_eq!(failures(&proxy, "idle_timeout"), 0);

    origin.on("/events", events().hold(&Gate::closed()));
    let proxy = Proxy::start_with(&origin, |config| {
        config.origins[0].idle_timeout = SOON / 2;
        config.origins[0].stream_idle_timeout = SOON;
    });
    let mut client = proxy.begin("/events", &[]).await;
    client.head().await;
    client.until_closed().await;
    assert_eq!(failures(&proxy, "stream_idle_timeout"), 1);
}

#[tokio::test]
async fn content_that_stalls_is_counted_by_the_name_of_its_limit() {
    let origin = Origin::start().await;
    let never = Gate::closed();
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
    origin.on("/a", Reply::bytes(head).send("01234").hold(&never));
    let idle = Proxy::start_with(&origin, |config| config.origins[0].idle_timeout = SOON);
    let total = Proxy::start_with(&origin, |config| config.origins[0].total_timeout = Some(SOON));

    for (proxy, reason) in [(&idle, "idle_timeout"), (&total, "total_timeout")] {
        let mut client = proxy.begin("/a", &[]).await;
        client.head().await;
        assert_eq!(client.until_closed().await, b"01234");
        assert_eq!(failures(proxy, reason), 1);
        let page = proxy.ask_admin("GET", "/metrics", &[], "").await;
        let line = format!("shellac_origin_failures_total{{origin=\"app\",reason=\"{reason}\"}} 1");
        assert!(page.text().contains(&line), "{}", page.text());
    }
}
