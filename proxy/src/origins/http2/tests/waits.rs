//! Limits of time: whom each one is for, and when it runs.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_first_byte_is_waited_for_from_the_last_frame_of_the_request() {
    let (connection, mut peer) = Peer::open(&limits(), &[]).await;
    let (body, mut client) = upload().await;
    let start = Instant::now();
    let task = send(&connection, post(body));
    let sending = tokio::spawn(async move {
        for _ in 0..10 {
            client.write_all(b"3\r\none\r\n").await.unwrap();
            sleep(10 * SECOND).await;
        }
        client.write_all(b"0\r\n\r\n").await.unwrap();
        client
    });
    let reading = tokio::spawn(async move { while peer.read().await.is_some() {} });

    let (error, extent) = task.error().await;
    assert!(matches!(error, OriginError::HeadTimeout), "{error:?}");
    assert_eq!(extent, SendProgress::Sent);
    assert_eq!(start.elapsed().as_secs(), 115);
    drop(sending.await);
    reading.abort();
}

#[tokio::test(start_paused = true)]
async fn a_request_without_content_is_cut_at_the_first_byte_limit() {
    let (connection, mut peer) = Peer::open(&limits(), &[]).await;
    let start = Instant::now();
    let task = send(&connection, get("/"));
    peer.next(HEADERS).await;

    let (error, _) = task.error().await;
    assert!(matches!(error, OriginError::HeadTimeout), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_grants_no_window_is_waited_for_up_to_the_limit() {
    let no_window = [0, 4, 0, 0, 0, 0];
    let (connection, mut peer) = Peer::open(&limits(), &no_window).await;
    let (body, mut client) = upload().await;
    let start = Instant::now();
    let task = send(&connection, post(body));
    let stream = peer.next(HEADERS).await.stream;
    client.write_all(b"3\r\none\r\n3\r\ntwo\r\n").await.unwrap();
    sleep(50 * SECOND).await;
    peer.send(WINDOW_UPDATE, 0, stream, &3_u32.to_be_bytes()).await;
    assert_eq!(peer.next(DATA).await.payload, b"one");

    let (error, _) = task.error().await;
    assert!(matches!(error, OriginError::SendTimeout), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 110);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_meanwhile_may_take_its_time_to_grant_a_window() {
    let no_window = [0, 4, 0, 0, 0, 0];
    let (connection, mut peer) = Peer::open(&limits(), &no_window).await;
    let (body, mut client) = upload().await;
    let task = send(&connection, post(body));
    let stream = peer.next(HEADERS).await.stream;
    client.write_all(b"3\r\none\r\n").await.unwrap();
    peer.answer(stream, 0, OK).await;
    let mut content = task.content().await;
    let start = Instant::now();
    for _ in 0..10 {
        sleep(30 * SECOND).await;
        peer.send(DATA, 0, stream, b"x").await;
        content.frame().await.unwrap().unwrap();
    }

    let error = content.frame().await.unwrap().unwrap_err();
    assert!(matches!(error, OriginError::SendTimeout), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 300 + 60);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_another_to_end_is_waited_for_up_to_the_limit() {
    let (connection, mut peer) = Peer::open(&limits(), &[0, 3, 0, 0, 0, 1]).await;
    let claim = connection.claim().unwrap();
    peer.send(SETTINGS, 0, 0, NO_STREAMS).await;
    peer.next(SETTINGS).await;
    let start = Instant::now();

    let failed = answer(&claim, get("/"), &ask()).await.unwrap_err();
    assert!(matches!(failed, Failed::Sent(OriginError::SendTimeout, SendProgress::Nothing)));
    assert_eq!(start.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_no_ping_is_taken_for_dead() {
    let limits =
        Http2Limits { ping_after: Some(15 * SECOND), ping_timeout: 10 * SECOND, ..limits() };
    let (connection, mut peer) = Peer::open(&limits, &[]).await;
    let claim = connection.claim().unwrap();
    let task = tokio::spawn(async move {
        let mut ask = ask();
        ask.limits.first_byte_timeout = 3600 * SECOND;
        let start = Instant::now();
        (answer(&claim, get("/"), &ask).await.unwrap_err(), start.elapsed().as_secs())
    });
    let ping = peer.next(PING).await;
    peer.send(PING, 1, 0, &ping.payload).await;
    peer.next(PING).await; // and nothing more

    let (failed, seconds) = task.await.unwrap();
    let Failed::Sent(error @ OriginError::Broken(_), _) = failed else { panic!("{failed:?}") };
    assert_eq!(error.source().unwrap().to_string(), "the server did not answer a PING");
    assert_eq!(seconds, 15 + 30 + 10);
    assert!(!connection.takes_requests());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_sent_something_else_than_the_answer_to_a_ping_is_watched_on() {
    let limits =
        Http2Limits { ping_after: Some(15 * SECOND), ping_timeout: 10 * SECOND, ..limits() };
    let (connection, mut peer) = Peer::open(&limits, &[]).await;
    let claim = connection.claim().unwrap();
    let start = Instant::now();
    peer.next(PING).await;
    peer.send(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()).await; // and nothing more

    while peer.read().await.is_some() {}
    assert_eq!(start.elapsed().as_secs(), 15 + 10 + 10);
    drop(claim);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_server_is_sent_few_pings_and_an_idle_one_none() {
    let limits =
        Http2Limits { ping_after: Some(15 * SECOND), ping_timeout: 10 * SECOND, ..limits() };
    let (connection, mut peer) = Peer::open(&limits, &[]).await;
    let claim = connection.claim().unwrap();
    let start = Instant::now();
    let mut times = Vec::new();
    for _ in 0..4 {
        let ping = peer.next(PING).await;
        times.push(start.elapsed().as_secs());
        peer.send(PING, 1, 0, &ping.payload).await;
    }
    assert_eq!(times, [15, 45, 355, 665]);

    drop(claim);
    let idle = tokio::time::timeout(3600 * SECOND, peer.next(PING)).await;
    assert!(idle.is_err());
}
