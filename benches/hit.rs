//! A whole hit in memory: from the bytes of a request to the bytes of its response, over a pipe
//! instead of a socket, beside a bare hyper server that sends the same bytes. The difference is
//! ours.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use benches::{FIELDS, facts, fields};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use process::clock::Clock;
use process::timestamp::Timestamp;
use settings::{Config, Flags, Sources};
use shellac::app::App;
use shellac::testing::client::peer::{ListenerId, Peer};
use shellac::testing::freshness::{ExchangeTimes, FreshnessRules, judge};
use shellac::testing::key::{Key, Scheme};
use shellac::testing::listener::activity::{Activity, Protocol};
use shellac::testing::listener::service::{ClientConnection, ConnectionService};
use shellac::testing::store::{Body, Content, Fields, NewEntry};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};

const REQUEST: &[u8] = b"GET /en/catalogue/products/4711?size=42 HTTP/1.1\r\n\
    Host: www.shop.example\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: de-CH,de;q=0.8,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Connection: keep-alive\r\n\
    X-Forwarded-For: 192.0.2.7\r\n\r\n";

const PATH: &[u8] = b"/en/catalogue/products/4711?size=42";

fn hit(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    for size in [1 << 10, 16 << 10, 100 << 10] {
        let content = Bytes::from(vec![b'x'; size]);
        let mut group = criterion.benchmark_group(format!("hit of {} KiB", size >> 10));
        group.throughput(Throughput::Elements(1));
        for (name, serve) in [("bare hyper", serve_bare as Serve), ("shellac", serve_hits)] {
            let (client, server) = duplex(1 << 20);
            runtime.block_on(async { serve(server, content.clone()) });
            let mut asker = Asker { client, buffer: vec![0; 1 << 20], length: None };
            group.bench_function(name, |bencher| bencher.iter(|| asker.ask(&runtime)));
        }
        group.finish();
    }
}

type Serve = fn(DuplexStream, Bytes);

fn serve_bare(stream: DuplexStream, content: Bytes) {
    let head = fields(FIELDS);
    let service = service_fn(move |_: Request<Incoming>| {
        let mut response = Response::new(Full::new(content.clone()));
        *response.headers_mut() = head.clone();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    tokio::spawn(async move {
        let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        served.expect("the client reads to the end");
    });
}

fn serve_hits(stream: DuplexStream, content: Bytes) {
    let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
    let app = App::new(config(), clock.clone()).expect("memory needs no file");
    store(&app, content, &clock);
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    let peer = Peer {
        remote: address.into(),
        local: address.into(),
        is_trusted: false,
        is_secure: false,
        listener: Some(ListenerId::at(0)),
        retained: Arc::default(),
        claims: Arc::default(),
    };
    let connection = ClientConnection {
        peer: Arc::new(peer),
        activity: Activity::new(clock, Protocol::Http1),
        exchange: Arc::default(),
    };
    let service = ConnectionService::new(Arc::clone(&app.front), connection);
    tokio::spawn(async move {
        let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        served.expect("the client reads to the end");
        drop(app);
    });
}

fn config() -> Config {
    let flags = Flags { origin: Some("http://127.0.0.1:9".to_owned()), ..Flags::default() };
    let file = Some(("hit.toml".to_owned(), "[storage.memory]\ncapacity = \"64MiB\"\n".to_owned()));
    Config::load(&Sources { file, flags, ..Sources::default() }).expect("it is right")
}

fn store(app: &App, content: Bytes, clock: &Clock) {
    let now = clock.now();
    let exchange = ExchangeTimes { request_time: now, response_time: now, wall_time: now };
    let head = fields(FIELDS);
    let freshness = judge(&FreshnessRules::default(), &facts(), StatusCode::OK, &head, exchange);
    let seed = app.front.cache.seed();
    let tags = (0..5_u8).map(|number| app.invalidation.ids().tag(&[number]));
    let draft = NewEntry {
        key: Key::new(seed, Scheme::Http, b"www.shop.example", PATH),
        variant: None,
        provenance: app.invalidation.begin_fetch().provenance(tags),
        content: Content::Response(shellac::testing::store::StoredResponse {
            status: StatusCode::OK,
            fields: Fields::copy_of(&head, &|_| false),
            freshness: freshness.expect("it may be stored"),
            body: Body::Empty,
            part: None,
        }),
    };
    let mut writer = app.store.begin();
    writer.append(content).expect("small enough");
    writer.commit(draft).expect("small enough");
}

/// A client that sends one request after the other.
struct Asker {
    client: DuplexStream,
    buffer: Vec<u8>,
    /// Bytes of a response, once one was read.
    length: Option<usize>,
}

impl Asker {
    fn ask(&mut self, runtime: &Runtime) {
        let Self { client, buffer, length } = self;
        runtime.block_on(async {
            client.write_all(REQUEST).await.expect("the server reads");
            let mut read = 0;
            while length.is_none_or(|length| read < length) {
                let free = buffer.get_mut(read..).expect("the response fits");
                read += client.read(free).await.expect("the server answers");
                let known = buffer.get(..read).and_then(length_of);
                *length = length.or(known);
            }
        });
    }
}

fn length_of(read: &[u8]) -> Option<usize> {
    let head_bytes = read.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let head = str::from_utf8(read.get(..head_bytes)?).ok()?.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    Some(head_bytes + length?.parse::<usize>().ok()?)
}

criterion_group!(all, hit);
criterion_main!(all);
