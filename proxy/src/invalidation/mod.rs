//! Invalidation: one monotonic purge sequence decides what may still be used.
//!
//! A purge takes the next [`Sequence`] and writes it to the marks of a tag: O(1), however many
//! stored responses carry it. A response remembers the sequence at which its request was sent
//! ([`Provenance::born`]) and holds handles to its tags. It is valid while none of them was marked
//! later. So a purge that arrives while a fetch is in flight wins, and insert, evict and purge need
//! no common lock. A response's URL, its host and *everything* are marked the same way.
//!
//! Three sentences carry the proof:
//! 1. Purges are published in order: marks are written, then the sequence is raised, both under the
//!    lock of `RunningFetches`. Whoever reads sequence `n` sees the marks of every purge up to `n`.
//! 2. A fetch is entered into `RunningFetches` when it reads its sequence, under the same lock, and
//!    leaves it after its response was stored or dropped. A mark that no running fetch is older
//!    than can matter only to those who hold its tag.
//! 3. So a tag without holders, and the purge of a prefix, is forgotten exactly then. When too many
//!    wait for that, the older half is forgotten and the floor rises to it: fetches older than that
//!    are not stored. Too much is invalidated, never too little.
//!
//! A purge counts as a running fetch until it has invalidated the stored responses: until then its
//! marks do.
//!
//! Where purges may have been missed altogether, what was born before is *unproven*: the origin has
//! to confirm it first.

mod sequence;
mod past_purges;
mod marks;
mod condition;
mod predicate_marks;
mod deployments;
mod running_fetches;
mod searches;
mod tag_table;
mod proof;
mod provenance;
mod guards;
pub mod lease;
pub(crate) mod metrics;
pub mod fence;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use purge_protocol::{PurgeMode, UrlPrefix};

pub use self::condition::{Carrier, ConditionTerm, PurgeCondition, Subject, UrlTerm};
pub use self::deployments::{DeployMark, Deployments, Gone};
pub use self::guards::{RunningFetch, RunningPurge};
pub use self::marks::Verdict;
pub use self::past_purges::{PastPurges, PurgeMark, PurgeTimes};
pub use self::provenance::Provenance;
pub use self::searches::{Declaration, HostDeclaration};
pub use self::sequence::Sequence;
pub use self::tag_table::{PathIds, TagId, TagTable, fold_prefix};

use self::fence::RevisionFence;
use self::lease::{Lease, OnExpiry};
use self::marks::Marks;
use self::predicate_marks::{Predicate, PredicateMarks};
use self::proof::Proof;
use self::running_fetches::RunningFetches;
use crate::key::Key;
use process::metrics::Counter;
use process::timestamp::Timestamp;

#[derive(Debug)]
pub enum Mark<'a> {
    /// A tag that the origin gave, a host, a group or a URL.
    Tag(TagId),
    /// What stands for a purged tag where tags are folded. There are few, which are not
    /// forgotten.
    Fold(TagId),
    Prefix(&'a UrlPrefix),
    Condition(&'a Arc<PurgeCondition>),
    /// Responses of other deployments, whenever they come.
    Deploy(&'a DeployMark),
    All,
}

#[derive(Clone, Copy, Debug)]
pub struct Marked {
    /// The place of the purge in the order of all.
    pub sequence: Sequence,
    /// None of it had been marked since its request was sent.
    pub is_first: bool,
}

/// The purge sequence, the marks of all tags, and the fetches that are running.
#[derive(Debug)]
pub struct Invalidation {
    /// The last published purge. Release in `mark`; pairs with the acquires here.
    sequence: AtomicU64,
    running: Mutex<RunningFetches>,
    tags: Arc<TagTable>,
    all: Marks,
    predicates: PredicateMarks,
    deployments: Deployments,
    /// Fetches born before this are not stored.
    floor: AtomicU64,
    /// Rises of the floor because too many marks were kept for a long fetch.
    pub floor_raised: Counter,
    /// Responses born before this are unproven. Zero: none are.
    unproven: AtomicU64,
    lease: Lease,
    fence: RevisionFence,
    /// The first sequence of this process.
    started: Sequence,
}

impl Invalidation {
    /// Makes one in which nothing was purged. `seed` makes the identity of tags unguessable.
    pub fn new(seed: u64) -> Self {
        Self {
            sequence: AtomicU64::new(1),
            running: Mutex::new(RunningFetches::default()),
            tags: Arc::new(TagTable::new(seed)),
            all: Marks::default(),
            predicates: PredicateMarks::default(),
            deployments: Deployments::default(),
            floor: AtomicU64::new(0),
            floor_raised: Counter::default(),
            unproven: AtomicU64::new(0),
            lease: Lease::default(),
            fence: RevisionFence::new(REVISIONS_AT_FIRST),
            started: Sequence(0),
        }
    }

    /// Sets the use of responses after the lease, and the number of revisions to keep.
    pub fn configure(&self, on_expiry: OnExpiry, revisions_max: usize) {
        self.lease.configure(on_expiry);
        self.fence.limit(revisions_max);
    }

    /// The lowest revisions that responses may report to be kept.
    pub const fn fence(&self) -> &RevisionFence {
        &self.fence
    }

    /// The time until which all purges are known to have arrived.
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Marks everything born until now as unproven for good: purges were lost. Returns the first
    /// sequence that is proven.
    pub fn mark_all_unproven(&self) -> Sequence {
        self.leave_unproven(Proof::mark_all)
    }

    /// Marks everything born until now as unproven until the purges that were missed have been
    /// delivered, see [`Self::end_catch_up`].
    pub fn begin_catch_up(&self) -> Sequence {
        self.leave_unproven(Proof::begin_catch_up)
    }

    /// Trusts again what waited for missed purges: all of them have been applied. What is unproven
    /// for other reasons stays so.
    pub fn end_catch_up(&self) {
        self.change_proof(Proof::end_catch_up);
    }

    /// Leaves unproven for good what waited for missed purges, which will not be delivered. Later
    /// responses stay proven.
    pub fn abandon_catch_up(&self) -> Sequence {
        self.change_proof(Proof::abandon_catch_up)
    }

    /// Marks what an earlier process had left unproven: everything born before `until`, as its
    /// journal says.
    pub fn restore_unproven(&self, until: Sequence) {
        self.change_proof(|proof| proof.restore(until));
    }

    /// Returns whether recovered responses wait for purges that were missed.
    pub fn is_catching_up(&self) -> bool {
        self.running.lock().proof.is_catching_up()
    }

    fn leave_unproven(&self, change: impl FnOnce(&mut Proof, Sequence)) -> Sequence {
        let mut running = self.running.lock();
        let next = Sequence(self.sequence.load(Ordering::Relaxed) + 1);
        change(&mut running.proof, next);
        self.unproven.store(running.proof.start().0, Ordering::Release);
        self.sequence.store(next.0, Ordering::Release);
        next
    }

    fn change_proof(&self, change: impl FnOnce(&mut Proof)) -> Sequence {
        let mut running = self.running.lock();
        change(&mut running.proof);
        let start = running.proof.start();
        self.unproven.store(start.0, Ordering::Release);
        start
    }

    /// Restores the lowest revisions of an earlier process, by selector: `tag:x` or `host:x`. Its
    /// origins may lag still.
    pub fn restore_revisions(&self, revisions: &BTreeMap<String, u64>) {
        self.fence.restore(&self.tags, revisions);
    }

    /// Returns whether a response is unproven. Read after the marks, like the floor.
    fn is_unproven(&self, born: Sequence) -> bool {
        born.0 < self.unproven.load(Ordering::Acquire)
    }

    fn proven(&self, born: Sequence, verdict: Verdict) -> Verdict {
        if self.is_unproven(born) { verdict.worse(Verdict::Unproven) } else { verdict }
    }

    /// Restores the purge state of an earlier process: `seed` is its seed, `sequence` is later than
    /// all of its purges, and the past purges are those that matter to the responses it has stored.
    pub fn recovered(seed: u64, sequence: Sequence, past_purges: PastPurges) -> Self {
        let deployments = Deployments::restored(past_purges.deploys().clone());
        let started = Sequence(sequence.0.max(1));
        let invalidation = Self { deployments, started, ..Self::new(seed) };
        invalidation.sequence.store(started.0, Ordering::Release);
        invalidation.running.lock().past_purges = Some(past_purges);
        invalidation
    }

    /// Returns a copy of the past purges; `None` without responses on disk.
    pub fn past_purges(&self) -> Option<PastPurges> {
        self.running.lock().past_purges.clone()
    }

    /// Returns the sequence of the oldest running fetch, or else the present one.
    pub fn oldest_fetch(&self) -> Sequence {
        let running = self.running.lock();
        running.oldest().unwrap_or_else(|| self.sequence())
    }

    /// Forgets past purges that are older than every response on disk.
    pub fn forget_before(&self, oldest_born: Sequence) {
        if let Some(past_purges) = &mut self.running.lock().past_purges {
            past_purges.forget_before(oldest_born);
        }
    }

    /// Restores a response from disk. `enter` is given its provenance, or `None` if it was purged;
    /// it puts the response where a purge finds it. No purge happens meanwhile: those before are in
    /// `PastPurges`, those after invalidate it.
    pub fn restore<T>(
        &self,
        key: &Key,
        born: Sequence,
        tags: &[TagId],
        enter: impl FnOnce(Option<Provenance>) -> T,
    ) -> T {
        let running = self.running.lock();
        let verdict = self.past_verdict(&running, key, born, tags);
        let provenance = (verdict != Verdict::Purged).then(|| {
            let provenance = Provenance::new(born, &self.tags, tags.iter().copied());
            // The floor is for marks that were forgotten; `PastPurges` has forgotten none.
            provenance.remember(self.sequence(), verdict);
            provenance
        });
        enter(provenance)
    }

    pub fn has_purged(&self, key: &Key, born: Sequence, tags: &[TagId]) -> bool {
        self.past_verdict(&self.running.lock(), key, born, tags) == Verdict::Purged
    }

    fn past_verdict(
        &self,
        running: &RunningFetches,
        key: &Key,
        born: Sequence,
        tags: &[TagId],
    ) -> Verdict {
        if born < self.started && !self.tags.knows_classes(key, born, tags) {
            return Verdict::Purged;
        }
        running.past_purges.as_ref().map_or(Verdict::Purged, |past_purges| {
            let subject = Subject::new(key, &tags, &self.tags);
            let verdict = past_purges.verdict(born, tags, &subject);
            verdict.worse(self.deployments.verdict_of_tags(tags, born))
        })
    }

    pub fn sequence(&self) -> Sequence {
        Sequence(self.sequence.load(Ordering::Acquire))
    }

    /// Returns the identities of tags, to be marked or held.
    pub fn ids(&self) -> &TagTable {
        &self.tags
    }

    /// Registers a fetch. Call it before its request is sent to the origin.
    pub fn begin_fetch(self: &Arc<Self>) -> RunningFetch {
        let mut running = self.running.lock();
        let born = self.sequence();
        running.enter(born);
        RunningFetch { invalidation: Arc::clone(self), born }
    }

    /// Registers a purge. Call it before [`Self::mark`]. Its marks last until all stored responses
    /// were invalidated, and this is dropped.
    pub fn begin_purge(self: &Arc<Self>) -> RunningPurge {
        let mut running = self.running.lock();
        let began = self.sequence();
        running.enter_purge(began);
        RunningPurge { invalidation: Arc::clone(self), began }
    }

    /// Marks all of these as purged at one moment and returns its sequence. Every later check sees
    /// them.
    pub fn mark(&self, marks: &[Mark<'_>], mode: PurgeMode, now: Timestamp) -> Sequence {
        self.mark_under(&mut self.running.lock(), marks, mode, now)
    }

    /// Marks what the answer to an unsafe request has changed, and says whether none of it had been
    /// marked since that request was sent: two requests that change one thing at the same time
    /// leave it open which of the answers is the later one.
    pub fn mark_own(
        &self,
        marks: &[Mark<'_>],
        mode: PurgeMode,
        now: Timestamp,
        since: &RunningFetch,
    ) -> Marked {
        let mut running = self.running.lock();
        let is_first = marks.iter().all(|mark| match mark {
            Mark::Tag(id) => self.tags.verdict_of(*id, since.born()) == Verdict::Valid,
            Mark::Fold(_) | Mark::Prefix(_) | Mark::Condition(_) | Mark::Deploy(_) | Mark::All => {
                true
            }
        });
        Marked { sequence: self.mark_under(&mut running, marks, mode, now), is_first }
    }

    fn mark_under(
        &self,
        running: &mut RunningFetches,
        marks: &[Mark<'_>],
        mode: PurgeMode,
        now: Timestamp,
    ) -> Sequence {
        let sequence = Sequence(self.sequence.load(Ordering::Relaxed) + 1);
        for mark in marks {
            self.write(mark, mode, sequence, now, running);
        }
        if let Some(past_purges) = &mut running.past_purges {
            let past = PurgeTimes::of(mode, sequence, now);
            for mark in marks {
                past_purges.note(&PurgeMark::of(mark), past);
            }
        }
        self.sequence.store(sequence.0, Ordering::Release);
        self.forget_settled(running);
        self.make_room(running);
        sequence
    }

    /// Forgets the marks that neither a running fetch nor a purge at work is older than.
    fn forget_settled(&self, running: &mut RunningFetches) {
        let settled = running.oldest().unwrap_or_else(|| self.sequence());
        self.forget_marks(settled, running);
    }

    /// Forgets the older half of the marks where there are too many: only fetches that are older
    /// still are not stored.
    fn make_room(&self, running: &mut RunningFetches) {
        let Some(excess) = running.excess().max(self.predicates.excess()) else { return };
        // A running purge has not invalidated everything yet: its marks stay.
        let limit = running.oldest_purge().map_or(excess, |purge| excess.min(purge));
        if running.oldest().is_some_and(|oldest| oldest < limit) {
            self.floor.fetch_max(limit.0, Ordering::AcqRel); // before any mark goes
            self.floor_raised.add(1);
            running.give_up_before(limit);
            self.forget_marks(limit, running);
        }
    }

    fn forget_marks(&self, settled: Sequence, running: &mut RunningFetches) {
        running.forget_settled(settled, &self.tags);
        self.predicates.forget_settled(settled);
    }

    fn write(
        &self,
        mark: &Mark<'_>,
        mode: PurgeMode,
        sequence: Sequence,
        now: Timestamp,
        running: &mut RunningFetches,
    ) {
        match mark {
            Mark::All => self.all.raise(mode, sequence, now),
            Mark::Tag(id) => {
                self.tags.mark(*id, mode, sequence, now);
                running.keep_mark(sequence, *id);
            }
            Mark::Fold(id) => self.tags.mark(*id, mode, sequence, now),
            Mark::Prefix(prefix) => {
                let predicate = Predicate::Prefix((*prefix).clone());
                self.predicates.add(predicate, mode, sequence, now);
            }
            Mark::Condition(condition) => {
                let predicate = Predicate::Condition(Arc::clone(condition));
                self.predicates.add(predicate, mode, sequence, now);
            }
            Mark::Deploy(deploy) => {
                if let Some(host) = self.deployments.set(deploy, sequence) {
                    self.write(&Mark::Tag(host), PurgeMode::Hard, sequence, now, running);
                }
            }
        }
    }

    /// Decides whether a response may still be used. Cheap when nothing was purged since it was
    /// last asked about it.
    pub fn verdict(&self, provenance: &Provenance, key: &Key) -> Verdict {
        self.proven(provenance.born(), self.verdict_of_purges(provenance, key))
    }

    fn verdict_of_purges(&self, provenance: &Provenance, key: &Key) -> Verdict {
        let sequence = self.sequence();
        let since = match provenance.remembered(sequence) {
            Ok(verdict) => return verdict,
            Err(since) => since,
        };
        let verdict = self.marks_since(provenance, provenance.born(), key);
        let verdict = verdict.worse(self.predicates.verdict(since, &self.subject(provenance, key)));
        let verdict = verdict.worse(self.deployments.verdict(provenance));
        // Marks without holders may be forgotten while a fetch is running: then the floor replaces
        // them, and it was raised before they went. What was found valid once was in the store,
        // where the purge itself has invalidated it.
        if provenance.is_unchecked() && !self.is_above_floor(provenance.born()) {
            return provenance.remember(sequence, Verdict::Purged);
        }
        provenance.remember(sequence, verdict)
    }

    /// Decides whether a response may still be used that has been held since then, and may have
    /// left the store meanwhile: marks that are newer were not forgotten, unless the floor has
    /// risen over them.
    pub fn verdict_of_held(
        &self,
        provenance: &Provenance,
        since: &RunningFetch,
        key: &Key,
    ) -> Verdict {
        let verdict = self.verdict(provenance, key);
        if self.is_above_floor(since.born()) { verdict } else { Verdict::Purged }
    }

    /// Returns whether storing a response makes sense. After it is stored, [`Self::may_keep`]
    /// decides.
    pub fn may_store(&self, provenance: &Provenance, key: &Key) -> bool {
        self.judge(provenance, key) != Verdict::Purged && self.is_above_floor(provenance.born())
    }

    /// Returns whether a response that was just stored may stay: no hard purge overtook its fetch.
    pub fn may_keep(&self, provenance: &Provenance, key: &Key) -> bool {
        self.verdict(provenance, key) != Verdict::Purged && self.is_above_floor(provenance.born())
    }

    /// Decides whether nothing that this response carries was purged since a later fetch was born:
    /// then that fetch may confirm it.
    pub fn may_confirm(&self, provenance: &Provenance, born: Sequence, key: &Key) -> bool {
        self.judge_since(provenance, born, key) == Verdict::Valid
            && self.deployments.is_unchanged(provenance, born)
            && self.is_above_floor(born)
    }

    /// Returns whether later requests may join a flight born then, as far as the key alone tells.
    pub fn may_join(&self, born: Sequence, key: &Key) -> bool {
        let host = self.tags.host(key.host());
        let place = |is_of_other_page| self.tags.verdict_of_place(key, || is_of_other_page, born);
        self.all.verdict(born) == Verdict::Valid
            && self.tags.verdict_of_url(key, born) == Verdict::Valid
            && [false, true].map(place) == [Verdict::Valid; 2]
            && self.tags.verdict_of(host, born) == Verdict::Valid
            && self.predicates.verdict_of_key(born, key) == Verdict::Valid
            && self.is_above_floor(born)
            && !self.is_unproven(born)
    }

    /// Returns whether a response is above the floor. Read after the marks: the floor rises before
    /// any of them is forgotten.
    fn is_above_floor(&self, born: Sequence) -> bool {
        born.0 >= self.floor.load(Ordering::Acquire)
    }

    /// Decides whether a request that arrived at `arrived` may be given the response of a fetch
    /// born before it.
    ///
    /// Nothing was purged in between: yes. Otherwise only if none of the response's own marks was
    /// raised since its birth; a mark does not tell how often it was raised, so this errs towards
    /// another fetch. The fetch is registered meanwhile.
    pub fn may_follow(&self, provenance: &Provenance, arrived: Sequence, key: &Key) -> bool {
        arrived <= provenance.born()
            || self.judge(provenance, key) == Verdict::Valid
                && !provenance.is_purged()
                && self.is_above_floor(provenance.born())
    }

    /// Decides whether no purge but `own` has hit a response since its request was sent.
    pub fn is_undisturbed(
        &self,
        provenance: &Provenance,
        since: &RunningFetch,
        own: Sequence,
        key: &Key,
    ) -> bool {
        let since = since.born();
        self.all.has_only(since, own)
            && self.tags.has_only(self.tags.url(key), since, own)
            && self.tags.has_only(self.tags.place(key, provenance.is_of_other_page()), since, own)
            && provenance.tags().all(|tag| tag.marks().has_only(since, own))
            && self.predicates.verdict(since, &self.subject(provenance, key)) == Verdict::Valid
            && self.deployments.is_unchanged(provenance, since)
            && self.is_above_floor(since)
            && !self.is_unproven(since)
    }

    fn judge(&self, provenance: &Provenance, key: &Key) -> Verdict {
        if self.tags.may_have_missed_a_url(provenance.born(), provenance.ids()) {
            return Verdict::Purged;
        }
        let purges = self.judge_since(provenance, provenance.born(), key);
        purges.worse(self.deployments.verdict(provenance))
    }

    fn judge_since(&self, provenance: &Provenance, born: Sequence, key: &Key) -> Verdict {
        let verdict = self.marks_since(provenance, born, key);
        let predicates = self.predicates.verdict(born, &self.subject(provenance, key));
        self.proven(born, verdict.worse(predicates))
    }

    /// The verdict of all marks but those of prefixes and conditions.
    fn marks_since(&self, provenance: &Provenance, born: Sequence, key: &Key) -> Verdict {
        let tags = provenance.tags().map(|tag| tag.marks().verdict(born));
        let url = self.tags.verdict_of_url(key, born);
        let is_of_other_page = || provenance.is_of_other_page();
        let place = self.tags.verdict_of_place(key, is_of_other_page, born);
        tags.fold(self.all.verdict(born).worse(url).worse(place), Verdict::worse)
    }

    fn subject<'a>(&'a self, provenance: &'a Provenance, key: &'a Key) -> Subject<'a> {
        Subject::new(key, provenance, &self.tags)
    }

    fn end_fetch(&self, born: Sequence) {
        let mut running = self.running.lock();
        running.leave(born);
        self.forget_settled(&mut running);
    }

    fn end_purge(&self, began: Sequence) {
        let mut running = self.running.lock();
        running.leave_purge(began);
        self.forget_settled(&mut running);
    }

    /// Returns the number of tags, with or without holders.
    pub fn tag_count(&self) -> usize {
        self.tags.len()
    }

    /// Returns the number of purges by prefix that are kept for running fetches.
    pub fn prefix_count(&self) -> usize {
        self.predicates.counts().0
    }

    /// Returns the number of purges by condition that are kept for running fetches.
    pub fn condition_count(&self) -> usize {
        self.predicates.counts().1
    }

    /// The present deployments.
    pub const fn deployments(&self) -> &Deployments {
        &self.deployments
    }

    /// Returns the identity of the deployment that a response names.
    pub fn deployment(&self, name: &[u8]) -> TagId {
        let id = self.tags.deployment(name);
        if let Ok(name) = std::str::from_utf8(name) {
            self.deployments.note(name, id);
        }
        id
    }
}

/// Revisions that are remembered until [`Invalidation::configure`] says how many.
const REVISIONS_AT_FIRST: usize = 10_000;

#[cfg(test)]
mod tests;
