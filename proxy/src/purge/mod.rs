//! Purges: marks first, so that a purge is in force at once; then counts its hits exactly, and
//! frees their space.
//!
//! A tag of few responses is counted and emptied on the spot. A tag of many is counted by its
//! number of holders, in constant time, and emptied in the background; a purge that overlaps it
//! meanwhile looks at each of its own responses, so that none is counted twice.

pub mod access;
pub mod endpoint;
pub mod hint;
pub mod metrics;
mod preview;
pub mod log;
mod count;
mod stored_urls;
pub mod deploys;
mod late_changes;
mod target;
mod candidates;
mod watched;
mod found;
mod last_purge;
pub mod sender;
mod stored_search;
mod prefix_set;
mod walked;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Uri;
use parking_lot::{Mutex, MutexGuard};
use purge_protocol::request::Target;
use purge_protocol::{CanonicalUrl, Matched, PurgeMode, PurgeReport, Selector, SelectorReport};
use tokio::time::Instant;

use self::candidates::RewarmCandidates;
use self::count::{Count, Pending, PurgeTally};
use self::deploys::DeployTime;
pub use self::found::stored_of;
pub use self::last_purge::LastPurge;
use self::late_changes::LateChanges;
pub use self::late_changes::{SUCCESSOR_PATIENCE, Successor};
use self::metrics::{PurgeMetrics, Source};
use self::stored_search::StoredSearch;
use self::stored_urls::StoredUrls;
use self::target::{ResolvedTarget, mark_late_classes, sought};
use self::watched::LargePurges;
use crate::invalidation::{
    Invalidation, Marked, PurgeMark, PurgeTimes, RunningFetch, Sequence, TagId,
};
use crate::key::{Key, KeySeed, Scheme};
use crate::live::Live;
use crate::policy::LiveSettings;
use crate::store::journal::{Journal, JournalEntry, JournalError};
use crate::store::{Removal, Store, Stored};
use process::clock::Clock;

#[derive(Debug)]
pub struct PurgeExecutor {
    store: Arc<dyn Store>,
    invalidation: Arc<Invalidation>,
    journal: Journal,
    seed: KeySeed,
    clock: Clock,
    /// One purge counts at a time; what is still to be emptied in the background.
    pending: Mutex<Vec<Pending>>,
    successor: LateChanges,
    /// Say how URLs are stored; while there are none, as they are written.
    settings: OnceLock<Arc<LiveSettings>>,
    live: OnceLock<Arc<Live>>,
    large: LargePurges,
    pub metrics: PurgeMetrics,
}

impl PurgeExecutor {
    pub fn new(
        store: Arc<dyn Store>,
        invalidation: Arc<Invalidation>,
        journal: Journal,
        seed: KeySeed,
        clock: Clock,
    ) -> Arc<Self> {
        let (pending, metrics) = (Mutex::default(), PurgeMetrics::default());
        let successor = LateChanges::default();
        let settings = OnceLock::new();
        Arc::new(Self {
            store,
            invalidation,
            journal,
            seed,
            clock,
            pending,
            successor,
            settings,
            live: OnceLock::new(),
            large: LargePurges::default(),
            metrics,
        })
    }

    /// Purges URLs as these settings store them, and tells the live views of purges. Called once,
    /// before the first purge.
    pub fn follow(&self, settings: &Arc<LiveSettings>, live: &Arc<Live>) {
        self.settings.get_or_init(|| Arc::clone(settings));
        self.live.get_or_init(|| Arc::clone(live));
    }

    /// Purges what the selectors name. When this returns, none of it is served again (hard) or
    /// without becoming stale (soft), not even after a restart. An error says that the last is not
    /// sure: the caller does not acknowledge the purge.
    pub async fn apply(
        self: &Arc<Self>,
        id: Option<String>,
        selectors: Vec<(Selector, Target)>,
        mode: PurgeMode,
        source: Source,
    ) -> Result<PurgeReport, JournalError> {
        let started = Instant::now();
        let (selectors, targets): (Vec<_>, Vec<_>) = selectors.into_iter().unzip();
        for selector in &selectors {
            self.metrics.count(source, selector, mode);
        }
        watched::watch_tags(self, &targets, mode);
        let all = self.store.usage().objects;
        let stored = self.stored_urls(&targets);
        let resolved = stored.targets.iter().map(|target| self.resolve(target)).collect();
        let (Marked { sequence, .. }, counts) = self.purge(resolved, mode, None).await;
        let counts = stored.add_up(counts);
        self.journal.settled().await?;
        let objects = counts.iter().map(|count| count.objects - count.already_counted).sum();
        self.metrics.purged.add(objects);
        self.metrics.durations.record(started.elapsed(), 1);
        let hit: Vec<u64> = counts.iter().map(|count| count.objects).collect();
        watched::warn_of_large(self, &targets, &hit, all);
        let report = |(selector, count): (Selector, Count)| SelectorReport {
            selector,
            objects: count.objects,
            already_counted: count.already_counted,
            folded: count.folded,
        };
        Ok(PurgeReport {
            id: id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string()),
            mode,
            matched: Matched { objects },
            selectors: selectors.into_iter().zip(counts).map(report).collect(),
            sequence: sequence.number(),
            took_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            hint: None,
        })
    }

    /// Purges what records of the purge log name, and returns how many stored responses each target
    /// hit that none before it has.
    pub(super) async fn apply_logged(
        self: &Arc<Self>,
        targets: &[Target],
        mode: PurgeMode,
    ) -> Vec<u64> {
        let started = Instant::now();
        for target in targets {
            self.metrics.count_target(Source::Log, target, mode);
        }
        watched::watch_tags(self, targets, mode);
        let all = self.store.usage().objects;
        let stored = self.stored_urls(targets);
        let resolved = stored.targets.iter().map(|target| self.resolve(target)).collect();
        let (_, counts) = self.purge(resolved, mode, None).await;
        let counts = stored.add_up(counts);
        let hit: Vec<u64> = counts.iter().map(|count| count.objects).collect();
        watched::warn_of_large(self, targets, &hit, all);
        let objects = |count: Count| count.objects - count.already_counted;
        let counts: Vec<u64> = counts.into_iter().map(objects).collect();
        self.metrics.purged.add(counts.iter().sum());
        self.metrics.durations.record(started.elapsed(), 1);
        counts
    }

    /// Purges the URLs and groups that the response to an unsafe request invalidates (RFC 9111
    /// §4.4, RFC 9875 §3).
    ///
    /// Returns what came of that, if there was anything to purge. `since` is the moment at which
    /// the request was sent.
    pub async fn invalidate_uris(
        self: &Arc<Self>,
        uris: &[Uri],
        (host, groups): (&[u8], &[String]),
        since: Option<&RunningFetch>,
    ) -> Option<Marked> {
        let written: Vec<_> =
            uris.iter().filter_map(CanonicalUrl::from_uri).map(Target::Url).collect();
        let stored = self.stored_urls(&written);
        let mut resolved: Vec<_> =
            stored.targets.iter().map(|target| self.resolve(target)).collect();
        resolved.extend(groups.iter().map(|group| {
            ResolvedTarget::Tag(self.invalidation.ids().group(host, group.as_bytes()))
        }));
        if resolved.is_empty() {
            return None;
        }
        self.metrics.responses.add(resolved.len() as u64);
        let (marked, counts) = self.purge(resolved, PurgeMode::Hard, since).await;
        match self.journal.settled().await {
            Ok(()) => {}
            Err(JournalError::HandedOver) => {
                self.successor.invalidate(uris, (host, groups)).await;
            }
            Err(error) => {
                tracing::error!(%error, "what a request has changed may come back after a restart");
            }
        }
        self.metrics
            .purged
            .add(counts.iter().map(|count| count.objects - count.already_counted).sum());
        Some(marked)
    }

    /// Another process serves now: it is told what requests change that end here.
    pub fn succeed_with(&self, successor: &Arc<dyn Successor>) {
        self.successor.set(successor);
    }

    fn stored_urls(&self, named: &[Target]) -> StoredUrls {
        StoredUrls::of(named, self.settings.get().map(|settings| &**settings))
    }

    fn resolve(&self, target: &Target) -> ResolvedTarget {
        let time = DeployTime::new(&self.clock, self.invalidation.deployments());
        ResolvedTarget::of(target, self.invalidation.ids(), self.seed, time)
    }

    async fn purge(
        self: &Arc<Self>,
        resolved: Vec<ResolvedTarget>,
        mode: PurgeMode,
        since: Option<&RunningFetch>,
    ) -> (Marked, Vec<Count>) {
        // No mark is forgotten before its hits are invalidated: a stale response whose URL was
        // purged would look valid in between, and a 304 would bring it back.
        let at_work = self.invalidation.begin_purge();
        let marks: Vec<_> = resolved.iter().flat_map(ResolvedTarget::marks).collect();
        let now = self.clock.now();
        let marked = match since {
            None => Marked { sequence: self.invalidation.mark(&marks, mode, now), is_first: false },
            Some(since) => self.invalidation.mark_own(&marks, mode, now, since),
        };
        let sequence = marked.sequence;
        for target in &resolved {
            self.warn_if_late(target);
        }
        let mut marks: Vec<_> = marks.iter().map(PurgeMark::of).collect();
        marks.extend(mark_late_classes(&resolved, &self.invalidation, (mode, now)));
        self.journal
            .append(JournalEntry::Purge { marks, past: PurgeTimes::of(mode, sequence, now) });
        if let Some(pending) = self.pending.try_lock()
            && pending.is_empty()
            && self.is_little(&resolved)
        {
            return (marked, self.count_and_remove(pending, &resolved, mode, sequence));
        }
        let executor = Arc::clone(self);
        let work = move || {
            let counts =
                executor.count_and_remove(executor.pending.lock(), &resolved, mode, sequence);
            drop(at_work);
            counts
        };
        (marked, tokio::task::spawn_blocking(work).await.unwrap_or_default())
    }

    fn warn_if_late(&self, target: &ResolvedTarget) {
        if let ResolvedTarget::Deploy(deploy) = target
            && let Some(present) = deploys::superseding(self, deploy)
        {
            tracing::warn!(
                deployment = &*deploy.name,
                present = &*present,
                "a deploy is older than the present one, and changes nothing"
            );
        }
    }

    /// Returns whether settling looks at few responses only: then it may run on a thread that
    /// serves requests.
    fn is_little(&self, resolved: &[ResolvedTarget]) -> bool {
        match resolved {
            [
                ResolvedTarget::All
                | ResolvedTarget::Tag(_)
                | ResolvedTarget::Url(..)
                | ResolvedTarget::Path(_),
            ] => true,
            [ResolvedTarget::FoldedTag(_, folds)] => self.live(folds) <= AT_ONCE_MAX,
            several => {
                let live = |id: &TagId| self.invalidation.ids().live(*id);
                let looks_at = |target: &ResolvedTarget| match target {
                    ResolvedTarget::Url(..) => 1,
                    ResolvedTarget::Tag(id) | ResolvedTarget::FoldedTag(id, _) => {
                        self.live(&[*id]).saturating_add(self.live(target.folds()))
                    }
                    ResolvedTarget::Path(path) => path.ids.iter().map(live).sum(),
                    ResolvedTarget::Condition(condition) => condition
                        .carried_by_all(|id| live(&id))
                        .map_or(u64::MAX, |ids| ids.iter().map(live).sum()),
                    ResolvedTarget::Prefix(_) | ResolvedTarget::Deploy(_) | ResolvedTarget::All => {
                        u64::MAX
                    }
                };
                let looks = several.iter().map(looks_at);
                looks.fold(0, u64::saturating_add) <= AT_ONCE_MAX
            }
        }
    }

    fn search(&self) -> StoredSearch<'_> {
        StoredSearch { store: &*self.store, table: self.invalidation.ids() }
    }

    /// Returns the number of responses in memory that carry these.
    fn live(&self, ids: &[TagId]) -> u64 {
        ids.iter().map(|id| self.invalidation.ids().live(*id)).sum()
    }

    /// Returns whether more responses carry it than are looked at one by one.
    fn is_large(&self, target: &Target) -> bool {
        match self.resolve(target) {
            ResolvedTarget::Tag(id) | ResolvedTarget::FoldedTag(id, _) => {
                self.live(&[id]) > AT_ONCE_MAX
            }
            ResolvedTarget::Path(path) => self.live(&path.ids) > AT_ONCE_MAX,
            ResolvedTarget::All => true,
            ResolvedTarget::Url(..)
            | ResolvedTarget::Prefix(_)
            | ResolvedTarget::Condition(_)
            | ResolvedTarget::Deploy(_) => false,
        }
    }

    /// Counts what each target hit and empties it: now where it is little, else in the background.
    fn count_and_remove(
        self: &Arc<Self>,
        mut pending: MutexGuard<'_, Vec<Pending>>,
        resolved: &[ResolvedTarget],
        mode: PurgeMode,
        sequence: Sequence,
    ) -> Vec<Count> {
        let mut tally = PurgeTally::new(sequence, &pending);
        let mut large = Vec::new();
        let covered = self.search().covered(resolved);
        self.forget(covered.all().iter());
        let counts = resolved
            .iter()
            .map(|target| match target {
                ResolvedTarget::Tag(id) | ResolvedTarget::FoldedTag(id, _) => {
                    let exact = self.count_carriers(&[*id], sequence, &mut tally, &mut large);
                    let folded =
                        target.folds().iter().flat_map(|id| self.search().holders(*id)).collect();
                    exact.with_folded(tally.look_at(folded))
                }
                ResolvedTarget::Path(path) => {
                    // Of what is in the file only, what is of another page goes with its key.
                    let hashes: Vec<u64> = path.keys.iter().map(Key::hash).collect();
                    let cold = self.purge_cold(Some(&hashes), mode, sequence);
                    let carriers = self.count_carriers(&path.ids, sequence, &mut tally, &mut large);
                    let plain = self.search().plain(path);
                    self.forget(plain.iter());
                    tally.look_at(plain).and(carriers).plus(cold)
                }
                ResolvedTarget::Condition(condition) => {
                    let found = self.search().meeting(condition, covered.all());
                    self.forget(found.iter());
                    tally.look_at(found)
                }
                // Stored responses learn of it when they are asked for.
                ResolvedTarget::Deploy(deploy) => {
                    let objects = deploys::of_others(self, deploy);
                    Count { objects, ..Count::default() }
                }
                ResolvedTarget::Url(keys, ids) => {
                    let hashes: Vec<u64> = keys.iter().map(Key::hash).collect();
                    let cold = self.purge_cold(Some(&hashes), mode, sequence);
                    let under = self.search().under(keys, ids);
                    self.forget(under.iter());
                    tally.look_at(under).plus(cold)
                }
                ResolvedTarget::Prefix(prefix) => tally.look_at(covered.under(prefix)),
                ResolvedTarget::All
                    if self.store.usage().objects > AT_ONCE_MAX && tally.is_blank() =>
                {
                    large.push(Pending::All(sequence));
                    tally.take_everything(self.store.usage().objects)
                }
                ResolvedTarget::All => {
                    let cold = self.purge_cold(None, mode, sequence);
                    tally.look_at(self.search().all(|_| true)).plus(cold)
                }
            })
            .collect();
        for stored in tally.into_hit() {
            self.invalidate_stored(&stored, mode);
        }
        if mode == PurgeMode::Hard {
            self.sweep_purged(&sought(resolved, &large), sequence);
        }
        for work in large {
            if mode == PurgeMode::Hard {
                pending.push(work.clone());
            }
            let executor = Arc::clone(self);
            drop(tokio::task::spawn_blocking(move || executor.empty(&work, mode)));
        }
        counts
    }

    fn invalidate_stored(&self, stored: &Arc<Stored>, mode: PurgeMode) {
        match mode {
            PurgeMode::Hard => {
                stored.provenance.mark_purged();
                self.store.remove(stored, Removal::Purged);
            }
            PurgeMode::Soft => stored.provenance.mark_soft_purged(self.clock.now()),
        }
    }

    /// Takes uncacheable markers out: they carry no links to be found by, and the mark of a prefix
    /// does not last.
    fn forget<'a>(&self, found: impl Iterator<Item = &'a Arc<Stored>>) {
        for marker in found.filter(|stored| stored.response().is_none()) {
            self.store.remove(marker, Removal::Purged);
        }
    }

    /// Removes, or makes stale, what a large purge has hit, in the background and with pauses: it
    /// is no longer served anyway.
    #[expect(
        clippy::disallowed_methods,
        reason = "runs on a blocking thread, and is to leave the cores to requests"
    )]
    fn empty(&self, work: &Pending, mode: PurgeMode) {
        let invalidate = |stored: &Arc<Stored>, number: usize| {
            if work.covers(stored) {
                self.invalidate_stored(stored, mode);
            }
            if number.is_multiple_of(BATCH) {
                std::thread::sleep(BATCH_PAUSE);
            }
        };
        match work {
            Pending::Tags(ids, _) => {
                let hashes = ids.iter().flat_map(|id| self.invalidation.ids().key_hashes(*id));
                for (number, hash) in hashes.enumerate() {
                    self.store.by_hash(hash).iter().for_each(|stored| invalidate(stored, number));
                }
            }
            Pending::All(sequence) => {
                if mode == PurgeMode::Hard {
                    self.purge_cold(None, mode, *sequence);
                }
                let mut number = 0;
                self.store.visit(&mut |stored| {
                    number += 1;
                    invalidate(stored, number);
                });
            }
        }
        if mode == PurgeMode::Hard {
            self.pending.lock().retain(|other| !other.is_same(work));
            // Not before: what memory has evicted meanwhile, unstruck, is in the file.
            if let Pending::Tags(ids, sequence) = work {
                let marks: Vec<_> = ids.iter().copied().map(PurgeMark::Tag).collect();
                self.sweep_purged(&marks, *sequence);
            }
        }
    }

    fn purge_cold(&self, hashes: Option<&[u64]>, mode: PurgeMode, before: Sequence) -> u64 {
        self.store.cold().map_or(0, |cold| cold.purge(hashes, mode, before))
    }

    fn sweep_purged(&self, marks: &[PurgeMark], before: Sequence) {
        if let Some(cold) = self.store.cold() {
            cold.sweep_purged(marks, before);
        }
    }

    pub(in crate::purge) fn key(&self, scheme: Scheme, url: &CanonicalUrl) -> Key {
        Key::new(self.seed, scheme, url.host().as_bytes(), url.path().as_bytes())
    }

    /// Returns of the responses that these targets will hit the `max` most requested, and the hosts
    /// of all.
    fn rewarm_candidates(&self, targets: &[Target], max: usize) -> RewarmCandidates {
        let targets = self.stored_urls(targets).targets;
        let found = targets.iter().flat_map(|target| self.search().hits(&self.resolve(target)));
        RewarmCandidates::among(found.collect(), max)
    }

    /// Counts what carries one of these tags, of which nothing carries two.
    fn count_carriers(
        &self,
        ids: &[TagId],
        sequence: Sequence,
        tally: &mut PurgeTally<'_>,
        large: &mut Vec<Pending>,
    ) -> Count {
        match self.live(ids) {
            live if live > AT_ONCE_MAX && tally.is_blank() => {
                large.push(Pending::Tags(ids.into(), sequence));
                tally.take_all_of(ids, live)
            }
            _ => tally.look_at(ids.iter().flat_map(|id| self.search().holders(*id)).collect()),
        }
    }
}

/// Responses that a purge looks at one by one while it answers: 0.2 ms of work.
const AT_ONCE_MAX: u64 = 1000;
/// Responses that are removed in the background between two pauses.
const BATCH: usize = 500;
const BATCH_PAUSE: Duration = Duration::from_millis(1);
