//! Compressors that are shared, limited, and fail.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, HOST, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode, Version};
use http_body::Frame;
use http_body_util::Full;
use http_body_util::combinators::MapErr;
use settings::{CompressionMode, Config, Flags, Sources};

use super::*;
use crate::client::end_address::EndAddress;
use crate::client::peer::Peer;
use crate::compression::encoder::Fault;
use crate::compression::form::ContentForm;
use crate::fetch::FetchLimits;
use crate::fetch::flight::FlightPiece;
use crate::freshness::{ExchangeTimes, judge};
use crate::invalidation::Invalidation;
use crate::key::vary::Variant;
use crate::key::{Key, KeySeed, Scheme};
use crate::policy::{LiveSettings, RequestPolicy};
use crate::request::target::Target;
use crate::store::journal::Journal;
use crate::store::memory::{MemoryLimits, MemoryStore};
use crate::store::{Fields, NewEntry, StoredResponse};
use process::clock::Clock;

const START: Timestamp = Timestamp::from_secs(1_000_000);

fn fetcher() -> (Arc<Fetcher>, Clock) {
    let clock = Clock::manual(START);
    let limits = MemoryLimits { capacity: 1 << 20, object_bytes_max: 1 << 16, variants_max: 8 };
    let store = Arc::new(MemoryStore::new(limits, clock.clone()));
    let limits =
        FetchLimits { object_bytes_max: 1 << 16, inflight_bytes_max: 1 << 20, misses_max: 8 };
    let invalidation = (Arc::new(Invalidation::new(1)), Journal::default());
    (Fetcher::new(store, invalidation, clock.clone(), limits), clock)
}

fn request() -> RequestHead {
    let flags = Flags { origin: Some("http://127.0.0.1:9".to_owned()), ..Flags::default() };
    let mut config = Config::load(&Sources { flags, ..Sources::default() }).unwrap();
    config.compression.mode = CompressionMode::On;
    config.compression.max_running = 2;
    let nowhere = EndAddress::Ip(([127, 0, 0, 1], 0).into());
    let peer = Peer {
        remote: nowhere,
        local: nowhere,
        is_trusted: false,
        is_secure: false,
        listener: None,
        retained: Arc::default(),
        claims: Arc::default(),
    };
    let (mut parts, ()) = Request::get("/a").body(()).unwrap().into_parts();
    parts.headers.insert(HOST, HeaderValue::from_static("h"));
    parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    let target = Target::read(&parts, &peer, 1000).unwrap();
    let settings = LiveSettings::new(&config).local();
    RequestHead {
        method: Method::GET,
        version: Version::HTTP_11,
        policy: RequestPolicy::without_rules(settings),
        key: Key::new(KeySeed(1), Scheme::Http, b"h", b"/a"),
        asked: None,
        target,
        fields: parts.headers,
        peer: Arc::new(peer),
        interim: None,
        details: crate::request::details::KeptDetails::default(),
    }
}

type Content = MapErr<Full<Bytes>, fn(Infallible) -> OriginError>;

fn content(text: &'static str) -> Content {
    use http_body_util::BodyExt as _;
    Full::from(text).map_err(|never| match never {})
}

fn wanted(request: &RequestHead, plain: PlainContent) -> WantedForm<'_> {
    WantedForm { request, coding: Coding::Gzip, plain, length: None }
}

async fn read(mut reader: FlightReader) -> Result<Vec<u8>, OriginError> {
    let mut all = Vec::new();
    while let Some(piece) = std::future::poll_fn(|cx| reader.poll_piece(cx)).await {
        if let FlightPiece::Frame(frame) = piece? {
            all.extend_from_slice(&frame.into_data().unwrap());
        }
    }
    Ok(all)
}

struct Pieces(VecDeque<&'static [u8]>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = OriginError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OriginError>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(Bytes::from_static(piece)))))
    }
}

/// Stores the plain form of a page, of which compressed forms may be made.
fn stored_plain(fetcher: &Fetcher, request: &RequestHead, text: &'static str) -> Arc<Stored> {
    let (mut fields, facts) = (HeaderMap::new(), request.facts());
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
    let exchange = ExchangeTimes { request_time: START, response_time: START, wall_time: START };
    let rules = &request.policy.freshness;
    let freshness = judge(rules, &facts, StatusCode::OK, &fields, exchange).unwrap();
    ContentForm::Compressible.describe(&mut fields);
    let variant = Variant::selected(vec![ACCEPT_ENCODING], &HeaderMap::new()).unwrap();
    let mut writer = fetcher.store.begin();
    writer.append(Bytes::from_static(text.as_bytes())).unwrap();
    let response = StoredResponse {
        status: StatusCode::OK,
        fields: Fields::copy_of(&fields, &|_| false),
        freshness,
        body: crate::store::Body::Empty,
        part: None,
    };
    let draft = NewEntry {
        key: request.key.clone(),
        variant,
        provenance: fetcher.invalidation.begin_fetch().provenance([]),
        content: crate::store::Content::Response(response),
    };
    writer.commit(draft).unwrap()
}

/// Compresses two pieces of a stored page by this compressor.
async fn compress(
    fetcher: &Arc<Fetcher>,
    encoder: Encoder,
    pieces: [&'static [u8]; 2],
) -> Result<Vec<u8>, OriginError> {
    let request = request();
    let plain = PlainContent::Stored(stored_plain(fetcher, &request, "text"));
    let (flight, writer) = fetcher.begin(&request, None);
    let reader = writer.first_reader();
    let running = &fetcher.encodings.running;
    let begin = || Some((Arc::clone(&flight), running.permit(1).unwrap(), ()));
    let Some(EncodingStart::Begun((), place)) =
        running.join_or_enter(Some((1, Coding::Gzip)), 9, begin)
    else {
        panic!("it is the first")
    };
    let job = EncodingJob::new(fetcher, request, Coding::Gzip, plain, encoder, writer);
    let run = job.run(Pieces(pieces.into()), place);
    drop(tokio::spawn(run).await);
    read(reader).await
}

#[tokio::test]
async fn a_compressor_that_fails_breaks_off_and_its_url_is_plain_for_a_while() {
    const LARGE: &[u8] = &[b'x'; 20 << 10];
    for (fault, pieces) in [
        (Fault::Error, [&b"some"[..], b"text"]),
        (Fault::Panic, [b"some", b"text"]),
        (Fault::Error, [b"some", LARGE]), // in another thread
        (Fault::Panic, [b"some", LARGE]),
    ] {
        let (fetcher, clock) = fetcher();
        let compressed = compress(&fetcher, Encoder::faulty(fault), pieces).await;
        assert!(compressed.is_err(), "{fault:?}: no clean end");
        assert_eq!(fetcher.store.usage().objects, 1, "{fault:?}: the plain form");
        assert_eq!(fetcher.encodings.metrics.of(Coding::Gzip).failures.value(), 1, "{fault:?}");
        assert_eq!(fetcher.encodings.running.count(), 0, "{fault:?}");

        let request = request();
        let again = || wanted(&request, PlainContent::Arriving(2));
        assert!(fetcher.encode(again(), (), |()| content("text")).is_err(), "it is sent plain");
        clock.advance(PLAIN_AFTER_FAILURE);
        assert!(fetcher.encode(again(), (), |()| content("text")).is_ok());
    }
}

#[tokio::test]
async fn a_compressor_that_does_not_fail_leaves_the_compressed_form() {
    let (fetcher, _clock) = fetcher();
    let encoder = Encoder::new(Coding::Gzip, &settings::CompressionLevels::default(), None);
    assert!(compress(&fetcher, encoder.unwrap(), [b"te", b"xt"]).await.is_ok());
    assert_eq!(fetcher.store.usage().objects, 2);
}

#[tokio::test]
async fn all_who_want_one_content_share_one_compressor() {
    let (fetcher, _clock) = fetcher();
    let request = request();
    let encode = |number| {
        fetcher.encode(wanted(&request, PlainContent::Arriving(number)), (), |()| content("text"))
    };
    let (first, second, other) = (encode(1).unwrap(), encode(1).unwrap(), encode(2).unwrap());
    assert_eq!(fetcher.encodings.running.count(), 2);
    assert!(encode(3).is_err(), "two run already");
    assert_eq!(fetcher.encodings.metrics.overloaded.value(), 1);
    let one = read(first).await.unwrap();
    assert_eq!(one, read(second).await.unwrap());
    assert_eq!(one, read(other).await.unwrap());
    assert_eq!(fetcher.encodings.metrics.of(Coding::Gzip).bytes_in.value(), 8);
}

#[test]
fn failures_are_remembered_within_a_limit() {
    let encodings = Encodings::default();
    for key_hash in 0..2 * FAILED_MAX as u64 {
        encodings.note_failure(key_hash, Coding::Br, START);
    }
    assert_eq!(encodings.failed.lock().len(), FAILED_MAX);
    assert!(!encodings.has_failed(0, Coding::Br, START));
    assert!(encodings.has_failed(FAILED_MAX as u64, Coding::Br, START));
    assert!(!encodings.has_failed(FAILED_MAX as u64, Coding::Gzip, START));
}
