//! A client of HTTP/2 that grants windows as it likes, and sees every frame that comes.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::in_time;

/// A connection to the proxy, on which streams begin with the window that it was opened with.
#[derive(Debug)]
pub(crate) struct Windows {
    stream: TcpStream,
    pings: u8,
}

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

// Frame types (RFC 9113 §6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

#[expect(clippy::big_endian_bytes, reason = "numbers in frames are big-endian (RFC 9113 §2.2)")]
impl Windows {
    /// Connects; every stream begins with this window.
    pub(crate) async fn open(address: SocketAddr, window: u32) -> Self {
        let stream = in_time("connecting", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut this = Self { stream, pings: 0 };
        in_time("the preface", this.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
            .await
            .unwrap();
        let setting = [&[0, 4][..], &window.to_be_bytes()].concat();
        this.send(SETTINGS, 0, 0, &setting).await;
        this
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let frame = [&length[1..], &[kind, flags], &stream.to_be_bytes()[..], payload].concat();
        in_time("sending a frame", self.stream.write_all(&frame)).await.unwrap();
    }

    /// Asks for a path of the site on this stream.
    pub(crate) async fn get(&mut self, stream: u32, path: &str) {
        let text = |value: &str| [&[u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
        // Fields of the static table: `:method: GET`, `:scheme: http`; then names of it with
        // literal values (RFC 7541 §6.2.2).
        let block =
            [vec![0x82, 0x86], vec![0x04], text(path), vec![0x01], text("site.example")].concat();
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, &block).await;
    }

    /// Grants a stream, or with 0 the connection, so many bytes more.
    pub(crate) async fn grant(&mut self, stream: u32, bytes: u32) {
        self.send(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes()).await;
    }

    /// The next frame that concerns a stream; pings and settings are answered. `None` at the end of
    /// the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = in_time("a frame", self.read()).await?;
            match (frame.kind, frame.flags & ACK) {
                (SETTINGS, 0) => self.send(SETTINGS, ACK, 0, &[]).await,
                (PING, 0) => self.send(PING, ACK, 0, &frame.payload).await,
                _ if frame.stream != 0 => return Some(frame),
                _ => {}
            }
        }
    }

    /// The next frame of this kind on this stream; those of others are thrown away.
    pub(crate) async fn next_of(&mut self, kind: u8, stream: u32) -> Frame {
        loop {
            let frame = self.next().await.expect("the connection ended");
            if (frame.kind, frame.stream) == (kind, stream) {
                return frame;
            }
        }
    }

    /// Reads so many bytes of content on this stream.
    pub(crate) async fn content(&mut self, stream: u32, bytes: usize) {
        let mut left = bytes;
        while left > 0 {
            left -= self.next_of(DATA, stream).await.payload.len();
        }
    }

    /// Has the proxy look at the connection: it pings, and returns what came for streams before the
    /// answer.
    pub(crate) async fn ping(&mut self) -> Vec<Frame> {
        self.pings += 1;
        let payload = [self.pings; 8];
        self.send(PING, 0, 0, &payload).await;
        let mut frames = Vec::new();
        loop {
            let frame = in_time("a pong", self.read()).await.expect("the connection ended");
            match (frame.kind, frame.flags & ACK) {
                (PING, ACK) if frame.payload == payload => return frames,
                (PING, 0) => self.send(PING, ACK, 0, &frame.payload).await,
                (SETTINGS, 0) => self.send(SETTINGS, ACK, 0, &[]).await,
                _ if frame.stream != 0 => frames.push(frame),
                _ => {}
            }
        }
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }
}
