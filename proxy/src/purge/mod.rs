//! Purging: marks first, so that a purge is in force at once; then counts what it hit, exactly, and frees the space.
//!
//! A tag of few responses is counted and emptied on the spot. A tag of many is counted by its number of holders, in constant
//! time, and emptied in the background; a purge that overlaps it meanwhile looks at each of its own responses, so that none is
//! counted twice.

pub mod access;
pub mod endpoint;
pub mod hint;
pub mod metrics;
pub mod log;
mod count;

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use parking_lot::{Mutex, MutexGuard};
use purge_protocol::request::Target;
use purge_protocol::{
    CanonicalUrl, Matched, PurgeMode, PurgeReport, Selector, SelectorReport, UrlPrefix, spelling,
};
use tokio::time::Instant;

use self::count::{Count, Pending};
use self::log::rewarm::Prospect;
use self::metrics::{PurgeMetrics, Source};
use crate::invalidation::{
    Invalidation, Mark, Marked, PurgeMark, PurgeTimes, RunningFetch, Sequence, TagId,
};
use crate::key::{Key, KeySeed, Scheme};
use crate::store::journal::{Journal, JournalEntry, JournalError};
use crate::store::{Removal, Store, Stored};
use process::clock::Clock;

/// Carries purges out.
#[derive(Debug)]
pub struct PurgeExecutor {
    store: Arc<dyn Store>,
    invalidation: Arc<Invalidation>,
    journal: Journal,
    seed: KeySeed,
    clock: Clock,
    /// One purge counts at a time; what is still to be emptied in the background.
    pending: Mutex<Vec<Pending>>,
    /// What happened.
    pub metrics: PurgeMetrics,
}

/// Something to purge, resolved to what is marked.
#[derive(Debug)]
enum Aim {
    /// A tag, a host or a group.
    Tag(TagId),
    /// A URL under both schemes and in its usual spellings, and its mark.
    Url(Vec<Key>, TagId),
    Prefix(UrlPrefix),
    All,
}

impl PurgeExecutor {
    /// Makes one.
    pub fn new(
        store: Arc<dyn Store>,
        invalidation: Arc<Invalidation>,
        journal: Journal,
        seed: KeySeed,
        clock: Clock,
    ) -> Arc<Self> {
        let (pending, metrics) = (Mutex::default(), PurgeMetrics::default());
        Arc::new(Self { store, invalidation, journal, seed, clock, pending, metrics })
    }

    /// Purges what the selectors name. When this returns, none of it is served again (hard) or without becoming stale (soft), not
    /// even after a restart. An error says that the last is not sure: the caller does not acknowledge the purge.
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
        let aims = targets.iter().map(|target| self.aim(target)).collect();
        let (Marked { sequence, .. }, counts) = self.purge(aims, mode, None).await;
        self.journal.settled().await?;
        let objects = counts.iter().map(|count| count.objects - count.already_counted).sum();
        self.metrics.purged.add(objects);
        self.metrics.durations.record(started.elapsed(), 1);
        let report = |(selector, count): (Selector, Count)| SelectorReport {
            selector,
            objects: count.objects,
            already_counted: count.already_counted,
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

    /// Purges what records of the purge log name, and returns how many stored responses each target hit that none before it
    /// has.
    pub(super) async fn apply_logged(
        self: &Arc<Self>,
        targets: &[Target],
        mode: PurgeMode,
    ) -> Vec<u64> {
        let started = Instant::now();
        for target in targets {
            self.metrics.count_target(Source::Log, target, mode);
        }
        let aims = targets.iter().map(|target| self.aim(target)).collect();
        let (_, counts) = self.purge(aims, mode, None).await;
        let objects = |count: Count| count.objects - count.already_counted;
        let counts: Vec<u64> = counts.into_iter().map(objects).collect();
        self.metrics.purged.add(counts.iter().sum());
        self.metrics.durations.record(started.elapsed(), 1);
        counts
    }

    /// Purges the URLs and groups that the response to an unsafe request invalidates (RFC 9111 §4.4, RFC 9875 §3).
    ///
    /// Returns what came of that, if there was anything to purge. `since` is the moment at which the request was sent.
    pub async fn invalidate(
        self: &Arc<Self>,
        uris: &[Uri],
        (host, groups): (&[u8], &[String]),
        since: Option<&RunningFetch>,
    ) -> Option<Marked> {
        let mut aims: Vec<_> = uris
            .iter()
            .filter_map(CanonicalUrl::from_uri)
            .map(|url| self.aim_at_url(&url))
            .collect();
        aims.extend(
            groups
                .iter()
                .map(|group| Aim::Tag(self.invalidation.ids().group(host, group.as_bytes()))),
        );
        if aims.is_empty() {
            return None;
        }
        self.metrics.responses.add(aims.len() as u64);
        let (marked, counts) = self.purge(aims, PurgeMode::Hard, since).await;
        if let Err(error) = self.journal.settled().await {
            tracing::error!(%error, "what a request has changed may come back after a restart");
        }
        self.metrics
            .purged
            .add(counts.iter().map(|count| count.objects - count.already_counted).sum());
        Some(marked)
    }

    fn aim(&self, target: &Target) -> Aim {
        let ids = self.invalidation.ids();
        match target {
            Target::Tag(tag) => Aim::Tag(ids.tag(tag.as_str().as_bytes())),
            Target::Host(host) => Aim::Tag(ids.host(host.as_bytes())),
            Target::Url(url) => self.aim_at_url(url),
            Target::Prefix(prefix) => Aim::Prefix(prefix.clone()),
            Target::All => Aim::All,
        }
    }

    fn aim_at_url(&self, url: &CanonicalUrl) -> Aim {
        let host = url.host().as_bytes();
        let spellings = spelling::usual(url.path().as_bytes());
        let key = |scheme, path: &[u8]| Key::new(self.seed, scheme, host, path);
        let of = |path| [Scheme::Http, Scheme::Https].map(|scheme| key(scheme, path));
        let keys = spellings.iter().flat_map(|path| of(path)).collect();
        let mark = self.invalidation.ids().url(&key(Scheme::Http, url.path().as_bytes()));
        Aim::Url(keys, mark)
    }

    /// Marks, then counts and empties.
    async fn purge(
        self: &Arc<Self>,
        aims: Vec<Aim>,
        mode: PurgeMode,
        since: Option<&RunningFetch>,
    ) -> (Marked, Vec<Count>) {
        // No mark is forgotten before what it hit is struck: a stale response whose URL was purged would look valid in between,
        // and a 304 would bring it back.
        let at_work = self.invalidation.begin_purge();
        let marks: Vec<_> = aims.iter().map(Aim::mark).collect();
        let now = self.clock.now();
        let marked = match since {
            None => Marked { sequence: self.invalidation.mark(&marks, mode, now), is_first: false },
            Some(since) => self.invalidation.mark_own(&marks, mode, now, since),
        };
        let sequence = marked.sequence;
        let marks = marks.iter().map(PurgeMark::of).collect();
        self.journal
            .append(JournalEntry::Purge { marks, past: PurgeTimes::of(mode, sequence, now) });
        if let Some(pending) = self.pending.try_lock()
            && pending.is_empty()
            && self.is_little(&aims)
        {
            return (marked, self.settle(pending, &aims, mode, sequence));
        }
        let purger = Arc::clone(self);
        let settle = move || {
            let counts = purger.settle(purger.pending.lock(), &aims, mode, sequence);
            drop(at_work);
            counts
        };
        (marked, tokio::task::spawn_blocking(settle).await.unwrap_or_default())
    }

    /// Returns whether settling looks at few responses only: then it may run on a thread that serves requests.
    fn is_little(&self, aims: &[Aim]) -> bool {
        match aims {
            [Aim::All | Aim::Tag(_) | Aim::Url(..)] => true,
            several => {
                let looks_at = |aim: &Aim| match aim {
                    Aim::Url(..) => 1,
                    Aim::Tag(id) => self.invalidation.ids().live(*id),
                    Aim::Prefix(_) | Aim::All => u64::MAX,
                };
                let looks = several.iter().map(looks_at);
                looks.fold(0, u64::saturating_add) <= AT_ONCE_MAX
            }
        }
    }

    /// Returns whether more responses carry it than are looked at one by one.
    fn is_large(&self, target: &Target) -> bool {
        match self.aim(target) {
            Aim::Tag(id) => self.invalidation.ids().live(id) > AT_ONCE_MAX,
            Aim::All => true,
            Aim::Url(..) | Aim::Prefix(_) => false,
        }
    }

    /// Counts what each aim hit and empties it: now where it is little, else in the background.
    fn settle(
        self: &Arc<Self>,
        mut pending: MutexGuard<'_, Vec<Pending>>,
        aims: &[Aim],
        mode: PurgeMode,
        sequence: Sequence,
    ) -> Vec<Count> {
        let mut tally = count::Tally::new(sequence, &pending);
        let mut large = Vec::new();
        let covered = self.covered(aims);
        self.forget(covered.iter());
        let counts = aims
            .iter()
            .map(|aim| match aim {
                Aim::Tag(id) => match self.invalidation.ids().live(*id) {
                    live if live > AT_ONCE_MAX && tally.is_blank() => {
                        large.push(Pending::Tag(*id, sequence));
                        tally.take_all_of(*id, live)
                    }
                    _ => tally.look_at(self.holders(*id)),
                },
                Aim::Url(keys, id) => {
                    let hashes: Vec<u64> = keys.iter().map(Key::hash).collect();
                    let dormant = self.store.purge_dormant(Some(&hashes), mode, sequence);
                    let under = self.under(keys, *id);
                    self.forget(under.iter());
                    tally.look_at(under).plus(dormant)
                }
                Aim::Prefix(prefix) => {
                    let is_covered =
                        |stored: &&Arc<Stored>| prefix.covers(stored.key.host(), stored.key.path());
                    tally.look_at(covered.iter().filter(is_covered).cloned().collect())
                }
                Aim::All if self.store.usage().objects > AT_ONCE_MAX && tally.is_blank() => {
                    large.push(Pending::All(sequence));
                    tally.take_everything(self.store.usage().objects)
                }
                Aim::All => {
                    let dormant = self.store.purge_dormant(None, mode, sequence);
                    tally.look_at(self.all(|_| true)).plus(dormant)
                }
            })
            .collect();
        for stored in tally.into_hit() {
            self.strike(&stored, mode);
        }
        if mode == PurgeMode::Hard {
            let mut sought: Vec<_> = aims.iter().filter_map(Aim::sought).collect();
            for work in &large {
                sought.retain(|mark| !matches!((mark, work), (PurgeMark::Tag(one), Pending::Tag(two, _)) if one == two));
            }
            self.store.seek_purged(&sought, sequence);
        }
        for work in large {
            if mode == PurgeMode::Hard {
                pending.push(work.clone());
            }
            let purger = Arc::clone(self);
            drop(tokio::task::spawn_blocking(move || purger.empty(&work, mode)));
        }
        counts
    }

    fn strike(&self, stored: &Arc<Stored>, mode: PurgeMode) {
        match mode {
            PurgeMode::Hard => {
                stored.provenance.mark_purged();
                self.store.remove(stored, Removal::Purged);
            }
            PurgeMode::Soft => stored.provenance.mark_soft_purged(self.clock.now()),
        }
    }

    /// Takes uncacheable markers out: they carry no links to be found by, and the mark of a prefix does not last.
    fn forget<'a>(&self, found: impl Iterator<Item = &'a Arc<Stored>>) {
        for marker in found.filter(|stored| stored.response().is_none()) {
            self.store.remove(marker, Removal::Purged);
        }
    }

    /// Removes, or makes stale, what a large purge has hit, in the background and with pauses: it is no longer served anyway.
    #[expect(
        clippy::disallowed_methods,
        reason = "runs on a blocking thread, and is to leave the cores to requests"
    )]
    fn empty(&self, work: &Pending, mode: PurgeMode) {
        let strike = |stored: &Arc<Stored>, number: usize| {
            if work.covers(stored) {
                self.strike(stored, mode);
            }
            if number.is_multiple_of(BATCH) {
                std::thread::sleep(BATCH_PAUSE);
            }
        };
        match work {
            Pending::Tag(id, _) => {
                let hashes = self.invalidation.ids().key_hashes(*id);
                for (number, hash) in hashes.into_iter().enumerate() {
                    self.store.by_hash(hash).iter().for_each(|stored| strike(stored, number));
                }
            }
            Pending::All(sequence) => {
                if mode == PurgeMode::Hard {
                    self.store.purge_dormant(None, mode, *sequence);
                }
                let mut number = 0;
                self.store.visit(&mut |stored| {
                    number += 1;
                    strike(stored, number);
                });
            }
        }
        if mode == PurgeMode::Hard {
            self.pending.lock().retain(|other| !other.is_same(work));
            // Not before: what memory has evicted meanwhile, unstruck, is in the file.
            if let Pending::Tag(id, sequence) = work {
                self.store.seek_purged(&[PurgeMark::Tag(*id)], *sequence);
            }
        }
    }

    /// The key of a URL.
    pub(in crate::purge) fn key(&self, scheme: Scheme, url: &CanonicalUrl) -> Key {
        Key::new(self.seed, scheme, url.host().as_bytes(), url.path().as_bytes())
    }

    /// Looks at what these targets are about to hit: so many of the most requested, and the hosts of all. Walks over the store
    /// for prefixes and everything: not on a thread that serves requests.
    fn prospect(&self, targets: &[Target], max: usize) -> Prospect {
        let mut prospect = Prospect::default();
        let mut found: Vec<Arc<Stored>> = Vec::new();
        for target in targets {
            found.extend(match self.aim(target) {
                Aim::Tag(id) => self.holders(id),
                Aim::Url(keys, id) => self.under(&keys, id),
                Aim::Prefix(prefix) => {
                    self.all(|stored| prefix.covers(stored.key.host(), stored.key.path()))
                }
                Aim::All => self.all(|_| true),
            });
        }
        found.retain(|stored| stored.response().is_some());
        for stored in &found {
            if prospect.hosts.len() < HOSTS_MAX || prospect.hosts.contains_key(stored.key.host()) {
                prospect.hosts.insert(stored.key.host().to_vec(), stored.key.scheme());
            }
        }
        if max < found.len() {
            found.select_nth_unstable_by_key(max, |stored| Reverse(stored.uses()));
            found.truncate(max);
        }
        found.sort_by_key(|stored| Reverse(stored.uses()));
        prospect.hottest = found;
        prospect
    }

    fn holders(&self, id: TagId) -> Vec<Arc<Stored>> {
        let mut hashes = self.invalidation.ids().key_hashes(id);
        hashes.sort_unstable();
        hashes.dedup();
        let under = hashes.into_iter().flat_map(|hash| self.store.by_hash(hash));
        under.filter(|stored| stored.provenance.carries(id)).collect()
    }

    /// What is stored under a URL: under its keys, and in other spellings, which carry the URL as a tag.
    fn under(&self, keys: &[Key], id: TagId) -> Vec<Arc<Stored>> {
        let under = keys.iter().flat_map(|key| self.store.by_hash(key.hash()));
        let mut under: Vec<_> = under.filter(|stored| keys.contains(&stored.key)).collect();
        let others = self.holders(id).into_iter().filter(|stored| !keys.contains(&stored.key));
        under.extend(others);
        under
    }

    /// Everything that some prefix covers, in one walk over the store however many there are.
    fn covered(&self, aims: &[Aim]) -> Vec<Arc<Stored>> {
        let prefixes: Vec<&UrlPrefix> = aims.iter().filter_map(Aim::prefix).collect();
        if prefixes.is_empty() {
            return Vec::new();
        }
        self.all(|stored| {
            prefixes.iter().any(|prefix| prefix.covers(stored.key.host(), stored.key.path()))
        })
    }

    fn all(&self, is_meant: impl Fn(&Stored) -> bool) -> Vec<Arc<Stored>> {
        let mut all = Vec::new();
        self.store.visit(&mut |stored| {
            if is_meant(stored) {
                all.push(Arc::clone(stored));
            }
        });
        all
    }
}

impl Aim {
    const fn prefix(&self) -> Option<&UrlPrefix> {
        match self {
            Self::Prefix(prefix) => Some(prefix),
            Self::Tag(_) | Self::Url(..) | Self::All => None,
        }
    }

    /// What is to be sought in the file; what a URL's purge and that of everything have hit was taken out of it at once.
    fn sought(&self) -> Option<PurgeMark> {
        match self {
            Self::Tag(_) | Self::Prefix(_) => Some(PurgeMark::of(&self.mark())),
            Self::Url(..) | Self::All => None,
        }
    }

    const fn mark(&self) -> Mark<'_> {
        match self {
            Self::Tag(id) | Self::Url(_, id) => Mark::Tag(*id),
            Self::Prefix(prefix) => Mark::Prefix(prefix),
            Self::All => Mark::All,
        }
    }
}

/// Hosts whose listed URLs one purge may have fetched again.
const HOSTS_MAX: usize = 1000;
/// Responses that a purge looks at one by one while it answers: 0.2 ms of work.
const AT_ONCE_MAX: u64 = 1000;
/// Responses that are removed in the background between two pauses.
const BATCH: usize = 500;
const BATCH_PAUSE: Duration = Duration::from_millis(1);
