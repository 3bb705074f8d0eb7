//! Compressors that are shared, limited, and fail.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HOST, HeaderValue};
use http::{Method, Request, Version};
use http_body_util::Full;
use http_body_util::combinators::MapErr;
use settings::{CompressionMode, Config, Flags, Sources};

use super::*;
use crate::client::end_address::EndAddress;
use crate::client::peer::Peer;
use crate::fetch::FetchLimits;
use crate::fetch::flight::FlightPiece;
use crate::invalidation::Invalidation;
use crate::key::{Key, KeySeed, Scheme};
use crate::policy::{LiveSettings, RequestPolicy};
use crate::request::target::Target;
use crate::store::memory::{MemoryLimits, MemoryStore};
use process::clock::Clock;

const START: Timestamp = Timestamp::from_secs(1_000_000);

fn fetcher() -> (Arc<Fetcher>, Clock) {
    let clock = Clock::manual(START);
    let limits = MemoryLimits { capacity: 1 << 20, object_bytes_max: 1 << 16, variants_max: 8 };
    let store = Arc::new(MemoryStore::new(limits, clock.clone()));
    let limits =
        FetchLimits { object_bytes_max: 1 << 16, inflight_bytes_max: 1 << 20, misses_max: 8 };
    (Fetcher::new(store, Arc::new(Invalidation::new(1)), clock.clone(), limits), clock)
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

#[tokio::test]
async fn a_compressor_that_fails_breaks_off_and_its_url_is_plain_for_a_while() {
    let (fetcher, clock) = fetcher();
    let request = request();
    let (flight, writer) = fetcher.begin(&request);
    let reader = writer.first_reader();
    let running = &fetcher.encodings.running;
    let permit = running.permit(1).unwrap();
    let begin = || Some((Arc::clone(&flight), permit, ()));
    let Some(EncodingStart::Begun((), place)) =
        running.join_or_enter(Some((1, Coding::Gzip)), 9, begin)
    else {
        panic!("it is the first")
    };
    let failing = Encoder::finished();
    let plain = PlainContent::Arriving(1);
    let job = EncodingJob::new(&fetcher, request.clone(), Coding::Gzip, plain, failing, writer);
    job.run(content("text"), place).await;
    assert!(read(reader).await.is_err(), "no clean end");
    assert_eq!(fetcher.encodings.metrics.of(Coding::Gzip).failures.value(), 1);
    assert_eq!(running.count(), 0);

    let again = || wanted(&request, PlainContent::Arriving(2));
    assert!(fetcher.encode(again(), (), |()| content("text")).is_err(), "the plain form is sent");
    clock.advance(PLAIN_AFTER_FAILURE);
    assert!(fetcher.encode(again(), (), |()| content("text")).is_ok());
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
