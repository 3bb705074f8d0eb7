//! Limits: what one client may ask for, and what happens at each limit.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::support::origin::{Gate, Origin, Reply, cacheable, ok};
use crate::support::proxy::{Proxy, request};
use crate::support::{in_time, until};

const SOON: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_url_beyond_the_limit_is_414() {
    let origin = Origin::start().await;
    let just = format!("/{}", "x".repeat(99));
    origin.on(&just, ok(""));
    let proxy = Proxy::start_with(&origin, |config| config.limits.max_url = 100);

    assert_eq!(proxy.get(&just).await.status(), 200);
    let answer = proxy.get(&format!("{just}y")).await;

    assert_eq!(answer.status(), 414);
    assert!(answer.text().contains("longer than 100 bytes"));
    assert_eq!(answer.field("connection").unwrap(), "close");
}

#[tokio::test]
async fn a_head_beyond_the_limits_is_431() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = Proxy::start_with(&origin, |config| {
        config.limits.max_header_bytes = 8192;
        config.limits.max_headers = 10;
    });
    let long = "x".repeat(9000);
    let many: Vec<_> = (0..10).map(|_| ("X", "1")).collect();

    assert_eq!(proxy.get_with("/a", &many[..9]).await.status(), 200);
    assert_eq!(proxy.get_with("/a", &many).await.status(), 431);
    assert_eq!(proxy.get_with("/a", &[("X", &long)]).await.status(), 431);
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn content_beyond_the_limit_is_413_whether_its_length_is_told_or_not() {
    let origin = Origin::start().await;
    origin.on("/a", ok("done"));
    let proxy = Proxy::start_with(&origin, |config| config.limits.max_body = 10);

    assert_eq!(proxy.post("/a", "0123456789").await.text(), "done");
    assert_eq!(proxy.post("/a", "0123456789x").await.status(), 413);
    assert_eq!(origin.count("/a"), 1);

    let mut client = proxy.connect().await;
    client.send(request("POST", "/a", &[("Transfer-Encoding", "chunked")], "")).await;
    client.try_send("a\r\n0123456789\r\n").await;
    client.try_send("1\r\nx\r\n0\r\n\r\n").await;
    let answer = client.answer().await;

    assert_eq!(answer.status(), 413);
    assert!(origin.received("/a").iter().skip(1).all(|request| !request.is_complete));
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = Proxy::start_in_real_time(&origin, |config| config.limits.header_timeout = SOON);

    for begun in ["P", "GET /a HTTP/1.1\r\nHost: si"] {
        let mut client = proxy.connect().await;
        client.send(begun).await;
        if begun.len() > 1 {
            assert_eq!(client.until_closed().await, b"");
        }
    }
    let mut second = proxy.connect().await;
    second.send(request("GET", "/a", &[], "")).await;
    second.answer().await;
    second.send("GET /a").await;
    assert_eq!(second.until_closed().await, b"");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable(""));
    let proxy = Proxy::start_in_real_time(&origin, |config| config.limits.keepalive_timeout = SOON);

    let mut unused = proxy.connect().await;
    let mut used = proxy.connect().await;
    for _ in 0..2 {
        used.send(request("GET", "/a", &[], "")).await;
        assert_eq!(used.answer().await.status(), 200);
    }

    assert_eq!(unused.until_closed().await, b"");
    assert_eq!(used.until_closed().await, b"");
}

#[tokio::test]
async fn a_connection_that_waits_for_the_origin_is_not_idle() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let head = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 4\r\n\r\n";
    origin.on("/a", Reply::held(&gate).send(head).send("late"));
    origin.on("/b", ok(""));
    let proxy = Proxy::start_in_real_time(&origin, |config| {
        config.limits.keepalive_timeout = SOON;
        config.limits.header_timeout = SOON;
        config.limits.send_timeout = SOON;
    });

    let mut waiting = proxy.begin("/a", &[]).await;
    let mut idle = proxy.connect().await;
    idle.send(request("GET", "/b", &[], "")).await;
    idle.answer().await;
    idle.until_closed().await; // as long as an idle one may live
    gate.open();

    assert_eq!(waiting.answer().await.text(), "late");
}

#[tokio::test]
async fn a_client_that_takes_no_bytes_is_cut_off() {
    const LENGTH: usize = 32 << 20; // more than the kernel buffers
    let origin = Origin::start().await;
    origin.on("/stored", cacheable(&"x".repeat(LENGTH)));
    origin.on("/streamed", ok(&"x".repeat(LENGTH)).field("cache-control", "private"));
    let proxy = Proxy::start_in_real_time(&origin, |config| {
        config.limits.header_timeout = SOON;
        config.limits.send_timeout = SOON;
        config.storage.memory.max_object = 64 << 20;
        config.storage.memory.capacity = 256 << 20;
    });
    assert_eq!(proxy.get("/stored").await.content.len(), LENGTH);

    for (cut, path) in [(1, "/stored"), (2, "/streamed")] {
        let mut client = proxy.begin(path, &[]).await;
        until("the cut", || proxy.app.listeners.metrics.cut.value() == cut).await;
        let by_limit = proxy.app.listeners.metrics.cuts().map(|(_, count)| count).sum::<u64>();
        assert_eq!(by_limit, cut, "each is counted by the name of its limit");
        assert!(client.until_closed().await.len() < LENGTH, "{path}");
    }
}

#[tokio::test]
async fn content_that_stalls_is_not_waited_for() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = Proxy::start_with(&origin, |config| config.limits.body_timeout = SOON);

    let mut client = proxy.connect().await;
    client.send(request("POST", "/a", &[("Content-Length", "10")], "") + "012").await;
    let answer = client.answer().await;

    assert_eq!(answer.status(), 408);
    assert!(!origin.seen("/a", 1).await.is_complete);
}

#[tokio::test]
async fn beyond_the_limit_connections_wait_until_another_one_ends() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = Proxy::start_with(&origin, |config| {
        config.workers = 1;
        config.limits.max_connections = 1;
    });

    let mut first = proxy.connect().await;
    first.send(request("GET", "/a", &[], "")).await;
    first.answer().await;
    let mut second = proxy.begin("/a", &[]).await;
    first.send(request("GET", "/a", &[], "")).await;
    first.answer().await;
    assert_eq!(proxy.app.listeners.metrics.accepted.value(), 1);
    drop(first);

    assert_eq!(second.answer().await.status(), 200);
    assert_eq!(proxy.app.listeners.metrics.accepted.value(), 2);
    let metrics = proxy.ask_admin("GET", "/metrics", &[], "").await;
    assert!(metrics.text().contains("shellac_http_connections_waited_total 1\n"));
}

#[tokio::test]
async fn idle_connections_close_where_others_wait() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", ok(""));
    origin.on("/slow", ok("").after(&gate));
    let proxy = Proxy::start_with(&origin, |config| {
        config.workers = 1;
        config.limits.max_connections = 3;
    });
    let mut busy = proxy.begin("/slow", &[]).await;
    origin.seen("/slow", 1).await;
    let mut silent = proxy.connect().await;
    until("it is accepted", || proxy.app.listeners.metrics.accepted.value() == 2).await;
    proxy.advance(1);
    let mut used = proxy.begin("/a", &[]).await;
    assert_eq!(used.answer().await.status(), 200);

    let mut third = proxy.begin("/a", &[]).await;
    assert_eq!(as_time_passes(&proxy, third.answer()).await.status(), 200);
    assert_eq!(silent.until_closed().await, b"", "it was idle for longer");
    let mut fourth = proxy.begin("/a", &[]).await;
    assert_eq!(as_time_passes(&proxy, fourth.answer()).await.status(), 200);
    assert_eq!(used.until_closed().await, b"");

    gate.open();
    assert_eq!(busy.answer().await.status(), 200);
    let metrics = proxy.ask_admin("GET", "/metrics", &[], "").await;
    assert!(metrics.text().contains("shellac_http_connections_made_room_total 2\n"));
}

/// Waits for an answer while the proxy's clock, which the test has in its hand, goes on.
async fn as_time_passes<T>(proxy: &Proxy, answer: impl Future<Output = T>) -> T {
    let time = async {
        loop {
            proxy.advance(1);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answer = async {
        tokio::select! {
            answer = answer => answer,
            () = time => unreachable!("time does not end"),
        }
    };
    in_time("the answer", answer).await
}

#[tokio::test]
async fn idle_clients_of_the_admin_listener_do_not_hold_a_purge_up() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(proxy.admin).await.unwrap());
    }

    let answer = as_time_passes(&proxy, proxy.purge(r#"{"tags":["a"]}"#)).await;

    assert_eq!(answer["matched"]["objects"], 0, "{answer}");
}

#[tokio::test]
async fn requests_queue_for_a_connection_to_the_origin_and_not_for_ever() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", ok("").after(&gate));
    origin.on("/b", ok("b"));
    let proxy = Proxy::start_with(&origin, |config| {
        config.origins[0].max_requests = 1;
        config.origins[0].max_queue = 1;
        config.origins[0].queue_timeout = Duration::from_secs(20);
    });
    let brief = Proxy::start_with(&origin, |config| {
        config.origins[0].max_requests = 1;
        config.origins[0].queue_timeout = SOON;
    });

    let _busy = proxy.begin("/a", &[]).await;
    let _busy_too = brief.begin("/a", &[]).await;
    origin.seen("/a", 2).await;
    let late = brief.get("/b").await;
    let mut queued = proxy.begin("/b", &[]).await;
    until("one to queue", || proxy.app.origins().queued() == 1).await;
    let refused = proxy.get("/b?2").await;
    gate.open();

    for answer in [late, refused] {
        assert_eq!(answer.status(), 503);
        assert_eq!(
            answer.field("proxy-status").unwrap(),
            "shellac; error=connection_limit_reached"
        );
    }
    assert_eq!(queued.answer().await.text(), "b");
}
