//! Requests that share a connection, and the end of connections.

use super::*;

#[tokio::test]
async fn no_more_requests_than_the_server_takes_go_on_one_connection() {
    let (connection, mut peer) = Peer::open(&limits(), &[0, 3, 0, 0, 0, 2]).await;
    let first = send(&connection, get("/1"));
    let second = send(&connection, get("/2"));
    assert!(connection.claim().is_none());
    assert_eq!(connection.open(), 2);

    for _ in 0..2 {
        let stream = peer.next(HEADERS).await.stream;
        peer.answer(stream, END_STREAM, OK).await;
    }
    first.content().await;
    second.content().await;
    assert_eq!(connection.open(), 0);
}

#[tokio::test]
async fn only_a_connection_that_has_answered_and_was_idle_may_break_without_a_fault() {
    let (connection, mut peer) = Peer::open(&limits(), &[]).await;
    let new = connection.claim().unwrap();
    assert!(!new.is_reused && !new.was_idle, "settings are no answer");
    drop(new);

    let task = send(&connection, get("/"));
    let stream = peer.next(HEADERS).await.stream;
    peer.answer(stream, END_STREAM, OK).await;
    task.content().await;
    let (first, second) = (connection.claim().unwrap(), connection.claim().unwrap());
    assert!(first.is_reused && second.is_reused);
    assert!(first.was_idle && !second.was_idle, "the first one has it");
}

#[tokio::test]
async fn one_attempt_to_connect_serves_all_that_wait() {
    let pool = Http2Pool::new(limits(), SECOND);
    let Claim::Connect(connecting, first) = pool.claim() else { panic!("nobody connects") };
    let others: Vec<_> = (0..99).map(|_| pool.claim()).collect();
    assert!(others.iter().all(|claim| matches!(claim, Claim::Wait(_))));
    assert!(matches!(pool.claim(), Claim::Connect(..)), "a connection takes a hundred");

    let (ours, _theirs) = duplex(1 << 20);
    let connection = Http2Connection::begin(ours, &limits()).await.unwrap();
    connecting.done(Ok(Some(connection)));

    assert_eq!(first.outcome().await.unwrap(), Negotiated::Http2);
    let mut claims = Vec::new();
    for claim in others {
        let Claim::Wait(waiting) = claim else { unreachable!() };
        assert_eq!(waiting.outcome().await.unwrap(), Negotiated::Http2);
        claims.push(pool.claim_open().expect("it has room for all"));
    }
    assert_eq!(pool.count(), (1, 99));
}

#[tokio::test]
async fn a_failed_attempt_fails_all_that_wait_and_the_next_one_connects() {
    let pool = Http2Pool::new(limits(), SECOND);
    let Claim::Connect(connecting, first) = pool.claim() else { panic!("nobody connects") };
    let Claim::Wait(second) = pool.claim() else { panic!("two connect") };
    connecting.done(Err(OriginError::Refused { server: "a:1".to_owned() }));

    for waiting in [first, second] {
        assert!(matches!(waiting.outcome().await, Err(OriginError::Refused { .. })));
    }
    let Claim::Connect(connecting, abandoned) = pool.claim() else { panic!("nobody connects") };
    drop(connecting);
    assert!(matches!(abandoned.outcome().await, Err(OriginError::Abandoned)));
}

#[tokio::test]
async fn a_server_that_speaks_http_1_is_connected_to_by_each_alone() {
    let pool = Http2Pool::new(limits(), SECOND);
    let Claim::Connect(connecting, waiting) = pool.claim() else { panic!("nobody connects") };
    connecting.done(Ok(None));

    assert_eq!(waiting.outcome().await.unwrap(), Negotiated::Http1);
    assert!(matches!(pool.claim(), Claim::Alone));
}

#[tokio::test]
async fn requests_above_the_last_of_a_goaway_may_be_sent_again_and_others_go_on() {
    let (connection, mut peer) = Peer::open(&limits(), &[]).await;
    let below = send(&connection, get("/1"));
    assert_eq!(peer.next(HEADERS).await.stream, 1);
    let above = send(&connection, get("/2"));
    assert_eq!(peer.next(HEADERS).await.stream, 3);
    peer.go_away(1).await;

    let (error, extent) = above.error().await;
    assert!(matches!(error, OriginError::Unprocessed(_)), "{error:?}");
    assert_eq!(extent, SendProgress::Nothing);
    assert!(!connection.takes_requests() && connection.claim().is_none());
    peer.answer(1, 0, OK).await;
    peer.send(DATA, END_STREAM, 1, b"done").await;
    assert_eq!(text(below.content().await).await.unwrap(), "done");
}

#[tokio::test]
async fn a_request_that_comes_after_a_goaway_comes_back() {
    let (connection, mut peer) = Peer::open(&limits(), &[]).await;
    let claim = connection.claim().unwrap();
    peer.go_away(0).await;
    while connection.takes_requests() {
        tokio::task::yield_now().await;
    }

    let failed = answer(&claim, get("/late"), &ask()).await.unwrap_err();
    let Failed::Unsent(OriginError::Unprocessed(_), request) = failed else { panic!("{failed:?}") };
    assert_eq!(request.uri(), "/late");
}

#[tokio::test]
async fn a_refused_request_comes_back_with_the_content_that_was_sent() {
    let (connection, mut peer) = Peer::open(&limits(), &[]).await;
    let (body, mut client) = upload().await;
    let task = send(&connection, post(body));
    let stream = peer.next(HEADERS).await.stream;
    client.write_all(b"3\r\none\r\n").await.unwrap();
    assert_eq!(peer.next(DATA).await.payload, b"one");
    let refused = Reason::REFUSED_STREAM;
    peer.send(RESET, 0, stream, &u32::from(refused).to_be_bytes()).await;

    let failed = task.answer().await.unwrap_err();
    let Failed::Unsent(OriginError::Unprocessed(_), request) = failed else { panic!("{failed:?}") };
    client.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
    let again = send(&connection, *request);
    let stream = peer.next(HEADERS).await.stream;
    let mut content = Vec::new();
    loop {
        let frame = peer.next(DATA).await;
        content.extend(frame.payload);
        if frame.flags & END_STREAM != 0 {
            break;
        }
    }
    assert_eq!(content, b"onetwo");
    peer.answer(stream, END_STREAM, OK).await;
    assert!(again.answer().await.is_ok());
}

#[tokio::test]
async fn a_long_upload_of_a_refused_request_is_lost() {
    let (connection, mut peer) = Peer::open(&limits(), &[0, 4, 0, 16, 0, 0]).await;
    peer.send(WINDOW_UPDATE, 0, 0, &(1_u32 << 20).to_be_bytes()).await;
    let (body, mut client) = upload().await;
    let task = send(&connection, post(body));
    let stream = peer.next(HEADERS).await.stream;
    client.write_all(b"20000\r\n").await.unwrap();
    client.write_all(&vec![b'x'; 0x20000]).await.unwrap();
    let mut length = 0;
    while length < 0x20000 {
        length += peer.next(DATA).await.payload.len();
    }
    peer.send(RESET, 0, stream, &u32::from(Reason::REFUSED_STREAM).to_be_bytes()).await;

    let (error, extent) = task.error().await;
    assert!(matches!(error, OriginError::Unprocessed(_)) && extent == SendProgress::Nothing);
}

#[tokio::test]
async fn a_response_that_nobody_reads_holds_up_no_other() {
    let (connection, mut peer) = Peer::open(&limits(), &[]).await;
    let unread = send(&connection, get("/1"));
    let stream = peer.next(HEADERS).await.stream;
    peer.answer(stream, 0, OK).await;
    let _unread = unread.content().await;
    for _ in 0..16 {
        peer.send(DATA, 0, stream, &[b'x'; 16 << 10]).await; // all that it was granted
    }

    let read = send(&connection, get("/2"));
    let other = peer.next(HEADERS).await.stream;
    peer.answer(other, 0, OK).await;
    let mut content = read.content().await;
    let mut length = 0;
    for number in 1..=64 {
        peer.send(DATA, u8::from(number == 64), other, &[b'y'; 16 << 10]).await;
        length += content.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
    assert_eq!(length, 1 << 20);
    assert!(peer.frames.iter().all(|frame| (frame.kind, frame.stream) != (WINDOW_UPDATE, stream)));
}

#[tokio::test]
async fn clients_that_leave_do_not_end_the_connection_of_others() {
    const LEFT: usize = 2100; // more than are remembered, and than faults are forgiven
    let (connection, mut peer) = Peer::open(&limits(), &[]).await;
    let mut left = Vec::new();
    for _ in 0..LEFT {
        let task = send(&connection, get("/left"));
        let stream = peer.next(HEADERS).await.stream;
        peer.answer(stream, 0, OK).await;
        drop(task.content().await);
        peer.next(RESET).await;
        left.push(stream);
    }
    for stream in left {
        peer.send(DATA, 0, stream, b"x").await; // it was under way
    }
    peer.send(PING, 0, 0, &[0; 8]).await;
    peer.next(PING).await; // all of it was read

    let task = send(&connection, get("/stays"));
    let stream = peer.next(HEADERS).await.stream;
    peer.answer(stream, END_STREAM, OK).await;
    assert!(task.answer().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_let_go_and_a_busy_one_is_not() {
    let pool = Http2Pool::new(limits(), 4 * SECOND);
    let (ours, theirs) = duplex(1 << 20);
    pool.add(Http2Connection::begin(ours, &limits()).await.unwrap());
    let mut peer = Peer { stream: theirs, frames: Vec::new() };
    peer.stream.read_exact(&mut [0; 24]).await.unwrap();
    let claim = pool.claim_open().unwrap();
    sleep(10 * SECOND).await;
    pool.sweep();
    assert_eq!(pool.count(), (1, 1));

    drop(claim);
    sleep(3 * SECOND).await;
    pool.sweep();
    assert_eq!(pool.count(), (1, 0));
    sleep(2 * SECOND).await;
    pool.sweep();
    assert_eq!(pool.count(), (0, 0));
    assert_eq!(peer.next(GOAWAY).await.payload, [0; 8]);
}

#[tokio::test]
async fn the_connections_of_a_drained_server_end_after_their_requests() {
    let pool = Http2Pool::new(limits(), 60 * SECOND);
    let (ours, theirs) = duplex(1 << 20);
    let connection = pool.add(Http2Connection::begin(ours, &limits()).await.unwrap());
    let mut peer = Peer { stream: theirs, frames: Vec::new() };
    peer.stream.read_exact(&mut [0; 24]).await.unwrap();
    peer.send(SETTINGS, 0, 0, &[]).await;
    let task = send(&connection, get("/"));
    drop(connection);
    let stream = peer.next(HEADERS).await.stream;

    pool.clear();
    assert!(pool.claim_open().is_none());
    peer.answer(stream, 0, OK).await;
    peer.send(DATA, END_STREAM, stream, b"done").await;
    assert_eq!(text(task.content().await).await.unwrap(), "done");
    peer.next(GOAWAY).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_wait_for_a_connection_than_the_last_one_took() {
    let pool = Http2Pool::new(limits(), SECOND);
    let (ours, theirs) = duplex(1 << 20);
    let connection = Http2Connection::begin(ours, &limits()).await.unwrap();
    let mut peer = Peer { stream: theirs, frames: Vec::new() };
    let start = Instant::now();
    let (settled, ()) = tokio::join!(connection.settled(), async {
        sleep(SECOND / 10).await;
        peer.send(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 2]).await;
    });
    settled.unwrap();
    assert_eq!(start.elapsed(), SECOND / 10);
    pool.add(connection);

    let _taken = [pool.claim_open().unwrap(), pool.claim_open().unwrap()];
    let Claim::Connect(_first, _) = pool.claim() else { panic!("nobody connects") };
    assert!(matches!(pool.claim(), Claim::Wait(_)));
    assert!(matches!(pool.claim(), Claim::Connect(..)), "a connection takes two");
}

#[tokio::test]
async fn a_server_that_allows_no_request_is_connected_to_once() {
    let pool = Http2Pool::new(limits(), SECOND);
    let (connection, mut peer) = Peer::open(&limits(), NO_STREAMS).await;
    let Claim::Connect(connecting, waiting) = pool.claim() else { panic!("nobody connects") };
    connecting.done(Ok(Arc::into_inner(connection)));
    waiting.outcome().await.unwrap();
    assert!(matches!(pool.claim(), Claim::Barred));

    peer.send(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]).await;
    peer.next(SETTINGS).await;
    assert!(matches!(pool.claim(), Claim::Stream(_)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_sends_no_settings_is_not_waited_for_long() {
    let (ours, _theirs) = duplex(1 << 20);
    let connection = Http2Connection::begin(ours, &limits()).await.unwrap();
    let start = Instant::now();
    connection.settled().await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 250);
}
