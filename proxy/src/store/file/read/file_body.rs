//! `FileBody`: content that is in the file, in one or more extents, read a window at a time.
//!
//! A window that was not verified within the last [`TRUST`] seconds is read into memory and
//! compared with its checksums. One that was is shown from the map without copying: it is not
//! looked at again here. What is in the system's cache is shown at once; what is not is read on
//! another thread before.

use std::any::Any;
use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use bytes::{Buf as _, Bytes};
use parking_lot::Mutex;

use crate::store::body::{Body, BodyReader, Chunk, CopyMode, DeferredBody, ReadError};
use crate::store::file::device::segment_state::Pins;
use crate::store::file::format::extent::ExtentPlace;
use crate::store::file::format::record::{
    BLOCK_BYTES, RECORD_HEADER_BYTES, RecordHeader, blocks_match,
};
use crate::store::file::volume::Volume;

#[derive(Debug)]
pub(crate) struct FileBody {
    volume: Arc<Volume>,
    length: u64,
    extents: Box<[Arc<Extent>]>,
}

/// A part of the content: one record of the file.
#[derive(Debug)]
pub(crate) struct Extent {
    start: u64,
    length: u32,
    place: OnceLock<ExtentPlace>,
    /// Start of the content in the file, known after the first verified read; zero: unknown.
    content_at: AtomicU64,
    /// The pieces, until they are written.
    waiting: Mutex<Option<Arc<[Bytes]>>>,
    /// Blocks that were verified since `verified_at`, a bit each.
    verified: AtomicU64,
    verified_at: AtomicU32,
    /// A write or a read of this extent has failed.
    is_lost: AtomicBool,
}

/// The patience of a read: to wait for the device or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blocking {
    None,
    Some,
}

thread_local! {
    /// Buffer for content that is only verified: memory in use, which a fresh buffer's is not.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
}

/// A reader of one body. While it lives, the body's segments are not overwritten, unless the store
/// is pressed for space.
#[derive(Debug)]
pub(crate) struct FileBodyReader {
    body: Arc<FileBody>,
    _pins: Arc<Pins>,
}

impl FileBody {
    /// Makes the content of these extents, written or not.
    pub(crate) fn of(volume: &Arc<Volume>, extents: Vec<Arc<Extent>>) -> Arc<Self> {
        let length = extents.iter().map(|extent| u64::from(extent.length)).sum();
        Arc::new(Self { volume: Arc::clone(volume), length, extents: extents.into() })
    }

    pub(crate) fn at(volume: &Arc<Volume>, places: &[ExtentPlace]) -> Arc<Self> {
        let mut start = 0;
        let extents = places.iter().map(|place| {
            let extent = Extent::new(start, place.length);
            let _new = extent.place.set(*place);
            start += u64::from(place.length);
            Arc::new(extent)
        });
        Self::of(volume, extents.collect())
    }

    /// Returns the content of a stored response, if it is in the file.
    pub(crate) fn in_body(body: &Body) -> Option<&Self> {
        let Body::Deferred(body) = body else { return None };
        (&**body as &dyn Any).downcast_ref()
    }

    pub(crate) fn extents(&self) -> Vec<Arc<Extent>> {
        self.extents.to_vec()
    }

    /// Returns whether something of it could not be written or read.
    pub(crate) fn is_lost(&self) -> bool {
        self.extents.iter().any(|extent| extent.is_lost.load(Ordering::Relaxed))
    }

    pub(crate) fn lose(&self) {
        if let Some(extent) = self.extents.first() {
            extent.lose();
        }
    }

    /// Returns whether a part could not be read when this body was loaded before, once each time.
    pub(crate) fn was_lost_before(&self) -> bool {
        self.places().is_some_and(|places| self.volume.lost_extents.take(&places))
    }

    fn note_lost(&self, from: u64, to: u64) {
        self.lose();
        if let Some(place) = self.part(from, to).and_then(|(extent, _)| extent.place()) {
            self.volume.lost_extents.note(place);
        }
    }

    /// Returns the places of all extents; `None` if one is not written yet.
    pub(crate) fn places(&self) -> Option<Vec<ExtentPlace>> {
        self.extents.iter().map(|extent| extent.place.get().copied()).collect()
    }

    fn window_at_once(&self, from: u64, to: u64, mode: CopyMode) -> Option<Chunk> {
        let (extent, range) = self.part(from, to)?;
        let Some(place) = extent.place() else {
            return slice_of(&extent.pieces()?, range).map(Chunk::from);
        };
        self.volume.segments.at(place.segment).note_read();
        if extent.is_verified(&range, self.volume.now_secs()) && mode == CopyMode::Mapped {
            return self.shown(extent, place, &range, Blocking::None);
        }
        let is_small = range.end - range.start <= COPIED_AT_ONCE_BYTES;
        let verify = || self.verified(extent, place, &range, (mode, Blocking::None)).ok();
        is_small.then(verify).flatten()
    }

    fn is_at_hand(&self, from: u64, to: u64, mode: CopyMode) -> bool {
        self.part(from, to).is_some_and(|(extent, range)| {
            mode == CopyMode::Mapped
                && extent.is_verified(&range, self.volume.now_secs())
                && extent
                    .content(&range)
                    .zip(self.volume.disk.map())
                    .is_some_and(|((offset, length), map)| map.is_resident(offset, length))
        })
    }

    /// Reads a window that begins at `from` and does not go beyond `to`. Blocks.
    fn read(&self, from: u64, to: u64, mode: CopyMode) -> Result<Chunk, ReadError> {
        let (extent, range) = self.part(from, to).ok_or(ReadError::Gone)?;
        if let Some(pieces) = extent.pieces() {
            return slice_of(&pieces, range).map(Chunk::from).ok_or(ReadError::Gone);
        }
        let place = extent.place().ok_or(ReadError::Gone)?;
        if mode == CopyMode::Mapped
            && extent.is_verified(&range, self.volume.now_secs())
            && let Some(window) = self.shown(extent, place, &range, Blocking::Some)
        {
            return Ok(window);
        }
        self.verified(extent, place, &range, (mode, Blocking::Some))
    }

    /// Returns the extent that holds the byte at `from`, and the part of it that is in one window
    /// and not beyond `to`.
    fn part(&self, from: u64, to: u64) -> Option<(&Extent, Range<u64>)> {
        let number = self.extents.partition_point(|extent| extent.start <= from).checked_sub(1)?;
        let extent = self.extents.get(number)?;
        let first = from.checked_sub(extent.start)?;
        let window_end = (first / WINDOW_BYTES + 1) * WINDOW_BYTES;
        let last = window_end.min(u64::from(extent.length)).min(to.saturating_sub(extent.start));
        (first < last).then_some((extent, first..last))
    }

    /// Shows what was verified from the map, if it is in the system's cache, or there is patience
    /// to bring it there.
    fn shown(
        &self,
        extent: &Extent,
        place: ExtentPlace,
        range: &Range<u64>,
        patience: Blocking,
    ) -> Option<Chunk> {
        let volume = &*self.volume;
        let map =
            volume.disk.map().filter(|_| !volume.is_short_of_segments() && volume.disk.check())?;
        let (offset, length) = extent.content(range)?;
        let pin = volume.segments.pin(place.segment, place.lsn)?;
        let is_ready = match patience {
            Blocking::None => map.is_resident(offset, length),
            Blocking::Some => map.populate(offset, length).is_ok(),
        };
        if !is_ready {
            return None;
        }
        volume.metrics.mapped.add(1);
        let bytes = map.window(offset, length, pin)?;
        Some(Chunk::mapped(bytes, Arc::clone(&self.volume.map_check)))
    }

    /// Reads a part, compares it with its checksums, and shows it from the map, or a copy.
    fn verified(
        &self,
        extent: &Extent,
        place: ExtentPlace,
        range: &Range<u64>,
        (mode, patience): (CopyMode, Blocking),
    ) -> Result<Chunk, ReadError> {
        let _pin = self.volume.segments.pin(place.segment, place.lsn);
        let (content_at, table) = self.checksums(place, patience)?;
        let block = BLOCK_BYTES as u64;
        let (first, last) = (range.start / block, range.end.div_ceil(block));
        let end = (last * block).min(u64::from(place.length));
        let length = usize::try_from(end - first * block).unwrap_or(usize::MAX);
        SCRATCH.with_borrow_mut(|scratch| {
            let blocks = scratch.get_mut(..length).ok_or(ReadError::Gone)?;
            self.fill(content_at + first * block, blocks, patience)?;
            if !blocks_match(&table, usize::try_from(first).unwrap_or(0), blocks) {
                return Err(ReadError::Corrupt);
            }
            extent.note_verified(first..last, content_at, self.volume.now_secs());
            if mode == CopyMode::Mapped
                && let Some(window) = self.shown(extent, place, range, patience)
            {
                return Ok(window);
            }
            let skipped = usize::try_from(range.start - first * block).unwrap_or(0);
            let wanted = usize::try_from(range.end - range.start).unwrap_or(0);
            let wanted = blocks.get(skipped..skipped + wanted).ok_or(ReadError::Gone)?;
            Ok(Chunk::from(Bytes::copy_from_slice(wanted)))
        })
    }

    /// Reads where an extent's content begins in the file, and the checksums of its blocks.
    fn checksums(
        &self,
        place: ExtentPlace,
        patience: Blocking,
    ) -> Result<(u64, Vec<u8>), ReadError> {
        let start = self.volume.offset_of(place.segment, place.offset);
        let mut head = [0; RECORD_HEADER_BYTES];
        self.fill(start, &mut head, patience)?;
        let header = RecordHeader::decode(&head).ok_or(ReadError::Corrupt)?;
        if header.lsn != place.lsn || header.body_bytes != place.length {
            return Err(ReadError::Gone);
        }
        let mut meta = vec![0; usize::try_from(header.meta_bytes).unwrap_or(0)];
        self.fill(start + RECORD_HEADER_BYTES as u64, &mut meta, patience)?;
        let is_sound = crc32c::crc32c(&meta) == header.meta_crc;
        is_sound.then_some((start + header.body_start(), meta)).ok_or(ReadError::Corrupt)
    }

    fn fill(&self, offset: u64, buffer: &mut [u8], patience: Blocking) -> io::Result<()> {
        match patience {
            Blocking::None => self.volume.disk.read_cached(offset, buffer),
            Blocking::Some => self.volume.disk.read(offset, buffer),
        }
    }
}

impl Extent {
    /// Makes an extent that begins at `start` of the body and waits to be written.
    pub(crate) fn waiting(start: u64, pieces: Vec<Bytes>) -> Arc<Self> {
        let length = pieces.iter().map(Bytes::len).sum::<usize>();
        let extent = Self::new(start, u32::try_from(length).unwrap_or(u32::MAX));
        *extent.waiting.lock() = Some(pieces.into());
        Arc::new(extent)
    }

    /// Returns the pieces while the extent waits to be written.
    pub(crate) fn pieces(&self) -> Option<Arc<[Bytes]>> {
        self.waiting.lock().clone()
    }

    pub(crate) fn written(&self, place: ExtentPlace) {
        let _new = self.place.set(place);
        *self.waiting.lock() = None;
    }

    /// Returns the place of the extent; `None` if it was not written.
    pub(crate) fn place(&self) -> Option<ExtentPlace> {
        self.place.get().copied()
    }

    pub(crate) fn lose(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
        *self.waiting.lock() = None;
    }

    const fn new(start: u64, length: u32) -> Self {
        Self {
            start,
            length,
            place: OnceLock::new(),
            content_at: AtomicU64::new(0),
            waiting: Mutex::new(None),
            verified: AtomicU64::new(0),
            verified_at: AtomicU32::new(0),
            is_lost: AtomicBool::new(false),
        }
    }

    /// Returns start and length of a part in the file, after the first verified read.
    fn content(&self, range: &Range<u64>) -> Option<(usize, usize)> {
        let content_at = self.content_at.load(Ordering::Acquire);
        let offset = usize::try_from(content_at + range.start).ok().filter(|_| content_at > 0)?;
        Some((offset, usize::try_from(range.end - range.start).ok()?))
    }

    fn is_verified(&self, range: &Range<u64>, now: u32) -> bool {
        let block = BLOCK_BYTES as u64;
        let wanted = bits(range.start / block..range.end.div_ceil(block));
        now.wrapping_sub(self.verified_at.load(Ordering::Acquire)) < TRUST
            && self.verified.load(Ordering::Acquire) & wanted == wanted
    }

    fn note_verified(&self, blocks: Range<u64>, content_at: u64, now: u32) {
        self.content_at.store(content_at, Ordering::Release);
        if now.wrapping_sub(self.verified_at.load(Ordering::Acquire)) >= TRUST {
            self.verified.store(0, Ordering::Release);
            self.verified_at.store(now, Ordering::Release);
        }
        self.verified.fetch_or(bits(blocks), Ordering::AcqRel);
    }
}

/// Returns a bit for each block of an extent, which has 64 at most.
fn bits(blocks: Range<u64>) -> u64 {
    blocks.filter(|block| *block < 64).fold(0, |bits, block| bits | 1 << block)
}

impl DeferredBody for FileBody {
    fn length(&self) -> u64 {
        self.length
    }

    fn heap_bytes(&self) -> u64 {
        (self.extents.len() * (size_of::<Extent>() + size_of::<Arc<Extent>>() + 16)) as u64
    }

    fn is_intact(&self) -> bool {
        !self.is_lost()
            && self.volume.disk.check()
            && self.extents.iter().all(|extent| {
                let lsn = |place: &ExtentPlace| self.volume.segments.at(place.segment).lsn();
                extent.place.get().is_none_or(|place| lsn(place) == place.lsn)
            })
    }

    fn at_once(&self, range: &Range<u64>, mode: CopyMode) -> Option<Chunk> {
        let window = self.window_at_once(range.start, range.end, mode)?;
        (window.remaining() as u64 == range.end - range.start).then_some(window)
    }

    fn open(self: Arc<Self>) -> Arc<dyn BodyReader> {
        let pins = self.extents.iter().filter_map(|extent| {
            let place = extent.place.get()?;
            self.volume.segments.at(place.segment).note_read();
            self.volume.segments.pin(place.segment, place.lsn)
        });
        let pins = Arc::new(Pins::of(pins));
        self.volume.readers.add(&pins);
        Arc::new(FileBodyReader { body: self, _pins: pins })
    }
}

impl BodyReader for FileBodyReader {
    fn length(&self) -> u64 {
        self.body.length
    }

    fn window_at_once(&self, from: u64, to: u64, mode: CopyMode) -> Option<Chunk> {
        self.body.window_at_once(from, to, mode)
    }

    fn is_at_hand(&self, from: u64, to: u64, mode: CopyMode) -> bool {
        self.body.is_at_hand(from, to, mode)
    }

    fn window(&self, from: u64, to: u64, mode: CopyMode) -> Result<Chunk, ReadError> {
        let read = self.body.read(from, to, mode);
        if let Err(error) = &read {
            self.body.note_lost(from, to);
            self.body.volume.note_read_error(error);
        }
        read
    }
}

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

const WINDOW_BYTES: u64 = SCRATCH_BYTES as u64;
/// The blocks that a window is in.
const SCRATCH_BYTES: usize = 4 * BLOCK_BYTES;
/// So much is copied and verified where it is needed, if it is in the system's cache: changing
/// threads would take longer.
const COPIED_AT_ONCE_BYTES: u64 = 64 << 10;
/// Seconds for which a verified block is shown from the map without reading it again.
const TRUST: u32 = 10;
