//! `SegmentWriter`: the only writer of `store.dat`. It owns the log and its eviction, so that
//! nothing is locked to reserve space, to complete a segment or to evict one.
//!
//! Responses wait in a queue that is bounded in bytes. While it is full, no response is stored in
//! the file.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::eviction::Eviction;
use super::segment_log::{OpenSegment, SegmentLog};
use crate::store::file::format::extent::ExtentPlace;
use crate::store::file::format::footer::IndexTerms;
use crate::store::file::format::head;
use crate::store::file::format::postings::ids_of;
use crate::store::file::format::record::{
    Class, META_BYTES_MAX, RecordHeader, RecordKind, UNIT, push_block_checksums,
};
use crate::store::file::read::file_body::FileBody;
use crate::store::file::read::response;
use crate::store::file::volume::Volume;
use crate::store::file::volume::index::{IndexEntry, RecordPlace};
use crate::store::file::write::queue::{Job, Loaded};
use crate::store::file::write::sweeper;
use crate::store::{Body, Removal, Stored, StoredResponse};

/// Writes responses and bodies, and evicts segments where there are no free ones.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    volume: Arc<Volume>,
    log: SegmentLog,
    eviction: Eviction,
}

struct RecordParts<'a> {
    kind: RecordKind,
    stored: Option<&'a Stored>,
    meta: Vec<u8>,
    terms: IndexTerms,
}

impl SegmentWriter {
    pub(crate) fn new(volume: &Arc<Volume>) -> Self {
        Self {
            volume: Arc::clone(volume),
            log: SegmentLog::new(volume),
            eviction: Eviction::new(volume),
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
                for OpenSegment { segment, footer, .. } in self.log.open.iter().flatten() {
                    let known = (&*footer.entries, &*footer.extent_lists);
                    sweeper::retire_matches(
                        &sweep,
                        &self.volume,
                        *segment,
                        known,
                        &footer.postings,
                    );
                }
                let _is_awaited = done.send(()).is_ok();
            }
            Job::Evict => {
                if self.volume.index.is_full() && self.volume.takes_writes() {
                    self.eviction.evict(&mut self.log);
                }
            }
            Job::Ready(loaded) => self.begin(loaded),
        }
        self.note_states();
    }

    /// Takes over the segments that were read after the start. Responses that were replaced
    /// meanwhile are dead.
    fn begin(&mut self, loaded: Loaded) {
        let Loaded { free, queues, took } = loaded;
        (self.log.free, self.log.queues) = (free, queues);
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
        let objects = volume.index.entries();
        volume.metrics.note_recovery(u64::try_from(took.as_millis()).unwrap_or(u64::MAX), objects);
        tracing::info!(objects, ?took, "the store is loaded");
        for entry in gone {
            response::sub_live_body(volume, &entry); // reads its head: nobody waits for that
        }
        volume.sweep_queue.begin(&volume.invalidation);
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

    /// Writes the extents of a body that does not fit behind its head, and returns their places and
    /// the rest.
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
        let class = if self.eviction.ghosts.take(identity(stored)) {
            Class::Main
        } else {
            Class::Probation
        };
        self.append(class, record, inline)
    }

    /// Enters the place of a written record, unless the response has left meanwhile.
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

    /// Returns whether a response was purged that nothing has struck in memory.
    fn is_purged(&self, stored: &Stored) -> bool {
        let tags: Vec<_> = stored.provenance.ids().collect();
        self.volume.invalidation.has_purged(&stored.key, stored.provenance.born(), &tags)
    }

    /// Drops a response that was purged before it was written, and its body.
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

    /// Drops the entry of a response that cannot be written: it stays in memory only, if it is
    /// there.
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

    /// Writes a record at the end of the open segment of a class; `None`: there is no room, or the
    /// device failed.
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
        if header.meta_bytes > META_BYTES_MAX {
            return None;
        }
        let parts = std::iter::once(&*record.meta).chain(body.iter().map(|piece| &**piece));
        if !self.log.is_usable() {
            return None;
        }
        if !self.log.has_room(class, &header, &record.terms) {
            self.log.seal_open(class);
            self.eviction.evict(&mut self.log);
        }
        self.log.append(class, header, record.terms, parts)
    }

    fn note_states(&self) {
        let SegmentLog { open, queues, free, .. } = &self.log;
        let open = open.iter().flatten().count() as u64;
        let complete: usize = queues.iter().map(VecDeque::len).sum();
        let draining = self.eviction.draining.len() as u64;
        *self.volume.states.lock() = [free.len() as u64, open, complete as u64, draining];
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

/// Returns 32 bits of the hash of a variant; zero if the response does not vary.
pub(crate) fn variant_of(stored: &Stored) -> u32 {
    stored.variant.as_ref().map_or(0, |variant| {
        u32::try_from(variant.hash().get() >> 32).map_or(1, |hash| hash.max(1))
    })
}

/// Returns the hash by which a response is recognised if it comes back soon after its eviction.
pub(crate) fn identity(stored: &Stored) -> u64 {
    stored.key.hash() ^ u64::from(variant_of(stored))
}

/// Returns the second from which on a response is useless.
pub(crate) fn expires_of(stored: &Stored) -> u32 {
    let seconds = stored.useless_after().as_millis().div_ceil(1000);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Returns the size up to which bodies are behind their head; larger ones are in extents.
pub(crate) const fn inline_bytes_max(segment_bytes: u64) -> u64 {
    if segment_bytes / 8 < INLINE_BYTES_MAX { segment_bytes / 8 } else { INLINE_BYTES_MAX }
}

pub(crate) fn extent_bytes_max(segment_bytes: u64) -> usize {
    usize::try_from(segment_bytes / 8).map_or(EXTENT_BYTES, |part| part.min(EXTENT_BYTES))
}

const INLINE_BYTES_MAX: u64 = 256 << 10;
const EXTENT_BYTES: usize = 1 << 20;
