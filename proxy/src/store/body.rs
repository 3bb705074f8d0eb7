//! `Body`: stored content. Small content is in memory; large content may be deferred: it is read
//! where it is stored, a window at a time, through [`DeferredBody`] and [`BodyReader`].

use std::any::Any;
use std::fmt::{self, Debug, Formatter};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};

#[derive(Clone, Debug, Default)]
pub enum Body {
    #[default]
    Empty,
    Whole(Bytes),
    Pieces {
        /// None is empty.
        pieces: Arc<[Bytes]>,
        length: u64,
    },
    Deferred(Arc<dyn DeferredBody>),
}

/// Content that is not in memory. Cheap to hold: it names where its bytes are.
pub trait DeferredBody: Any + Send + Sync + Debug {
    fn length(&self) -> u64;

    fn heap_bytes(&self) -> u64;

    /// Returns whether all of it can still be read, as far as is known.
    fn is_intact(&self) -> bool;

    /// Returns a range that is in one window, if that can be had without waiting for a device.
    fn at_once(&self, range: &Range<u64>, mode: CopyMode) -> Option<Chunk>;

    /// Begins to read it. Its bytes stay where they are for as long as the reader lives, unless the
    /// space is needed.
    fn open(self: Arc<Self>) -> Arc<dyn BodyReader>;
}

pub trait BodyReader: Send + Sync + Debug {
    fn length(&self) -> u64;

    /// Returns a window that begins at `from` and does not go beyond `to`, if that can be had
    /// without waiting for a device; never empty.
    fn window_at_once(&self, from: u64, to: u64, mode: CopyMode) -> Option<Chunk>;

    fn is_at_hand(&self, from: u64, to: u64, mode: CopyMode) -> bool;

    /// Reads a window that begins at `from` and does not go beyond `to`; never empty. Blocks.
    fn window(&self, from: u64, to: u64, mode: CopyMode) -> Result<Chunk, ReadError>;

    /// Reads everything. Blocks.
    fn whole(&self) -> Result<Vec<Bytes>, ReadError> {
        let (mut pieces, mut at) = (Vec::new(), 0);
        while at < self.length() {
            let Chunk { bytes: piece, .. } = self.window(at, self.length(), CopyMode::Copied)?;
            at += piece.len() as u64;
            pieces.push(piece);
        }
        Ok(pieces)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyMode {
    /// From the map, where that is possible: only the kernel may read it, when it is sent to a
    /// socket.
    Mapped,
    /// Copied: this process may read it, too.
    Copied,
}

#[derive(Clone, Debug, Default)]
pub struct Chunk {
    bytes: Bytes,
    /// The check of the map that it is shown from; `None`: in memory.
    check: Option<Arc<MapCheck>>,
}

/// Looks at a mapped file before bytes of it are sent, and withdraws the map if the file is not
/// what it was.
pub struct MapCheck(Box<dyn Fn() + Send + Sync>);

impl MapCheck {
    pub fn new(check: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self(Box::new(check)))
    }
}

impl Debug for MapCheck {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("MapCheck")
    }
}

impl Chunk {
    /// Makes a chunk of bytes of a map.
    pub const fn mapped(bytes: Bytes, check: Arc<MapCheck>) -> Self {
        Self { bytes, check: Some(check) }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Its segment was given away. The caller treats it as a miss, or breaks off.
    #[error("it was overwritten")]
    Gone,
    /// The bytes are not those that were written. The caller drops the response.
    #[error("its checksum is wrong")]
    Corrupt,
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Body {
    /// Returns the pieces as one body, joined where they are small.
    pub fn join(mut pieces: Vec<Bytes>) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        if pieces.len() > 1 {
            pieces = joined(&pieces);
        }
        Self::of_pieces(pieces)
    }

    /// Returns the pieces as one body, as they are. None is empty.
    pub fn of_pieces(mut pieces: Vec<Bytes>) -> Self {
        match pieces.len() {
            0 => Self::Empty,
            1 => pieces.pop().map_or(Self::Empty, Self::Whole),
            _ => Self::Pieces {
                length: pieces.iter().map(|piece| piece.len() as u64).sum(),
                pieces: pieces.into(),
            },
        }
    }

    pub fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Pieces { length, .. } => *length,
            Self::Deferred(body) => body.length(),
        }
    }

    /// Returns the pieces in their order. Deferred content has none: it has to be read.
    pub fn pieces(&self) -> &[Bytes] {
        match self {
            Self::Empty | Self::Deferred(_) => &[],
            Self::Whole(bytes) => std::slice::from_ref(bytes),
            Self::Pieces { pieces, .. } => pieces,
        }
    }

    pub(in crate::store) fn memory_bytes(&self) -> u64 {
        if matches!(self, Self::Deferred(_)) { 0 } else { self.length() }
    }

    /// Returns the bytes of a range, shared with this body.
    pub fn slices(&self, range: &Range<u64>) -> impl Iterator<Item = Bytes> + use<'_> {
        let (first, last) = (range.start, range.end);
        let mut start = 0;
        self.pieces().iter().filter_map(move |piece| {
            let end = start + piece.len() as u64;
            let from = usize::try_from(first.clamp(start, end) - start).ok()?;
            let to = usize::try_from(last.clamp(start, end) - start).ok()?;
            start = end;
            (from < to).then(|| piece.slice(from..to))
        })
    }

    pub(in crate::store) fn heap_bytes(&self) -> u64 {
        if let Self::Deferred(body) = self {
            return body.heap_bytes();
        }
        self.pieces().iter().map(|piece| allocated(piece.len()) + SHARED_BYTES).sum()
    }
}

impl From<Bytes> for Chunk {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, check: None }
    }
}

/// The file is looked at whenever something is about to be sent from its map. If it is not what it
/// was, the map is withdrawn by that, and sending fails: a client that is slow to take a window is
/// never sent the zeros that have come in its place.
impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        if let Some(MapCheck(check)) = self.check.as_deref() {
            check();
        }
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.bytes.copy_to_bytes(length)
    }
}

/// Joins runs of pieces until each is [`PIECE_BYTES`] or more.
fn joined(pieces: &[Bytes]) -> Vec<Bytes> {
    let total: usize = pieces.iter().map(Bytes::len).sum();
    let target = if total <= WHOLE_BYTES { usize::MAX } else { PIECE_BYTES };
    let mut result = Vec::new();
    let mut rest = pieces;
    while !rest.is_empty() {
        let mut length = 0;
        let count = rest
            .iter()
            .take_while(|piece| {
                let is_open = length < target;
                length += if is_open { piece.len() } else { 0 };
                is_open
            })
            .count();
        let (run, after) = rest.split_at(count);
        result.push(match run {
            [only] => only.clone(),
            _ => run.concat().into_boxed_slice().into(),
        });
        rest = after;
    }
    result
}

/// Returns what the allocator takes for this many bytes: it has four size classes between two
/// powers of two.
pub(super) fn allocated(bytes: usize) -> u64 {
    let step = (bytes.next_power_of_two() / 8).max(16);
    bytes.next_multiple_of(step) as u64
}

/// Content up to here is stored in one piece, which is sent with one system call.
const WHOLE_BYTES: usize = 1 << 20;
/// Larger content is stored in pieces of at least this.
const PIECE_BYTES: usize = 256 << 10;
/// The reference counts that shared bytes get, of the body and of what counts it, and the
/// allocations' own grain.
pub(super) const SHARED_BYTES: u64 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(sizes: &[usize]) -> Vec<Bytes> {
        sizes.iter().map(|size| Bytes::from(vec![b'x'; *size])).collect()
    }

    #[test]
    fn small_pieces_become_one() {
        assert!(
            matches!(Body::join(pieces(&[10, 0, 20])), Body::Whole(bytes) if bytes.len() == 30)
        );
        assert!(matches!(Body::join(pieces(&[])), Body::Empty));
    }

    #[test]
    fn large_content_stays_in_pieces_of_a_useful_size() {
        let body = Body::join(pieces(&[100_000; 30]));
        assert_eq!(body.length(), 3_000_000);
        assert!(body.pieces().iter().rev().skip(1).all(|piece| piece.len() >= PIECE_BYTES));
    }
}
