//! Clients that take little or nothing of what they asked for: how long they are waited for, and
//! what they cost others.

use std::sync::Arc;
use std::time::Duration;

use shellac::testing::client::peer::{ListenerId, Peer};
use shellac::testing::listener::connection::serve;
use shellac::testing::transport::Transport;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpSocket};

use crate::support::client::Connection;
use crate::support::origin::{Gate, Origin, Reply, cacheable, ok};
use crate::support::proxy::{Proxy, request};
use crate::support::until;
use crate::support::windows::{DATA, Frame, HEADERS, RST_STREAM, Windows};

/// The manual clock decides on time; connections are looked at all the while.
fn by_the_clock(config: &mut settings::Config) {
    config.limits.keepalive_timeout = Duration::from_hours(20);
    config.limits.header_timeout = Duration::from_millis(1);
}

/// Lets some looks at the connection pass.
async fn some_looks(client: &mut Windows) -> Vec<Frame> {
    let mut frames = Vec::new();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        frames.extend(client.ping().await);
    }
    frames
}

fn resets(frames: &[Frame]) -> Vec<u32> {
    frames.iter().filter(|frame| frame.kind == RST_STREAM).map(|frame| frame.stream).collect()
}

const PAGE: usize = 100_000;

async fn site() -> (Origin, Proxy) {
    let origin = Origin::start().await;
    origin.on("/page", cacheable(&"x".repeat(PAGE)));
    let proxy = Proxy::start_with(&origin, by_the_clock);
    assert_eq!(proxy.get("/page").await.content.len(), PAGE);
    (origin, proxy)
}

#[tokio::test]
async fn an_http2_stream_that_takes_nothing_is_reset_and_its_neighbours_go_on() {
    let (origin, proxy) = site().await;
    let gate = Gate::closed();
    origin.on("/late", ok("late").after(&gate));
    let mut client = Windows::open(proxy.address, 0).await;
    for (stream, path) in [(1, "/page"), (3, "/page"), (5, "/late"), (7, "/page")] {
        client.get(stream, path).await;
    }
    for stream in [1, 3, 7] {
        client.next_of(HEADERS, stream).await;
    }
    client.grant(7, 5).await; // all of it is in the hands of hyper's library then
    client.content(7, 5).await;

    let mut reset = Vec::new();
    for _ in 0..3 {
        proxy.advance(40);
        client.grant(3, 10).await;
        let mut left = 10;
        while left > 0 {
            let frame = client.next().await.unwrap();
            reset.extend(resets(std::slice::from_ref(&frame))); // they may come early
            if (frame.kind, frame.stream) == (DATA, 3) {
                left -= frame.payload.len();
            }
        }
    }
    while reset.len() < 2 {
        reset.extend(resets(&[client.next().await.unwrap()]));
    }
    reset.sort_unstable();
    assert_eq!(reset, [1, 7]);
    assert_eq!(proxy.app.listeners.metrics.reset_streams.value(), 2);
    assert_eq!(proxy.app.listeners.metrics.cut.value(), 0);

    // The others are as they were, and so is the connection.
    gate.open();
    client.next_of(HEADERS, 5).await;
    client.grant(5, 100).await;
    assert_eq!(client.next_of(DATA, 5).await.payload, b"late");
    client.grant(1, 100).await; // it crossed the reset on its way
    client.get(9, "/page").await;
    client.grant(0, 1 << 20).await;
    client.grant(9, 1 << 20).await;
    client.content(9, PAGE).await;
    client.grant(3, 1 << 20).await;
    client.content(3, PAGE - 30).await;
}

#[tokio::test]
async fn the_reset_comes_after_the_send_timeout_and_not_before() {
    let (_origin, proxy) = site().await;
    let mut client = Windows::open(proxy.address, 0).await;
    client.get(1, "/page").await;
    client.next_of(HEADERS, 1).await;

    proxy.advance(59);
    assert_eq!(some_looks(&mut client).await, []);
    proxy.advance(2);

    assert_eq!(client.next_of(RST_STREAM, 1).await.payload, [0, 0, 0, 8]);
}

/// Connects with a receive buffer of this size, and asks.
async fn begin_with_buffer(proxy: &Proxy, path: &str, bytes: u32) -> Connection {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(bytes).unwrap();
    let stream = socket.connect(proxy.address).await.unwrap();
    let mut client = Connection { stream: BufReader::new(stream) };
    client.send(request("GET", path, &[], "")).await;
    client
}

/// What the kernel buffers becomes free a third at a time: at this pace, less often than a client
/// may take nothing.
#[tokio::test]
async fn a_client_that_takes_a_little_all_the_time_is_not_cut() {
    const LENGTH: usize = 24 << 20; // more than the kernel buffers
    const QUICK: usize = 8 << 20; // the kernel makes room for quick clients
    const STEP: usize = 150_000;
    let origin = Origin::start().await;
    origin.on("/stored", cacheable(&"x".repeat(LENGTH)));
    origin.on("/own", ok(&"x".repeat(LENGTH)).field("cache-control", "private"));
    let proxy = Proxy::start_with(&origin, |config| {
        by_the_clock(config);
        config.storage.memory.max_object = 32 << 20;
        config.storage.memory.capacity = 256 << 20;
    });
    assert_eq!(proxy.get("/stored").await.content.len(), LENGTH);
    let mut clients = Vec::new();
    for path in ["/stored", "/own"] {
        let mut client = begin_with_buffer(&proxy, path, 1 << 20).await;
        client.head().await;
        client.bytes(QUICK).await;
        clients.push(client);
    }

    for _ in 0..12 {
        for client in &mut clients {
            client.bytes(STEP).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await; // a look
        proxy.advance(25);
    }

    assert_eq!(proxy.app.listeners.metrics.cut.value(), 0);
    for client in &mut clients {
        client.bytes(LENGTH - QUICK - 12 * STEP).await;
    }
    assert_eq!(proxy.app.listeners.metrics.cut.value(), 0);
}

/// The connection is served in the runtime of the test, whose tasks can be counted.
#[tokio::test]
async fn responses_that_pass_leave_no_task_behind() {
    let origin = Origin::start().await;
    origin.on("/own", ok("mine").field("cache-control", "private"));
    let proxy = Proxy::start(&origin);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = Connection::open(address).await;
    let (stream, remote) = listener.accept().await.unwrap();
    let peer = Arc::new(Peer {
        remote: remote.into(),
        local: address.into(),
        is_trusted: false,
        is_secure: false,
        listener: Some(ListenerId::at(0)),
        retained: Arc::default(),
        claims: Arc::default(),
    });
    drop(tokio::spawn(serve(
        Arc::clone(&proxy.app.listeners),
        Transport::Tcp(stream),
        peer,
        ListenerId::at(0),
    )));

    for _ in 0..100 {
        client.send(request("POST", "/own", &[], "x")).await;
        assert_eq!(client.answer().await.text(), "mine");
        client.send(request("GET", "/own", &[], "")).await;
        assert_eq!(client.answer().await.text(), "mine");
    }

    // The origin, its connections and this one have a few.
    let metrics = tokio::runtime::Handle::current().metrics();
    until("the tasks to end", || metrics.num_alive_tasks() < 20).await;
}

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n";

/// A page whose length is not told, and that may be stored.
fn chunked(length: usize) -> Reply {
    let chunk = format!("{length:x}\r\n{}\r\n", "x".repeat(length));
    Reply::bytes(CHUNKED).send(chunk).send("0\r\n\r\n")
}

#[tokio::test]
async fn what_is_stored_no_longer_counts_as_being_fetched_however_slowly_it_is_read() {
    const LENGTH: usize = 500_000;
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| {
        by_the_clock(config);
        config.cache.max_inflight_bytes = 4 << 20;
    });
    let mut client = Windows::open(proxy.address, 0).await;
    let streams: Vec<u32> = (0..20).map(|number| 2 * number + 1).collect();
    for stream in &streams {
        let path = format!("/{stream}");
        origin.on(&path, chunked(LENGTH));
        client.get(*stream, &path).await;
        client.next_of(HEADERS, *stream).await;
    }
    let fetcher = proxy.app.front.cache.fetcher();
    until("all to be stored", || fetcher.in_flight() == (0, 0, 0)).await;
    assert_eq!(proxy.app.store.usage().objects, 20);

    origin.on("/other", chunked(LENGTH));
    assert_eq!(proxy.get("/other").await.content.len(), LENGTH);
    assert!(proxy.get("/other").await.is_hit());

    client.grant(0, 1 << 30).await;
    for stream in streams.iter().take(3) {
        client.grant(*stream, 1 << 20).await;
        client.content(*stream, LENGTH).await;
    }
}

#[tokio::test]
async fn one_connection_cannot_use_up_what_may_be_in_flight() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let proxy = Proxy::start_with(&origin, |config| config.cache.max_inflight_bytes = 1 << 20);
    let fetcher = proxy.app.front.cache.fetcher();
    let mut greedy = Windows::open(proxy.address, 0).await;
    for number in 0..20 {
        let chunk = format!("{:x}\r\n{}\r\n", 100_000, "x".repeat(100_000));
        let path = format!("/{number}");
        origin.on(&path, Reply::bytes(CHUNKED).send(chunk).hold(&gate));
        greedy.get(2 * number + 1, &path).await;
    }
    until("its share to be used up", || fetcher.in_flight().2 > 500_000).await;

    origin.on("/other", chunked(100_000));
    assert_eq!(proxy.get("/other").await.content.len(), 100_000);
    assert!(proxy.get("/other").await.is_hit());
    assert!(fetcher.in_flight().2 < 700_000);
}

#[tokio::test]
async fn who_lags_behind_others_in_a_response_that_is_not_stored_is_not_cut() {
    const LENGTH: usize = 24 << 20; // more than the kernel buffers, and more than the queue
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/large", chunked(LENGTH).after(&gate));
    let proxy = Proxy::start_with(&origin, |config| {
        by_the_clock(config);
        config.storage.memory.max_object = 1 << 20;
        config.storage.file.max_object = 1 << 20;
    });
    let mut slow = proxy.begin("/large", &[]).await;
    origin.seen("/large", 1).await;
    let mut fast = proxy.begin("/large", &[]).await;
    until("the other to join", || proxy.app.listeners.metrics.accepted.value() == 2).await;
    gate.open();
    let fast = tokio::spawn(async move { fast.answer().await });

    proxy.advance(30);
    tokio::time::sleep(Duration::from_millis(2500)).await; // two seconds were too many once

    assert_eq!(slow.answer().await.content.len(), LENGTH);
    assert_eq!(fast.await.unwrap().content.len(), LENGTH);
    assert_eq!(origin.count("/large"), 1);
}

#[tokio::test]
async fn what_left_the_store_is_held_for_slow_clients_up_to_a_bound_and_the_slowest_are_cut() {
    const LENGTH: usize = 1_000_000;
    const MOST: u64 = 8 << 20;
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| {
        by_the_clock(config);
        config.storage.memory.capacity = 16 << 20;
        config.cache.max_pinned_bytes = MOST;
    });
    let mut client = Windows::open(proxy.address, 0).await;
    client.grant(0, 1 << 30).await;
    for number in 0..40 {
        origin.on(&format!("/{number}"), cacheable(&"x".repeat(LENGTH)));
    }
    let mut slowly = begin_with_buffer(&proxy, "/0", 64 << 10).await;
    slowly.head().await;
    client.get(1, "/0").await;
    client.grant(1, 1000).await; // this one takes something
    client.content(1, 1000).await;
    for number in 1..40 {
        client.get(2 * number + 1, &format!("/{number}")).await;
    }
    slowly.bytes(LENGTH / 2).await;
    let mut reset = Vec::new();
    while reset.len() < 10 {
        reset.extend(resets(&[client.next().await.expect("the connection ended")]));
    }
    until("the bound to hold", || proxy.app.pinned_bytes() <= MOST).await;

    assert!(!reset.contains(&1), "it was not the slowest: {reset:?}");
    client.grant(1, 1 << 20).await;
    client.content(1, LENGTH - 1000).await;
    slowly.bytes(LENGTH / 2).await;
    let metrics = &proxy.app.listeners.metrics;
    assert!(metrics.cut_slowest.value() >= 10);
    assert_eq!((metrics.reset_streams.value(), metrics.cut.value()), (0, 0));
}
