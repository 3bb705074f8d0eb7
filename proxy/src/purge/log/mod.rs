//! The purge log: applies what a purger delivers, knows how far it has come, and what that means
//! for what is stored.
//!
//! The rules are in [`purge_protocol::log`]. A position moves after the purges below it are in
//! force, and a batch is answered after both are as durable as what is stored. So a batch that
//! broke off is sent again, and does no harm.

pub mod metrics;
pub mod positions;
pub mod reading;
pub mod rewarm;
pub mod endpoint;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use purge_protocol::PurgeMode;
use purge_protocol::log::{Applied, Batch, Hit, LogId, LogState, LogStatus, Position, Rewarm};
use purge_protocol::request::Target;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::metrics::{BatchOutcome, LogMetrics};
use self::positions::{BatchKind, Positions};
use self::reading::{CheckedBatch, CheckedPurge};
use self::rewarm::{Order, Queue, RewarmMetrics};
use super::PurgeExecutor;
use super::watched::{LoggedPurges, note_logged, text_of, word_of};
use crate::invalidation::Invalidation;
use crate::live::purges::{PURGES_MAX, SelectorRoom};
use crate::live::snapshot::RecentPurge;
use crate::policy::LiveSettings;
use crate::store::journal::{Journal, JournalEntry, JournalError};
use process::clock::Clock;
use process::timestamp::Timestamp;

#[derive(Debug)]
pub struct PurgeLog {
    executor: Arc<PurgeExecutor>,
    invalidation: Arc<Invalidation>,
    journal: Journal,
    clock: Clock,
    settings: Arc<LiveSettings>,
    instance: String,
    positions: Mutex<Positions>,
    /// One batch at a time for each partition.
    turns: Mutex<HashMap<LogId, Turn>>,
    started: Timestamp,
    /// The time of the last batch in milliseconds; zero: never.
    last_batch: AtomicU64,
    rewarm: Queue,
    orders: Mutex<Option<mpsc::Receiver<Order>>>,
    said: Mutex<LogState>,
    pub metrics: LogMetrics,
}

type Turn = Arc<tokio::sync::Mutex<()>>;

/// The reason why a checked batch was not acknowledged.
/// The reason why a topic was not forgotten.
#[derive(Debug, thiserror::Error)]
pub enum NotForgotten {
    #[error(
        "A purger spoke of this topic within `purge.log.lease` ({0:?}): take it out of \
         `purger.topics` of all purgers first, and wait so long."
    )]
    Attended(Duration),
    #[error("The order is in force, and not durable: {0}")]
    Journal(#[from] JournalError),
}

#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// The batch begins above the position. The purger continues from the log status.
    #[error("a purge before this batch is missing")]
    Gap(LogStatus),
    #[error("there are positions in {0} partitions already, which is the limit")]
    Partitions(usize),
    /// The batch is not durable. The purger sends it again.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The numbers that are shown of the purge log.
#[derive(Debug)]
pub struct Figures {
    pub log_status: LogStatus,
    /// The age of the moment up to which every purge is known to have been applied.
    pub clean_age: Option<Duration>,
    pub last_batch_age: Option<Duration>,
    pub is_catching_up: bool,
    pub is_degraded: bool,
}

impl PurgeLog {
    /// Starts at the positions that were recovered with the store. Recovered responses are unproven
    /// until these are current.
    pub fn new(
        executor: Arc<PurgeExecutor>,
        invalidation: Arc<Invalidation>,
        (journal, recovered): (Journal, Vec<Position>),
        clock: Clock,
        settings: Arc<LiveSettings>,
    ) -> Arc<Self> {
        let started = clock.now();
        let positions = Positions::recovered(recovered, started);
        if positions.is_behind() {
            invalidation.begin_catch_up();
        }
        let (rewarm, orders) = Queue::new();
        let log = Self {
            executor,
            invalidation,
            journal,
            clock,
            settings,
            instance: uuid::Uuid::now_v7().to_string(),
            positions: Mutex::new(positions),
            turns: Mutex::default(),
            started,
            last_batch: AtomicU64::new(0),
            rewarm,
            orders: Mutex::new(Some(orders)),
            said: Mutex::default(),
            metrics: LogMetrics::default(),
        };
        log.renew(&log.positions.lock());
        log.tick();
        Arc::new(log)
    }

    /// Applies a batch that was received at that moment. When this returns `Ok`, its purges are in
    /// force and durable.
    pub async fn apply(
        &self,
        checked: CheckedBatch,
        received: Timestamp,
    ) -> Result<Applied, Rejected> {
        let CheckedBatch { batch, purges } = checked;
        let turn = self.turn(&batch.log)?;
        let _turn = turn.lock().await;
        let is_meant = batch.instance.as_ref().is_none_or(|instance| *instance == self.instance);
        let position = self.positions.lock().position_of(&batch);
        self.last_batch.store(self.clock.now().as_millis(), Ordering::Relaxed);
        let (true, Ok(position)) = (is_meant, position) else {
            self.metrics.count(BatchOutcome::Gap);
            tracing::debug!(purger = batch.purger, from = batch.from, "a gap in the purge log");
            return Err(Rejected::Gap(self.log_status()));
        };
        if let Some(reason) = batch.start {
            let Batch { log, purger, to, .. } = &batch;
            tracing::warn!(
                topic = log.topic,
                partition = log.partition,
                next = to,
                purger,
                ?reason,
                "the position in the purge log is set: what was stored before is validated before it is used"
            );
            let until = self.invalidation.mark_all_unproven().number();
            self.journal.append(JournalEntry::Unproven { until });
        }
        let all = purges.len();
        let due: Vec<_> =
            purges.into_iter().filter(|purge| purge.offset >= position.applied).collect();
        self.raise_fence(&due);
        self.metrics.purges.add(due.len() as u64);
        self.metrics.skipped.add((all - due.len()) as u64);
        let noted = Self::noted(&batch, &due);
        let hits = self.purge(due, &batch.log).await;
        note_logged(&self.executor, noted, &hits);
        let next = self.advance(&batch, position.kind, received).await?;
        let clock = Some(self.clock.now().as_millis());
        Ok(Applied { instance: self.instance.clone(), next, clock, hits })
    }

    /// Returns the last ones of these purges, for people.
    fn noted(batch: &Batch, purges: &[CheckedPurge]) -> LoggedPurges {
        let mut room = SelectorRoom::default();
        let of_log = |offset: i64| {
            let LogId { topic, partition, .. } = &batch.log;
            format!("{topic}/{partition}@{offset}")
        };
        let mut note = |purge: &CheckedPurge| {
            let request = &purge.logged.request;
            let about = RecentPurge {
                selector: text_of(&purge.selectors),
                mode: word_of(purge.mode).to_owned(),
                event: request.id.clone(),
                position: Some(of_log(purge.offset)),
                reason: request.reason.clone(),
                ..RecentPurge::default()
            };
            (purge.offset, about, room.copy(&purge.selectors))
        };
        let mut noted: Vec<_> = purges.iter().rev().take(PURGES_MAX).map(&mut note).collect();
        noted.reverse();
        LoggedPurges { purges: noted, begun: Instant::now() }
    }

    /// Notes the revisions that purges announce: before they are in force, so that whatever is
    /// fetched after them meets the fence. Hosts of purged URLs count, as a URL's response reports
    /// the revision of its site.
    fn raise_fence(&self, purges: &[CheckedPurge]) {
        let (ids, fence) = (self.invalidation.ids(), self.invalidation.fence());
        for purge in purges {
            let Some(revision) = purge.logged.revision else { continue };
            for (_, target) in &purge.selectors {
                let (id, selector) = match target {
                    Target::Tag(tag) => (ids.tag(tag.as_str().as_bytes()), format!("tag:{tag}")),
                    Target::Host(host) => (ids.host(host.as_bytes()), format!("host:{host}")),
                    Target::Url(url) | Target::Page(url) | Target::Path(url) => {
                        (ids.host(url.host().as_bytes()), format!("host:{}", url.host()))
                    }
                    Target::Prefix(_) | Target::Expression(_) | Target::Deploy(_) | Target::All => {
                        continue;
                    }
                };
                fence.raise(id, revision);
                self.journal.append(JournalEntry::Revision { selector, revision });
            }
        }
    }

    /// Returns the lock of a partition; a new partition needs a free place.
    fn turn(&self, log: &LogId) -> Result<Turn, Rejected> {
        let mut turns = self.turns.lock();
        if let Some(turn) = turns.get(log) {
            return Ok(Arc::clone(turn));
        }
        if turns.len() >= PARTITIONS_MAX {
            let positions = self.positions.lock();
            turns.retain(|log, turn| positions.has(log) || Arc::strong_count(turn) > 1);
            drop(positions);
        }
        if turns.len() >= PARTITIONS_MAX {
            return Err(Rejected::Partitions(turns.len()));
        }
        Ok(Arc::clone(turns.entry(log.clone()).or_default()))
    }

    /// Moves the position, and waits until it and all before it is durable.
    async fn advance(
        &self,
        batch: &Batch,
        kind: BatchKind,
        received: Timestamp,
    ) -> Result<i64, JournalError> {
        let (position, is_new) = {
            let mut positions = self.positions.lock();
            let is_new = !positions.has(&batch.log);
            let position = positions.take(batch, received);
            self.renew(&positions);
            self.journal_forgotten(&mut positions);
            (position, is_new)
        };
        let next = position.next;
        if is_new || !matches!(kind, BatchKind::Heartbeat) {
            self.journal.append(JournalEntry::Position(position));
            let settled = self.journal.settled().await;
            settled.or_else(|error| self.without_journal(error))?;
        }
        self.metrics.count(match kind {
            BatchKind::Start => BatchOutcome::Started,
            BatchKind::Advance => BatchOutcome::Applied,
            BatchKind::Heartbeat => BatchOutcome::Heartbeat,
            BatchKind::Repeat => BatchOutcome::Repeated,
        });
        self.tick();
        Ok(next)
    }

    /// A batch is acknowledged though the device has failed: nothing of this store is used after a
    /// restart, and the purger must come to the purges behind this one.
    fn without_journal(&self, error: JournalError) -> Result<(), JournalError> {
        self.metrics.count(BatchOutcome::Failed);
        match error {
            JournalError::HandedOver => Err(error),
            JournalError::Device(reason) => {
                tracing::debug!(reason, "a batch of the purge log is in force, but not durable");
                Ok(())
            }
        }
    }

    /// Forgets the positions in a topic that no purger names any more, which keep the proxy
    /// degraded; returns how many there were, once that is durable.
    pub async fn forget_topic(&self, topic: &str) -> Result<usize, NotForgotten> {
        let partitions = {
            let mut positions = self.positions.lock();
            let Some(attended) = positions.attended(topic) else { return Ok(0) };
            let lease = self.settings.current().purge.log.lease;
            if self.clock.now().since(attended) < lease {
                return Err(NotForgotten::Attended(lease));
            }
            let partitions = positions.forget_topic(topic);
            self.renew(&positions);
            self.journal_forgotten(&mut positions);
            partitions
        };
        self.journal.settled().await?;
        tracing::warn!(topic, partitions, "positions in a topic are forgotten by order");
        self.tick();
        Ok(partitions)
    }

    /// Has a restart not wait for partitions that are gone.
    fn journal_forgotten(&self, positions: &mut Positions) {
        for log in positions.take_forgotten() {
            self.journal.append(JournalEntry::Forgotten(log));
        }
    }

    /// Applies purges in their order: runs of one mode at once, but not too many, so that fetches
    /// can begin in between.
    async fn purge(&self, purges: Vec<CheckedPurge>, log: &LogId) -> Vec<Hit> {
        let mut hits = Vec::new();
        let mut run = Run::default();
        for purge in purges {
            let rewarm = purge.logged.rewarm.clone().filter(|rewarm| rewarm.max > 0);
            let is_large = self.is_large(&purge);
            if rewarm.is_some() || is_large || !run.takes(&purge) {
                run.apply(&self.executor, log, &mut hits).await;
            }
            match rewarm {
                Some(rewarm) => self.purge_and_rewarm(purge, &rewarm, log, &mut hits).await,
                None => run.add(purge),
            }
            if is_large {
                run.apply(&self.executor, log, &mut hits).await;
            }
        }
        run.apply(&self.executor, log, &mut hits).await;
        hits
    }

    /// Returns whether a purge is counted in constant time only if it is applied alone.
    fn is_large(&self, purge: &CheckedPurge) -> bool {
        matches!(&*purge.selectors, [(_, target)] if self.executor.is_large(target))
    }

    /// Applies a purge that requests fetches after it.
    async fn purge_and_rewarm(
        &self,
        purge: CheckedPurge,
        rewarm: &Rewarm,
        log: &LogId,
        hits: &mut Vec<Hit>,
    ) {
        let targets: Arc<[Target]> =
            purge.selectors.iter().map(|(_, target)| target.clone()).collect();
        let max = usize::try_from(rewarm.max)
            .unwrap_or(usize::MAX)
            .min(self.settings.current().purge.log.rewarm_queue);
        let (executor, about) = (Arc::clone(&self.executor), Arc::clone(&targets));
        let candidates =
            tokio::task::spawn_blocking(move || executor.rewarm_candidates(&about, max)).await;
        let mut run = Run::default();
        run.add(purge);
        run.apply(&self.executor, log, hits).await;
        let candidates = candidates.unwrap_or_default();
        self.rewarm.order(&self.executor, &self.invalidation, (&targets, rewarm), &candidates);
    }

    pub const fn rewarming(&self) -> &Arc<RewarmMetrics> {
        &self.rewarm.metrics
    }

    pub fn take_orders(&self) -> Option<mpsc::Receiver<Order>> {
        self.orders.lock().take()
    }

    /// Sets the end of the lease after the positions have changed.
    fn renew(&self, positions: &Positions) {
        let end = match positions.clean() {
            Some(clean) => clean.plus(self.settings.current().purge.log.lease),
            None if self.settings.current().purge.log.required => Timestamp::default(),
            None => Timestamp::MAX,
        };
        self.invalidation.lease().set_end(end);
    }

    /// Ends the catch-up, or abandons it after its deadline; forgets renamed topics; logs changes
    /// of the state. Called regularly. After a hand-over that is up to whoever serves then.
    pub fn tick(&self) {
        if self.journal.is_handed_over() {
            return;
        }
        let now = self.clock.now();
        let is_late =
            now.since(self.started) >= self.settings.current().purge.log.catch_up_deadline;
        if is_late {
            let mut positions = self.positions.lock();
            if positions.forget_unattended() {
                self.renew(&positions);
                self.journal_forgotten(&mut positions);
                tracing::warn!("positions in topics that no purger names any more are forgotten");
            }
        }
        if self.invalidation.is_catching_up() {
            let mut positions = self.positions.lock();
            if !positions.is_behind() {
                positions.end_catch_up();
                self.invalidation.end_catch_up();
                tracing::info!(
                    "caught up with the purge log: recovered responses are trusted again"
                );
            } else if is_late {
                positions.end_catch_up();
                let until = self.invalidation.abandon_catch_up().number();
                self.journal.append(JournalEntry::Unproven { until });
                tracing::error!(
                    "did not catch up with the purge log in time: what was recovered is validated before it is used"
                );
            }
        }
        self.say(self.state(now));
    }

    fn say(&self, state: LogState) {
        let mut said = self.said.lock();
        if std::mem::replace(&mut *said, state) == state {
            return;
        }
        drop(said);
        match state {
            LogState::Degraded => tracing::error!(
                on_expiry = ?self.settings.current().purge.log.on_expiry,
                "no purger heartbeat within purge.log.lease: degraded"
            ),
            state => tracing::info!(?state, "the purge log"),
        }
    }

    pub fn state(&self, now: Timestamp) -> LogState {
        let positions = self.positions.lock();
        if positions.is_behind()
            || positions.is_empty() && self.settings.current().purge.log.required
        {
            LogState::CatchingUp
        } else if positions.is_empty() {
            LogState::Unattended
        } else if self.invalidation.lease().is_over(now) {
            LogState::Degraded
        } else {
            LogState::Current
        }
    }

    /// Returns the reason why the proxy is not ready, as a line of text; `None` if it is ready.
    pub fn unready(&self) -> Option<&'static str> {
        let positions = self.positions.lock();
        if positions.is_behind() {
            Some("catching up: purges from before the start are missing\n")
        } else if positions.is_empty() && self.settings.current().purge.log.required {
            Some("unattended: purge.log.required is set, and no purger has been there\n")
        } else {
            None
        }
    }

    /// Returns the state and the positions of this process.
    pub fn log_status(&self) -> LogStatus {
        let now = self.clock.now();
        let state = self.state(now);
        let positions = self.positions.lock().shown(now);
        LogStatus {
            instance: self.instance.clone(),
            state,
            clock: Some(now.as_millis()),
            positions,
        }
    }

    /// Returns the number of records of a partition that are known to wait.
    pub fn lag(&self, log: &LogId) -> Option<u64> {
        self.positions.lock().lag(log)
    }

    pub fn figures(&self) -> Figures {
        let now = self.clock.now();
        let last_batch = self.last_batch.load(Ordering::Relaxed);
        let last_batch = (last_batch > 0).then(|| Timestamp::from_millis(last_batch));
        Figures {
            log_status: self.log_status(),
            clean_age: self.positions.lock().clean().map(|clean| now.since(clean)),
            last_batch_age: last_batch.map(|last| now.since(last)),
            is_catching_up: self.invalidation.is_catching_up(),
            is_degraded: self.invalidation.lease().is_over(now),
        }
    }
}

/// Purges of one mode that follow each other.
#[derive(Debug, Default)]
struct Run {
    mode: PurgeMode,
    targets: Vec<Target>,
    /// The first of them, as a line for the log.
    named: String,
    /// The offset of each purge, and how many selectors it has.
    purges: Vec<(i64, usize)>,
}

impl Run {
    const fn takes(&self, purge: &CheckedPurge) -> bool {
        self.targets.is_empty()
            || purge.mode as u8 == self.mode as u8
                && self.targets.len() + purge.selectors.len() <= RUN_MAX
    }

    fn add(&mut self, purge: CheckedPurge) {
        self.mode = purge.mode;
        if self.purges.is_empty() {
            self.named = text_of(&purge.selectors);
        } else if self.purges.len() == 1 {
            self.named.push_str(", and more");
        }
        self.purges.push((purge.offset, purge.selectors.len()));
        self.targets.extend(purge.selectors.into_iter().map(|(_, target)| target));
    }

    async fn apply(&mut self, executor: &Arc<PurgeExecutor>, log: &LogId, hits: &mut Vec<Hit>) {
        if self.targets.is_empty() {
            return;
        }
        let Self { mode, targets, named, purges } = std::mem::take(self);
        let objects = executor.apply_logged(&targets, mode).await;
        let (first, last) = (purges.first(), purges.last());
        if let (Some((from, _)), Some((to, _))) = (first, last) {
            let (selectors, objects) = (targets.len(), objects.iter().sum::<u64>());
            let LogId { topic, partition, .. } = log;
            tracing::info!(
                mode = word_of(mode),
                named,
                selectors,
                objects,
                source = "kafka",
                topic,
                partition,
                from,
                to,
                "purged"
            );
        }
        let mut objects = objects.into_iter();
        for (offset, selectors) in purges {
            let objects: u64 = objects.by_ref().take(selectors).sum();
            match hits.last_mut().filter(|hit| hit.offset == offset) {
                Some(hit) => hit.objects += objects, // one record may be several purges
                None if objects > 0 => hits.push(Hit { offset, objects }),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;

/// Selectors that are marked under one lock: 0.1 ms.
const RUN_MAX: usize = 1000;
/// Partitions that the proxy may have positions in.
const PARTITIONS_MAX: usize = 4096;
