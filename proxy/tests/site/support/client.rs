//! `Client`: one connection for each request, so that a request can be cut and a thousand can be in
//! flight.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PATIENCE;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    address: SocketAddr,
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Bytes,
}

/// A response whose content is still arriving. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Arriving {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
    body: Incoming,
    _connection: Connection,
}

/// The task that moves a connection's bytes.
#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Client {
    pub(crate) const fn of(address: SocketAddr) -> Self {
        Self { address }
    }

    /// The authority of its requests, which is a part of their keys.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.open(path).await.complete().await
    }

    /// Gets several pages, one after the other.
    pub(crate) async fn get_all(&self, paths: &[String]) -> Vec<Answer> {
        let mut answers = Vec::new();
        for path in paths {
            answers.push(self.get(path).await);
        }
        answers
    }

    pub(crate) async fn get_with(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self.request(Method::GET, path);
        let with = |request: http::request::Builder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        self.send(fields.iter().fold(request, with), "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path), "").await
    }

    pub(crate) async fn get_with_cookie(&self, path: &str, cookie: &str) -> Answer {
        let request = self.request(Method::GET, path).header("cookie", cookie);
        self.send(request, "").await
    }

    pub(crate) async fn post(&self, path: &str, document: &Value) -> Answer {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        self.send(request, &document.to_string()).await
    }

    /// Sends a form.
    pub(crate) async fn submit(&self, path: &str, cookie: &str, content: &str) -> Answer {
        let request = self.request(Method::POST, path).header("cookie", cookie);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.send(request, content).await
    }

    /// Sends `PURGE` for a path, with fields that name more, or how.
    pub(crate) async fn purge(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let method = Method::from_bytes(b"PURGE").expect("it is a token");
        let mut request = self.request(method, path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.send(request, "").await
    }

    pub(crate) async fn open(&self, path: &str) -> Arriving {
        self.start(self.request(Method::GET, path), "").await.expect("there is a response")
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(path).header(HOST, self.host())
    }

    async fn send(&self, request: http::request::Builder, content: &str) -> Answer {
        self.start(request, content).await.expect("there is a response").complete().await
    }

    async fn start(
        &self,
        request: http::request::Builder,
        content: &str,
    ) -> Result<Arriving, hyper::Error> {
        let content = Full::new(Bytes::from(content.to_owned()));
        let request = request.body(content).expect("the request is well-formed");
        let start = async {
            let stream = TcpStream::connect(self.address).await.expect("somebody listens");
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // Its error is the response's error, too.
            let connection = Connection(tokio::spawn(async { drop(connection.await) }));
            let (parts, body) = sender.send_request(request).await?.into_parts();
            let (status, fields) = (parts.status, parts.headers);
            Ok(Arriving { status, fields, body, _connection: connection })
        };
        timeout(PATIENCE, start).await.expect("the head arrives in time")
    }
}

impl Arriving {
    /// The next piece of content; nothing after a clean end.
    pub(crate) async fn piece(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        let frame = timeout(PATIENCE, self.body.frame()).await.expect("a piece arrives in time");
        frame.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default()))
    }

    pub(crate) async fn complete(self) -> Answer {
        let (status, fields) = (self.status, self.fields.clone());
        let body = self.content().await.expect("the content is complete");
        Answer { status, fields, body }
    }

    /// Reads to the end, clean or not.
    pub(crate) async fn content(mut self) -> Result<Bytes, hyper::Error> {
        let mut content = Vec::new();
        while let Some(piece) = self.piece().await {
            content.extend_from_slice(&piece?);
        }
        Ok(content.into())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("pages are UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the content is JSON")
    }

    /// A field, empty when it is absent.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |value| value.to_str().expect("it is text"))
    }

    /// The cookies that it sets, as they are sent back.
    pub(crate) fn cookies(&self) -> String {
        let set = self.fields.get_all("set-cookie").iter();
        let pairs = set.filter_map(|set| set.to_str().ok()?.split(';').next());
        pairs.map(str::trim).collect::<Vec<_>>().join("; ")
    }

    pub(crate) fn is_hit(&self) -> bool {
        let status = self.field("cache-status");
        status.contains("; hit") && !status.contains("detail=")
    }

    pub(crate) fn cache_says(&self, parameter: &str) -> bool {
        self.field("cache-status").split("; ").any(|own| own == parameter)
    }

    /// What the page shows in the element of this test id.
    pub(crate) fn shown(&self, test_id: &str) -> &str {
        let start = format!("data-testid=\"{test_id}\">");
        let (_, rest) = self.text().split_once(&start).expect("the page has the element");
        rest.split_once('<').expect("the element ends").0
    }

    pub(crate) fn purged(&self) -> u64 {
        assert_eq!(self.status, StatusCode::OK, "the purge is carried out: {}", self.text());
        self.json()["matched"]["objects"].as_u64().expect("the report has a count")
    }
}
