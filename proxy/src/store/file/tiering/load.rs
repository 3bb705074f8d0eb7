//! Bringing back a response that is in the file only: it is read, compared with everything that was
//! purged, and handed out, or put into memory where it is worth a place there.

use std::sync::Arc;

use super::parts::{TierParts, Turn};
use crate::invalidation::{Provenance, Sequence, TagId};
use crate::key::Key;
use crate::store::body::{DeferredBody as _, ReadError};
use crate::store::file::format::head::Head;
use crate::store::file::read::file_body::FileBody;
use crate::store::file::read::response;
use crate::store::file::read::response::Record;
use crate::store::file::volume::index::IndexEntry;
use crate::store::memory::Arrival;
use crate::store::{Content, NewEntry, Promote, Removal, Stored};
use process::timestamp::Timestamp;

/// Brings back what is in the file under this key, and returns what does not stay in memory.
pub(crate) async fn load(
    parts: &Arc<TierParts>,
    key_hash: u64,
    promote: Promote,
) -> Vec<Arc<Stored>> {
    let mut transients = Vec::new();
    let entries = parts.volume().index.cold(key_hash);
    // Which of several variants is meant is not known before they are read: then all come, to stay.
    let promote = match promote {
        Promote::IfHot if entries.len() > 1 => Promote::Always,
        promote => promote,
    };
    for entry in entries {
        if entry.place().is_none() {
            restore_pending(parts, &entry);
            continue;
        }
        let metrics = &parts.volume().metrics;
        if let Some(record) = response::read_at_once(parts.volume(), &entry) {
            metrics.loads_at_once.add(1);
            metrics.loads.add(1);
            transients.extend(restore(parts, &entry, record, promote));
            continue;
        }
        let _turn = match turn(parts, key_hash) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        if !is_still_cold(parts, &entry) {
            continue; // who was here before has brought it back
        }
        let Some(record) = read_and_wait(parts, entry).await else { break };
        metrics.loads.add(1);
        transients.extend(restore(parts, &entry, record, promote));
    }
    transients
}

fn turn(parts: &TierParts, key_hash: u64) -> Option<&Turn> {
    let place = usize::try_from(key_hash >> 32).unwrap_or(0);
    parts.turns.get(place % parts.turns.len().max(1))
}

fn is_still_cold(parts: &TierParts, entry: &IndexEntry) -> bool {
    let mut locked = parts.volume().index.lock(entry.key_hash);
    locked.find(entry.version).is_some_and(|known| !known.is_in_memory())
}

/// Reads on another thread; `None`: too many do already.
async fn read_and_wait(
    parts: &Arc<TierParts>,
    entry: IndexEntry,
) -> Option<Result<Record, ReadError>> {
    let Ok(permit) = Arc::clone(&parts.reads).try_acquire_owned() else {
        parts.volume().metrics.loads_refused.add(1);
        return None;
    };
    let parts = Arc::clone(parts);
    let read = move || {
        let record = response::read(parts.volume(), &entry);
        drop(permit);
        record
    };
    tokio::task::spawn_blocking(read).await.ok()
}

/// Returns the response of a record, if it is valid and does not stay in memory.
pub(super) fn restore(
    parts: &TierParts,
    entry: &IndexEntry,
    record: Result<Record, ReadError>,
    promote: Promote,
) -> Option<Arc<Stored>> {
    let is_whole = |record: Record| match FileBody::in_body(&record.body) {
        Some(body) if !body.is_intact() || body.was_lost_before() => Err(ReadError::Gone),
        _ => Ok(record),
    };
    match record.and_then(is_whole) {
        Err(error) => {
            drop_unreadable(parts, entry, &error);
            None
        }
        Ok(Record { header, head, body }) => {
            let Head { key, variant, tags, soft_purged, mut response, .. } = head;
            response.body = body;
            let volume = parts.volume();
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
            let past =
                LoadedHead { key: &key, born, tags: &tags, soft_purged, version: header.version };
            admit(parts, entry, past, promote, draft)
        }
    }
}

/// Restores a response that was evicted before it was written.
fn restore_pending(parts: &TierParts, entry: &IndexEntry) {
    let stored = parts.volume().pending.lock().get(&entry.version).cloned();
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
    admit(parts, entry, past, Promote::Always, |provenance| NewEntry {
        key: stored.key.clone(),
        variant: stored.variant.as_deref().cloned(),
        provenance,
        content: Content::Response(response),
    });
}

/// Puts a response into memory that was not there, or returns it where it does not stay, unless it
/// was purged or has left meanwhile.
fn admit(
    parts: &TierParts,
    entry: &IndexEntry,
    head: LoadedHead<'_>,
    promote: Promote,
    draft: impl FnOnce(Provenance) -> NewEntry,
) -> Option<Arc<Stored>> {
    let volume = parts.volume();
    let enter = |provenance: Option<Provenance>| {
        let mut locked = volume.index.lock(entry.key_hash);
        let known = locked.find(entry.version).filter(|known| !known.is_in_memory())?;
        if promote != Promote::Never {
            known.used();
        }
        let Some(provenance) = provenance else {
            let known = locked.remove(entry.version)?;
            parts.retire(&known, None, None);
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
        let body = parts.memory.hold(draft.content.take_body());
        let mut stored = Stored::new(draft, body, parts.memory.now_secs());
        stored.version = head.version;
        let stored = Arc::new(stored);
        if !is_promoted(parts, entry, &stored, promote) {
            return Some((stored, None));
        }
        locked.mark_loaded(entry.version);
        let displaced = parts.memory.enter(&stored, Arrival::Loaded);
        for old in displaced.iter().filter(|old| old.version != 0) {
            if let Some(entry) = locked.remove(old.short_version()) {
                parts.retire(&entry, Some(old), None);
            }
        }
        Some((stored, Some(displaced)))
    };
    match parts.invalidation.restore(head.key, head.born, head.tags, enter)? {
        (transient, None) => Some(transient),
        (stored, Some(displaced)) => {
            volume.metrics.promoted.add(1);
            parts.memory.accommodate(&stored, &displaced);
            None
        }
    }
}

fn is_promoted(parts: &TierParts, entry: &IndexEntry, stored: &Stored, promote: Promote) -> bool {
    let identity = entry.key_hash ^ u64::from(entry.variant) << 32;
    let memory = &parts.memory;
    match promote {
        Promote::Never => false,
        Promote::Always => true,
        Promote::IfHot => {
            memory.has_room_for(stored.cost()) || parts.promotion.is_due(identity, memory.objects())
        }
    }
}

/// Takes an unreadable response out of the index, unless it was moved meanwhile.
fn drop_unreadable(parts: &TierParts, entry: &IndexEntry, error: &ReadError) {
    let volume = parts.volume();
    let mut locked = volume.index.lock(entry.key_hash);
    let is_same = |known: &IndexEntry| known.place() == entry.place() && !known.is_in_memory();
    if locked.find(entry.version).is_some_and(|known| is_same(known)) {
        volume.note_read_error(error);
        if let Some(known) = locked.remove(entry.version) {
            parts.retire(&known, None, None);
            volume.index.count_removal(Removal::Size);
        }
    }
}

/// A recalled response with its identity, before it is admitted.
#[derive(Clone, Copy, Debug)]
struct LoadedHead<'a> {
    key: &'a Key,
    born: Sequence,
    tags: &'a [TagId],
    soft_purged: Option<Timestamp>,
    version: u64,
}
