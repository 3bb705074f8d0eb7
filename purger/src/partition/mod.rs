//! A partition that is assigned to this purger: what was read of it, what is held for proxies, what
//! may be committed.
//!
//! The consumer's thread writes, the deliveries read: one lock, never held across a wait.

pub mod commit_tracker;
pub mod end_offsets;
pub mod pending;
pub mod window;

mod state;

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use purge_protocol::log::LogId;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::commit_tracker::{CommitTracker, TargetId};
use self::end_offsets::EndOffset;
use self::pending::{Work, WorkKind};
use self::state::PartitionState;
use self::window::{HeldRecord, Slice, Window, WindowLimits};

pub use self::state::Progress;

#[derive(Debug)]
pub struct Partition {
    pub log: LogId,
    /// Differs when the partition is assigned again, and when its log was replaced: offsets of one
    /// incarnation say nothing of another.
    pub incarnation: u64,
    /// When it was assigned.
    pub assigned: Instant,
    /// Number of partitions of its topic; [`PARTITIONS_MAX`] while it is not known.
    partitions: AtomicI32,
    /// Cancelled when the partition is revoked or reopened: deliveries from it stop.
    pub closing: CancellationToken,
    /// Cancelled when the partition is revoked: its pending work is another purger's now.
    pub revoked: CancellationToken,
    state: Mutex<PartitionState>,
    /// The partition that has its pending work, after it was reopened.
    successor: OnceLock<Arc<Self>>,
    /// Everything below this offset has been read; `-1`: not known yet.
    read_to: watch::Sender<i64>,
}

impl Partition {
    /// Opens a partition. It begins at its first record, or at the offset that [`Self::begin_at`]
    /// is told before.
    pub fn open(log: LogId, limits: WindowLimits) -> Arc<Self> {
        Arc::new(Self {
            log,
            incarnation: next_incarnation(),
            assigned: Instant::now(),
            partitions: AtomicI32::new(PARTITIONS_MAX),
            closing: CancellationToken::new(),
            revoked: CancellationToken::new(),
            state: Mutex::new(PartitionState::new(CommitTracker::default(), limits)),
            successor: OnceLock::new(),
            read_to: watch::Sender::new(-1),
        })
    }

    /// Opens the partition once more, because its log has changed. If the log goes on at `offset`,
    /// it is the same incarnation, and pending work stays pending.
    pub fn reopened(&self, offset: i64) -> Arc<Self> {
        let mut old = self.state.lock();
        let mut commits = CommitTracker::default();
        let goes_on = old.window.as_ref().is_some_and(|window| window.end() <= offset);
        if goes_on {
            commits.take_pending(&mut old.commits);
        }
        let again = Arc::new(Self {
            log: self.log.clone(),
            incarnation: if goes_on { self.incarnation } else { next_incarnation() },
            assigned: self.assigned,
            partitions: AtomicI32::new(self.partitions()),
            closing: CancellationToken::new(),
            revoked: self.revoked.clone(),
            state: Mutex::new(PartitionState::new(commits, old.limits())),
            successor: OnceLock::new(),
            read_to: watch::Sender::new(-1),
        });
        if goes_on {
            let _is_first = self.successor.set(Arc::clone(&again));
        }
        again
    }

    /// Sets the bytes of records and of pending work that are held, as this partition's share of
    /// the memory changes.
    pub fn set_memory(&self, bytes: u64, pending: u64) {
        let mut state = self.state.lock();
        let limits = WindowLimits { bytes, ..state.limits() };
        state.set_limits(limits);
        for kind in WorkKind::ALL {
            state.commits.pending(kind).limit(kind.bytes_of(pending));
        }
    }

    pub fn set_batch(&self, bytes: usize) {
        let mut state = self.state.lock();
        let limits = WindowLimits { batch: bytes, ..state.limits() };
        state.set_limits(limits);
    }

    pub fn partitions(&self) -> i32 {
        self.partitions.load(Ordering::Relaxed)
    }

    /// Returns whether the number of partitions is known. Until then proxies assume that some are
    /// missing, and their leases are not renewed.
    pub fn is_counted(&self) -> bool {
        self.partitions() != PARTITIONS_MAX
    }

    pub fn set_partitions(&self, count: i32) {
        self.partitions.store(count, Ordering::Relaxed);
    }

    /// Sets the first offset, unless a record came before.
    pub fn begin_at(&self, offset: i64) {
        let is_new = self.state.lock().begin_at(offset);
        if is_new {
            self.read_to.send_replace(offset);
        }
    }

    pub fn has_begun(&self) -> bool {
        self.state.lock().window.is_some()
    }

    /// Returns whether a record at this offset does not follow on what was read: the log is another
    /// one, or records expired.
    pub fn is_discontinuous_at(&self, offset: i64) -> bool {
        self.state.lock().is_discontinuous_at(offset)
    }

    /// Adds pending work for the record at this offset, before the record itself; returns whether
    /// the work may begin. If not, the record will be read again for it.
    pub fn add_pending(&self, offset: i64, work: Work) -> bool {
        let mut state = self.state.lock();
        state.reach(offset);
        state.commits.add_pending(offset, work, Instant::now())
    }

    /// Adds pending work that has begun already, whatever memory it takes.
    pub fn hold_pending(&self, offset: i64, work: Work) {
        let mut state = self.state.lock();
        match self.successor.get() {
            Some(successor) => {
                drop(state);
                successor.hold_pending(offset, work);
            }
            None => state.commits.pending(work.kind).hold(offset, work),
        }
    }

    /// Returns the range of records to read again for work of this kind, once there is room for it.
    pub fn due_for_reread(&self, kind: WorkKind) -> Option<(i64, i64)> {
        self.state.lock().commits.pending(kind).due()
    }

    /// Records that the log was read again up to this record; returns the time of its first reading
    /// if its work may begin.
    pub fn resume_pending(&self, offset: i64, work: Work) -> Option<Instant> {
        let mut state = self.state.lock();
        let pending = state.commits.pending(work.kind);
        pending.pass(offset);
        pending.resume(offset, work)
    }

    /// Records that no record below this offset has to be read again for work of this kind.
    pub fn skip_pending(&self, offset: i64, kind: WorkKind) {
        self.state.lock().commits.pending(kind).pass(offset);
    }

    pub fn complete(&self, offset: i64, kind: WorkKind) {
        let mut state = self.state.lock();
        match self.successor.get() {
            Some(successor) => {
                drop(state);
                successor.complete(offset, kind);
            }
            None => state.commits.pending(kind).complete(offset),
        }
    }

    pub fn push(&self, offset: i64, fingerprint: u64, held: Option<HeldRecord>) {
        self.state.lock().push(offset, fingerprint, held);
        self.read_to.send_replace(offset + 1);
    }

    /// Records that the log holds nothing more below this offset.
    pub fn skip_to(&self, offset: i64) {
        let is_news = self.state.lock().skip_to(offset);
        if is_news {
            self.read_to.send_replace(offset);
        }
    }

    /// Records that a record may have been passed over because it could not be read: a small gap is
    /// no transaction's marker then.
    pub fn doubt(&self) {
        self.state.lock().doubt();
    }

    /// Records that the log holds nothing below this offset any more.
    pub fn record_low(&self, low: i64) {
        self.state.lock().end_offsets.record_low(low);
    }

    /// Records that everything that was not read below `to` is lost.
    pub fn record_loss(&self, to: i64) {
        self.state.lock().end_offsets.record_loss(to);
    }

    /// Returns the end of lost records, once.
    pub fn take_loss(&self) -> Option<i64> {
        self.state.lock().end_offsets.take_loss()
    }

    /// Records that the log ends before what was read of it: it is another one, or was cut.
    pub fn record_truncation(&self, high: i64) {
        self.state.lock().end_offsets.record_truncation(high);
    }

    /// Returns an end that lies before what was read, once.
    pub fn take_truncation(&self) -> Option<i64> {
        self.state.lock().end_offsets.take_truncation()
    }

    pub fn record_end_offset(&self, end_offset: EndOffset) {
        self.state.lock().end_offsets.record(end_offset);
    }

    pub fn last_end_offset(&self) -> Option<EndOffset> {
        self.state.lock().end_offsets.last()
    }

    /// Returns the time since when everything that was then in the log is known to lie below this
    /// offset.
    pub fn clean_since(&self, next: i64) -> Option<Duration> {
        self.state.lock().end_offsets.clean_since(next)
    }

    /// Returns whether the consumer has to pause because too much is held for proxies. Proxies that
    /// hold it while others are far ahead of them are released first. Pending work never pauses the
    /// consumer.
    pub fn is_full(&self) -> bool {
        self.state.lock().trim()
    }

    /// Returns the offset below which everything may be committed; `None`: nothing is known yet.
    pub fn committable(&self) -> Option<i64> {
        let mut state = self.state.lock();
        state.window.is_some().then(|| state.commits.committable())
    }

    pub fn read_to(&self) -> watch::Receiver<i64> {
        self.read_to.subscribe()
    }

    /// Returns the next batch for a proxy at this position; `None`: its records have to be read
    /// from Kafka.
    pub fn slice(&self, next: i64, purges_max: usize) -> Option<Slice> {
        self.state.lock().window.as_ref()?.slice(next, purges_max)
    }

    pub fn window_start(&self) -> Option<i64> {
        self.state.lock().window.as_ref().map(Window::start)
    }

    /// Returns the fingerprint of the record at this offset if it is held.
    pub fn fingerprint_at(&self, offset: i64) -> Option<u64> {
        self.state.lock().window.as_ref()?.fingerprint_at(offset)
    }

    /// Records that a proxy that keeps up has confirmed everything below `next`; returns the ages
    /// of the changes that every such proxy has confirmed now.
    pub fn confirm(&self, target: TargetId, next: i64, now: SystemTime) -> Vec<Duration> {
        self.state.lock().confirm(target, next, now)
    }

    /// Expects a proxy to report its position: what it may lack is not committed before, unless it
    /// takes too long.
    pub fn expect(&self, target: TargetId) {
        self.state.lock().commits.expect(target);
    }

    /// Releases a proxy that does not keep up: it delays no commit from now on.
    pub fn release(&self, target: TargetId) {
        self.state.lock().commits.release(target);
    }

    pub fn is_held_by(&self, target: TargetId) -> bool {
        self.state.lock().commits.is_held_by(target)
    }

    pub fn progress(&self) -> Progress {
        self.state.lock().progress()
    }
}

fn next_incarnation() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// The number that proxies are told while the number of a topic's partitions is not known: more
/// than a topic may have.
const PARTITIONS_MAX: i32 = 4096;

#[cfg(test)]
mod tests;
