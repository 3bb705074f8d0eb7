//! The sweeper: after a hard purge by tag, host or prefix it takes the responses that were hit in
//! the file out of the index, so that their space is known to be dead, and given away first, though
//! nobody asks for them.
//!
//! No answer depends on it: a response that it misses is found purged when it is brought back, or
//! moved. Purges are gathered in a bounded set while it is at work, and it rests for most of the
//! time: it is never in the way of requests. It finds responses in complete segments by their
//! filters and postings; the writer finds those in the segments that are being filled.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use tokio::time::Instant;

use crate::invalidation::{PurgeMark, Sequence, Subject};
use crate::store::Removal;
use crate::store::file::format::filter::Filter;
use crate::store::file::format::footer::{Contents, ExtentList, extents_of, postings_of};
use crate::store::file::format::postings::Postings;
use crate::store::file::format::record::{FooterEntry, short};
use crate::store::file::read::response;
use crate::store::file::volume::Volume;
use crate::store::file::volume::index::IndexEntry;
use crate::store::file::volume::sweep_queue::{HeadCheck, Sweep, SweepTarget};
use crate::store::file::write::queue::Job;

/// Looks for purged responses in complete segments. `rest` is told how long that took each
/// time, and says whether to go on.
pub(crate) fn through(sweep: &Sweep, volume: &Arc<Volume>, rest: &mut dyn FnMut(Duration) -> bool) {
    let mut started = Instant::now();
    for number in 0..volume.segments.count() {
        let has_read = look_into(sweep, volume, number);
        if has_read || started.elapsed() > WORK_MAX {
            if !rest(started.elapsed()) {
                return; // after the restart it is looked for again
            }
            started = Instant::now();
        }
    }
}

/// Looks into a segment, if something may be there, and says whether that was so.
fn look_into(sweep: &Sweep, volume: &Arc<Volume>, number: u32) -> bool {
    let segment = volume.segments.at(number);
    let may_hold =
        |filter: &Filter| sweep.targets.iter().any(|(target, _)| target.may_be_in(filter));
    if segment.lsn() == 0 || !segment.filter.lock().as_ref().is_none_or(may_hold) {
        return false;
    }
    let is_wanted = |id| sweep.ids.contains(&id);
    let span = volume.span_of(number);
    let Some(postings) = postings_of(&volume.disk, &span, is_wanted) else { return false };
    volume.metrics.postings_read.add(1);
    if !postings.is_empty()
        && let Some(contents) = Contents::read(&volume.disk, &span)
    {
        retire_matches(
            sweep,
            volume,
            number,
            (&contents.entries, &contents.extent_lists),
            &postings,
        );
    }
    true
}

pub(crate) fn retire_matches(
    sweep: &Sweep,
    volume: &Arc<Volume>,
    number: u32,
    (entries, extent_lists): (&[FooterEntry], &[ExtentList]),
    postings: &Postings,
) {
    for (target, sequence) in &sweep.targets {
        for holder in postings.holders(&target.ids) {
            let Some(entry) = entries.get(holder as usize) else { continue };
            let is_meant = entry.born < *sequence
                && target.check.as_ref().is_none_or(|it| is_hit(it, volume, number, entry));
            if is_meant && take_out(volume, number, entry) {
                volume.sub_live_extents(extents_of(extent_lists, holder));
                volume.metrics.swept.add(1);
            }
        }
    }
}

pub(crate) fn want(volume: &Volume, marks: &[PurgeMark], before: Sequence) {
    for mark in marks {
        let targets = SweepTarget::of(mark, volume.invalidation.ids());
        let is_narrow = !targets.is_empty();
        let add = |target| volume.sweep_queue.add(target, before.number());
        if !targets.into_iter().all(add) || !is_narrow {
            volume.metrics.sweeps_refused.add(1);
        }
    }
    volume.sweep_queue.wake();
}

/// Looks for purged responses until the store is closed: the body of a thread.
pub(crate) fn run(volume: &Arc<Volume>, jobs: &SyncSender<Job>) {
    while let Some(sweep) = volume.sweep_queue.wait() {
        let started = Instant::now();
        let sweep = Arc::new(sweep);
        let (done, is_done) = sync_channel(1);
        // First what is being filled: what is complete afterwards was looked into, here or there.
        let is_handed = jobs.send(Job::Sweep(Arc::clone(&sweep), done)).is_ok();
        if !is_handed || is_done.recv().is_err() {
            return;
        }
        through(&sweep, volume, &mut |worked| volume.sweep_queue.rest(worked * REST_SHARE));
        volume.sweep_queue.rest(started.elapsed().max(REST_MIN)); // those that come meanwhile are looked for together
    }
}

/// Reads from its head whether a response is hit, where its postings do not tell.
fn is_hit(check: &HeadCheck, volume: &Arc<Volume>, number: u32, entry: &FooterEntry) -> bool {
    let known = {
        let mut locked = volume.index.lock(entry.key_hash);
        locked.find(short(entry.version)).filter(|known| is_cold_at(known, number, entry)).copied()
    };
    let head =
        known.and_then(|known| response::read(volume, &known).ok()).map(|record| record.head);
    head.is_some_and(|head| match check {
        HeadCheck::Prefix(prefix) => prefix.covers(head.key.host(), head.key.path()),
        HeadCheck::Condition(condition) => {
            let (tags, table) = (&head.tags[..], volume.invalidation.ids());
            condition.is_met(&Subject::new(&head.key, &tags, table))
        }
    })
}

/// Takes a response out of the index, if it is still there and not in memory, and says whether it
/// was. The place is that of a record of which all is known: what was fetched later is never there.
fn take_out(volume: &Volume, number: u32, entry: &FooterEntry) -> bool {
    let mut locked = volume.index.lock(entry.key_hash);
    let version = short(entry.version);
    if !locked.find(version).is_some_and(|known| is_cold_at(known, number, entry)) {
        return false;
    }
    let Some(known) = locked.remove(version) else { return false };
    volume.retire(&known);
    volume.index.count_removal(Removal::Purged);
    true
}

fn is_cold_at(known: &IndexEntry, number: u32, entry: &FooterEntry) -> bool {
    known.is_at(number, entry) && !known.is_in_memory()
}

/// After each segment that was looked into, so many times as long as that took.
const REST_SHARE: u32 = 3;
/// Filters are asked for no longer than this without a rest.
const WORK_MAX: Duration = Duration::from_millis(5);
const REST_MIN: Duration = Duration::from_secs(1);
