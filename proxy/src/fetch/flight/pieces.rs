//! The content of a flight so far, as far as a reader may still want it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::budget::Charge;

/// Pieces from number `first` on.
#[derive(Debug)]
pub(super) struct Pieces {
    pub(super) first: usize,
    kept: VecDeque<Kept>,
    /// Sum of their lengths.
    bytes: u64,
    /// Those that no budget pays for.
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
    /// All pieces are kept: for late readers, and for the store.
    Retained,
    /// Pieces that every reader has are dropped.
    Transient,
    /// None is kept: the content is stored, and readers have it from there.
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

    /// Adds a piece. Where several read what is passing, a bounded queue keeps those who lag from holding up the others.
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

    /// Whether there is room for what comes next while nothing is retained.
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

    /// Drops all of them: the content is stored.
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

/// Pieces in memory beyond the budget, for content that is not retained: of up to 400 KiB each (hyper's read buffer).
pub(super) const PASSING_PIECES: usize = 4;
/// What those who read one response that is not retained may lie apart before the slowest holds up all, within the budget.
const QUEUE_BYTES_MAX: u64 = 8 << 20;
