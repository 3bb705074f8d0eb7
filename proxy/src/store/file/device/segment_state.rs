//! The word of a segment: its incarnation and its readers.
//!
//! `lower half of the incarnation, 32 bits | closing, 1 bit | pins, 31 bits`. A pin is taken in one
//! compare-and-swap, only while the word is not closing, and counts once the whole incarnation was
//! compared: the lower half of one may come again after a restart. Only the writer gives a segment
//! another incarnation, after it was closed and its pins have gone. So no bytes are overwritten
//! that somebody reads.
//!
//! `proxy/loom` runs this file in every order that its atomics allow.

use super::sync::{Arc, AtomicU64, Mutex, Ordering, fence};

/// The incarnation and the pins of a segment, in atomics.
#[derive(Debug)]
pub(crate) struct SegmentState {
    word: AtomicU64,
    /// The whole incarnation, as it is in the records; zero while the segment is free. Written
    /// before `word`.
    lsn: AtomicU64,
}

/// While it lives, its segment's bytes stay what they are.
#[derive(Debug)]
pub(crate) struct Pin(Arc<SegmentState>);

/// Pins that somebody holds until they are taken away.
#[derive(Debug)]
pub(crate) struct Pins(Mutex<Vec<Pin>>);

impl Default for SegmentState {
    fn default() -> Self {
        Self { word: AtomicU64::new(CLOSING), lsn: AtomicU64::new(0) }
    }
}

impl SegmentState {
    /// Returns the incarnation; zero while the segment is free.
    pub(crate) fn lsn(&self) -> u64 {
        self.lsn.load(Ordering::Acquire)
    }

    /// Returns whether what was read without a pin is of this incarnation.
    pub(crate) fn was(&self, lsn: u64) -> bool {
        fence(Ordering::Acquire); // after what was read; pairs with the fence in `free`
        self.lsn() == lsn && lsn != 0
    }

    /// Begins an incarnation. Only of a free segment, and only by the writer.
    pub(crate) fn open(&self, lsn: u64) {
        self.lsn.store(lsn, Ordering::Release);
        self.word.store(lsn << 32, Ordering::Release); // pairs with the acquire in `pin`
    }

    pub(crate) fn close(&self) {
        self.word.fetch_or(CLOSING, Ordering::AcqRel);
    }

    /// Ends the incarnation of a closed segment that nobody reads, and says whether that was so.
    pub(crate) fn free(&self) -> bool {
        let is_free = self.word.load(Ordering::Acquire) & (CLOSING | PINS) == CLOSING; // pairs with the release in `unpin`
        if is_free {
            self.lsn.store(0, Ordering::Release);
            fence(Ordering::Release); // before anything is overwritten
        }
        is_free
    }

    fn pin(&self, lsn: u64) -> bool {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word >> 32 != lsn & 0xffff_ffff || word & CLOSING != 0 {
                return false;
            }
            let (from, to) = (word, word + 1);
            match self.word.compare_exchange_weak(from, to, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        // Not before: it could have been given away, and opened with the same lower half, in
        // between.
        let is_it = self.lsn() == lsn;
        if !is_it {
            self.unpin();
        }
        is_it
    }

    fn unpin(&self) {
        self.word.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Pin {
    /// Pins a segment if it is in this incarnation and not about to be overwritten.
    pub(crate) fn of(word: &Arc<SegmentState>, lsn: u64) -> Option<Self> {
        word.pin(lsn).then(|| Self(Arc::clone(word)))
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.unpin();
    }
}

impl Pins {
    pub(crate) fn of(pins: impl Iterator<Item = Pin>) -> Self {
        Self(Mutex::new(pins.collect()))
    }

    /// Lets the segments go, and returns how many that were.
    pub(crate) fn revoke(&self) -> usize {
        let pins = std::mem::take(&mut *self.0.lock());
        pins.len()
    }
}

const CLOSING: u64 = 1 << 31;
const PINS: u64 = CLOSING - 1;
