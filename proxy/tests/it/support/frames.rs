//! A client that speaks HTTP/2 frame by frame (RFC 9113): it can say what no library would.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::hpack::{self, Decoder, Field};
use super::in_time;

/// A connection.
#[derive(Debug)]
pub(crate) struct Frames {
    stream: BufReader<TcpStream>,
    decoder: Decoder,
    next_stream: u32,
}

/// How the proxy answered on one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With a response.
    Answer(Response),
    /// The stream was reset, with this error code.
    Reset(u32),
    /// The connection ended.
    GoAway,
}

/// A response, field by field as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) fields: Vec<Field>,
    pub(crate) content: Vec<u8>,
    pub(crate) trailers: Vec<Field>,
}

impl Response {
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self
            .fields
            .iter()
            .filter(|(given, _)| given == name)
            .map(|(_, value)| String::from_utf8_lossy(value))
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    pub(crate) fn status(&self) -> u16 {
        self.field(":status").unwrap().parse().unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap()
    }
}

impl Outcome {
    /// The response; panics where there is none.
    pub(crate) fn answer(self) -> Response {
        match self {
            Self::Answer(response) => response,
            other => panic!("no response: {other:?}"),
        }
    }
}

#[expect(clippy::big_endian_bytes, reason = "numbers in frames are big-endian (RFC 9113 §2.2)")]
impl Frames {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = in_time("connecting", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut frames =
            Self { stream: BufReader::new(stream), decoder: Decoder::default(), next_stream: 1 };
        frames.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        frames.send_frame(SETTINGS, 0, 0, &[]).await;
        frames
    }

    /// Sends a request of these field sections and this content; returns its stream.
    pub(crate) async fn send<'a>(
        &mut self,
        head: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        content: Option<&[u8]>,
        trailers: Option<Vec<(&'a [u8], &'a [u8])>>,
    ) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        let is_last = content.is_none() && trailers.is_none();
        self.send_section(stream, &hpack::encode(head), is_last).await;
        if let Some(content) = content {
            let end = if trailers.is_none() { END_STREAM } else { 0 };
            self.send_frame(DATA, end, stream, content).await;
        }
        if let Some(trailers) = trailers {
            self.send_section(stream, &hpack::encode(trailers), true).await;
        }
        stream
    }

    async fn send_section(&mut self, stream: u32, block: &[u8], is_last: bool) {
        let empty = block.is_empty().then_some(block); // a section without fields is a frame, too
        let mut pieces = empty.into_iter().chain(block.chunks(FRAME_BYTES_MAX)).peekable();
        let mut kind = HEADERS;
        let mut flags = if is_last { END_STREAM } else { 0 };
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                flags |= END_HEADERS;
            }
            self.send_frame(kind, flags, stream, piece).await;
            (kind, flags) = (CONTINUATION, 0);
        }
    }

    /// Sends a frame; the proxy may have closed the connection before.
    async fn send_frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend_from_slice(payload);
        let _broken: io::Result<()> =
            in_time("sending a frame", self.stream.write_all(&frame)).await;
    }

    /// Reads what becomes of a stream.
    pub(crate) async fn outcome(&mut self, stream: u32) -> Outcome {
        in_time("an answer", self.read(stream)).await.unwrap_or(Outcome::GoAway)
    }

    /// Reads up to the next GOAWAY; returns the last stream that it names.
    pub(crate) async fn go_away(&mut self) -> u32 {
        let read = async {
            loop {
                let (kind, flags, _, payload) = self.frame().await.unwrap();
                match kind {
                    SETTINGS if flags & ACK == 0 => self.send_frame(SETTINGS, ACK, 0, &[]).await,
                    PING if flags & ACK == 0 => self.send_frame(PING, ACK, 0, &payload).await,
                    GOAWAY => return u32::from_be_bytes(payload[..4].try_into().unwrap()),
                    _ => {}
                }
            }
        };
        in_time("the end of a connection", read).await
    }

    async fn read(&mut self, stream: u32) -> io::Result<Outcome> {
        let mut response = Response::default();
        let mut block = Vec::new();
        loop {
            let (kind, flags, of, payload) = self.frame().await?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.send_frame(SETTINGS, ACK, 0, &[]).await,
                PING if flags & ACK == 0 => self.send_frame(PING, ACK, 0, &payload).await,
                GOAWAY => return Ok(Outcome::GoAway),
                RST_STREAM if of == stream => {
                    let code = u32::from_be_bytes(payload[..4].try_into().unwrap());
                    return Ok(Outcome::Reset(code));
                }
                DATA if of == stream => response.content.extend(payload),
                HEADERS | CONTINUATION => {
                    block.extend(payload);
                    if flags & END_HEADERS == 0 {
                        continue;
                    }
                    let fields = self.decoder.decode(&std::mem::take(&mut block));
                    if of == stream && response.fields.is_empty() {
                        response.fields = fields;
                    } else if of == stream {
                        response.trailers = fields;
                    }
                }
                _ => continue,
            }
            if of == stream && matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
                return Ok(Outcome::Answer(response));
            }
        }
    }

    async fn frame(&mut self) -> io::Result<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]).try_into().unwrap()];
        self.stream.read_exact(&mut payload).await?;
        Ok((kind, flags, u32::from_be_bytes(stream) & 0x7fff_ffff, payload))
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const FRAME_BYTES_MAX: usize = 16 << 10;
