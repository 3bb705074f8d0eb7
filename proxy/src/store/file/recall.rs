//! Bringing back a response that is in the file only: it is read, compared with everything that was purged, and put into memory.

use std::sync::Arc;

use super::head::Head;
use super::index::Entry;
use super::tiered::{Parts, Turn};
use super::volume::{ReadError, Record};
use crate::invalidation::{Provenance, Sequence, TagId};
use crate::key::Key;
use crate::store::memory::Arrival;
use crate::store::{Body, Content, Draft, Removal, Stored};
use crate::timestamp::Timestamp;

impl Parts {
    /// Brings back what is in the file under this key.
    pub(super) async fn recall(self: &Arc<Self>, key_hash: u64) {
        for entry in self.volume().index.dormant(key_hash) {
            if entry.place().is_none() {
                self.wake_pending(&entry);
                continue;
            }
            let metrics = &self.volume().metrics;
            if let Some(record) = self.volume().read_at_once(&entry) {
                metrics.recalls_at_once.add(1);
                metrics.recalls.add(1);
                self.revive(&entry, record);
                continue;
            }
            let _turn = match self.turn(key_hash) {
                Some(turn) => Some(turn.lock().await),
                None => None,
            };
            if !self.is_still_dormant(&entry) {
                continue; // who was here before has brought it back
            }
            let Some(record) = self.read_and_wait(entry).await else { return };
            metrics.recalls.add(1);
            self.revive(&entry, record);
        }
    }

    fn turn(&self, key_hash: u64) -> Option<&Turn> {
        let place = usize::try_from(key_hash >> 32).unwrap_or(0);
        self.turns.get(place % self.turns.len().max(1))
    }

    fn is_still_dormant(&self, entry: &Entry) -> bool {
        let mut locked = self.volume().index.lock(entry.key_hash);
        locked.find(entry.version).is_some_and(|known| !known.is_awake())
    }

    /// Reads on another thread; `None`: too many do already.
    async fn read_and_wait(self: &Arc<Self>, entry: Entry) -> Option<Result<Record, ReadError>> {
        let Ok(permit) = Arc::clone(&self.reads).try_acquire_owned() else {
            self.volume().metrics.recalls_refused.add(1);
            return None;
        };
        let parts = Arc::clone(self);
        let read = move || {
            let record = parts.volume().read(&entry);
            drop(permit);
            record
        };
        tokio::task::spawn_blocking(read).await.ok()
    }

    fn revive(&self, entry: &Entry, record: Result<Record, ReadError>) {
        let is_whole = |record: Record| match &record.body {
            Body::File(body) if !body.is_intact() => Err(ReadError::Gone),
            _ => Ok(record),
        };
        match record.and_then(is_whole) {
            Err(error) => self.forsake(entry, &error),
            Ok(Record { header, head, body }) => {
                let Head { key, variant, tags, soft_purged, mut response, .. } = head;
                response.body = body;
                let draft = |provenance| Draft {
                    key: key.clone(),
                    variant,
                    provenance,
                    content: Content::Response(response),
                };
                let born = Sequence::from_number(header.born);
                self.wake(
                    entry,
                    Past { key: &key, born, tags: &tags, soft_purged, version: header.version },
                    draft,
                );
            }
        }
    }

    /// It was evicted before it was written.
    fn wake_pending(&self, entry: &Entry) {
        let stored = self.volume().pending.lock().get(&entry.version).cloned();
        let Some(stored) = stored.filter(|it| it.key.hash() == entry.key_hash) else { return };
        let tags: Vec<_> = stored.provenance.ids().collect();
        let Some(response) = stored.response().cloned() else { return };
        let past = Past {
            key: &stored.key,
            born: stored.provenance.born(),
            tags: &tags,
            soft_purged: stored.provenance.soft_purged(),
            version: stored.version,
        };
        self.wake(entry, past, |provenance| Draft {
            key: stored.key.clone(),
            variant: stored.variant.as_deref().cloned(),
            provenance,
            content: Content::Response(response),
        });
    }

    /// Puts a response into memory that was not there, unless it was purged or has left meanwhile.
    fn wake(&self, entry: &Entry, past: Past<'_>, draft: impl FnOnce(Provenance) -> Draft) {
        let volume = self.volume();
        let enter = |provenance: Option<Provenance>| {
            let mut locked = volume.index.lock(entry.key_hash);
            let known = locked.find(entry.version).filter(|known| !known.is_awake())?;
            known.used();
            let Some(provenance) = provenance else {
                let known = locked.remove(entry.version)?;
                self.bury(&known, None, None);
                volume.index.count_removal(Removal::Purged);
                return None;
            };
            if let Some(at) = past.soft_purged {
                provenance.soften(at);
            }
            let mut draft = draft(provenance);
            let body = draft.content.take_body();
            let mut stored = Stored::new(draft, body, self.memory.now_secs());
            stored.version = past.version;
            let stored = Arc::new(stored);
            locked.wake(entry.version);
            let displaced = self.memory.enter(&stored, Arrival::Recalled);
            for old in displaced.iter().filter(|old| old.version != 0) {
                if let Some(entry) = locked.remove(old.short_version()) {
                    self.bury(&entry, Some(old), None);
                }
            }
            Some((stored, displaced))
        };
        let entered = self.invalidation.revive(past.key, past.born, past.tags, enter);
        if let Some((stored, displaced)) = entered {
            self.memory.accommodate(&stored, &displaced);
        }
    }

    /// It cannot be read: unless it was moved meanwhile, it is taken out.
    fn forsake(&self, entry: &Entry, error: &ReadError) {
        let volume = self.volume();
        let mut locked = volume.index.lock(entry.key_hash);
        let is_same = |known: &Entry| known.place() == entry.place() && !known.is_awake();
        if locked.find(entry.version).is_some_and(|known| is_same(known)) {
            volume.note_read_error(error);
            if let Some(known) = locked.remove(entry.version) {
                self.bury(&known, None, None);
                volume.index.count_removal(Removal::Size);
            }
        }
    }
}

/// What is known of a response that comes back.
#[derive(Clone, Copy, Debug)]
struct Past<'a> {
    key: &'a Key,
    born: Sequence,
    tags: &'a [TagId],
    soft_purged: Option<Timestamp>,
    version: u64,
}
