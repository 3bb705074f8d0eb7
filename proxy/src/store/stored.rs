//! `Stored`: a stored response, or the memory that a URL's responses cannot be stored, with all that a hit needs.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::StatusCode;

use super::fields::Fields;
use super::file::FileBody;
use crate::field::content_range::ContentRange;
use crate::freshness::{Freshness, Uncacheable};
use crate::invalidation::Provenance;
use crate::key::Key;
use crate::key::vary::Variant;
use process::timestamp::Timestamp;

/// One stored response. Everything in it is immutable but for the marks of use.
#[derive(Debug)]
pub struct Stored {
    /// Its primary key.
    pub key: Key,
    /// Which variant it is; `None` when it does not vary.
    pub variant: Option<Box<Variant>>,
    /// Its place in the order of purges, and its tags.
    pub provenance: Provenance,
    /// What is stored.
    pub content: Content,
    /// Bytes it occupies with everything that belongs to it.
    pub(super) cost: u64,
    /// When it was last reported to the policy, in seconds.
    pub(in crate::store) touched: AtomicU32,
    /// In how many seconds it was used.
    uses: AtomicU32,
    /// Unique in a store that has a file; zero: it is in memory only.
    pub(in crate::store) version: u64,
}

/// What is stored under a key.
#[derive(Debug)]
pub enum Content {
    /// A complete response.
    Response(StoredResponse),
    /// Responses of this URL cannot be stored: nobody needs to wait for one (hit-for-miss).
    Uncacheable {
        /// Why not.
        reason: Uncacheable,
        /// When to try again.
        until: Timestamp,
    },
}

/// A complete response.
#[derive(Clone, Debug)]
pub struct StoredResponse {
    /// Its status code.
    pub status: StatusCode,
    /// Its fields, as they are shown to clients, without those that are ours.
    pub fields: Fields,
    /// When it may be used.
    pub freshness: Freshness,
    /// Its content.
    pub body: Body,
    /// Which part of the whole that content is, where it is a part (a 206): none is without a known length of the whole.
    pub part: Option<Box<ContentRange>>,
}

/// A response that is not stored yet; the writer has its body.
#[derive(Debug)]
pub struct NewEntry {
    /// Its primary key.
    pub key: Key,
    /// Which variant it is.
    pub variant: Option<Variant>,
    /// Its place in the order of purges.
    pub provenance: Provenance,
    /// What is stored; a response's body is taken from the writer.
    pub content: Content,
}

/// Complete content, in one piece or several.
#[derive(Clone, Debug, Default)]
pub enum Body {
    /// No bytes.
    #[default]
    Empty,
    /// All bytes.
    Whole(Bytes),
    /// Large content.
    Pieces {
        /// None is empty.
        pieces: Arc<[Bytes]>,
        /// Sum of their lengths.
        length: u64,
    },
    /// Content that is in the store's file.
    File(Arc<FileBody>),
}

impl Content {
    /// Takes the body out of a response.
    pub(in crate::store) fn take_body(&mut self) -> Body {
        match self {
            Self::Response(response) => std::mem::take(&mut response.body),
            Self::Uncacheable { .. } => Body::Empty,
        }
    }
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

    /// Bytes of content.
    pub fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Pieces { length, .. } => *length,
            Self::File(body) => body.length(),
        }
    }

    /// The pieces in their order. Content in a file has none: it has to be read.
    pub fn pieces(&self) -> &[Bytes] {
        match self {
            Self::Empty | Self::File(_) => &[],
            Self::Whole(bytes) => std::slice::from_ref(bytes),
            Self::Pieces { pieces, .. } => pieces,
        }
    }

    /// Bytes of it that are in memory.
    pub(in crate::store) fn memory_bytes(&self) -> u64 {
        if matches!(self, Self::File(_)) { 0 } else { self.length() }
    }

    /// The bytes of a range, shared with this body.
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

    fn heap_bytes(&self) -> u64 {
        if let Self::File(body) = self {
            return body.heap_bytes();
        }
        self.pieces().iter().map(|piece| allocated(piece.len()) + SHARED_BYTES).sum()
    }
}

impl Stored {
    /// Completes a draft with its body.
    pub(in crate::store) fn new(mut draft: NewEntry, body: Body, now_secs: u32) -> Self {
        if let Content::Response(response) = &mut draft.content {
            response.body = body;
        }
        let mut stored = Self {
            key: draft.key,
            variant: draft.variant.map(Box::new),
            provenance: draft.provenance,
            content: draft.content,
            cost: 0,
            touched: AtomicU32::new(now_secs),
            uses: AtomicU32::new(0),
            version: 0,
        };
        stored.cost = stored.measure();
        stored
    }

    /// Notes a use, and returns whether it is the first in this second: the policy hears of those only.
    pub(super) fn note_use(&self, now_secs: u32) -> bool {
        let is_first = self.touched.load(Ordering::Relaxed) != now_secs;
        if is_first {
            self.touched.store(now_secs, Ordering::Relaxed);
            self.uses.fetch_add(1, Ordering::Relaxed);
        }
        is_first
    }

    /// In how many seconds it was used, it or what it has replaced.
    pub fn uses(&self) -> u32 {
        self.uses.load(Ordering::Relaxed)
    }

    /// When it was stored, or used last, in seconds.
    pub(super) fn last_use(&self) -> u32 {
        self.touched.load(Ordering::Relaxed)
    }

    /// Takes over the uses of the one that it replaces.
    pub(super) fn inherit(&self, old: &Self) {
        self.uses.fetch_max(old.uses(), Ordering::Relaxed);
    }

    /// The response, unless it is the memory of an uncacheable one.
    pub const fn response(&self) -> Option<&StoredResponse> {
        match &self.content {
            Content::Response(response) => Some(response),
            Content::Uncacheable { .. } => None,
        }
    }

    /// When nothing can use it any more.
    pub fn useless_after(&self) -> Timestamp {
        match &self.content {
            Content::Response(response) => response.freshness.useless_after(),
            Content::Uncacheable { until, .. } => *until,
        }
    }

    /// The lower half of its version, unique under its key.
    pub(in crate::store) const fn short_version(&self) -> u32 {
        (self.version & 0xffff_ffff) as u32
    }

    /// Bytes it occupies with everything that belongs to it.
    pub const fn cost(&self) -> u64 {
        self.cost
    }

    fn measure(&self) -> u64 {
        let variant =
            self.variant.as_ref().map_or(0, |variant| allocated(variant.heap_bytes()) + 48);
        let content = match &self.content {
            Content::Uncacheable { .. } => 0,
            Content::Response(response) => {
                allocated(response.fields.heap_bytes()) + SHARED_BYTES + response.body.heap_bytes()
            }
        };
        allocated(size_of::<Self>() + 16)
            + INDEX_BYTES
            + allocated(self.key.heap_bytes())
            + variant
            + content
            + allocated(self.provenance.heap_bytes())
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

/// Returns what the allocator takes for this many bytes: it has four size classes between two powers of two.
fn allocated(bytes: usize) -> u64 {
    let step = (bytes.next_power_of_two() / 8).max(16);
    bytes.next_multiple_of(step) as u64
}

/// Content up to here is stored in one piece, which is sent with one system call.
const WHOLE_BYTES: usize = 1 << 20;
/// Larger content is stored in pieces of at least this.
const PIECE_BYTES: usize = 256 << 10;
/// The reference counts that shared bytes get, of the body and of what counts it, and the allocations' own grain.
const SHARED_BYTES: u64 = 96;
/// The map's slot at its usual load and the policy's entry: measured, see `benches/memory.rs`.
const INDEX_BYTES: u64 = 240;

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
