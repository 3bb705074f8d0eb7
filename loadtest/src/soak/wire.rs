//! `Wire`: HTTP/1.1 on a socket, as bytes, for peers that have to misbehave on purpose.

use std::io;
use std::str;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    buffer: BytesMut,
}

/// A message's head: its lines up to the empty one.
#[derive(Clone, Debug)]
pub(crate) struct Head(Bytes);

/// Where a message's content ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Where it should.
    Clean,
    /// Somewhere before that, or nobody can tell.
    Cut,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // It fails only when the peer has gone, which the next read says, too.
        stream.set_nodelay(true).unwrap_or_default();
        Self { stream, buffer: BytesMut::with_capacity(READ_BYTES) }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads a head; `None` when the connection ends before one.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        let mut searched = 0;
        loop {
            let unsearched = self.buffer.get(searched..).unwrap_or_default();
            if let Some(end) = unsearched.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(Some(Head(self.buffer.split_to(searched + end + 4).freeze())));
            }
            searched = self.buffer.len().saturating_sub(3);
            if self.buffer.len() > HEAD_BYTES_MAX || !self.fill().await? {
                return Ok(None);
            }
        }
    }

    pub(crate) async fn content(&mut self, framing: Framing, mut sink: impl FnMut(&[u8])) -> End {
        match framing {
            Framing::Length(length) => self.counted(length, &mut sink).await,
            Framing::Chunked => self.chunked(&mut sink).await,
            Framing::Close => {
                self.counted(u64::MAX, &mut sink).await;
                End::Cut
            }
        }
    }

    /// Returns whether bytes are here that were not asked for.
    pub(crate) fn has_read_ahead(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Takes whatever comes next, at most a buffer full; nothing at the end.
    pub(crate) async fn some(&mut self) -> Bytes {
        if self.buffer.is_empty() && !self.fill().await.unwrap_or(false) {
            return Bytes::new();
        }
        self.buffer.split().freeze()
    }

    async fn counted(&mut self, length: u64, sink: &mut impl FnMut(&[u8])) -> End {
        let mut missing = length;
        while missing > 0 {
            if self.buffer.is_empty() && !self.fill().await.unwrap_or(false) {
                return End::Cut;
            }
            let available = self.buffer.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
            sink(&self.buffer.split_to(available));
            missing -= available as u64;
        }
        End::Clean
    }

    async fn chunked(&mut self, sink: &mut impl FnMut(&[u8])) -> End {
        loop {
            let Some(size) = self.line().await.and_then(|line| chunk_size(&line)) else {
                return End::Cut;
            };
            if size == 0 {
                return self.trailers().await;
            }
            let end = self.counted(size, sink).await;
            let is_closed = self.line().await.is_some_and(|line| line.is_empty());
            if end == End::Cut || !is_closed {
                return End::Cut;
            }
        }
    }

    async fn trailers(&mut self) -> End {
        loop {
            match self.line().await {
                None => return End::Cut,
                Some(line) if line.is_empty() => return End::Clean,
                Some(_) => {}
            }
        }
    }

    async fn line(&mut self) -> Option<Bytes> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.split_to(end).freeze();
                drop(self.buffer.split_to(2));
                return Some(line);
            }
            let is_going_on =
                self.buffer.len() < HEAD_BYTES_MAX && self.fill().await.unwrap_or(false);
            if !is_going_on {
                return None;
            }
        }
    }

    async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.reserve(READ_BYTES);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }
}

impl Head {
    pub(crate) fn start_line(&self) -> &str {
        self.lines().next().unwrap_or_default()
    }

    /// Returns the status code; zero when there is none.
    pub(crate) fn status(&self) -> u16 {
        self.start_line().split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// Returns the value of the first line of a field; its name is in lower case.
    pub(crate) fn field<'a>(&'a self, name: &str) -> Option<&'a str> {
        self.fields(name).next()
    }

    /// Returns the end of a response's content, given whether it has one at all.
    pub(crate) fn framing(&self) -> Framing {
        if self.field("transfer-encoding").is_some() {
            return Framing::Chunked;
        }
        let length = self.field("content-length").and_then(|length| length.parse().ok());
        length.map_or(Framing::Close, Framing::Length)
    }

    /// Returns whether no other reader could see another message in it (RFC 9112 §2.2, §5.1, §6.1).
    pub(crate) fn is_strict(&self) -> bool {
        let lengths = self.fields("content-length").count();
        let codings = self.fields("transfer-encoding").count();
        let has_bare = self.0.iter().enumerate().any(|(at, byte)| match byte {
            b'\n' => at == 0 || self.0.get(at - 1) != Some(&b'\r'),
            b'\r' => self.0.get(at + 1) != Some(&b'\n'),
            0 => true,
            _ => false,
        });
        let mut fields = self.lines().skip(1).filter(|line| !line.is_empty());
        let is_field = |line: &str| {
            line.split_once(':').is_some_and(|(name, _)| {
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
            })
        };
        !has_bare && lengths + codings <= 1 && fields.all(is_field)
    }

    fn fields<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.lines().skip(1).filter_map(move |line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
        })
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        str::from_utf8(&self.0).unwrap_or_default().split("\r\n")
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?;
    u64::from_str_radix(str::from_utf8(digits).ok()?.trim_ascii(), 16).ok()
}

const READ_BYTES: usize = 16 << 10;
const HEAD_BYTES_MAX: usize = 64 << 10;
