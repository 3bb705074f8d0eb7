//! The content of a flight that a reader may still need.

use std::collections::VecDeque;

use bytes::Bytes;

use super::budget::Charge;

#[derive(Debug)]
pub(super) struct Pieces {
    pub(super) first: usize,
    kept: VecDeque<Kept>,
    bytes: u64,
    /// Pieces that are not charged to the budget.
    uncharged: usize,
    pub(super) mode: Retention,
    charge: Charge,
}

#[derive(Debug)]
struct Kept {
    piece: Bytes,
    is_charged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retention {
    /// All pieces are kept: for readers that join later, and for the store.
    Retained,
    Transient,
    /// None is kept: readers have the content from the store.
    Stored,
}

impl Pieces {
    pub(super) const fn new(charge: Charge) -> Self {
        Self {
            first: 0,
            kept: VecDeque::new(),
            bytes: 0,
            uncharged: 0,
            mode: Retention::Retained,
            charge,
        }
    }

    /// Adds a piece. Where several readers share transient content, a bounded queue keeps the slow
    /// from holding up the fast.
    pub(super) fn push(&mut self, piece: Bytes, has_company: bool) {
        let length = piece.len() as u64;
        let is_charged = match self.mode {
            Retention::Stored => return,
            Retention::Retained => self.charge.take(length),
            Retention::Transient => {
                has_company && self.bytes + length <= QUEUE_BYTES_MAX && self.charge.take(length)
            }
        };
        if !is_charged {
            self.mode = Retention::Transient;
            self.uncharged += 1;
        }
        self.bytes += length;
        self.kept.push_back(Kept { piece, is_charged });
    }

    pub(super) fn get(&self, number: usize) -> Option<Bytes> {
        self.kept.get(number.checked_sub(self.first)?).map(|kept| kept.piece.clone())
    }

    /// Returns whether the next piece may come while nothing is retained.
    pub(super) const fn has_room(&self) -> bool {
        self.uncharged < PASSING_PIECES
    }

    /// Drops the pieces before this number.
    pub(super) fn drop_until(&mut self, number: usize) {
        while self.first < number
            && let Some(Kept { piece, is_charged }) = self.kept.pop_front()
        {
            let length = piece.len() as u64;
            self.first += 1;
            self.bytes -= length;
            if is_charged {
                self.charge.give_back(length);
            } else {
                self.uncharged -= 1;
            }
        }
    }

    pub(super) fn drop_for_store(&mut self) {
        self.drop_until(usize::MAX);
        self.first = 0;
        self.mode = Retention::Stored;
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }
}

/// Pieces beyond the budget for content that is not retained: of up to 400 KiB each (the read
/// buffer of hyper).
pub(super) const PASSING_PIECES: usize = 4;
/// Bytes, within the budget, that readers of content that is not retained may be apart before the
/// slowest holds up all.
const QUEUE_BYTES_MAX: u64 = 8 << 20;
