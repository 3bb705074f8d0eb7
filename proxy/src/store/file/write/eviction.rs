//! The choice of the segment that is given away when there are no free ones, and of the records in
//! it that stay: S3-FIFO on segments.
//!
//! Segments go in this order: useless ones (all dead or all expired); mostly dead ones, after
//! moving the rest; newcomers beyond a tenth of the space; else the one that has waited longest. Of
//! newcomers, those that were used are moved among the proven ones; of the proven, those that were
//! used once more stay. At most half a segment is moved, so at most twice is written. A large
//! segment is kept as a whole while it is read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::segment_log::SegmentLog;
use crate::invalidation::Sequence;
use crate::store::Removal;
use crate::store::file::format::footer::{Contents, IndexTerms};
use crate::store::file::format::head;
use crate::store::file::format::postings::ids_of;
use crate::store::file::format::record::{
    Class, FooterEntry, RECORD_HEADER_BYTES, RecordHeader, RecordKind, UNIT, short,
};
use crate::store::file::read::response;
use crate::store::file::volume::Volume;
use crate::store::file::volume::index::RecordPlace;

/// Fingerprints of newcomers that had to go: one that comes back has proved itself.
#[derive(Debug, Default)]
pub(crate) struct Ghosts {
    places: Vec<u32>,
}

impl Ghosts {
    fn note(&mut self, identity: u64) {
        if self.places.is_empty() {
            self.places = vec![0; GHOSTS];
        }
        let (place, print) = fingerprint(identity);
        if let Some(at) = self.places.get_mut(place) {
            *at = print;
        }
    }

    /// Returns whether it went not long ago, and forgets that.
    pub(crate) fn take(&mut self, identity: u64) -> bool {
        let (place, print) = fingerprint(identity);
        let known = self.places.get_mut(place).filter(|at| **at == print);
        known.map(|at| *at = 0).is_some()
    }
}

fn fingerprint(identity: u64) -> (usize, u32) {
    let place = usize::try_from(identity).unwrap_or(0) % GHOSTS;
    (place, u32::try_from(identity >> 32).unwrap_or(0) | 1)
}

#[derive(Debug)]
pub(crate) struct Eviction {
    volume: Arc<Volume>,
    pub(crate) draining: Vec<u32>,
    /// Large segments that were kept one after the other.
    kept: usize,
    pub(crate) ghosts: Ghosts,
}

impl Eviction {
    pub(crate) fn new(volume: &Arc<Volume>) -> Self {
        let volume = Arc::clone(volume);
        Self { volume, draining: Vec::new(), kept: 0, ghosts: Ghosts::default() }
    }

    /// Gives segments away until the reserve is free, or nothing more can be done.
    pub(crate) fn evict(&mut self, log: &mut SegmentLog) {
        self.collect(log);
        let reserve = self.reserve();
        for _ in 0..ROUNDS_MAX {
            let is_index_full = self.volume.index.is_full();
            if log.free.len() >= reserve && !is_index_full {
                break;
            }
            if !self.reclaim(log) {
                break;
            }
        }
        self.revoke_oldest_readers(log);
    }

    fn reserve(&self) -> usize {
        (self.volume.segments.count() as usize / 64).max(2)
    }

    fn collect(&mut self, log: &mut SegmentLog) {
        for number in std::mem::take(&mut self.draining) {
            if self.volume.free(number) {
                self.release(log, number);
            } else {
                self.draining.push(number);
            }
        }
    }

    /// Revokes the oldest readers' pins while readers hold more than a twentieth of all segments.
    fn revoke_oldest_readers(&mut self, log: &mut SegmentLog) {
        let limit = (self.volume.segments.count() as usize / 20).max(1);
        let is_short_of_segments =
            self.draining.len() > limit || (log.free.is_empty() && !self.draining.is_empty());
        self.volume.is_short_of_segments.store(is_short_of_segments, Ordering::Relaxed);
        while is_short_of_segments && self.draining.len() > limit / 2 {
            let Some(pins) = self.volume.readers.revoke_oldest() else { break };
            self.volume.metrics.revoked.add(u64::from(pins > 0));
            self.collect(log);
        }
    }

    /// Gives one segment away, and says whether there was one.
    fn reclaim(&mut self, log: &mut SegmentLog) -> bool {
        let Some((class, number)) = self.victim(log) else { return false };
        self.volume.segments.at(number).close();
        self.empty(log, class, number);
        self.volume.free_segment(number);
        self.volume.forget_filter(number);
        self.volume.metrics.reclaimed.add(1);
        if self.volume.free(number) {
            self.release(log, number);
        } else {
            self.draining.push(number);
        }
        true
    }

    /// Frees a segment that nobody reads, and gives the page table's room for it back.
    fn release(&self, log: &mut SegmentLog, number: u32) {
        if let Some(map) = self.volume.disk.map() {
            let start = usize::try_from(self.volume.start_of(number)).unwrap_or(0);
            let length = usize::try_from(self.volume.segment_bytes).unwrap_or(0);
            let _advice = map.forget(start, length).is_ok();
        }
        log.free.insert(0, number);
    }

    fn victim(&mut self, log: &mut SegmentLog) -> Option<(Class, u32)> {
        if let Some((class, place)) = self.useless(log) {
            return log.queues.get_mut(class as usize)?.remove(place).map(|it| (class, it));
        }
        for _ in 0..=self.volume.segments.count() {
            let class = self.next_class(log)?;
            let number = log.queues.get_mut(class as usize)?.pop_front()?;
            let was_read = self.volume.segments.at(number).was_read();
            let may_spare = self.kept < log.queues.get(class as usize)?.len() / 2;
            if class == Class::Large && was_read && may_spare {
                self.kept += 1;
                self.volume.metrics.kept.add(1);
                log.queues.get_mut(class as usize)?.push_back(number);
                continue;
            }
            self.kept = 0;
            return Some((class, number));
        }
        None
    }

    /// Returns a segment that costs nothing, or little, to give away.
    fn useless(&self, log: &SegmentLog) -> Option<(Class, usize)> {
        let now = self.volume.now_secs();
        let mut mostly_dead = None;
        for class in [Class::Probation, Class::Main, Class::Large] {
            for (place, number) in log.queues.get(class as usize)?.iter().enumerate() {
                let segment = self.volume.segments.at(*number);
                let (live, used) = (segment.live(), segment.used.load(Ordering::Relaxed));
                let is_expired =
                    class != Class::Large && segment.expires.load(Ordering::Relaxed) <= now;
                if live == 0 || is_expired {
                    return Some((class, place));
                }
                if class != Class::Large && live < used / 5 && mostly_dead.is_none() {
                    mostly_dead = Some((class, place));
                }
            }
        }
        mostly_dead
    }

    fn next_class(&self, log: &SegmentLog) -> Option<Class> {
        let [probation, main, large] = log.queues.each_ref();
        let small = probation.len() + main.len();
        let of_small = if probation.len() * 10 > small || main.is_empty() {
            (Class::Probation, probation)
        } else {
            (Class::Main, main)
        };
        let age = |queue: &VecDeque<u32>| {
            queue.front().map(|number| self.volume.segments.at(*number).lsn())
        };
        match (age(of_small.1), age(large)) {
            (Some(small), Some(large)) if large < small => Some(Class::Large),
            (Some(_), _) => Some(of_small.0),
            (None, Some(_)) => Some(Class::Large),
            (None, None) => None,
        }
    }

    /// Takes all responses of a segment out of the index, but for those that are moved.
    fn empty(&mut self, log: &mut SegmentLog, class: Class, number: u32) {
        let volume = Arc::clone(&self.volume);
        if class == Class::Large {
            return; // no response is in it, only parts of bodies: those who miss them find out
        }
        let entries = Contents::read(&volume.disk, &volume.span_of(number))
            .map_or_else(|| found_by_scan(&volume, number), |contents| contents.entries);
        let segment = volume.segments.at(number);
        let is_mostly_dead = segment.live() < segment.used.load(Ordering::Relaxed) / 5;
        let mut budget = volume.segment_bytes / 2;
        for entry in entries {
            let bytes = u64::from(entry.units) * UNIT;
            match fate(&volume, number, &entry, is_mostly_dead) {
                Fate::Gone => {}
                Fate::Moved if budget < bytes => {
                    self.drop_unreadable(number, &entry, Removal::Size);
                }
                Fate::Moved => match self.relocate(log, number, &entry) {
                    Ok(()) => budget -= bytes,
                    Err(reason) => self.drop_unreadable(number, &entry, reason),
                },
                Fate::Dropped(reason) => {
                    if class == Class::Probation && reason == Removal::Size {
                        self.ghosts.note(entry.key_hash ^ u64::from(entry.variant));
                    }
                    self.drop_unreadable(number, &entry, reason);
                }
            }
        }
    }

    /// Takes a response out of the index; where its body is in extents, these are dead.
    fn drop_unreadable(&self, number: u32, entry: &FooterEntry, reason: Removal) {
        let volume = &self.volume;
        let known = {
            let mut locked = volume.index.lock(entry.key_hash);
            locked.find(short(entry.version)).filter(|known| known.is_at(number, entry)).copied()
        };
        let record = known.filter(|known| entry.is_large && !known.is_in_memory());
        if let Some(record) = record.and_then(|known| response::read(volume, &known).ok()) {
            volume.sub_live_extents(&record.head.extents);
        }
        drop_entry(volume, number, entry, reason);
    }

    /// Copies a record among the proven ones, or says why it has to go: it cannot be read, there is
    /// no room, it was purged.
    fn relocate(
        &self,
        log: &mut SegmentLog,
        number: u32,
        entry: &FooterEntry,
    ) -> Result<(), Removal> {
        let volume = Arc::clone(&self.volume);
        let mut bytes = vec![0; usize::from(entry.units) * usize::try_from(UNIT).unwrap_or(0)];
        let read = volume.disk.read(volume.offset_of(number, entry.offset), &mut bytes);
        let header = read.ok().and_then(|()| RecordHeader::decode(&bytes)).ok_or(Removal::Size)?;
        let is_it = header.kind == RecordKind::Response && header.version == entry.version;
        let end = usize::try_from(header.record_bytes()).unwrap_or(usize::MAX);
        let rest = bytes.get(RECORD_HEADER_BYTES..end).filter(|_| is_it).ok_or(Removal::Size)?;
        let head = head::of_record(&header, rest, volume.seed).ok_or(Removal::Size)?;
        let born = Sequence::from_number(header.born);
        let is_dormant = !volume.index.is_in_memory(entry.key_hash, short(entry.version));
        if is_dormant && volume.invalidation.has_purged(&head.key, born, &head.tags) {
            return Err(Removal::Purged);
        }
        let ids = ids_of(volume.invalidation.ids(), &head.key, head.tags.iter().copied());
        let terms = IndexTerms { ids, extents: head.extents };
        let (segment, lsn, offset, units) =
            log.append(Class::Main, header, terms, std::iter::once(rest)).ok_or(Removal::Size)?;
        let place = RecordPlace { segment, offset, units, is_large: entry.is_large };
        let mut locked = volume.index.lock(entry.key_hash);
        match locked.find(short(entry.version)).filter(|known| known.is_at(number, entry)) {
            Some(known) => {
                known.set_place(place);
                known.forget_uses();
                let to = volume.segments.at(segment);
                to.add_live(u64::from(units) * UNIT);
                to.expires.fetch_max(entry.expires, Ordering::Relaxed);
                volume.metrics.rewritten.add(u64::from(units) * UNIT);
            }
            None => volume.add_tombstone(segment, lsn, offset),
        }
        Ok(())
    }
}

/// The end of a response whose segment is given away.
enum Fate {
    Gone,
    Moved,
    Dropped(Removal),
}

fn fate(volume: &Volume, number: u32, entry: &FooterEntry, is_mostly_dead: bool) -> Fate {
    let mut locked = volume.index.lock(entry.key_hash);
    let Some(known) = locked.find(short(entry.version)).filter(|known| known.is_at(number, entry))
    else {
        return Fate::Gone;
    };
    if entry.expires <= volume.now_secs() {
        Fate::Dropped(Removal::Expired)
    } else if known.uses() > 0 || is_mostly_dead || (entry.is_large && known.is_in_memory()) {
        Fate::Moved
    } else {
        Fate::Dropped(Removal::Size)
    }
}

fn drop_entry(volume: &Volume, number: u32, entry: &FooterEntry, reason: Removal) {
    let mut locked = volume.index.lock(entry.key_hash);
    let is_there =
        locked.find(short(entry.version)).is_some_and(|known| known.is_at(number, entry));
    if is_there && locked.remove(short(entry.version)).is_some_and(|known| !known.is_in_memory()) {
        volume.index.count_removal(reason);
    }
}

/// Returns the entries that the index has of a segment whose footer cannot be read.
fn found_by_scan(volume: &Volume, number: u32) -> Vec<FooterEntry> {
    let mut entries = Vec::new();
    volume.index.visit(&mut |entry| {
        if let Some(place) = entry.place().filter(|place| place.segment == number) {
            entries.push(FooterEntry {
                key_hash: entry.key_hash,
                version: u64::from(entry.version),
                born: 0,
                offset: place.offset,
                units: place.units,
                is_large: place.is_large,
                expires: 0,
                variant: entry.variant,
            });
        }
    });
    entries
}

/// Newcomers that are remembered after they had to go: 1 MiB.
const GHOSTS: usize = 1 << 18;
/// Segments that are given away for one that is needed.
const ROUNDS_MAX: usize = 8;
