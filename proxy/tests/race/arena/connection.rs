//! `Connection`: asks for pages, one after the other, over one keep-alive connection.

use std::io::Read as _;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue,
};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use purge_protocol::{PurgeReport, PurgeRequest};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::page::Page;

/// A connection to the proxy.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Requests so far, which take turns with codings and with equivalent URLs.
    turn: usize,
}

impl Connection {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the proxy listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.expect("nothing is sent yet");
        tokio::spawn(async { drop(connection.await) });
        Self { sender, turn: 0 }
    }

    /// Returns the version of a page that this visitor is shown; `None`: an error.
    pub(crate) async fn version_of(&mut self, page: &Page, language: &str) -> Option<u64> {
        self.turn = self.turn.wrapping_add(1);
        let request = Request::get(page.asked_path(self.turn))
            .header(HOST, page.host)
            .header(ACCEPT_LANGUAGE, language)
            .header(ACCEPT_ENCODING, CODINGS[self.turn % CODINGS.len()])
            .body(Full::default());
        let (status, content) = self.send(request.expect("the request is well-formed")).await;
        // The origin's error, or ours where what would have stood in for it was purged in that
        // moment.
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY) {
            return None;
        }
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&content));
        let content = std::str::from_utf8(&content).expect("pages are text");
        Some(page.version_in(content, language))
    }

    /// Purges through the admin API.
    pub(crate) async fn purge(&mut self, request: &PurgeRequest) -> PurgeReport {
        let document = serde_json::to_vec(request).expect("a purge is a document");
        let request = Request::post("/api/v1/purge")
            .header(HOST, "admin")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(document));
        let (_, report) = self.send(request.expect("the request is well-formed")).await;
        serde_json::from_slice(&report).expect("the answer is a report")
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> (StatusCode, Bytes) {
        let exchange = async {
            self.sender.ready().await.expect("the connection is kept");
            let response = self.sender.send_request(request).await.expect("there is a response");
            let status = response.status();
            let coding = response.headers().get(CONTENT_ENCODING).cloned();
            let content = response.into_body().collect().await.expect("it is complete").to_bytes();
            (status, decoded(coding.as_ref().map(HeaderValue::as_bytes), content))
        };
        timeout(PATIENCE, exchange).await.expect("the response comes in time")
    }
}

fn decoded(coding: Option<&[u8]>, content: Bytes) -> Bytes {
    let mut plain = Vec::new();
    let read = match coding {
        Some(b"br") => brotli::Decompressor::new(&*content, 4096).read_to_end(&mut plain),
        Some(b"gzip") => flate2::read::GzDecoder::new(&*content).read_to_end(&mut plain),
        _ => return content,
    };
    read.expect("it is whole");
    plain.into()
}

const CODINGS: [&str; 3] = ["br, gzip", "gzip", "identity"];
const PATIENCE: Duration = Duration::from_mins(1);
