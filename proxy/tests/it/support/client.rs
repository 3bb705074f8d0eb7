//! A client over a bare socket: it sends any bytes and shows what came, and whether it came to its
//! end.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::in_time;
use super::message::{Head, read_chunked};

/// A connection to the proxy.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: BufReader<TcpStream>,
}

/// A response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) content: Vec<u8>,
    pub(crate) trailers: String,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = in_time("connecting", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        in_time("sending", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Sends as much as the proxy takes: it may answer and close before it has read everything.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _refused: io::Result<()> =
            in_time("sending", self.stream.write_all(bytes.as_ref())).await;
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Reads the head of a response.
    pub(crate) async fn head(&mut self) -> Head {
        in_time("a head", Head::read(&mut self.stream)).await.unwrap().expect("no response")
    }

    /// Reads a response to its end; panics where it is cut.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        self.rest(head).await.unwrap()
    }

    /// Reads a response to HEAD, which has no content.
    pub(crate) async fn answer_to_head(&mut self) -> Answer {
        Answer { head: self.head().await, ..Answer::default() }
    }

    /// Reads the content that belongs to this head, to its end.
    pub(crate) async fn rest(&mut self, head: Head) -> io::Result<Answer> {
        let (content, trailers) = in_time("content", self.content(&head)).await?;
        Ok(Answer { head, content, trailers })
    }

    /// Reads so many bytes as they are on the wire.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        in_time("bytes", self.stream.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    /// Reads so many bytes, or what comes before the proxy ends the connection. Being reset is an
    /// end, too.
    pub(crate) async fn up_to(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut read = (&mut self.stream).take(count as u64);
        let _reset: io::Result<usize> =
            in_time("the content, or its end", read.read_to_end(&mut bytes)).await;
        bytes
    }

    /// Reads until the proxy ends the connection. Being reset is an end, too.
    pub(crate) async fn until_closed(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _reset: io::Result<usize> =
            in_time("the end of the connection", self.stream.read_to_end(&mut bytes)).await;
        bytes
    }

    async fn content(&mut self, head: &Head) -> io::Result<(Vec<u8>, String)> {
        let is_empty = matches!(head.word(1), "204" | "304") || head.word(1).starts_with('1');
        let mut content = Vec::new();
        if is_empty {
            return Ok((content, String::new()));
        }
        if head.is_chunked() {
            return read_chunked(&mut self.stream).await;
        }
        match head.length() {
            Some(length) => {
                content.resize(length, 0);
                self.stream.read_exact(&mut content).await?;
            }
            None => {
                self.stream.read_to_end(&mut content).await?;
            }
        }
        Ok((content, String::new()))
    }
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.word(1).parse().unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> Option<String> {
        self.head.field(name)
    }

    /// The content as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap()
    }

    /// `Cache-Status` without our name.
    pub(crate) fn cache_status(&self) -> String {
        let value = self.field("cache-status").unwrap_or_default();
        value.strip_prefix("shellac; ").unwrap_or(&value).to_owned()
    }

    /// Returns whether it came from the store.
    pub(crate) fn is_hit(&self) -> bool {
        self.cache_status().split("; ").any(|parameter| parameter == "hit")
    }

    /// The content as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.content).unwrap()
    }
}

/// A connection that speaks HTTP/2 with prior knowledge.
#[derive(Debug)]
pub(crate) struct Http2 {
    sender: http2::SendRequest<Full<Bytes>>,
}

impl Http2 {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        drop(tokio::spawn(connection));
        Self { sender }
    }

    /// Sends a request now; its response is what is awaited.
    pub(crate) fn send(
        &mut self,
        request: http::request::Builder,
        content: &'static str,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        self.sender.send_request(request.body(Full::from(content)).unwrap())
    }

    pub(crate) fn get(
        &mut self,
        path: &str,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        self.send(Request::get(format!("http://site.example{path}")), "")
    }
}

/// Reads the content of a response to its end.
pub(crate) async fn text(response: Response<Incoming>) -> hyper::Result<String> {
    let content = in_time("content", response.into_body().collect()).await?.to_bytes();
    Ok(String::from_utf8(content.to_vec()).unwrap())
}
