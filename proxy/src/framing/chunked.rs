//! Chunked content (RFC 9112 §7.1), byte by byte where it is syntax, at once where it is data.

use super::Violation;
use super::grammar::has_control;
use super::head::split_field;

#[derive(Clone, Debug, Default)]
pub(super) struct Chunked {
    state: ChunkState,
    /// The size of the chunk, while it is read.
    size: u64,
    /// Digits of the size, then bytes of its extensions.
    length: usize,
    has_begun: bool,
    trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChunkState {
    #[default]
    Size,
    Padding,
    Extension,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    Trailers,
    Done,
}

impl Chunked {
    /// Takes bytes up to the end of the content; returns how many.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match self.state {
                ChunkState::Done => break,
                ChunkState::Data => at += self.data(rest),
                ChunkState::Trailers => at += self.trailers(rest)?,
                _ => {
                    let Some(byte) = rest.first() else { break };
                    self.syntax(*byte)?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == ChunkState::Done
    }

    /// Returns whether the first chunk has a size that is one.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    fn data(&mut self, rest: &[u8]) -> usize {
        let taken = rest.len().min(usize::try_from(self.size).unwrap_or(usize::MAX));
        self.size -= taken as u64;
        if self.size == 0 {
            self.state = ChunkState::DataReturn;
        }
        taken
    }

    //= https://www.rfc-editor.org/rfc/rfc9112#section-7.1
    //# chunk          = chunk-size [ chunk-ext ] CRLF
    //#                  chunk-data CRLF
    fn syntax(&mut self, byte: u8) -> Result<(), Violation> {
        self.state = match (self.state, byte) {
            (ChunkState::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => return self.digit(byte),
            (ChunkState::Size, b'\r') if self.length > 0 => ChunkState::SizeLineFeed,
            (ChunkState::Size, b';') if self.length > 0 => ChunkState::Extension,
            (ChunkState::Size, b' ' | b'\t') if self.length > 0 => ChunkState::Padding,
            (ChunkState::Padding, b' ' | b'\t') => return self.extended(),
            (ChunkState::Padding, b';') => ChunkState::Extension,
            (ChunkState::Extension, b'\r') => ChunkState::SizeLineFeed,
            (ChunkState::Extension, byte) if byte != b'\n' && !has_control(&[byte]) => {
                return self.extended();
            }
            (ChunkState::SizeLineFeed, b'\n') => self.begin_chunk(),
            (ChunkState::DataReturn, b'\r') => ChunkState::DataLineFeed,
            (ChunkState::DataLineFeed, b'\n') => ChunkState::Size,
            _ => return Err(Violation::Chunk),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<(), Violation> {
        let digit = (byte as char).to_digit(16).map(u64::from).unwrap_or_default();
        self.length += 1;
        self.size = self.size << 4 | digit;
        let is_too_large = self.length > SIZE_DIGITS_MAX || self.size > SIZE_MAX;
        if is_too_large { Err(Violation::Chunk) } else { Ok(()) }
    }

    //= https://www.rfc-editor.org/rfc/rfc9112#section-7.1.1
    //# A server ought to limit the total length of chunk extensions received
    //# in a request to an amount reasonable for the services provided
    fn extended(&mut self) -> Result<(), Violation> {
        self.length += 1;
        if self.length > EXTENSION_BYTES_MAX { Err(Violation::Chunk) } else { Ok(()) }
    }

    fn begin_chunk(&mut self) -> ChunkState {
        self.has_begun = true;
        self.length = 0;
        if self.size == 0 { ChunkState::Trailers } else { ChunkState::Data }
    }

    /// Takes one line of the trailer section, or what there is of it.
    fn trailers(&mut self, rest: &[u8]) -> Result<usize, Violation> {
        let end = memchr::memchr(b'\n', rest);
        let part = rest.get(..end.map_or(rest.len(), |end| end + 1)).unwrap_or_default();
        self.length += part.len();
        if self.length > TRAILER_BYTES_MAX {
            return Err(Violation::HeadTooLarge);
        }
        self.trailers.extend_from_slice(part);
        if end.is_some() {
            let line = std::mem::take(&mut self.trailers);
            match line.strip_suffix(b"\r\n").ok_or(Violation::BareLineFeed)? {
                b"" => self.state = ChunkState::Done,
                [b' ' | b'\t', ..] => return Err(Violation::Folding),
                line if has_control(line) || line.contains(&b'\r') => {
                    return Err(Violation::FieldValue);
                }
                line => drop(split_field(line)?),
            }
        }
        Ok(part.len())
    }
}

const SIZE_DIGITS_MAX: usize = 16;
/// Larger ones are no chunks.
const SIZE_MAX: u64 = (1 << 60) - 1;
const EXTENSION_BYTES_MAX: usize = 1 << 10;
/// Bytes of a trailer section, line ends included.
pub(crate) const TRAILER_BYTES_MAX: usize = 16 << 10;
