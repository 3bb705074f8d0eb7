//! Spans of requests: their ids, what the origin is told, and a collector that is slow or gone.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use prost::Message as _;
use shellac::testing::spans::message::{AttributeContent, SpanKind, TraceExport, WireSpan};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::message::Head;
use crate::support::origin::{Gate, Origin, Reply, cacheable, ok};
use crate::support::reloading::Reloading;
use crate::support::secure::Authority;
use crate::support::{in_time, until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A receiver of OTLP over HTTP, as the protocol says: it takes exports one after the other.
#[derive(Clone, Debug, Default)]
struct Receiver {
    heads: Arc<Mutex<Vec<String>>>,
    spans: Arc<Mutex<Vec<WireSpan>>>,
}

impl Receiver {
    /// Starts one that answers with these codes, the last one from then on; 0: not at all.
    async fn start(codes: &'static [u16]) -> (Self, SocketAddr) {
        let receiver = Self::default();
        let own = receiver.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(tokio::spawn(async move {
            let mut codes = codes.iter().copied();
            let mut code = 200;
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                while let Some((head, body)) = read(&mut stream).await {
                    code = codes.next().unwrap_or(code);
                    if code == 0 {
                        std::future::pending::<()>().await;
                    }
                    own.heads.lock().unwrap().push(head);
                    if code == 200 {
                        own.take(&body);
                    }
                    let answer = format!("HTTP/1.1 {code} Said\r\ncontent-length: 0\r\n\r\n");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        }));
        (receiver, address)
    }

    fn take(&self, export: &[u8]) {
        let export = TraceExport::decode(export).unwrap();
        let scopes = export.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.spans.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
    }

    async fn spans(&self, count: usize) -> Vec<WireSpan> {
        until("spans", || self.spans.lock().unwrap().len() >= count).await;
        let spans = self.spans.lock().unwrap().clone();
        assert_eq!(spans.len(), count, "{spans:?}");
        spans
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let head = Head::read(stream).await.ok()??.text;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    Some((head, body))
}

fn settings(receiver: SocketAddr, more: &str) -> String {
    format!("[tracing]\nendpoint = \"http://{receiver}\"\n{more}\n")
}

fn hex(id: &[u8]) -> String {
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|it| char::from_digit(it.into(), 16));
    id.iter().flat_map(digits).flatten().collect()
}

fn attribute(span: &WireSpan, key: &str) -> Option<AttributeContent> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.clone()?.value
}

fn text(span: &WireSpan, key: &str) -> String {
    match attribute(span, key) {
        Some(AttributeContent::Text(text)) => text,
        other => panic!("{key}: {other:?} in {span:?}"),
    }
}

fn of_kind(spans: &[WireSpan], kind: SpanKind) -> &WireSpan {
    spans.iter().find(|span| span.kind == i32::from(kind)).unwrap()
}

#[tokio::test]
async fn spans_are_in_the_callers_trace_and_the_origin_is_called_by_ours() {
    let (origin, (receiver, address)) = (Origin::start().await, Receiver::start(&[200]).await);
    origin.on("/p?secret=1", cacheable("hello"));
    let headers = "sample = \"0%\"\nheaders = { authorization = \"Bearer hunter2\" }";
    let reloading = Reloading::start(&origin, &settings(address, headers));
    let traced = [("traceparent", SAMPLED), ("tracestate", "vendor=7")];
    drop(reloading.proxy.get_with("/p?secret=1", &traced).await);

    let spans = receiver.spans(2).await;
    let (own, exchange) = (of_kind(&spans, SpanKind::Server), of_kind(&spans, SpanKind::Client));
    for span in [own, exchange] {
        assert_eq!((hex(&span.trace_id).as_str(), &*span.trace_state), (TRACE, "vendor=7"));
        assert_eq!((&*span.name, text(span, "url.path")), ("GET", "/p".to_owned()));
        assert_eq!(
            attribute(span, "http.response.status_code"),
            Some(AttributeContent::Whole(200))
        );
        assert!(span.start_time_unix_nano < span.end_time_unix_nano);
        assert!(span.status.is_none() && attribute(span, "error.type").is_none());
    }
    assert_eq!(hex(&own.parent_span_id), "b7ad6b7169203331");
    assert_eq!(exchange.parent_span_id, own.span_id);
    assert!(own.start_time_unix_nano <= exchange.start_time_unix_nano);
    assert!(exchange.end_time_unix_nano <= own.end_time_unix_nano);
    let told = format!("00-{TRACE}-{}-01", hex(&exchange.span_id));
    let asked = origin.last("/p?secret=1");
    assert_eq!(asked.head.field("traceparent").as_deref(), Some(told.as_str()));
    assert_eq!(asked.head.field("tracestate").as_deref(), Some("vendor=7"));
    assert_eq!(
        (text(own, "shellac.cache"), text(own, "shellac.origin")),
        ("miss".into(), "app".into())
    );
    assert!(!format!("{spans:?}").contains("secret"), "no query is exported");

    drop(reloading.proxy.get_with("/p?secret=1", &traced).await);
    let spans = receiver.spans(3).await;
    assert_eq!(text(&spans[2], "shellac.cache"), "hit");
    assert_eq!(attribute(&spans[2], "shellac.origin"), None);

    let head = receiver.heads.lock().unwrap()[0].clone();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/x-protobuf\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: Bearer hunter2"), "{head}");
    let shown = reloading.proxy.ask_admin("GET", "/api/v1/config", &[], "").await;
    assert!(shown.text().contains("tracing.headers.authorization"), "{}", shown.text());
    assert!(!shown.text().contains("hunter2"), "{}", shown.text());
}

#[tokio::test]
async fn a_request_that_shares_a_response_is_linked_to_the_exchange_that_brought_it() {
    let (origin, (receiver, address)) = (Origin::start().await, Receiver::start(&[200]).await);
    let gate = Gate::closed();
    let head = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 10\r\n\r\n";
    origin.on("/p", Reply::bytes(head).send("01234").hold(&gate).send("56789"));
    let reloading = Reloading::start(&origin, &settings(address, "sample = \"0%\""));
    let mut leader = reloading.proxy.begin("/p", &[("traceparent", SAMPLED)]).await;
    leader.head().await;
    let other = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01";
    let mut follower = reloading.proxy.begin("/p", &[("traceparent", other)]).await;
    assert!(follower.head().await.field("cache-status").unwrap().contains("; collapsed"));
    gate.open();
    for client in [&mut leader, &mut follower] {
        assert_eq!(client.bytes(10).await, b"0123456789");
    }

    let spans = receiver.spans(3).await;
    let exchange = of_kind(&spans, SpanKind::Client);
    let linked: Vec<_> = spans.iter().filter(|span| !span.links.is_empty()).collect();
    assert_eq!(linked.len(), 1, "{spans:?}");
    assert_eq!(hex(&linked[0].trace_id), "a".repeat(32));
    let link = &linked[0].links[0];
    assert_eq!((hex(&link.trace_id).as_str(), &link.span_id), (TRACE, &exchange.span_id));
}

#[tokio::test]
async fn a_request_that_is_not_recorded_passes_as_it_came() {
    let (origin, (receiver, address)) = (Origin::start().await, Receiver::start(&[200]).await);
    let reloading = Reloading::start(&origin, &settings(address, "sample = \"0%\""));
    for path in ["/none", "/unsampled", "/sampled"] {
        origin.on(path, ok("x"));
    }
    let unsampled = SAMPLED.replace("-01", "-00");
    drop(reloading.proxy.get("/none").await);
    drop(reloading.proxy.get_with("/unsampled", &[("traceparent", &unsampled)]).await);
    drop(reloading.proxy.get_with("/sampled", &[("traceparent", SAMPLED)]).await);

    receiver.spans(2).await; // of the last request only
    assert_eq!(origin.last("/none").head.field("traceparent"), None);
    assert_eq!(origin.last("/unsampled").head.field("traceparent"), Some(unsampled));
}

#[tokio::test]
async fn a_trace_may_begin_here_and_reaches_fetches_in_the_background() {
    let (origin, (receiver, address)) = (Origin::start().await, Receiver::start(&[200]).await);
    let reloading = Reloading::start(&origin, &settings(address, "sample = \"100%\""));
    origin.on("/a", ok("1").field("cache-control", "max-age=10, stale-while-revalidate=60"));
    drop(reloading.proxy.get("/a").await);
    let spans = receiver.spans(2).await;
    let exchange = of_kind(&spans, SpanKind::Client);
    let trace = hex(&exchange.trace_id);
    let told = format!("00-{trace}-{}-01", hex(&exchange.span_id));
    assert_eq!(origin.last("/a").head.field("traceparent"), Some(told));
    assert!(of_kind(&spans, SpanKind::Server).parent_span_id.is_empty());

    reloading.proxy.advance(11);
    drop(reloading.proxy.get("/a").await);
    let spans = receiver.spans(3).await;
    assert_eq!(text(&spans[2], "shellac.cache"), "stale");
    until("the refresh", || origin.count("/a") == 2).await;
    let told = format!("00-{}-{}-01", hex(&spans[2].trace_id), hex(&spans[2].span_id));
    assert_eq!(origin.last("/a").head.field("traceparent"), Some(told));
}

#[tokio::test]
async fn a_failure_is_an_error_with_its_reason() {
    let (origin, (receiver, address)) = (Origin::start().await, Receiver::start(&[200]).await);
    let reloading = Reloading::start(&origin, &settings(address, "sample = \"100%\""));
    origin.on("/broken", Reply::nothing());
    assert_eq!(reloading.proxy.get("/broken").await.status(), 502);
    for span in receiver.spans(2).await {
        assert_eq!(span.status.as_ref().unwrap().code, 2, "{span:?}");
        assert_eq!(text(&span, "error.type"), "broken");
    }
}

#[tokio::test]
async fn a_busy_collector_is_asked_again_and_one_that_refuses_is_not() {
    let (origin, (receiver, address)) =
        (Origin::start().await, Receiver::start(&[503, 200, 400, 200]).await);
    let reloading = Reloading::start(&origin, &settings(address, "sample = \"100%\""));
    origin.on("/a", cacheable("x"));
    drop(reloading.proxy.get("/a").await);
    receiver.spans(2).await;
    assert_eq!(receiver.heads.lock().unwrap().len(), 2);
    drop(reloading.proxy.get("/a").await);
    until("a refusal", || receiver.heads.lock().unwrap().len() == 3).await;
    let lost = "shellac_spans_lost_total{reason=\"refused\"} 1\n";
    in_time("the count", async { while !reloading.metrics().await.contains(lost) {} }).await;
    assert!(reloading.metrics().await.contains("shellac_spans_exported_total 2\n"));

    let other = settings(address, "sample = \"100%\"\nservice = \"other\"");
    reloading.apply(&other).await;
    drop(reloading.proxy.get("/a").await);
    let exported = "shellac_spans_exported_total 3\n";
    in_time("the count", async { while !reloading.metrics().await.contains(exported) {} }).await;
    assert!(reloading.metrics().await.contains(lost), "counts outlive a reload");
}

#[tokio::test]
async fn a_collector_is_trusted_by_the_authority_that_is_named() {
    let (origin, (receiver, address)) = (Origin::start().await, Receiver::start(&[200]).await);
    let authority = Authority::new();
    let secured = authority.before(address, &authority.issue("collector", &["localhost"])).await;
    let endpoint = format!("endpoint = \"https://localhost:{}\"", secured.port());
    let named = format!("[tracing.tls]\nca = \"{}\"", authority.path("ca.pem").display());
    let all = format!("[tracing]\n{endpoint}\nsample = \"100%\"\n");
    let reloading = Reloading::start(&origin, &all);
    origin.on("/a", cacheable("x"));
    drop(reloading.proxy.get("/a").await);
    // It is asked again a second later; the settings are others by then.
    reloading.apply(&format!("{all}{named}")).await;
    drop(reloading.proxy.get("/a").await);
    assert_eq!(receiver.spans(1).await.len(), 1);
    let lost = "shellac_spans_lost_total{reason=\"unavailable\"} 2\n";
    in_time("the count", async { while !reloading.metrics().await.contains(lost) {} }).await;
}

#[tokio::test]
async fn a_collector_that_takes_nothing_harms_no_request_and_losses_are_counted() {
    let (origin, (_receiver, address)) = (Origin::start().await, Receiver::start(&[0]).await);
    let more = "sample = \"100%\"\nqueue = 64";
    let mut reloading = Reloading::start(&origin, &settings(address, more));
    origin.on("/a", cacheable("x"));
    for _ in 0..600 {
        assert_eq!(reloading.proxy.get("/a").await.status(), 200);
    }
    let page = reloading.metrics().await;
    let lost = page
        .lines()
        .find_map(|line| line.strip_prefix("shellac_spans_lost_total{reason=\"queue\"} "));
    assert!(lost.unwrap().parse::<u64>().unwrap() >= 600 - 2 * 64, "{page}");

    reloading.proxy.leave();
    in_time("the end", reloading.proxy.left()).await;
}

#[tokio::test]
async fn what_waits_is_exported_at_the_end_and_after_a_reload_nothing_is() {
    let (origin, (receiver, address)) = (Origin::start().await, Receiver::start(&[200]).await);
    let mut reloading = Reloading::start(&origin, "");
    origin.on("/a", cacheable("x"));
    drop(reloading.proxy.get("/a").await);
    assert!(!reloading.metrics().await.contains("shellac_spans_"));
    reloading.apply(&settings(address, "sample = \"100%\"")).await;
    drop(reloading.proxy.get("/a").await);
    receiver.spans(1).await;
    reloading.apply("").await;
    drop(reloading.proxy.get("/a").await);
    assert!(reloading.metrics().await.contains("shellac_spans_exported_total 1\n"));

    reloading.apply(&settings(address, "sample = \"100%\"")).await;
    drop(reloading.proxy.get("/a").await);
    reloading.proxy.leave();
    in_time("the end", reloading.proxy.left()).await;
    assert_eq!(receiver.spans.lock().unwrap().len(), 2, "the second at the end");
}
