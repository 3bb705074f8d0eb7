//! Messages, sound and malformed, and the ways in which a stream ends.

use super::*;

#[tokio::test]
async fn a_request_has_the_pseudo_fields_and_none_of_its_connection() {
    let (ours, theirs) = duplex(1 << 16);
    let connection = Arc::new(Http2Connection::begin(ours, &limits()).await.unwrap());
    let mut request = get("/a?b");
    for (name, value) in [("connection", "close"), ("transfer-encoding", "chunked"), ("x", "1")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request.extensions_mut().insert(AcceptsTrailers);
    let task = send(&connection, request);

    let mut server = h2::server::handshake(theirs).await.unwrap();
    let (received, mut response) = server.accept().await.unwrap().unwrap();
    assert_eq!(received.uri(), "http://a.example/a?b");
    let fields: Vec<_> = received.headers().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(fields, ["x", "te"]);
    assert!(received.body().is_end_stream());
    response.send_response(Response::new(()), true).unwrap();
    tokio::spawn(async move { while server.accept().await.is_some() {} });
    assert_eq!(text(task.content().await).await.unwrap(), "");
}

#[tokio::test]
async fn the_code_of_a_reset_is_found_in_the_error() {
    let code = |error: &OriginError| {
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<h2::Error>() {
                return error.reason();
            }
            cause = error.source();
        }
        None
    };
    let (connection, mut peer) = Peer::open(&limits(), &[]).await;
    let before = send(&connection, get("/1"));
    let stream = peer.next(HEADERS).await.stream;
    peer.send(RESET, 0, stream, &8_u32.to_be_bytes()).await;
    let (error, extent) = before.error().await;
    assert!(matches!(error, OriginError::Reset(_)) && extent == SendProgress::Sent);
    assert_eq!(code(&error), Some(Reason::CANCEL));

    let within = send(&connection, get("/2"));
    let stream = peer.next(HEADERS).await.stream;
    peer.answer(stream, 0, OK).await;
    let content = within.content().await;
    peer.send(RESET, 0, stream, &11_u32.to_be_bytes()).await;
    let error = text(content).await.unwrap_err();
    assert!(matches!(error, OriginError::Incomplete(_)));
    assert_eq!(code(&error), Some(Reason::ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn a_broken_connection_fails_every_request_on_it() {
    let (connection, mut peer) = Peer::open(&limits(), &[]).await;
    let (first, second) = (send(&connection, get("/1")), send(&connection, get("/2")));
    peer.next(HEADERS).await;
    peer.next(HEADERS).await;
    drop(peer);

    for task in [first, second] {
        let (error, extent) = task.error().await;
        assert!(matches!(error, OriginError::Broken(_)), "{error:?}");
        assert_eq!(extent, SendProgress::Sent);
    }
    assert!(!connection.takes_requests());
}

#[tokio::test]
async fn a_server_that_answers_with_http_1_is_named() {
    let (ours, mut theirs) = duplex(1 << 16);
    let connection = Arc::new(Http2Connection::begin(ours, &limits()).await.unwrap());
    let task = send(&connection, get("/"));
    theirs.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();

    let (error, _) = task.error().await;
    assert_eq!(error.to_string(), "the response is malformed: the server answered with HTTP/1");
}

#[tokio::test]
async fn malformed_responses_are_not_passed_on() {
    let ok = |name: &str, value: &str| [OK, &literal(name, value)].concat();
    for (what, fields) in [
        ("space before a value", ok("x", " 1")),
        ("space after a value", ok("x", "1 ")),
        ("a field of the connection", ok("connection", "close")),
        ("an upper-case name", ok("X", "1")),
        (
            "lengths that differ",
            [ok("content-length", "1"), literal("content-length", "2")].concat(),
        ),
        ("no number", ok("content-length", "+1")),
        ("no status", literal("x", "1")),
        ("a pseudo-field after others", [&literal("x", "1"), OK].concat()),
        (
            "too many fields",
            (0..11).fold(OK.to_vec(), |all, n| [all, literal(&format!("x{n}"), "")].concat()),
        ),
        ("other protocols", literal(":status", "101")),
    ] {
        let (connection, mut peer) = Peer::open(&limits(), &[]).await;
        let task = send(&connection, get("/"));
        let stream = peer.next(HEADERS).await.stream;
        peer.answer(stream, 0, &fields).await;

        let (error, _) = task.error().await;
        let is_malformed = error.proxy_status_type() == "http_protocol_error";
        assert!(is_malformed, "{what}: {error:?}");
        while !matches!(peer.read().await.expect("it is told").kind, RESET | GOAWAY) {}
    }
}

#[tokio::test]
async fn content_of_another_length_than_announced_is_no_response() {
    for (sent, is_last) in [("abcd", true), ("abcdef", false)] {
        let (connection, mut peer) = Peer::open(&limits(), &[]).await;
        let task = send(&connection, get("/"));
        let stream = peer.next(HEADERS).await.stream;
        peer.answer(stream, 0, &[OK, &literal("content-length", "5")].concat()).await;
        let content = task.content().await;
        assert_eq!(http_body::Body::size_hint(&content).exact(), Some(5));
        peer.send(DATA, u8::from(is_last), stream, sent.as_bytes()).await;

        assert!(matches!(text(content).await, Err(OriginError::Incomplete(_))), "{sent}");
    }
}

#[tokio::test]
async fn responses_without_content_have_none() {
    for (method, status) in [("HEAD", "200"), ("GET", "204"), ("GET", "304")] {
        let (connection, mut peer) = Peer::open(&limits(), &[]).await;
        let mut request = get("/");
        *request.method_mut() = method.parse().unwrap();
        let task = send(&connection, request);
        let stream = peer.next(HEADERS).await.stream;
        let fields = [literal(":status", status), literal("content-length", "7")].concat();
        // Some servers end the stream with an empty frame.
        let has_end = status != "204";
        peer.answer(stream, u8::from(has_end), &fields).await;
        let answer = task.answer().await;
        if !has_end {
            peer.send(DATA, 0, stream, b"content").await;
            let error = text(answer.unwrap().into_body()).await.unwrap_err();
            assert!(matches!(error, OriginError::Framing(Violation::Surplus)), "{error:?}");
            continue;
        }
        let response = answer.unwrap();
        assert_eq!(response.headers()["content-length"], "7");
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(0));
        assert_eq!(text(response.into_body()).await.unwrap(), "");
    }
}

#[tokio::test]
async fn trailers_go_both_ways_while_both_sides_are_sending() {
    let (connection, mut peer) = Peer::open(&limits(), &[]).await;
    let (body, mut client) = upload().await;
    let task = send(&connection, post(body));
    let stream = peer.next(HEADERS).await.stream;
    peer.answer(stream, 0, OK).await;
    let mut content = task.content().await; // before any of the request's content
    for piece in ["one", "two"] {
        client.write_all(format!("3\r\n{piece}\r\n").as_bytes()).await.unwrap();
        assert_eq!(peer.next(DATA).await.payload, piece.as_bytes());
        peer.send(DATA, 0, stream, piece.as_bytes()).await;
        let echo = content.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(echo, piece);
    }
    assert!(!content.is_request_sent());
    client.write_all(b"0\r\nx-sum: 6\r\n\r\n").await.unwrap();
    let trailers = peer.next(HEADERS).await;
    assert_eq!(trailers.flags & END_STREAM, END_STREAM);

    peer.answer(stream, END_STREAM, &literal("grpc-status", "0")).await;
    let trailers = content.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert!(content.frame().await.is_none());
    assert!(content.is_request_sent());
}

#[tokio::test]
async fn a_request_whose_content_fails_before_it_is_written_does_not_come_back() {
    for (bytes, is_whole) in [("5\r\n", false), ("5\r\nabcde\r\n3\r\nend\r\n0\r\n\r\n", true)] {
        let (ours, _theirs) = duplex(PREFACE_BYTES); // no frame is taken
        let connection = Arc::new(Http2Connection::begin(ours, &limits()).await.unwrap());
        let (body, mut client) = upload_up_to(4).await;
        client.write_all(bytes.as_bytes()).await.unwrap();
        drop(client);

        let (error, extent) = match send(&connection, post(body)).answer().await.unwrap_err() {
            Failed::Sent(error, extent) => (error, extent),
            Failed::Unsent(error, _) => panic!("it would be sent again: {error}"),
        };
        assert_eq!(extent, SendProgress::Nothing);
        assert_eq!(matches!(error, OriginError::RequestTooLarge), is_whole, "{error:?}");
        assert_eq!(matches!(error, OriginError::RequestBroken), !is_whole, "{error:?}");
    }
}

#[tokio::test]
async fn a_response_may_end_before_the_request_and_stops_it() {
    let (connection, mut peer) = Peer::open(&limits(), &[]).await;
    let (body, mut client) = upload().await;
    let task = send(&connection, post(body));
    let stream = peer.next(HEADERS).await.stream;
    client.write_all(b"3\r\none\r\n").await.unwrap();
    peer.next(DATA).await;
    peer.answer(stream, 0, OK).await;
    peer.send(DATA, END_STREAM, stream, b"enough").await;

    assert_eq!(text(task.content().await).await.unwrap(), "enough");
    assert_eq!(peer.next(RESET).await.stream, stream);
    assert!(connection.takes_requests());
}

#[tokio::test]
async fn who_stops_reading_a_response_resets_its_stream() {
    let (connection, mut peer) = Peer::open(&limits(), &[]).await;
    let task = send(&connection, get("/"));
    let stream = peer.next(HEADERS).await.stream;
    peer.answer(stream, 0, OK).await;
    drop(task.content().await);

    let reset = peer.next(RESET).await;
    assert_eq!((reset.stream, reset.payload), (stream, vec![0, 0, 0, 8]), "CANCEL");
    let waiting = send(&connection, get("/"));
    let stream = peer.next(HEADERS).await.stream;
    waiting.0.abort();
    assert_eq!(peer.next(RESET).await.stream, stream);
    assert!(connection.takes_requests());
}

#[tokio::test]
async fn interim_responses_come_before_the_final_one() {
    let (connection, mut peer) = Peer::open(&limits(), &[]).await;
    let task = send(&connection, get("/"));
    let stream = peer.next(HEADERS).await.stream;
    let hint = [literal(":status", "103"), literal("link", "</a>; rel=preload")].concat();
    peer.answer(stream, 0, &hint).await;
    peer.answer(stream, 0, &literal(":status", "102")).await;
    peer.answer(stream, END_STREAM, OK).await;

    let response = task.answer().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("link"));
}
