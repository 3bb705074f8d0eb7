//! `Held`: the bytes of stored bodies that are in memory, for as long as anybody holds them.
//!
//! A body that left the store is still there while a client reads it. The difference to what the
//! store has is what slow clients cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::store::Body;

/// A count of bytes.
#[derive(Debug, Default)]
pub(super) struct Held(AtomicU64);

/// Bytes that are counted until their last holder is gone.
struct Counted {
    bytes: Bytes,
    held: Arc<Held>,
}

impl Held {
    /// Counts a body from now on. It must not be counted already.
    pub(super) fn count(self: &Arc<Self>, body: Body) -> Body {
        match body {
            Body::Empty | Body::Deferred(_) => body,
            Body::Whole(bytes) => Body::Whole(self.count_piece(bytes)),
            Body::Pieces { pieces, length } => {
                let pieces = pieces.iter().map(|piece| self.count_piece(piece.clone()));
                Body::Pieces { pieces: pieces.collect(), length }
            }
        }
    }

    fn count_piece(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        self.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Bytes::from_owner(Counted { bytes, held: Arc::clone(self) })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.bytes.len() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_until_the_last_slice_is_gone() {
        let held = Arc::<Held>::default();
        let pieces = (1..4).map(|length| Bytes::from(vec![b'x'; length])).collect();
        let body = held.count(Body::of_pieces(pieces));
        assert_eq!((held.bytes(), body.length()), (6, 6));
        let slice = body.pieces().last().unwrap().slice(..1);
        drop(body);
        assert_eq!(held.bytes(), 3);
        drop(slice);
        assert_eq!(held.bytes(), 0);
    }
}
