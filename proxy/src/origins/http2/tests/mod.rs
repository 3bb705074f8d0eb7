//! Exchanges with a server that is played frame by frame.
#![expect(clippy::big_endian_bytes, reason = "the byte order of HTTP/2")]

mod messages;
mod sharing;
mod waits;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use h2::Reason;
use http::uri::Scheme;
use http::{Request, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::*;
use crate::client::received::Received;
use crate::framing::Violation;
use crate::origins::attempts::Failed;
use crate::origins::error::OriginError;
use crate::origins::request_body::{AcceptsTrailers, RequestBody};
use crate::origins::sending::{SendProgress, SendingLimits};

const SECOND: Duration = Duration::from_secs(1);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200` of HPACK's static table.
const OK: &[u8] = &[0x88];
/// What a client sends before its first frame (RFC 9113 §3.4).
const PREFACE_BYTES: usize = 24;
const NO_STREAMS: &[u8] = &[0, 3, 0, 0, 0, 0];

fn limits() -> Http2Limits {
    Http2Limits {
        streams_max: 100,
        ping_after: None,
        ping_timeout: SECOND,
        head_bytes_max: 1 << 16,
    }
}

fn ask() -> Ask {
    Ask {
        scheme: Scheme::HTTP,
        limits: SendingLimits {
            send_timeout: 60 * SECOND,
            first_byte_timeout: 15 * SECOND,
            deadline: None,
        },
        fields_max: 10,
    }
}

fn get(path: &str) -> Request<RequestBody> {
    let request = Request::get(path).header("host", "a.example");
    request.body(RequestBody::Empty).unwrap()
}

fn literal(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

/// The server's side of a connection.
struct Peer {
    stream: DuplexStream,
    /// The bytes of the windows that the client has granted.
    frames: Vec<Frame>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Peer {
    /// Opens a connection whose server sends these settings first.
    async fn open(limits: &Http2Limits, settings: &[u8]) -> (Arc<Http2Connection>, Self) {
        let (ours, theirs) = duplex(1 << 20);
        let connection = Http2Connection::begin(ours, limits).await.unwrap();
        let mut peer = Self { stream: theirs, frames: Vec::new() };
        peer.stream.read_exact(&mut [0; 24]).await.unwrap();
        peer.send(SETTINGS, 0, 0, settings).await;
        peer.next(SETTINGS).await;
        peer.send(SETTINGS, 1, 0, &[]).await;
        peer.next(SETTINGS).await; // the client has read ours
        (Arc::new(connection), peer)
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.stream.write_all(&[&head, payload].concat()).await.unwrap();
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
        self.stream.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes(stream);
        Some(Frame { kind, flags, stream, payload })
    }

    /// Returns the next frame of this kind.
    async fn next(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.read().await.expect("the connection is open");
            if frame.kind == kind {
                return frame;
            }
            self.frames.push(frame);
        }
    }

    async fn answer(&mut self, stream: u32, flags: u8, fields: &[u8]) {
        self.send(HEADERS, END_HEADERS | flags, stream, fields).await;
    }

    async fn go_away(&mut self, last: u32) {
        self.send(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat()).await;
    }
}

type Answered = Result<Response<Http2Content>, Failed>;

/// Sends a request in a task of its own. The claim lives as long as the content.
fn send(connection: &Arc<Http2Connection>, request: Request<RequestBody>) -> Task {
    let claim = connection.claim().expect("it takes requests");
    Task(tokio::spawn(async move {
        let answer = answer(&claim, request, &ask()).await;
        (answer, claim)
    }))
}

struct Task(tokio::task::JoinHandle<(Answered, StreamClaim)>);

impl Task {
    async fn answer(self) -> Answered {
        self.0.await.unwrap().0
    }

    async fn content(self) -> Http2Content {
        self.answer().await.unwrap().into_body()
    }

    async fn error(self) -> (OriginError, SendProgress) {
        match self.answer().await.unwrap_err() {
            Failed::Sent(error, extent) => (error, extent),
            Failed::Unsent(error, _) => (error, SendProgress::Nothing),
        }
    }
}

async fn text(content: Http2Content) -> Result<String, OriginError> {
    let bytes = content.collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

/// Returns the content of a request whose client writes to the other end.
async fn upload() -> (RequestBody, DuplexStream) {
    upload_up_to(1 << 30).await
}

async fn upload_up_to(bytes_max: u64) -> (RequestBody, DuplexStream) {
    let (mut client, server) = duplex(1 << 20);
    let (sender, mut bodies) = mpsc::channel::<Incoming>(1);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let sender = sender.clone();
        async move {
            sender.send(request.into_body()).await.unwrap();
            std::future::pending::<Result<Response<String>, std::io::Error>>().await
        }
    });
    tokio::spawn(
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service),
    );
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    client.write_all(head).await.unwrap();
    let incoming = bodies.recv().await.unwrap();
    let version = Version::HTTP_11;
    let (patience, received) = (3600 * SECOND, Received::default());
    (RequestBody::client(incoming, version, bytes_max, patience, received), client)
}

fn post(body: RequestBody) -> Request<RequestBody> {
    Request::post("/").header("host", "a.example").body(body).unwrap()
}
