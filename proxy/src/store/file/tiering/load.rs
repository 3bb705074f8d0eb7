//! Bringing back a response that is in the file only: it is read, compared with everything that was purged, and handed out, or put
//! into memory where it is worth a place there.

use std::sync::Arc;

use super::{TierParts, Turn};
use crate::invalidation::{Provenance, Sequence, TagId};
use crate::key::Key;
use crate::store::body::ReadError;
use crate::store::file::format::head::Head;
use crate::store::file::read::response;
use crate::store::file::read::response::Record;
use crate::store::file::volume::index::IndexEntry;
use crate::store::memory::Arrival;
use crate::store::{Body, Content, NewEntry, Promote, Removal, Stored};
use process::timestamp::Timestamp;

impl TierParts {
    /// Brings back what is in the file under this key, and returns what does not stay in memory.
    pub(crate) async fn load(
        self: &Arc<Self>,
        key_hash: u64,
        promote: Promote,
    ) -> Vec<Arc<Stored>> {
        let mut transients = Vec::new();
        let entries = self.volume().index.cold(key_hash);
        // Which of several variants is meant is not known before they are read: then all come, to stay.
        let promote = if entries.len() > 1 { Promote::Always } else { promote };
        for entry in entries {
            if entry.place().is_none() {
                self.restore_pending(&entry);
                continue;
            }
            let metrics = &self.volume().metrics;
            if let Some(record) = response::read_at_once(self.volume(), &entry) {
                metrics.loads_at_once.add(1);
                metrics.loads.add(1);
                transients.extend(self.restore(&entry, record, promote));
                continue;
            }
            let _turn = match self.turn(key_hash) {
                Some(turn) => Some(turn.lock().await),
                None => None,
            };
            if !self.is_still_cold(&entry) {
                continue; // who was here before has brought it back
            }
            let Some(record) = self.read_and_wait(entry).await else { break };
            metrics.loads.add(1);
            transients.extend(self.restore(&entry, record, promote));
        }
        transients
    }

    fn turn(&self, key_hash: u64) -> Option<&Turn> {
        let place = usize::try_from(key_hash >> 32).unwrap_or(0);
        self.turns.get(place % self.turns.len().max(1))
    }

    fn is_still_cold(&self, entry: &IndexEntry) -> bool {
        let mut locked = self.volume().index.lock(entry.key_hash);
        locked.find(entry.version).is_some_and(|known| !known.is_in_memory())
    }

    /// Reads on another thread; `None`: too many do already.
    async fn read_and_wait(
        self: &Arc<Self>,
        entry: IndexEntry,
    ) -> Option<Result<Record, ReadError>> {
        let Ok(permit) = Arc::clone(&self.reads).try_acquire_owned() else {
            self.volume().metrics.loads_refused.add(1);
            return None;
        };
        let parts = Arc::clone(self);
        let read = move || {
            let record = response::read(parts.volume(), &entry);
            drop(permit);
            record
        };
        tokio::task::spawn_blocking(read).await.ok()
    }

    /// Returns the response of a record, if it is valid and does not stay in memory.
    fn restore(
        &self,
        entry: &IndexEntry,
        record: Result<Record, ReadError>,
        promote: Promote,
    ) -> Option<Arc<Stored>> {
        let is_whole = |record: Record| match &record.body {
            Body::Deferred(body) if !body.is_intact() => Err(ReadError::Gone),
            _ => Ok(record),
        };
        match record.and_then(is_whole) {
            Err(error) => {
                self.drop_unreadable(entry, &error);
                None
            }
            Ok(Record { header, head, body }) => {
                let Head { key, variant, tags, soft_purged, mut response, .. } = head;
                response.body = body;
                let volume = self.volume();
                response.freshness = volume.times.judged(header.version, response.freshness);
                let shift = volume.times.shift_of(header.version).unwrap_or(0);
                let soft_purged = soft_purged.map(|at| at.moved(shift));
                let draft = |provenance| NewEntry {
                    key: key.clone(),
                    variant,
                    provenance,
                    content: Content::Response(response),
                };
                let born = Sequence::from_number(header.born);
                let past = LoadedHead {
                    key: &key,
                    born,
                    tags: &tags,
                    soft_purged,
                    version: header.version,
                };
                self.admit(entry, past, promote, draft)
            }
        }
    }

    /// It was evicted before it was written.
    fn restore_pending(&self, entry: &IndexEntry) {
        let stored = self.volume().pending.lock().get(&entry.version).cloned();
        let Some(stored) = stored.filter(|it| it.key.hash() == entry.key_hash) else { return };
        let tags: Vec<_> = stored.provenance.ids().collect();
        let Some(response) = stored.response().cloned() else { return };
        let past = LoadedHead {
            key: &stored.key,
            born: stored.provenance.born(),
            tags: &tags,
            soft_purged: stored.provenance.soft_purged(),
            version: stored.version,
        };
        self.admit(entry, past, Promote::Always, |provenance| NewEntry {
            key: stored.key.clone(),
            variant: stored.variant.as_deref().cloned(),
            provenance,
            content: Content::Response(response),
        });
    }

    /// Puts a response into memory that was not there, or returns it where it does not stay, unless it was purged or has left
    /// meanwhile.
    fn admit(
        &self,
        entry: &IndexEntry,
        head: LoadedHead<'_>,
        promote: Promote,
        draft: impl FnOnce(Provenance) -> NewEntry,
    ) -> Option<Arc<Stored>> {
        let volume = self.volume();
        let enter = |provenance: Option<Provenance>| {
            let mut locked = volume.index.lock(entry.key_hash);
            let known = locked.find(entry.version).filter(|known| !known.is_in_memory())?;
            known.used();
            let Some(provenance) = provenance else {
                let known = locked.remove(entry.version)?;
                self.retire(&known, None, None);
                volume.index.count_removal(Removal::Purged);
                return None;
            };
            if let Some(at) = head.soft_purged {
                provenance.mark_soft_purged(at);
            }
            // The clock by which the purge was noted may have been ahead of ours.
            let now = volume.clock.now();
            if provenance.soft_purged().is_some_and(|at| at > now) {
                provenance.mark_soft_purged(now);
            }
            let mut draft = draft(provenance);
            let body = self.memory.hold(draft.content.take_body());
            let mut stored = Stored::new(draft, body, self.memory.now_secs());
            stored.version = head.version;
            let stored = Arc::new(stored);
            if !self.is_promoted(entry, &stored, promote) {
                return Some((stored, None));
            }
            locked.mark_loaded(entry.version);
            let displaced = self.memory.enter(&stored, Arrival::Loaded);
            for old in displaced.iter().filter(|old| old.version != 0) {
                if let Some(entry) = locked.remove(old.short_version()) {
                    self.retire(&entry, Some(old), None);
                }
            }
            Some((stored, Some(displaced)))
        };
        match self.invalidation.restore(head.key, head.born, head.tags, enter)? {
            (transient, None) => Some(transient),
            (stored, Some(displaced)) => {
                volume.metrics.promoted.add(1);
                self.memory.accommodate(&stored, &displaced);
                None
            }
        }
    }

    /// Whether a response that was recalled stays in memory.
    fn is_promoted(&self, entry: &IndexEntry, stored: &Stored, promote: Promote) -> bool {
        let identity = entry.key_hash ^ u64::from(entry.variant) << 32;
        let memory = &self.memory;
        promote == Promote::Always
            || memory.has_room_for(stored.cost())
            || self.promotion.is_due(identity, memory.objects())
    }

    /// It cannot be read: unless it was moved meanwhile, it is taken out.
    fn drop_unreadable(&self, entry: &IndexEntry, error: &ReadError) {
        let volume = self.volume();
        let mut locked = volume.index.lock(entry.key_hash);
        let is_same = |known: &IndexEntry| known.place() == entry.place() && !known.is_in_memory();
        if locked.find(entry.version).is_some_and(|known| is_same(known)) {
            volume.note_read_error(error);
            if let Some(known) = locked.remove(entry.version) {
                self.retire(&known, None, None);
                volume.index.count_removal(Removal::Size);
            }
        }
    }
}

/// What is known of a response that comes back.
#[derive(Clone, Copy, Debug)]
struct LoadedHead<'a> {
    key: &'a Key,
    born: Sequence,
    tags: &'a [TagId],
    soft_purged: Option<Timestamp>,
    version: u64,
}
