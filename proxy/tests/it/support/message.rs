//! HTTP/1 messages as they are on the wire: a head as text, content by its framing.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// The first line and the fields of a message, byte for byte.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// Everything up to the empty line, which is left out.
    pub(crate) text: String,
}

impl Head {
    /// Reads one; `None` when the peer closed the connection instead.
    pub(crate) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Self>> {
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            if from.read_until(b'\n', &mut text).await? == 0 {
                return if text.is_empty() { Ok(None) } else { Err(cut()) };
            }
        }
        text.truncate(text.len() - 4);
        Ok(Some(Self { text: String::from_utf8_lossy(&text).into_owned() }))
    }

    /// The first line.
    pub(crate) fn line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// A word of the first line.
    pub(crate) fn word(&self, number: usize) -> &str {
        self.line().split(' ').nth(number).unwrap_or_default()
    }

    /// The values of all lines of a field, in order.
    pub(crate) fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.text.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(move |(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of a field, all lines joined.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self.fields(name).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields(name).next().is_some()
    }

    pub(crate) fn is_chunked(&self) -> bool {
        self.field("transfer-encoding").is_some_and(|coding| coding == "chunked")
    }

    pub(crate) fn length(&self) -> Option<usize> {
        self.field("content-length").and_then(|length| length.parse().ok())
    }
}

/// Reads chunked content to its end: bytes and trailers.
pub(crate) async fn read_chunked(
    from: &mut (impl AsyncBufRead + Unpin),
) -> io::Result<(Vec<u8>, String)> {
    let mut content = Vec::new();
    while read_chunk(from, &mut content).await? {}
    let mut trailers = String::new();
    while !trailers.ends_with("\r\n\r\n") && trailers != "\r\n" {
        if from.read_line(&mut trailers).await? == 0 {
            return Err(cut());
        }
    }
    Ok((content, trailers.trim_end().to_owned()))
}

/// Reads one chunk; `false`: it was the last.
async fn read_chunk(
    from: &mut (impl AsyncBufRead + Unpin),
    content: &mut Vec<u8>,
) -> io::Result<bool> {
    let mut line = String::new();
    if from.read_line(&mut line).await? == 0 {
        return Err(cut());
    }
    let size = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
    if size == 0 {
        return Ok(false);
    }
    let start = content.len();
    content.resize(start + size, 0);
    from.read_exact(&mut content[start..]).await?;
    from.read_exact(&mut [0; 2]).await?;
    Ok(true)
}

/// The peer stopped in the middle of a message.
pub(crate) fn cut() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}
