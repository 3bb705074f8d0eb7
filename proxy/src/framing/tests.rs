//! Messages that pass and messages that do not, in one piece and byte by byte.

use super::requests::{RequestViolation, Requests};
use super::responses::Responses;
use super::{HeadLimits, Violation};

const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 1 << 10, fields_max: 8 };
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// Feeds requests in pieces of this size; returns what went on, and why no more did.
fn feed(stream: &[u8], piece: usize) -> (Vec<u8>, Option<RequestViolation>) {
    let mut requests = Requests::new(LIMITS);
    let (mut held, mut passed) = (Vec::new(), Vec::new());
    for bytes in stream.chunks(piece) {
        held.extend_from_slice(bytes);
        let now = requests.pass(&held);
        passed.extend(held.drain(..now.bytes));
        if now.refusal.is_some() {
            return (passed, now.refusal);
        }
        if requests.is_undecided() {
            requests.decide(false);
        }
    }
    (passed, None)
}

fn post(fields: &str, content: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n{content}")
}

fn violation_of(message: &str) -> Option<Violation> {
    let stream = [GET, message, GET].concat();
    let (passed, refusal) = feed(stream.as_bytes(), stream.len());
    match refusal {
        None => None,
        Some(RequestViolation::Request(number, violation)) => {
            assert_eq!(passed, GET.as_bytes(), "{message:?}");
            assert_eq!(number, 1, "{message:?}");
            Some(violation)
        }
        Some(RequestViolation::Content(violation)) => Some(violation),
    }
}

#[test]
fn framing_that_can_be_read_in_two_ways_is_refused() {
    use Violation::{ContentLength, TransferCoding, TransferEncoding};
    for (fields, expected) in [
        ("Content-Length: 5\r\nContent-Length: 5", ContentLength),
        ("Content-Length: 5\r\nContent-Length: 6", ContentLength),
        ("Content-Length: 5, 5", ContentLength),
        ("Content-Length: +5", ContentLength),
        ("Content-Length: -1", ContentLength),
        ("Content-Length: 0x5", ContentLength),
        ("Content-Length: 5 5", ContentLength),
        ("Content-Length:", ContentLength),
        ("Content-Length: 9223372036854775808", ContentLength),
        ("Content-Length: 99999999999999999999", ContentLength),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", TransferEncoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", TransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", TransferEncoding),
        ("Transfer-Encoding: chunked, chunked", TransferEncoding),
        ("Transfer-Encoding: chunked, gzip", TransferEncoding),
        ("Transfer-Encoding: \"chunked\"", TransferEncoding),
        ("Transfer-Encoding: chunked;q=1", TransferEncoding),
        ("Transfer-Encoding:", TransferEncoding),
        ("Transfer-Encoding: gzip, chunked", TransferCoding),
        ("Transfer-Encoding: identity", TransferCoding),
        ("Transfer-Encoding: xchunked", TransferCoding),
        ("Transfer-Encoding: \x0bchunked", TransferEncoding),
        ("Transfer-Encoding : chunked", Violation::FieldName),
    ] {
        assert_eq!(violation_of(&post(fields, "0\r\n\r\n")), Some(expected), "{fields:?}");
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(violation_of(old), Some(TransferEncoding));
    for fields in ["content-length:\t 5 \t", "Content-Length: 00005"] {
        assert_eq!(violation_of(&post(fields, "hello")), None, "{fields:?}");
    }
    assert_eq!(violation_of(&post("transfer-ENCODING: Chunked", "0\r\n\r\n")), None);
}

#[test]
fn heads_that_break_the_grammar_are_refused() {
    use Violation::{
        BareLineFeed, FieldName, FieldValue, FirstLine, Folding, HeadTooLarge, Target,
        TargetTooLong, TooManyFields, Version,
    };
    let long = "x".repeat(LIMITS.head_bytes_max);
    let many = "a: b\r\n".repeat(LIMITS.fields_max + 1);
    for (head, expected) in [
        ("GET / HTTP/1.1\nhost: a\r\n\r\n", BareLineFeed),
        ("GET / HTTP/1.1\r\nhost: a\n\r\n", BareLineFeed),
        ("GET / HTTP/1.1\r\nhost: a\r\n\n", BareLineFeed),
        ("GET / HTTP/1.1\r\nhost: a\r\n b: c\r\n\r\n", Folding),
        ("GET / HTTP/1.1\r\n host: a\r\n\r\n", Folding),
        ("GET / HTTP/1.1\r\nhost: a\rb\r\n\r\n", FieldValue),
        ("GET / HTTP/1.1\r\nhost: a\0b\r\n\r\n", FieldValue),
        ("GET / HTTP/1.1\r\nhost: a\x7f\r\n\r\n", FieldValue),
        ("GET / HTTP/1.1\r\na: \tb\rc\r\n\r\n", FieldValue),
        ("GET / HTTP/1.1\r\na: \tb\x01\r\n\r\n", FieldValue),
        (&format!("GET / HTTP/1.1\r\na: {}\x01\r\n\r\n", "x".repeat(300)), FieldValue),
        ("GET / HTTP/1.1\r\nhost\r\n\r\n", FieldName),
        ("GET / HTTP/1.1\r\n: a\r\n\r\n", FieldName),
        ("GET / HTTP/1.1\r\nho st: a\r\n\r\n", FieldName),
        ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", FieldName),
        ("GET /\r\n\r\n", FirstLine),
        ("GET  / HTTP/1.1\r\n\r\n", FirstLine),
        ("GET / HTTP/1.1 \r\n\r\n", FirstLine),
        ("GET /  HTTP/1.1\r\n\r\n", FirstLine),
        ("GET / a HTTP/1.1\r\n\r\n", FirstLine),
        ("GET / a HTTP/2.0\r\n\r\n", FirstLine),
        ("GET HTTP/1.1\r\n\r\n", FirstLine),
        ("HTTP/1.1\r\n\r\n", FirstLine),
        ("GET\t/ HTTP/1.1\r\n\r\n", FirstLine),
        (" / HTTP/1.1\r\n\r\n", FirstLine),
        ("G@T / HTTP/1.1\r\n\r\n", FirstLine),
        ("GET / http/1.1\r\n\r\n", FirstLine),
        ("GET / HTTP/1.10\r\n\r\n", FirstLine),
        ("GET / HTTP/2.0\r\n\r\n", Version),
        ("GET /#a HTTP/1.1\r\n\r\n", Target),
        ("GET /\u{e9} HTTP/1.1\r\n\r\n", Target),
        ("GET /\x01 HTTP/1.1\r\n\r\n", Target),
        ("GET ?a HTTP/1.1\r\n\r\n", Target),
        ("GET http:///a HTTP/1.1\r\n\r\n", Target),
        (&format!("GET /{long} HTTP/1.1\r\n\r\n"), TargetTooLong),
        (&format!("GET / HTTP/1.1\r\na: {long}\r\n\r\n"), HeadTooLarge),
        (&format!("GET / HTTP/1.1\r\n{many}\r\n"), TooManyFields),
    ] {
        assert_eq!(violation_of(head), Some(expected), "{head:?}");
    }
    for head in ["\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", "GET / HTTP/1.1\r\na:\tb\t\t\r\n\r\n"] {
        assert_eq!(violation_of(head), None, "{head:?}");
    }
}

#[test]
fn broken_chunks_are_refused_with_their_request_when_they_come_with_it() {
    for content in [
        "G\r\n",
        "-1\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "\r\n",
        "1000000000000000\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\x01\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r\n0\n\n",
        "0\r\na\r\n\r\n",
        "0\r\na: b\r\n c\r\n\r\n",
        "0\r\na: b\n\r\n",
        "0\r\na : b\r\n\r\n",
    ] {
        let request = post("transfer-encoding: chunked", content);
        let (passed, refusal) = feed(request.as_bytes(), request.len());
        assert!(
            matches!(refusal, Some(RequestViolation::Request(0, _))),
            "{content:?} {refusal:?}"
        );
        assert_eq!(passed, b"", "{content:?}");
    }
    let extension = format!("5;a=\"{}\"\r\n", "b".repeat(2 << 10));
    assert_eq!(
        violation_of(&post("transfer-encoding: chunked", &extension)),
        Some(Violation::Chunk)
    );
    for content in ["5 ;a=b\r\nhello\r\n0;c\r\nx: y\r\n\r\n", "A\r\n0123456789\r\n00\r\n\r\n"] {
        assert_eq!(violation_of(&post("transfer-encoding: chunked", content)), None, "{content:?}");
    }
}

#[test]
fn what_is_sound_passes_whole_however_it_arrives() {
    let stream = [
        GET,
        &post("content-length: 5", "hello"),
        &post("transfer-encoding: chunked", "5;x=y\r\nhello\r\n0\r\nt: 1\r\n\r\n"),
        "\r\nGET /b HTTP/1.0\r\nupgrade: websocket\r\n\r\n",
        GET,
    ]
    .concat();
    for piece in 1..=stream.len() {
        // A request to switch protocols ends a piece; what is behind it is fed again with the next
        // one.
        let (passed, refusal) = feed(stream.as_bytes(), piece);
        assert_eq!(refusal, None, "pieces of {piece}");
        assert!(stream.as_bytes().starts_with(&passed), "pieces of {piece}");
        assert!(passed.len() + GET.len() >= stream.len(), "pieces of {piece}");
    }
}

#[test]
fn what_is_broken_is_refused_however_it_arrives() {
    let stream = [GET, &post("content-length: 5\r\ncontent-length: 5", "hello"), GET].concat();
    for piece in 1..=stream.len() {
        let (passed, refusal) = feed(stream.as_bytes(), piece);
        assert_eq!(passed, GET.as_bytes(), "pieces of {piece}");
        assert_eq!(refusal, Some(RequestViolation::Request(1, Violation::ContentLength)));
    }
}

#[test]
fn nothing_passes_after_a_request_to_switch_protocols_until_it_is_decided() {
    let ask = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    for (is_switched, expected) in [(true, 5), (false, 0)] {
        let mut requests = Requests::new(LIMITS);
        assert_eq!(requests.pass([ask, "\0\x01raw"].concat().as_bytes()).bytes, ask.len());
        assert!(requests.is_undecided());
        requests.decide(is_switched);
        let after = requests.pass(b"\0\x01raw");
        assert_eq!(after.bytes, expected);
        assert_eq!(after.refusal.is_some(), !is_switched);
    }
}

/// hyper refuses what `http` cannot read, without a page of ours: nothing of that kind passes here.
#[test]
fn every_target_that_passes_is_one_that_can_be_read() {
    for byte in 0_u8..=255 {
        for (before, after) in [("/a", "b"), ("/a?", "b")] {
            let target = [before.as_bytes(), &[byte], after.as_bytes()].concat();
            let head = [b"GET ", &target[..], b" HTTP/1.1\r\n\r\n"].concat();
            if feed(&head, head.len()).1.is_none() {
                let read = http::Uri::try_from(&*target);
                assert!(read.is_ok(), "{}", target.escape_ascii());
            }
        }
    }
}

fn answered(request: &str, stream: &[u8], piece: usize) -> (Vec<u8>, Option<Violation>) {
    let mut responses = Responses::new(LIMITS);
    responses.expect(request.starts_with("HEAD ")).unwrap();
    let (mut held, mut passed) = (Vec::new(), Vec::new());
    for bytes in stream.chunks(piece) {
        held.extend_from_slice(bytes);
        let (count, violation) = responses.pass(&held);
        passed.extend(held.drain(..count));
        if violation.is_some() {
            return (passed, violation);
        }
    }
    (passed, None)
}

#[test]
fn no_request_goes_out_before_the_response_to_the_last_is_complete() {
    let mut responses = Responses::new(LIMITS);
    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    responses.expect(false).unwrap();
    assert_eq!(responses.expect(true), Err(Violation::Surplus), "it would be read as one to HEAD");
    assert_eq!(responses.pass(&response[..response.len() - 1]), (response.len() - 1, None));
    assert_eq!(responses.expect(true), Err(Violation::Surplus));
    assert_eq!(responses.pass(b"o"), (1, None));
    assert_eq!(responses.expect(true), Ok(()));
}

#[test]
fn bytes_after_a_response_belong_to_nobody() {
    for (method, response) in [
        ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"),
        ("GET", "HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        ("GET", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
    ] {
        let stream = [response, "HTTP/1.1 200 OK\r\n\r\nevil"].concat();
        for piece in 1..=stream.len() {
            let (passed, violation) =
                answered(&format!("{method} / HTTP/1.1"), stream.as_bytes(), piece);
            assert_eq!(String::from_utf8(passed).unwrap(), response);
            assert_eq!(violation, Some(Violation::Surplus), "{response} {piece}");
        }
    }
    assert_eq!(Responses::new(LIMITS).pass(b"H"), (0, Some(Violation::Surplus)));
}

#[test]
fn responses_that_can_be_read_in_two_ways_do_not_pass() {
    for (response, expected) in [
        ("HTTP/1.1 2000 OK\r\n\r\n", Violation::FirstLine),
        ("HTTP/1.1 2x0 OK\r\n\r\n", Violation::FirstLine),
        ("HTTP/1.1 099 OK\r\n\r\n", Violation::FirstLine),
        ("HTTP/2 200 OK\r\n\r\n", Violation::FirstLine),
        ("HTTP/2.0 200 OK\r\n\r\n", Violation::Version),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", Violation::FirstLine),
        ("HTTP/1.1 200 OK\n\n", Violation::BareLineFeed),
        ("HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n", Violation::Folding),
        ("HTTP/1.1 200 OK\r\na: b\0\r\n\r\n", Violation::FieldValue),
        ("HTTP/1.1 200 OK\r\na\r\n\r\n", Violation::FieldName),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            Violation::TransferEncoding,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            Violation::ContentLength,
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", Violation::TransferCoding),
    ] {
        let (passed, violation) = answered("GET", response.as_bytes(), response.len());
        assert_eq!((passed.len(), violation), (0, Some(expected)), "{response:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read(stream: Vec<u8>, piece in 1_usize..50) {
        feed(&stream, piece);
        answered("GET", &stream, piece);
    }

    /// The bytes that go on do not depend on the cuts between them.
    #[test]
    fn pieces_make_no_difference(
        parts in proptest::collection::vec(0_usize..PARTS.len(), 0..12), piece in 1_usize..40,
    ) {
        let stream = parts.iter().filter_map(|part| PARTS.get(*part)).copied().collect::<String>();
        let (whole, refused) = feed(stream.as_bytes(), stream.len().max(1));
        let (pieces, refused_in_pieces) = feed(stream.as_bytes(), piece);
        proptest::prop_assert_eq!(refused.is_some(), refused_in_pieces.is_some());
        // In pieces, a head may have gone on before its content turned out to be broken.
        proptest::prop_assert!(pieces.starts_with(&whole));
    }
}

const PARTS: [&str; 12] = [
    "GET / HTTP/1.1\r\n",
    "host: a\r\n",
    "\r\n",
    "content-length: 3\r\n",
    "abc",
    "\n",
    "0\r\n",
    "transfer-encoding: chunked\r\n",
    "3\r\nabc\r\n",
    ": x\r\n",
    "POST / HTTP/1.1\r\n",
    " y\r\n",
];
