//! The table of segments: the incarnation of each, its readers (`segment_state`), its live bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::store::file::device::segment_state::{Pin, SegmentState};
use crate::store::file::format::filter::Filter;

#[derive(Debug)]
pub(crate) struct Segments {
    table: Box<[Segment]>,
    none: Segment,
}

#[derive(Debug, Default)]
pub(crate) struct Segment {
    word: Arc<SegmentState>,
    /// The incarnation whose records are in the file, also while the segment is free; zero: there
    /// are none.
    written: AtomicU64,
    live: AtomicU64,
    /// Bytes up to the end of the last record.
    pub(crate) used: AtomicU64,
    /// A record was read since the segment was last kept.
    is_read: AtomicBool,
    /// The latest second at which something in it expires.
    pub(crate) expires: AtomicU32,
    /// The earliest purge sequence at which something in it was fetched.
    pub(crate) born: AtomicU64,
    /// The offsets, in units, of responses in it that were replaced or removed; or all of them,
    /// once it was given away.
    pub(crate) tombstones: Mutex<Vec<u32>>,
    /// The identities that the responses may carry, for a complete segment; `None`: any.
    pub(crate) filter: Mutex<Option<Filter>>,
}

impl Segments {
    pub(crate) fn new(count: u32) -> Self {
        Self { table: (0..count).map(|_| Segment::default()).collect(), none: Segment::default() }
    }

    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.table.len()).unwrap_or(u32::MAX)
    }

    /// Returns the segment of this number; if there is none, one that is always free.
    pub(crate) fn at(&self, number: u32) -> &Segment {
        self.table.get(number as usize).unwrap_or(&self.none)
    }

    /// Pins a segment if it is in this incarnation and not about to be overwritten.
    pub(crate) fn pin(&self, number: u32, lsn: u64) -> Option<Pin> {
        Pin::of(&self.table.get(number as usize)?.word, lsn)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.table.iter()
    }
}

impl Segment {
    /// Returns the incarnation; zero while the segment is free.
    pub(crate) fn lsn(&self) -> u64 {
        self.word.lsn()
    }

    /// Returns the incarnation whose records are in the file, also while the segment is free; zero:
    /// none.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Notes that a free segment still has the records of this incarnation.
    pub(crate) fn remember_written(&self, lsn: u64) {
        self.written.store(lsn, Ordering::Release);
    }

    /// Returns whether what was read without a pin is of this incarnation.
    pub(crate) fn was(&self, lsn: u64) -> bool {
        self.word.was(lsn)
    }

    /// Begins an incarnation. Only of a free segment, and only by the writer.
    pub(crate) fn open(&self, lsn: u64) {
        self.live.store(0, Ordering::Relaxed);
        self.used.store(0, Ordering::Relaxed);
        self.is_read.store(false, Ordering::Relaxed);
        self.expires.store(0, Ordering::Relaxed);
        self.born.store(u64::MAX, Ordering::Relaxed);
        self.tombstones.lock().clear();
        self.remember_written(lsn);
        self.word.open(lsn);
    }

    pub(crate) fn note_read(&self) {
        if !self.is_read.load(Ordering::Relaxed) {
            self.is_read.store(true, Ordering::Relaxed);
        }
    }

    /// Returns whether it was read since this was last asked.
    pub(crate) fn was_read(&self) -> bool {
        self.is_read.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        self.word.close();
    }

    /// Ends the incarnation of a closed segment that nobody reads, and says whether that was so.
    pub(crate) fn free(&self) -> bool {
        let is_free = self.word.free();
        if is_free {
            self.live.store(0, Ordering::Relaxed);
            self.used.store(0, Ordering::Relaxed);
        }
        is_free
    }

    pub(crate) fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    pub(crate) fn add_live(&self, bytes: u64) {
        self.live.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn sub_live(&self, bytes: u64) {
        let sub = |live: u64| Some(live.saturating_sub(bytes));
        let _live = self.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sub);
    }
}

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
