//! The table of segments: which incarnation each is in, who reads it, how much of it is live.
//!
//! One word decides who may read: `incarnation, 32 bits | closing, 1 bit | pins, 31 bits`. A pin is taken only in the expected
//! incarnation and while it is not closing, in one compare-and-swap; a segment is given a new incarnation only by the scribe,
//! after it was closed and its pins have gone. So no bytes are overwritten that somebody reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

/// All segments of a store.
#[derive(Debug)]
pub(super) struct Segments {
    table: Box<[Arc<Segment>]>,
    none: Segment,
}

/// One segment.
#[derive(Debug, Default)]
pub(super) struct Segment {
    word: AtomicU64,
    /// The full incarnation as it is in the records; zero while the segment is free. Written before `word`.
    lsn: AtomicU64,
    /// Bytes of records that are live.
    live: AtomicU64,
    /// Bytes up to the end of the last record.
    pub(super) used: AtomicU64,
    /// Windows that were read from it since it was last spared.
    pub(super) hits: AtomicU32,
    /// The latest second at which something in it expires.
    pub(super) expires: AtomicU32,
    /// The earliest purge sequence at which something in it was fetched.
    pub(super) born: AtomicU64,
    /// The offsets of responses in it that were replaced or removed: in units, since the journal was compacted they are there.
    pub(super) killed: Mutex<Vec<u32>>,
}

/// While it lives, its segment's bytes stay what they are.
#[derive(Debug)]
pub(super) struct Pin(Arc<Segment>);

impl Segments {
    pub(super) fn new(count: u32) -> Self {
        Self { table: (0..count).map(|_| Arc::default()).collect(), none: Segment::default() }
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.table.len()).unwrap_or(u32::MAX)
    }

    /// The segment of this number; one that is always free where there is no such.
    pub(super) fn at(&self, number: u32) -> &Segment {
        self.table.get(number as usize).map_or(&self.none, |segment| segment)
    }

    /// Pins a segment if it is in this incarnation and not about to be overwritten.
    pub(super) fn pin(&self, number: u32, lsn: u64) -> Option<Pin> {
        let segment = self.table.get(number as usize)?;
        segment.try_pin(lsn).then(|| Pin(Arc::clone(segment)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.table.iter().map(|segment| &**segment)
    }
}

impl Segment {
    /// The incarnation; zero while it is free.
    pub(super) fn lsn(&self) -> u64 {
        self.lsn.load(Ordering::Acquire)
    }

    /// Begins an incarnation. Only of a free segment, and only by the scribe.
    pub(super) fn open(&self, lsn: u64) {
        self.live.store(0, Ordering::Relaxed);
        self.used.store(0, Ordering::Relaxed);
        self.hits.store(0, Ordering::Relaxed);
        self.expires.store(0, Ordering::Relaxed);
        self.born.store(u64::MAX, Ordering::Relaxed);
        self.killed.lock().clear();
        self.lsn.store(lsn, Ordering::Release);
        self.word.store(lsn << 32, Ordering::Release); // pairs with the acquire in `try_pin`
    }

    fn try_pin(&self, lsn: u64) -> bool {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let is_open = lsn != 0 && word >> 32 == lsn & 0xffff_ffff && word & CLOSING == 0;
            if !is_open || self.lsn() != lsn {
                return false;
            }
            match self.word.compare_exchange_weak(
                word,
                word + 1,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.word.fetch_or(CLOSING, Ordering::AcqRel);
    }

    /// Ends the incarnation of a closed segment that nobody reads, and says whether that was so.
    pub(super) fn free(&self) -> bool {
        let is_free = self.word.load(Ordering::Acquire) & (CLOSING | PINS) == CLOSING; // pairs with the release in `Pin::drop`
        if is_free {
            self.lsn.store(0, Ordering::Release);
            self.live.store(0, Ordering::Relaxed);
            self.used.store(0, Ordering::Relaxed);
            self.killed.lock().clear();
        }
        is_free
    }

    pub(super) fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    pub(super) fn add_live(&self, bytes: u64) {
        self.live.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sub_live(&self, bytes: u64) {
        let sub = |live: u64| Some(live.saturating_sub(bytes));
        let _live = self.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sub);
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.word.fetch_sub(1, Ordering::AcqRel);
    }
}

const CLOSING: u64 = 1 << 31;
const PINS: u64 = CLOSING - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_freed_only_when_nobody_reads_it() {
        let segments = Segments::new(2);
        let segment = segments.at(1);
        assert!(segments.pin(1, 0).is_none(), "it is free");
        segment.open(7);
        assert!(segments.pin(1, 6).is_none() && segments.pin(2, 7).is_none());
        let (one, two) = (segments.pin(1, 7).unwrap(), segments.pin(1, 7).unwrap());
        assert!(!segment.free(), "it is not closed");
        segment.close();
        assert!(segments.pin(1, 7).is_none() && !segment.free());
        drop(one);
        assert!(!segment.free());
        drop(two);
        assert!(segment.free());
        segment.open(8);
        assert!(segments.pin(1, 7).is_none() && segments.pin(1, 8).is_some());
    }

    #[test]
    fn readers_never_see_bytes_change() {
        let segments = Segments::new(1);
        let content = AtomicU64::new(1);
        segments.at(0).open(1);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut seen = 0;
                    while seen < 2000 {
                        let lsn = segments.at(0).lsn();
                        if let Some(_pin) = segments.pin(0, lsn) {
                            for _ in 0..10 {
                                assert_eq!(content.load(Ordering::Acquire), lsn);
                            }
                            seen += 1;
                        }
                    }
                });
            }
            scope.spawn(|| {
                for lsn in 2..2000 {
                    segments.at(0).close();
                    while !segments.at(0).free() {
                        std::hint::spin_loop();
                    }
                    content.store(lsn, Ordering::Release);
                    segments.at(0).open(lsn);
                }
            });
        });
    }
}
