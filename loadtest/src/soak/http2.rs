//! Clients of HTTP/2: several streams at a time on one connection, some of them reset.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::{COLD, Client, HOT};
use super::kind::Kind;
use super::verdict::{Facts, Question, Verdict};
use super::wire::End;

type Connection = SendRequest<Empty<Bytes>>;

pub(crate) async fn exchange(client: &mut Client, streams: usize) {
    let Some(connection) = open(client).await else {
        client.tally.count(Kind::Http2, Verdict::Stuck, false, || "no connection".to_owned());
        return;
    };
    let mut exchanges = JoinSet::new();
    for _ in 0..streams {
        let (question, is_reset) = choose(client);
        let (connection, tally) = (connection.clone(), Arc::clone(&client.tally));
        exchanges.spawn(async move {
            let asked = timeout(PATIENCE, ask(connection, &question, is_reset)).await;
            let (verdict, is_hit) = asked.unwrap_or((Verdict::Stuck, false));
            tally.count(Kind::Http2, verdict, is_hit, || format!("{question:?}"));
        });
    }
    while exchanges.join_next().await.is_some() {}
}

async fn open(client: &Client) -> Option<Connection> {
    let stream = TcpStream::connect(client.proxy).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (connection, driver) = handshake.await.ok()?;
    // How it ends shows in the streams.
    tokio::spawn(async move { driver.await.unwrap_or_default() });
    Some(connection)
}

fn choose(client: &mut Client) -> (Question, bool) {
    let choice = client.random.bits() % 16;
    let question = match choice {
        0 => client.question('c', COLD),
        1 => Question { variant: "2".to_owned(), ..client.question('v', HOT) },
        2 => Question { ranges: vec![(50, 149)], ..client.question('c', HOT) },
        3 => Question { is_head: true, ..client.question('c', HOT) },
        4 => client.question('t', HOT),
        5 => client.question('k', COLD),
        6 => Question { variant: format!("{choice}"), ..client.question('n', HOT) },
        7 => client.question('x', COLD),
        _ => client.question('c', HOT),
    };
    (question, choice == 15)
}

async fn ask(mut connection: Connection, question: &Question, is_reset: bool) -> (Verdict, bool) {
    let Some(request) = request_of(question) else { return (Verdict::Stuck, false) };
    let Ok(response) = connection.send_request(request).await else {
        return (Verdict::Cut, false);
    };
    let (head, mut body) = response.into_parts();
    let text = |name: &str| field(&head.headers, name);
    let facts = Facts {
        status: head.status.as_u16(),
        etag: text("etag"),
        length: text("content-length").and_then(|length| length.parse().ok()),
        content_range: text("content-range"),
        content_type: text("content-type"),
    };
    let is_hit = text("cache-status").is_some_and(|status| status.contains("; hit"));
    let mut verifier = match question.begin(&facts) {
        Ok(verifier) => verifier,
        Err(verdict) => return (verdict, is_hit),
    };
    while let Some(frame) = body.frame().await {
        // After an error there is nothing but the same error.
        let Ok(frame) = frame else { return (verifier.finish(End::Cut), is_hit) };
        if let Ok(data) = frame.into_data() {
            verifier.feed(&data);
        }
        if is_reset {
            return (verifier.finish(End::Cut), is_hit);
        }
    }
    (verifier.finish(End::Clean), is_hit)
}

fn request_of(question: &Question) -> Option<Request<Empty<Bytes>>> {
    let method = if question.is_head { "HEAD" } else { "GET" };
    let uri = format!("http://{}{}", question.host, question.path);
    let mut request = Request::builder().method(method).uri(uri);
    if !question.variant.is_empty() {
        request = request.header("x-variant", &question.variant);
    }
    if let Some((first, last)) = question.ranges.first() {
        request = request.header("range", format!("bytes={first}-{last}"));
    }
    request.body(Empty::new()).ok()
}

fn field<'a>(fields: &'a HeaderMap, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(|value| value.to_str().ok())
}

const PATIENCE: Duration = Duration::from_secs(20);
