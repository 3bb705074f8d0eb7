//! The writer: the one who writes `store.dat`. It owns the open segments and the queues of complete ones, so nothing is locked to
//! reserve space, to seal a segment or to give one away.
//!
//! What is to be stored waits in a queue that is bounded in bytes; when it is full, nothing waits: the response is not stored.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::store::file::format::extent::ExtentPlace;
use crate::store::file::format::footer::{Footer, IndexTerms};
use crate::store::file::format::head;
use crate::store::file::format::postings::ids_of;
use crate::store::file::format::record::{
    Class, FooterEntry, RecordHeader, RecordKind, SEGMENT_HEADER_BYTES, SegmentHeader, UNIT,
    push_block_checksums, units_of,
};
use crate::store::file::read::file_body::FileBody;
use crate::store::file::read::response;
use crate::store::file::volume::Volume;
use crate::store::file::volume::index::{IndexEntry, RecordPlace};
use crate::store::file::write::queue::{Job, Loaded};
use crate::store::{Body, Removal, Stored, StoredResponse};

/// A segment that is being filled.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub(crate) segment: u32,
    lsn: u64,
    tail: u64,
    footer: Footer,
}

/// Writes.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    pub(crate) volume: Arc<Volume>,
    pub(crate) open: [Option<OpenSegment>; 3],
    /// Complete segments of each class, the next to be given away first.
    pub(crate) queues: [VecDeque<u32>; 3],
    pub(crate) free: Vec<u32>,
    /// Closed segments that somebody still reads.
    pub(crate) draining: Vec<u32>,
    pub(crate) is_reclaiming: bool,
    /// Large segments that were kept one after the other.
    pub(crate) kept: usize,
    pub(crate) ghosts: super::eviction::Ghosts,
    opened: u64,
    buffer: Vec<u8>,
    errors: u32,
}

/// What is put into a record beside its body.
struct RecordParts<'a> {
    kind: RecordKind,
    stored: Option<&'a Stored>,
    meta: Vec<u8>,
    terms: IndexTerms,
}

impl SegmentWriter {
    pub(crate) fn new(volume: &Arc<Volume>) -> Self {
        // Records do not name their store: its incarnations begin where those of an earlier one, whose records are still there,
        // have most likely not been.
        let opened = u64::from(volume.superblock.lock().openings) << 32 | volume.store >> 33;
        Self {
            volume: Arc::clone(volume),
            open: [const { None }; 3],
            queues: Default::default(),
            free: Vec::new(),
            draining: Vec::new(),
            is_reclaiming: false,
            kept: 0,
            ghosts: super::eviction::Ghosts::default(),
            opened,
            buffer: Vec::new(),
            errors: 0,
        }
    }

    pub(crate) fn handle(&mut self, job: Job) {
        match job {
            Job::Store(stored, _reserved) => {
                if !self.store(&stored) {
                    self.drop_pending(&stored);
                }
            }
            Job::Extent(extent, _reserved) => {
                let written = extent.pieces().and_then(|pieces| self.write_extent(&pieces));
                match written {
                    Some(place) => extent.written(place),
                    None => extent.lose(),
                }
            }
            Job::Abandon(extents) => {
                let places: Vec<_> = extents.iter().filter_map(|extent| extent.place()).collect();
                self.volume.sub_live_extents(&places);
            }
            Job::SubLive(entry) => {
                response::sub_live_body(&self.volume, &entry);
            }
            Job::Sweep(sweep, done) => {
                for OpenSegment { segment, footer, .. } in self.open.iter().flatten() {
                    let known = (&*footer.entries, &*footer.extent_lists);
                    sweep.retire_matches(&self.volume, *segment, known, &footer.postings);
                }
                let _is_awaited = done.send(()).is_ok();
            }
            Job::Evict => {
                if self.volume.index.is_full() && self.volume.takes_writes() {
                    self.evict();
                }
            }
            Job::Ready(loaded) => self.begin(loaded),
        }
        self.note_states();
    }

    /// Takes over what was read after the start. What was replaced meanwhile is dead.
    fn begin(&mut self, loaded: Loaded) {
        let Loaded { free, queues } = loaded;
        (self.free, self.queues) = (free, queues);
        let volume = &self.volume;
        let mut noted = volume.superseded.lock();
        let superseded: Vec<(u64, u32)> = noted.drain().collect();
        let mut gone = Vec::new();
        for (key_hash, variant) in superseded {
            let mut locked = volume.index.lock(key_hash);
            let is_it = |entry: &&IndexEntry| entry.variant == variant && !entry.is_in_memory();
            let versions: Vec<u32> =
                locked.iter().filter(is_it).map(|entry| entry.version).collect();
            for version in versions {
                if let Some(entry) = locked.remove(version) {
                    volume.retire(&entry);
                    volume.index.count_removal(Removal::Replaced);
                    gone.push(entry);
                }
            }
        }
        volume.is_loading.store(false, Ordering::Release);
        drop(noted);
        for entry in gone {
            response::sub_live_body(volume, &entry); // reads its head: nobody waits for that
        }
        volume.sweep_queue.begin(volume);
    }

    /// Writes a response and enters its place; says whether that was possible.
    fn store(&mut self, stored: &Stored) -> bool {
        let Some(response) = stored.response() else { return false };
        let version = stored.short_version();
        let known = self.volume.index.lock(stored.key.hash()).find(version).copied();
        let Some(known) = known else {
            self.volume.pending.lock().remove(&version);
            return true; // it left before it was written
        };
        if !known.is_in_memory() && self.is_purged(stored) {
            self.forget_purged(stored, response); // it was evicted before the purge: nothing has struck it
            return true;
        }
        let highest = stored.version.max(stored.provenance.born().number());
        if let Err(error) = self.volume.reserve_up_to(highest) {
            tracing::debug!(%error, "cannot write the superblock: a response stays in memory only");
            return false;
        }
        let Some((extents, inline)) = self.write_body(&response.body) else { return false };
        let placed = self.write_head(stored, response, &extents, &inline);
        if placed.is_none() && !matches!(response.body, Body::Deferred(_)) {
            self.volume.sub_live_extents(&extents);
        }
        placed.is_some_and(|(segment, lsn, offset, units)| {
            let place = RecordPlace { segment, offset, units, is_large: !extents.is_empty() };
            self.link(stored, response, (lsn, place), &extents);
            true
        })
    }

    /// Writes what does not fit behind the head, and returns where that is, and what does.
    fn write_body(&mut self, body: &Body) -> Option<(Vec<ExtentPlace>, Vec<Bytes>)> {
        let is_inline = body.length() <= inline_bytes_max(self.volume.segment_bytes);
        match body {
            // It is behind a head that is dead now, and goes with its segment: it is written again.
            Body::Deferred(body) if is_inline => {
                Some((Vec::new(), Arc::clone(body).open().whole().ok()?))
            }
            Body::Deferred(_) => Some((FileBody::in_body(body)?.places()?, Vec::new())),
            body if is_inline => Some((Vec::new(), body.pieces().to_vec())),
            body => {
                let mut extents = Vec::new();
                for pieces in split(body.pieces(), extent_bytes_max(self.volume.segment_bytes)) {
                    let Some(place) = self.write_extent(&pieces) else {
                        self.volume.sub_live_extents(&extents);
                        return None;
                    };
                    extents.push(place);
                }
                Some((extents, Vec::new()))
            }
        }
    }

    fn write_extent(&mut self, pieces: &[Bytes]) -> Option<ExtentPlace> {
        let mut meta = Vec::new();
        push_block_checksums(&mut meta, pieces.iter().map(|piece| &**piece));
        let record = RecordParts {
            kind: RecordKind::Extent,
            stored: None,
            meta,
            terms: IndexTerms::default(),
        };
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let (segment, lsn, offset, units) = self.append(Class::Large, record, pieces)?;
        self.volume.segments.at(segment).add_live(u64::from(units) * UNIT);
        Some(ExtentPlace { segment, lsn, offset, length: u32::try_from(length).ok()? })
    }

    fn write_head(
        &mut self,
        stored: &Stored,
        response: &StoredResponse,
        extents: &[ExtentPlace],
        inline: &[Bytes],
    ) -> Option<(u32, u64, u32, u16)> {
        let mut meta = Vec::new();
        push_block_checksums(&mut meta, inline.iter().map(|piece| &**piece));
        head::encode(stored, response, extents, &mut meta)?;
        let tags = stored.provenance.ids();
        let ids = ids_of(self.volume.invalidation.ids(), &stored.key, tags);
        let terms = IndexTerms { ids, extents: extents.to_vec() };
        let record = RecordParts { kind: RecordKind::Response, stored: Some(stored), meta, terms };
        let class = if self.ghosts.take(identity(stored)) { Class::Main } else { Class::Probation };
        self.append(class, record, inline)
    }

    /// Enters the place of what was written, unless it has left meanwhile.
    fn link(
        &self,
        stored: &Stored,
        response: &StoredResponse,
        (lsn, place): (u64, RecordPlace),
        extents: &[ExtentPlace],
    ) {
        let volume = &self.volume;
        let segment = volume.segments.at(place.segment);
        let expires = expires_of(stored);
        {
            let mut locked = volume.index.lock(stored.key.hash());
            match locked.find(stored.short_version()) {
                Some(entry) => {
                    entry.set_place(place);
                    entry.expires = expires;
                    segment.add_live(u64::from(place.units) * UNIT);
                    segment.expires.fetch_max(expires, Ordering::Relaxed);
                    volume.pending.lock().remove(&stored.short_version());
                    volume
                        .metrics
                        .written
                        .add(u64::from(place.units) * UNIT + response.body.length());
                    return;
                }
                None => volume.add_tombstone(place.segment, lsn, place.offset),
            }
        }
        self.volume.sub_live_extents(extents);
    }

    /// Whether a response that nothing has struck in memory was purged.
    fn is_purged(&self, stored: &Stored) -> bool {
        let tags: Vec<_> = stored.provenance.ids().collect();
        self.volume.invalidation.has_purged(&stored.key, stored.provenance.born(), &tags)
    }

    /// A response was purged before it was written: it and its body are of no use.
    fn forget_purged(&self, stored: &Stored, response: &StoredResponse) {
        let volume = &self.volume;
        let version = stored.short_version();
        let is_gone = {
            let mut locked = volume.index.lock(stored.key.hash());
            let is_asleep = locked.find(version).is_some_and(|known| !known.is_in_memory());
            is_asleep
                && locked.remove(version).is_some_and(|known| {
                    volume.retire(&known);
                    true
                })
        };
        if is_gone {
            volume.index.count_removal(Removal::Purged);
            if let Some(body) = FileBody::in_body(&response.body) {
                volume.sub_live_extents(&body.places().unwrap_or_default());
            }
        }
    }

    /// A response cannot be written: it stays in memory only, if it is there.
    fn drop_pending(&self, stored: &Stored) {
        let volume = &self.volume;
        volume.metrics.dropped.add(1);
        let mut locked = volume.index.lock(stored.key.hash());
        volume.pending.lock().remove(&stored.short_version());
        if locked.remove(stored.short_version()).is_some_and(|entry| !entry.is_in_memory()) {
            volume.index.count_removal(Removal::Size);
        }
        drop(locked);
        if let Some(body) = stored.response().and_then(|it| FileBody::in_body(&it.body)) {
            body.lose();
        }
    }

    /// Writes a record at the end of the open segment of a class; `None`: there is no room, or the device failed.
    fn append(
        &mut self,
        class: Class,
        record: RecordParts<'_>,
        body: &[Bytes],
    ) -> Option<(u32, u64, u32, u16)> {
        let body_bytes = u32::try_from(body.iter().map(Bytes::len).sum::<usize>()).ok()?;
        let header = RecordHeader {
            kind: record.kind,
            lsn: 0,
            version: record.stored.map_or(0, |stored| stored.version),
            born: record.stored.map_or(0, |stored| stored.provenance.born().number()),
            key_hash: record.stored.map_or(0, |stored| stored.key.hash()),
            meta_bytes: u32::try_from(record.meta.len()).ok()?,
            body_bytes,
            expires: record.stored.map_or(0, expires_of),
            variant: record.stored.map_or(0, variant_of),
            meta_crc: crc32c::crc32c(&record.meta),
        };
        if header.meta_bytes > crate::store::file::format::record::META_BYTES_MAX {
            return None;
        }
        let parts = std::iter::once(&*record.meta).chain(body.iter().map(|piece| &**piece));
        self.append_parts(class, header, record.terms, parts)
    }

    /// Writes a record of these parts behind its header.
    pub(crate) fn append_parts<'a>(
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
        let segment_bytes = self.volume.segment_bytes;
        let place = |open: &OpenSegment| {
            let footer = open.footer.bytes_with(terms);
            (open.tail + bytes + footer <= segment_bytes).then_some(open.tail)
        };
        if let Some(place) = self.open.get(class as usize)?.as_ref().and_then(place) {
            return Some(place);
        }
        self.seal_open(class);
        if !self.is_reclaiming {
            self.evict();
        }
        // What was kept meanwhile may have begun a segment of this class.
        if let Some(place) = self.open.get(class as usize)?.as_ref().and_then(place) {
            return Some(place);
        }
        self.seal_open(class);
        let open = self.open_segment(class)?;
        let place = place(&open);
        *self.open.get_mut(class as usize)? = Some(open);
        place
    }

    fn seal_open(&mut self, class: Class) {
        if let Some(full) = self.open.get_mut(class as usize).and_then(Option::take) {
            self.seal(class, &full);
        }
    }

    fn open_segment(&mut self, class: Class) -> Option<OpenSegment> {
        // While segments are given away, what is kept may use the reserve.
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

    /// After several errors in a row, nothing is written any more.
    fn failed(&mut self, what: &'static str, error: &io::Error) {
        self.volume.metrics.io_errors.add(1);
        self.errors += 1;
        tracing::warn!(%error, "{what}");
        if self.errors == ERRORS_MAX {
            tracing::error!("the store's device keeps failing: responses are kept in memory only");
            self.volume.is_offline.store(true, Ordering::Relaxed);
        }
    }

    fn note_states(&self) {
        let open = self.open.iter().flatten().count() as u64;
        let complete: usize = self.queues.iter().map(VecDeque::len).sum();
        *self.volume.states.lock() =
            [self.free.len() as u64, open, complete as u64, self.draining.len() as u64];
    }
}

/// Cuts pieces into runs of at most so many bytes.
pub(crate) fn split(pieces: &[Bytes], bytes_max: usize) -> Vec<Vec<Bytes>> {
    let (mut runs, mut run, mut length) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        let mut piece = piece.clone();
        while !piece.is_empty() {
            let part = piece.split_to(piece.len().min(bytes_max - length));
            length += part.len();
            run.push(part);
            if length == bytes_max {
                runs.push(std::mem::take(&mut run));
                length = 0;
            }
        }
    }
    if !run.is_empty() {
        runs.push(run);
    }
    runs
}

/// 32 bits of the hash of a variant; zero: it does not vary.
pub(crate) fn variant_of(stored: &Stored) -> u32 {
    stored.variant.as_ref().map_or(0, |variant| {
        u32::try_from(variant.hash().get() >> 32).map_or(1, |hash| hash.max(1))
    })
}

/// What a response is recognised by when it comes back soon after it had to go.
pub(crate) fn identity(stored: &Stored) -> u64 {
    stored.key.hash() ^ u64::from(variant_of(stored))
}

/// The second from which on a response is useless.
pub(crate) fn expires_of(stored: &Stored) -> u32 {
    let seconds = stored.useless_after().as_millis().div_ceil(1000);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Bodies up to here are behind their head; larger ones are in extents.
pub(crate) const fn inline_bytes_max(segment_bytes: u64) -> u64 {
    if segment_bytes / 8 < INLINE_BYTES_MAX { segment_bytes / 8 } else { INLINE_BYTES_MAX }
}

/// Bytes of the body in one extent.
pub(crate) fn extent_bytes_max(segment_bytes: u64) -> usize {
    usize::try_from(segment_bytes / 8).map_or(EXTENT_BYTES, |part| part.min(EXTENT_BYTES))
}

const INLINE_BYTES_MAX: u64 = 256 << 10;
const EXTENT_BYTES: usize = 1 << 20;
const BUFFER_BYTES_KEPT: usize = 2 << 20;
const ERRORS_MAX: u32 = 16;
