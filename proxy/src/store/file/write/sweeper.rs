//! The sweeper: after a hard purge by tag, host or prefix it takes the responses that were hit in
//! the file out of the index, so that their space is known to be dead, and given away first, though
//! nobody asks for them.
//!
//! No answer depends on it: a response that it misses is found purged when it is brought back, or
//! moved. Purges are gathered in a bounded set while it is at work, and it rests for most of the
//! time: it is never in the way of requests. It finds responses in complete segments by their
//! filters and postings; the writer finds those in the segments that are being filled.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use purge_protocol::UrlPrefix;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::invalidation::{PurgeMark, Sequence, TagTable};
use crate::store::Removal;
use crate::store::file::format::filter::Filter;
use crate::store::file::format::footer::{Contents, ExtentList, extents_of, postings_of};
use crate::store::file::format::postings::{DEPTH_MAX, Postings, directories};
use crate::store::file::format::record::{FooterEntry, short};
use crate::store::file::read::response;
use crate::store::file::volume::Volume;
use crate::store::file::volume::index::IndexEntry;
use crate::store::file::write::queue::Job;

/// The target of one purge: a response is hit if it carries all of these identities and, where they
/// do not tell, its URL begins with the prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SweepTarget {
    ids: SmallVec<[u64; 2]>,
    prefix: Option<UrlPrefix>,
}

/// Purges whose responses in the file are still to be found.
#[derive(Debug, Default)]
pub(crate) struct SweepQueue {
    state: Mutex<QueueState>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    /// Targets, with the last purge of each.
    wanted: HashMap<SweepTarget, u64>,
    /// The segments have been read after the start.
    may_begin: bool,
    is_closing: bool,
}

#[derive(Debug)]
pub(crate) struct Sweep {
    targets: Vec<(SweepTarget, u64)>,
    ids: HashSet<u64>,
}

impl SweepTarget {
    /// Returns the target of a mark; `None` if only reading every head would tell.
    fn of(mark: &PurgeMark, table: &TagTable) -> Option<Self> {
        match mark {
            PurgeMark::All => None,
            PurgeMark::Tag(id) => {
                Some(Self { ids: [id.hash()].into_iter().collect(), prefix: None })
            }
            PurgeMark::Prefix(prefix) => {
                let path = prefix.path().as_bytes();
                let directory = directories(path).take(DEPTH_MAX).last();
                let host = prefix.host().map(|host| table.host(host.as_bytes()).hash());
                let ids: SmallVec<_> = host
                    .into_iter()
                    .chain(directory.map(|it| table.directory(it).hash()))
                    .collect();
                let is_exact = directory.unwrap_or(b"/") == path;
                let prefix = (!is_exact).then(|| prefix.clone());
                (!ids.is_empty()).then_some(Self { ids, prefix })
            }
        }
    }

    fn may_be_in(&self, filter: &Filter) -> bool {
        self.ids.iter().all(|id| filter.may_hold(*id))
    }
}

impl SweepQueue {
    /// Begins after the segments were read. Earlier purges, which may not have found all, are
    /// looked for first.
    pub(crate) fn begin(&self, volume: &Volume) {
        if let Some(past_purges) = volume.invalidation.past_purges() {
            past_purges.for_each(|mark, past| {
                if past.hard > Sequence::default()
                    && let Some(target) = SweepTarget::of(&mark, volume.invalidation.ids())
                {
                    self.add(target, past.hard.number());
                }
            });
        }
        self.state.lock().may_begin = true;
        self.wake.notify_all();
    }

    /// Adds a purge, if there is room, and says whether there was.
    fn add(&self, target: SweepTarget, sequence: u64) -> bool {
        let wanted = &mut self.state.lock().wanted;
        if wanted.len() >= HUNTS_MAX && !wanted.contains_key(&target) {
            return false;
        }
        let known = wanted.entry(target).or_default();
        *known = sequence.max(*known);
        true
    }

    /// Takes all purges; `None` if there are none, or it is too early.
    #[cfg(test)]
    pub(crate) fn take(&self) -> Option<Sweep> {
        self.state.lock().take()
    }

    /// Waits for purges; `None` if the store is being closed.
    fn wait(&self) -> Option<Sweep> {
        let mut state = self.state.lock();
        loop {
            if state.is_closing {
                return None;
            }
            if let Some(sweep) = state.take() {
                return Some(sweep);
            }
            self.wake.wait(&mut state);
        }
    }

    /// Waits so long, and says whether to go on.
    fn rest(&self, pause: Duration) -> bool {
        let end = (Instant::now() + pause).into_std();
        let mut state = self.state.lock();
        while !state.is_closing && !self.wake.wait_until(&mut state, end).timed_out() {}
        !state.is_closing
    }

    pub(crate) fn close(&self) {
        self.state.lock().is_closing = true;
        self.wake.notify_all();
    }
}

impl QueueState {
    fn take(&mut self) -> Option<Sweep> {
        if !self.may_begin || self.wanted.is_empty() {
            return None;
        }
        let targets: Vec<_> = std::mem::take(&mut self.wanted).into_iter().collect();
        let ids = targets.iter().flat_map(|(target, _)| target.ids.iter().copied()).collect();
        Some(Sweep { targets, ids })
    }
}

impl Sweep {
    /// Looks for purged responses in complete segments. `rest` is told how long that took each
    /// time, and says whether to go on.
    pub(crate) fn through(&self, volume: &Arc<Volume>, rest: &mut dyn FnMut(Duration) -> bool) {
        let mut started = Instant::now();
        for number in 0..volume.segments.count() {
            let has_read = self.look_into(volume, number);
            if has_read || started.elapsed() > WORK_MAX {
                if !rest(started.elapsed()) {
                    return; // after the restart it is looked for again
                }
                started = Instant::now();
            }
        }
    }

    /// Looks into a segment, if something may be there, and says whether that was so.
    fn look_into(&self, volume: &Arc<Volume>, number: u32) -> bool {
        let segment = volume.segments.at(number);
        let may_hold =
            |filter: &Filter| self.targets.iter().any(|(target, _)| target.may_be_in(filter));
        if segment.lsn() == 0 || !segment.filter.lock().as_ref().is_none_or(may_hold) {
            return false;
        }
        let is_wanted = |id| self.ids.contains(&id);
        let span = volume.span_of(number);
        let Some(postings) = postings_of(&volume.disk, &span, is_wanted) else { return false };
        volume.metrics.postings_read.add(1);
        if !postings.is_empty()
            && let Some(contents) = Contents::read(&volume.disk, &span)
        {
            self.retire_matches(
                volume,
                number,
                (&contents.entries, &contents.extent_lists),
                &postings,
            );
        }
        true
    }

    /// Takes the purged responses out of a segment.
    pub(crate) fn retire_matches(
        &self,
        volume: &Arc<Volume>,
        number: u32,
        (entries, extent_lists): (&[FooterEntry], &[ExtentList]),
        postings: &Postings,
    ) {
        for (target, sequence) in &self.targets {
            for holder in postings.holders(&target.ids) {
                let Some(entry) = entries.get(holder as usize) else { continue };
                let is_meant = entry.born < *sequence
                    && target.prefix.as_ref().is_none_or(|it| covers(it, volume, number, entry));
                if is_meant && take_out(volume, number, entry) {
                    volume.sub_live_extents(extents_of(extent_lists, holder));
                    volume.metrics.swept.add(1);
                }
            }
        }
    }
}

pub(crate) fn want(volume: &Volume, marks: &[PurgeMark], before: Sequence) {
    for mark in marks {
        let target = SweepTarget::of(mark, volume.invalidation.ids());
        if !target.is_some_and(|target| volume.sweep_queue.add(target, before.number())) {
            volume.metrics.sweeps_refused.add(1);
        }
    }
    volume.sweep_queue.wake.notify_all();
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
        sweep.through(volume, &mut |worked| volume.sweep_queue.rest(worked * REST_SHARE));
        volume.sweep_queue.rest(started.elapsed().max(REST_MIN)); // those that come meanwhile are looked for together
    }
}

/// Reads whether a response is covered by a prefix that its postings do not tell.
fn covers(prefix: &UrlPrefix, volume: &Arc<Volume>, number: u32, entry: &FooterEntry) -> bool {
    let known = {
        let mut locked = volume.index.lock(entry.key_hash);
        locked.find(short(entry.version)).filter(|known| is_cold_at(known, number, entry)).copied()
    };
    let head =
        known.and_then(|known| response::read(volume, &known).ok()).map(|record| record.head);
    head.is_some_and(|head| prefix.covers(head.key.host(), head.key.path()))
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

/// Purges that wait to be looked for: some 3 MiB. What those beyond have hit is found when it is
/// asked for, or when its segment's turn comes.
const HUNTS_MAX: usize = 1 << 15;
/// After each segment that was looked into, so many times as long as that took.
const REST_SHARE: u32 = 3;
/// Filters are asked for no longer than this without a rest.
const WORK_MAX: Duration = Duration::from_millis(5);
const REST_MIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invalidation::Invalidation;

    fn target(text: &str) -> Option<SweepTarget> {
        SweepTarget::of(
            &PurgeMark::Prefix(UrlPrefix::parse(text).unwrap()),
            Invalidation::new(1).ids(),
        )
    }

    #[test]
    fn a_prefix_is_looked_for_by_its_host_and_its_deepest_directory() {
        let ids = |text| target(text).map(|it| it.ids.len());
        let is_exact = |text| target(text).is_some_and(|it| it.prefix.is_none());
        assert_eq!(ids("/blog/"), Some(1));
        assert_eq!(ids("https://shop.example/blog/"), Some(2));
        assert_eq!(ids("https://shop.example/"), Some(1));
        assert!(is_exact("/blog/") && is_exact("/a/b/c/d/") && is_exact("https://shop.example/"));
        assert!(!is_exact("/blog/2") && !is_exact("/a/b/c/d/e/") && !is_exact("/blog/?x=/y/"));
        assert!(!is_exact("https://shop.example/b"));
        assert_eq!(target("/blog/").unwrap().ids, target("/blog/2").unwrap().ids);
        assert_eq!(target("/blog"), None, "nothing narrows it down");
        assert_eq!(SweepTarget::of(&PurgeMark::All, Invalidation::new(1).ids()), None);
    }

    #[test]
    fn purges_are_gathered_up_to_a_limit_and_the_last_of_each_counts() {
        let targets = SweepQueue::default();
        let of = |number: usize| SweepTarget {
            ids: [number as u64].into_iter().collect(),
            prefix: None,
        };
        assert!((0..HUNTS_MAX).all(|number| targets.add(of(number), 5)));
        assert!(!targets.add(of(HUNTS_MAX), 6));
        assert!(targets.add(of(3), 7) && targets.add(of(3), 6), "it is there");
        assert!(targets.take().is_none(), "the segments are being read");
        targets.state.lock().may_begin = true;
        let sweep = targets.take().unwrap();
        assert_eq!(sweep.targets.len(), HUNTS_MAX);
        assert!(sweep.targets.contains(&(of(3), 7)));
        assert!(targets.take().is_none() && targets.add(of(HUNTS_MAX), 8));
    }
}
