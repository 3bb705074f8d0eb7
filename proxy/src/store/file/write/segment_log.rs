//! `SegmentLog`: the end of the log. It owns the segments that are being filled, those that are
//! free, and the queues of complete ones. A record is appended to the open segment of its class.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::store::file::format::footer::{Footer, IndexTerms};
use crate::store::file::format::record::{
    Class, FooterEntry, RecordHeader, RecordKind, SEGMENT_HEADER_BYTES, SegmentHeader, UNIT,
    units_of,
};
use crate::store::file::volume::Volume;

#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub(crate) segment: u32,
    lsn: u64,
    tail: u64,
    pub(crate) footer: Footer,
}

#[derive(Debug)]
pub(crate) struct SegmentLog {
    volume: Arc<Volume>,
    pub(crate) open: [Option<OpenSegment>; 3],
    /// Complete segments of each class, the next to be evicted first.
    pub(crate) queues: [VecDeque<u32>; 3],
    pub(crate) free: Vec<u32>,
    opened: u64,
    buffer: Vec<u8>,
    errors: u32,
}

impl SegmentLog {
    pub(crate) fn new(volume: &Arc<Volume>) -> Self {
        // Records do not name their store: its incarnations begin where those of an earlier one,
        // whose records are still there, have most likely not been.
        let opened = u64::from(volume.superblock.lock().openings) << 32 | volume.store >> 33;
        Self {
            volume: Arc::clone(volume),
            open: [const { None }; 3],
            queues: Default::default(),
            free: Vec::new(),
            opened,
            buffer: Vec::new(),
            errors: 0,
        }
    }

    /// Returns whether a record of this length fits into the open segment of its class.
    pub(crate) fn has_room(&self, class: Class, header: &RecordHeader, terms: &IndexTerms) -> bool {
        let bytes = units_of(header.record_bytes()) * UNIT;
        self.place_in_open(class, bytes, terms).is_some()
    }

    pub(crate) fn is_usable(&self) -> bool {
        self.volume.disk.is_usable()
    }

    /// Writes a record of these parts behind its header, in a new segment where the open one is
    /// full. `None`: there is no free segment, or the device failed.
    pub(crate) fn append<'a>(
        &mut self,
        class: Class,
        mut header: RecordHeader,
        terms: IndexTerms,
        parts: impl Iterator<Item = &'a [u8]>,
    ) -> Option<(u32, u64, u32, u16)> {
        if !self.volume.disk.is_usable() {
            return None;
        }
        let units = u16::try_from(units_of(header.record_bytes())).ok()?;
        let bytes = u64::from(units) * UNIT;
        let place = self.room(class, bytes, &terms)?;
        let open = self.open.get(class as usize)?.as_ref()?;
        let (segment, lsn) = (open.segment, open.lsn);
        header.lsn = lsn;
        self.buffer.clear();
        self.buffer.extend_from_slice(&header.encode());
        parts.for_each(|part| self.buffer.extend_from_slice(part));
        self.buffer.resize(usize::try_from(bytes).ok()?, 0);
        let offset = u32::try_from(place / UNIT).ok()?;
        if let Err(error) =
            self.volume.disk.write(self.volume.start_of(segment) + place, &self.buffer)
        {
            self.failed("cannot write", &error);
            return None;
        }
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        }
        let open = self.open.get_mut(class as usize)?.as_mut()?;
        open.tail = place + bytes;
        self.volume.segments.at(segment).used.store(open.tail, Ordering::Relaxed);
        if header.kind == RecordKind::Response {
            self.volume.segments.at(segment).born.fetch_min(header.born, Ordering::AcqRel);
            let is_large = !terms.extents.is_empty();
            open.footer.push(FooterEntry::of(&header, (offset, units), is_large), terms);
        }
        Some((segment, lsn, offset, units))
    }

    /// Returns where a record of so many bytes goes, in a segment that is open then.
    fn room(&mut self, class: Class, bytes: u64, terms: &IndexTerms) -> Option<u64> {
        if let Some(place) = self.place_in_open(class, bytes, terms) {
            return Some(place);
        }
        self.seal_open(class);
        let open = self.open_segment(class)?;
        *self.open.get_mut(class as usize)? = Some(open);
        self.place_in_open(class, bytes, terms)
    }

    fn place_in_open(&self, class: Class, bytes: u64, terms: &IndexTerms) -> Option<u64> {
        let open = self.open.get(class as usize)?.as_ref()?;
        let footer = open.footer.bytes_with(terms);
        (open.tail + bytes + footer <= self.volume.segment_bytes).then_some(open.tail)
    }

    pub(crate) fn seal_open(&mut self, class: Class) {
        if let Some(full) = self.open.get_mut(class as usize).and_then(Option::take) {
            self.seal(class, &full);
        }
    }

    fn open_segment(&mut self, class: Class) -> Option<OpenSegment> {
        // During an eviction, records that are kept may use the reserve.
        let segment = self.free.pop()?;
        self.opened += 1;
        let lsn = self.opened;
        let header =
            SegmentHeader { store: self.volume.store, number: segment, class: class as u32, lsn };
        let mut bytes = header.encode().to_vec();
        bytes.resize(usize::try_from(SEGMENT_HEADER_BYTES).ok()?, 0);
        let disk = &self.volume.disk;
        // Durable before anything of the earlier incarnation is overwritten.
        let written = disk.write(self.volume.start_of(segment), &bytes).and_then(|()| disk.sync());
        if let Err(error) = written {
            self.free.insert(0, segment);
            self.failed("cannot begin a segment", &error);
            return None;
        }
        self.volume.segments.at(segment).open(lsn);
        Some(OpenSegment { segment, lsn, tail: SEGMENT_HEADER_BYTES, footer: Footer::default() })
    }

    /// Writes the footer of a segment: it is complete.
    fn seal(&mut self, class: Class, open: &OpenSegment) {
        let span = self.volume.span_of(open.segment);
        match open.footer.write(&self.volume.disk, &span, open.tail) {
            Ok(filter) => self.volume.keep_filter(open.segment, filter),
            // A restart reads its records instead.
            Err(error) => self.failed("cannot complete a segment", &error),
        }
        if let Some(queue) = self.queues.get_mut(class as usize) {
            queue.push_back(open.segment);
        }
    }

    /// Counts an error. After several in a row, nothing is written any more.
    fn failed(&mut self, what: &'static str, error: &io::Error) {
        self.volume.metrics.io_errors.add(1);
        self.errors += 1;
        tracing::warn!(%error, "{what}");
        if self.errors == ERRORS_MAX {
            tracing::error!("the store's device keeps failing: responses are kept in memory only");
            self.volume.is_offline.store(true, Ordering::Relaxed);
        }
    }
}

const BUFFER_BYTES_KEPT: usize = 2 << 20;
const ERRORS_MAX: u32 = 16;
