//! HTTP/2 to the origin, end to end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use process::clock::Clock;
use rustls_pki_types::PrivatePkcs8KeyDer;
use settings::{Config, OriginHttp2, OriginTlsSettings};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::support::client::Connection;
use crate::support::proxy::{Proxy, START, request};
use crate::support::{in_time, join_all, until};

type Content = BoxBody<Bytes, std::io::Error>;

/// An origin that speaks both protocols without TLS.
#[derive(Clone, Debug)]
struct Http2Origin {
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    /// Requests to `/held` wait for it.
    gate: Arc<Semaphore>,
    /// Asks every connection to end after its requests.
    leave: Arc<Notify>,
}

impl Http2Origin {
    fn new() -> Self {
        Self {
            connections: Arc::default(),
            requests: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            leave: Arc::default(),
        }
    }

    /// Starts it with TLS, and these protocols to choose from. Returns its certificate, too.
    async fn start_with_tls(self, protocols: &[&[u8]]) -> (SocketAddr, String) {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key.into())
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                self.connections.fetch_add(1, Ordering::Relaxed);
                let (origin, acceptor) = (self.clone(), acceptor.clone());
                connections.spawn(async move {
                    origin.serve(TokioIo::new(acceptor.accept(stream).await.unwrap())).await;
                });
            }
        });
        (address, own.cert.pem())
    }

    async fn start(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                self.connections.fetch_add(1, Ordering::Relaxed);
                connections.spawn(self.clone().serve(TokioIo::new(stream)));
            }
        });
        address
    }

    async fn serve<S>(self, stream: TokioIo<S>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (origin, leave) = (self.clone(), Arc::clone(&self.leave));
        let service = service_fn(move |request| {
            let origin = origin.clone();
            async move { origin.answer(request).await }
        });
        let builder = auto::Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection_with_upgrades(stream, service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ended = connection.as_mut() => return,
            () = leave.notified() => connection.as_mut().graceful_shutdown(),
        }
        drop(connection.await);
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Content>, std::io::Error> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let (parts, body) = request.into_parts();
        let response = Response::builder().header("x-version", format!("{:?}", parts.version));
        let full = |text: String| Full::from(text).map_err(|never| match never {}).boxed();
        let response = match parts.uri.path() {
            "/page" if parts.headers.contains_key("if-none-match") => response
                .status(StatusCode::NOT_MODIFIED)
                .header("etag", "\"1\"")
                .body(full(String::new())),
            "/page" => response
                .header("cache-control", "max-age=60")
                .header("etag", "\"1\"")
                .body(full("page".to_owned())),
            "/held" => {
                self.gate.acquire().await.unwrap().forget();
                response.body(full("held".to_owned()))
            }
            "/large" => response.header("cache-control", "private").body(full("x".repeat(LARGE))),
            "/echo" => response
                .header("trailer", "x-sum")
                .body(body.map_err(std::io::Error::other).boxed()),
            "/chat" => {
                let upgrade = hyper::upgrade::on(Request::from_parts(parts, body));
                tokio::spawn(async move {
                    let mut stream = TokioIo::new(upgrade.await.unwrap());
                    let mut bytes = [0; 5];
                    stream.read_exact(&mut bytes).await.unwrap();
                    stream.write_all(&bytes).await.unwrap();
                });
                response
                    .status(StatusCode::SWITCHING_PROTOCOLS)
                    .header("upgrade", "websocket")
                    .header("connection", "upgrade")
                    .body(full(String::new()))
            }
            "/tags" => {
                let tags: Vec<String> =
                    (0..12_000).map(|number| format!("cat_p_{number:06}")).collect();
                let response = response.header("cache-control", "max-age=60");
                response.header("x-magento-tags", tags.join(",")).body(full(String::new()))
            }
            path => response.header("cache-control", "no-store").body(full(path.to_owned())),
        };
        Ok(response.unwrap())
    }
}

/// More than the windows of a connection hold.
const LARGE: usize = 4 << 20;

fn before(origin: SocketAddr, change: impl FnOnce(&mut Config)) -> Proxy {
    Proxy::start_at(origin, Clock::manual(START), |config| {
        config.origins[0].http2 = OriginHttp2::Cleartext;
        change(config);
    })
}

async fn start() -> (Http2Origin, Proxy) {
    let origin = Http2Origin::new();
    let address = origin.clone().start().await;
    (origin, before(address, |_| {}))
}

#[tokio::test]
async fn pages_are_fetched_stored_and_validated_over_http_2() {
    let (origin, proxy) = start().await;

    let miss = proxy.get("/page").await;
    assert_eq!((miss.status(), miss.text()), (200, "page"));
    assert_eq!(miss.field("x-version").unwrap(), "HTTP/2.0");
    assert!(proxy.get("/page").await.field("cache-status").unwrap().contains("hit"));
    proxy.clock.advance(Duration::from_secs(61));
    let validated = proxy.get("/page").await;
    assert_eq!((validated.status(), validated.text()), (200, "page"));
    assert_eq!(origin.requests.load(Ordering::Relaxed), 2);
    assert_eq!(origin.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn requests_at_once_share_one_connection() {
    let (origin, proxy) = start().await;
    let address = proxy.address;
    let all = tokio::spawn(join_all((0..50).map(move |number| async move {
        let mut client = Connection::open(address).await;
        client.send(request("GET", &format!("/held?{number}"), &[], "")).await;
        client.answer().await.status()
    })));
    until("all are there", || origin.requests.load(Ordering::Relaxed) == 50).await;
    origin.gate.add_permits(50);

    assert_eq!(in_time("the answers", all).await.unwrap(), [200; 50]);
    assert_eq!(origin.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_client_that_reads_nothing_holds_up_no_other() {
    let (origin, proxy) = start().await;
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut client = proxy.begin("/large", &[]).await;
        client.head().await;
        slow.push(client); // which reads no further
    }

    let answer = proxy.get("/large").await;
    assert_eq!(answer.content.len(), LARGE);
    assert_eq!(origin.connections.load(Ordering::Relaxed), 1);
    drop(slow);
}

#[tokio::test]
async fn no_request_fails_while_servers_end_their_connections() {
    let (origin, proxy) = start().await;
    for number in 0..30 {
        let content = format!("{number}");
        let answer = proxy.post("/echo", &content).await;
        assert_eq!((answer.status(), answer.text()), (200, &*content));
        origin.leave.notify_waiters(); // GOAWAY
    }
    assert!(origin.connections.load(Ordering::Relaxed) > 1);
}

#[tokio::test]
async fn content_and_trailers_come_back() {
    let (_origin, proxy) = start().await;
    let content = "x".repeat(1 << 20);

    let echo = proxy.post("/echo", &content).await;
    assert_eq!(echo.content.len(), content.len());
    let fields = [("Transfer-Encoding", "chunked"), ("TE", "trailers"), ("Trailer", "x-sum")];
    let mut client = proxy.connect().await;
    let content = "3\r\nsum\r\n0\r\nx-sum: 3\r\n\r\n";
    client.send(request("POST", "/echo", &fields, "") + content).await;
    let with_trailers = client.answer().await;
    assert_eq!(with_trailers.text(), "sum");
    assert_eq!(with_trailers.trailers.to_lowercase(), "x-sum: 3");
    let mut client = proxy.connect().await;
    client.send(request("HEAD", "/other", &[], "")).await;
    let head = client.answer_to_head().await;
    assert_eq!((head.status(), head.content.len()), (200, 0));
}

#[tokio::test]
async fn a_websocket_has_a_connection_of_its_own() {
    let (_origin, proxy) = start().await;
    assert_eq!(proxy.get("/first").await.field("x-version").unwrap(), "HTTP/2.0");
    let fields = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let mut client = proxy.begin("/chat", &fields).await;

    let head = client.head().await;
    assert_eq!(head.word(1), "101");
    client.send("hello").await;
    assert_eq!(client.bytes(5).await, b"hello");
}

#[tokio::test]
async fn an_origin_that_does_not_speak_http_2_is_named() {
    let origin = crate::support::origin::Origin::start().await;
    let proxy = before(origin.address, |_| {});

    let answer = proxy.get("/").await;
    let status = answer.field("proxy-status").unwrap();
    assert!(status.contains("error=http_protocol_error"), "{status}");
    assert_eq!(answer.status(), 502);
}

#[tokio::test]
async fn a_server_with_tls_is_spoken_to_as_it_chooses() {
    let both: [&[u8]; 2] = [b"h2", b"http/1.1"];
    for (protocols, version, connections) in
        [(&both[..], "HTTP/2.0", 1), (&both[1..], "HTTP/1.1", 20), (&[], "HTTP/1.1", 20)]
    {
        let origin = Http2Origin::new();
        let (address, certificate) = origin.clone().start_with_tls(protocols).await;
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, certificate).unwrap();
        let proxy = Proxy::start_at(address, Clock::manual(START), |config| {
            config.origins[0].http2 = OriginHttp2::Alpn;
            config.origins[0].tls =
                Some(OriginTlsSettings { ca: Some(ca), ..OriginTlsSettings::default() });
        });
        let proxy_address = proxy.address;
        let all = tokio::spawn(join_all((0..20).map(move |number| async move {
            let mut client = Connection::open(proxy_address).await;
            client.send(request("GET", &format!("/held?{number}"), &[], "")).await;
            let answer = client.answer().await;
            (answer.status(), answer.field("x-version"))
        })));
        until("all are there", || origin.requests.load(Ordering::Relaxed) == 20).await;
        origin.gate.add_permits(20);

        let answers = in_time("the answers", all).await.unwrap();
        assert!(
            answers.iter().all(|answer| *answer == (200, Some(version.to_owned()))),
            "{answers:?}"
        );
        let opened = origin.connections.load(Ordering::Relaxed);
        // A request may take a connection that another one has given back while its own is made.
        let spare = usize::from(version == "HTTP/1.1");
        assert!((connections..=connections + spare).contains(&opened), "{version}: {opened}");
    }
}

#[tokio::test]
async fn a_head_with_160_kb_of_tags_comes_over_http2_and_is_purged_by_each() {
    let (_origin, proxy) = start().await;
    for tag in ["cat_p_000000", "cat_p_011999"] {
        assert_eq!(proxy.get("/tags").await.status(), 200);
        assert!(proxy.get("/tags").await.is_hit());
        let report = proxy.purge(&format!(r#"{{"tags":["{tag}"]}}"#)).await;
        assert_eq!(report["matched"]["objects"], 1, "{tag}");
    }
}
