//! `FileBody`: content that is in the file, in one or more extents, read a window at a time.
//!
//! A window that was not verified within the last [`TRUST`] seconds is read into memory and compared with its checksums. One that
//! was is shown from the map, populated before, without copying: it is not looked at again here.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{OnceLock, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

use super::format::{BLOCK_BYTES, RECORD_HEADER_BYTES, RecordHeader, UNIT, blocks_match};
use super::head::ExtentPlace;
use super::segment::Pin;
use super::volume::{ReadError, Volume};

/// Content in the file.
#[derive(Debug)]
pub struct FileBody {
    volume: Arc<Volume>,
    length: u64,
    extents: Box<[Arc<Extent>]>,
}

/// A part of it: one record of the file.
#[derive(Debug)]
pub(crate) struct Extent {
    start: u64,
    length: u32,
    place: OnceLock<ExtentPlace>,
    /// What is not written yet.
    waiting: Mutex<Option<Arc<[Bytes]>>>,
    /// Blocks that were verified since `verified_at`, a bit each.
    verified: AtomicU64,
    verified_at: AtomicU32,
    /// It could not be written or read.
    is_lost: AtomicBool,
}

/// Somebody reads a body: its segments are not overwritten, unless the store is pressed for space.
#[derive(Debug)]
pub struct Reading {
    body: Arc<FileBody>,
    pins: Mutex<Vec<Pin>>,
}

impl FileBody {
    /// Content that is, or will be, in these extents.
    pub(super) fn of(volume: &Arc<Volume>, extents: Vec<Arc<Extent>>) -> Arc<Self> {
        let length = extents.iter().map(|extent| u64::from(extent.length)).sum();
        Arc::new(Self { volume: Arc::clone(volume), length, extents: extents.into() })
    }

    /// Content that is in these places.
    pub(super) fn at(volume: &Arc<Volume>, places: &[ExtentPlace]) -> Arc<Self> {
        let mut start = 0;
        let extents = places.iter().map(|place| {
            let extent = Extent::new(start, place.length);
            let _new = extent.place.set(*place);
            start += u64::from(place.length);
            Arc::new(extent)
        });
        Self::of(volume, extents.collect())
    }

    /// Bytes of content.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Bytes that it takes in memory.
    pub(crate) fn heap_bytes(&self) -> u64 {
        (self.extents.len() * (size_of::<Extent>() + size_of::<Arc<Extent>>() + 16)) as u64
    }

    /// Returns whether all of it can still be read, as far as is known.
    pub(crate) fn is_intact(&self) -> bool {
        !self.is_lost()
            && self.extents.iter().all(|extent| {
                let lsn = |place: &ExtentPlace| self.volume.segments.at(place.segment).lsn();
                extent.place.get().is_none_or(|place| lsn(place) == place.lsn)
            })
    }

    /// Returns whether something of it could not be written or read.
    pub(super) fn is_lost(&self) -> bool {
        self.extents.iter().any(|extent| extent.is_lost.load(Ordering::Relaxed))
    }

    pub(super) fn lose(&self) {
        if let Some(extent) = self.extents.first() {
            extent.lose();
        }
    }

    /// Where all of it is; `None`: not all is written.
    pub(super) fn places(&self) -> Option<Vec<ExtentPlace>> {
        self.extents.iter().map(|extent| extent.place.get().copied()).collect()
    }

    /// Begins to read it.
    pub fn open(self: &Arc<Self>) -> Arc<Reading> {
        let pins = self.extents.iter().filter_map(|extent| {
            let place = extent.place.get()?;
            self.volume.segments.at(place.segment).hits.fetch_add(1, Ordering::Relaxed);
            self.volume.segments.pin(place.segment, place.lsn)
        });
        let pins = Mutex::new(pins.collect());
        let reading = Arc::new(Reading { body: Arc::clone(self), pins });
        let mut readings = self.volume.readings.lock();
        if readings.len().is_power_of_two() {
            readings.retain(|other| other.strong_count() > 0);
        }
        readings.push_back(Arc::downgrade(&reading));
        drop(readings);
        reading
    }

    /// Reads a window that begins at `from` and does not go beyond `to`. Blocks.
    fn read(&self, from: u64, to: u64) -> Result<Bytes, ReadError> {
        let number = self.extents.partition_point(|extent| extent.start <= from).saturating_sub(1);
        let extent = self.extents.get(number).ok_or(ReadError::Gone)?;
        let first = from.checked_sub(extent.start).ok_or(ReadError::Gone)?;
        let window_end = (first / WINDOW_BYTES + 1) * WINDOW_BYTES;
        let last = window_end.min(u64::from(extent.length)).min(to.saturating_sub(extent.start));
        if first >= last {
            return Err(ReadError::Gone);
        }
        let waiting = extent.waiting.lock().clone();
        if let Some(pieces) = waiting {
            return slice_of(&pieces, first..last).ok_or(ReadError::Gone);
        }
        let place = extent.place.get().ok_or(ReadError::Gone)?;
        self.read_extent(extent, *place, first..last)
    }

    fn read_extent(
        &self,
        extent: &Extent,
        place: ExtentPlace,
        range: Range<u64>,
    ) -> Result<Bytes, ReadError> {
        let volume = &*self.volume;
        let pin = volume.segments.pin(place.segment, place.lsn);
        let start = volume.offset_of(place.segment, place.offset);
        let mut head = vec![0; RECORD_HEADER_BYTES];
        volume.disk.read(start, &mut head)?;
        let header = RecordHeader::decode(&head).ok_or(ReadError::Corrupt)?;
        if header.lsn != place.lsn || header.body_bytes != place.length {
            return Err(ReadError::Gone);
        }
        let body = start + header.body_start();
        let length = usize::try_from(range.end - range.start).unwrap_or(0);
        let now = volume.now_secs();
        if let Some(map) = volume.disk.map()
            && extent.is_verified(&range, now)
            && !volume.is_pressed()
            && let Some(pin) = pin
        {
            let offset = usize::try_from(body + range.start).unwrap_or(usize::MAX);
            map.populate(offset, length)?;
            volume.metrics.mapped.add(1);
            return map.window(offset, length, pin).ok_or(ReadError::Gone);
        }
        let table_bytes = usize::try_from(header.meta_bytes).unwrap_or(0);
        let mut meta = vec![0; table_bytes];
        volume.disk.read(start + RECORD_HEADER_BYTES as u64, &mut meta)?;
        if crc32c::crc32c(&meta) != header.meta_crc {
            return Err(ReadError::Corrupt);
        }
        let block = BLOCK_BYTES as u64;
        let (first, last) = (range.start / block, range.end.div_ceil(block));
        let end = (last * block).min(u64::from(place.length));
        let mut blocks = vec![0; usize::try_from(end - first * block).unwrap_or(0)];
        volume.disk.read(body + first * block, &mut blocks)?;
        if !blocks_match(&meta, usize::try_from(first).unwrap_or(0), &blocks) {
            return Err(ReadError::Corrupt);
        }
        extent.verify(first..last, now);
        let skipped = usize::try_from(range.start - first * block).unwrap_or(0);
        let bytes = Bytes::from(blocks);
        Ok(bytes.slice(skipped..skipped + length))
    }
}

impl Extent {
    /// A part that begins at `start` and waits to be written.
    pub(super) fn waiting(start: u64, pieces: Vec<Bytes>) -> Arc<Self> {
        let length = pieces.iter().map(Bytes::len).sum::<usize>();
        let extent = Self::new(start, u32::try_from(length).unwrap_or(u32::MAX));
        *extent.waiting.lock() = Some(pieces.into());
        Arc::new(extent)
    }

    /// The pieces, while it waits to be written.
    pub(super) fn pieces(&self) -> Option<Arc<[Bytes]>> {
        self.waiting.lock().clone()
    }

    /// Notes that it was written.
    pub(super) fn written(&self, place: ExtentPlace) {
        let _new = self.place.set(place);
        *self.waiting.lock() = None;
    }

    /// Where it is; `None`: it was not written.
    pub(super) fn place(&self) -> Option<ExtentPlace> {
        self.place.get().copied()
    }

    pub(super) fn lose(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
        *self.waiting.lock() = None;
    }

    const fn new(start: u64, length: u32) -> Self {
        Self {
            start,
            length,
            place: OnceLock::new(),
            waiting: Mutex::new(None),
            verified: AtomicU64::new(0),
            verified_at: AtomicU32::new(0),
            is_lost: AtomicBool::new(false),
        }
    }

    fn is_verified(&self, range: &Range<u64>, now: u32) -> bool {
        let block = BLOCK_BYTES as u64;
        let wanted = bits(range.start / block..range.end.div_ceil(block));
        now.wrapping_sub(self.verified_at.load(Ordering::Acquire)) < TRUST
            && self.verified.load(Ordering::Acquire) & wanted == wanted
    }

    fn verify(&self, blocks: Range<u64>, now: u32) {
        if now.wrapping_sub(self.verified_at.load(Ordering::Acquire)) >= TRUST {
            self.verified.store(0, Ordering::Release);
            self.verified_at.store(now, Ordering::Release);
        }
        self.verified.fetch_or(bits(blocks), Ordering::AcqRel);
    }
}

/// A bit for each block of an extent, which has 64 at most.
fn bits(blocks: Range<u64>) -> u64 {
    blocks.filter(|block| *block < 64).fold(0, |bits, block| bits | 1 << block)
}

impl Reading {
    /// Bytes of the whole body.
    pub fn length(&self) -> u64 {
        self.body.length
    }

    /// Reads a window that begins at `from` and does not go beyond `to`; never empty. Blocks.
    pub fn window(&self, from: u64, to: u64) -> Result<Bytes, ReadError> {
        let read = self.body.read(from, to);
        if let Err(error) = &read {
            self.body.lose();
            self.body.volume.note_read_error(error);
        }
        read
    }

    /// Reads everything. Blocks.
    pub fn whole(&self) -> Result<Vec<Bytes>, ReadError> {
        let (mut pieces, mut at) = (Vec::new(), 0);
        while at < self.body.length {
            let piece = self.window(at, self.body.length)?;
            at += piece.len() as u64;
            pieces.push(piece);
        }
        Ok(pieces)
    }

    /// Lets its segments go: who reads on may find them overwritten, and breaks off.
    pub(super) fn revoke(&self) -> usize {
        let pins = std::mem::take(&mut *self.pins.lock());
        pins.len()
    }
}

/// Those who read, the longest first.
pub(super) type Readings = Mutex<std::collections::VecDeque<Weak<Reading>>>;

/// The first piece of a range, shared.
fn slice_of(pieces: &[Bytes], range: Range<u64>) -> Option<Bytes> {
    let mut start = 0;
    for piece in pieces {
        let end = start + piece.len() as u64;
        if range.start < end {
            let from = usize::try_from(range.start - start).ok()?;
            let to = usize::try_from(range.end.min(end) - start).ok()?;
            return Some(piece.slice(from..to));
        }
        start = end;
    }
    None
}

/// The position of a record, in bytes from the beginning of its segment.
pub(super) const fn bytes_of(offset: u32) -> u64 {
    offset as u64 * UNIT
}

/// Content is read so much at a time.
const WINDOW_BYTES: u64 = 256 << 10;
/// Seconds for which a verified block is shown from the map without reading it again.
const TRUST: u32 = 10;
