//! A partition that is assigned to this purger: what was read of it, what is held for proxies, what may be committed.
//!
//! The consumer's thread writes, the deliveries read: one lock, never held across a wait.

pub mod commit_tracker;
pub mod pending;
pub mod window;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use purge_protocol::log::LogId;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::commit_tracker::{CommitTracker, TargetId};
use self::pending::{Work, WorkKind};
use self::window::{HeldRecord, Slice, Window, WindowLimits};

/// An assigned partition.
#[derive(Debug)]
pub struct Partition {
    /// Which one.
    pub log: LogId,
    /// Partitions of its topic; while it is not known, more than there can be.
    partitions: AtomicI32,
    /// Ends when it is revoked, or opened anew: whoever delivers from it stops.
    pub closing: CancellationToken,
    /// Ends when it is revoked: another purger owes what is owed for it.
    pub revoked: CancellationToken,
    inner: Mutex<Inner>,
    /// Everything below this offset has been read; `-1`: not known yet.
    read_to: watch::Sender<i64>,
}

#[derive(Debug)]
struct Inner {
    window: Option<Window>,
    commits: CommitTracker,
    limits: WindowLimits,
    /// Moments at which the broker said where the log ends, oldest first.
    end_offsets: VecDeque<EndOffset>,
    /// An end of the log that lies before what had been read when the broker was asked.
    truncated_end: Option<i64>,
}

/// What the broker said of a log.
#[derive(Clone, Copy, Debug)]
pub struct EndOffset {
    /// Before it was asked.
    pub at: Instant,
    /// The offset behind the newest.
    pub high: i64,
}

/// How a partition is doing, for metrics and status.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Everything below has been read.
    pub read_to: i64,
    /// Everything below may be committed.
    pub committable: i64,
    /// The end of the log, as it was last seen.
    pub high: Option<i64>,
    /// Records held.
    pub held: usize,
    /// Bytes that these take.
    pub held_bytes: u64,
    /// Records for which the purger itself owes something, of each [`WorkKind`].
    pub pending: [usize; 3],
    /// Those of them that will be read again, because their work is not held.
    pub deferred: usize,
    /// When the oldest change happened that some proxy which keeps up has not confirmed.
    pub oldest: Option<SystemTime>,
}

impl Partition {
    /// Opens a partition. It is read from wherever the first record is, or from what [`Self::begin_at`] says before.
    pub fn open(log: LogId, limits: WindowLimits) -> Arc<Self> {
        let commits = CommitTracker::default();
        let inner = Inner {
            window: None,
            commits,
            limits,
            end_offsets: VecDeque::new(),
            truncated_end: None,
        };
        Arc::new(Self {
            log,
            partitions: AtomicI32::new(PARTITIONS_MAX),
            closing: CancellationToken::new(),
            revoked: CancellationToken::new(),
            inner: Mutex::new(inner),
            read_to: watch::Sender::new(-1),
        })
    }

    /// Opens it anew, because its log is not what it was. What is owed for its records still is, if their log goes on at
    /// `offset`.
    pub fn reopened(&self, offset: i64) -> Arc<Self> {
        let mut old = self.inner.lock();
        let mut commits = CommitTracker::default();
        if old.window.as_ref().is_some_and(|window| window.end() <= offset) {
            commits.take_deferred(&mut old.commits);
        }
        let limits = old.limits;
        let inner = Inner {
            window: None,
            commits,
            limits,
            end_offsets: VecDeque::new(),
            truncated_end: None,
        };
        Arc::new(Self {
            log: self.log.clone(),
            partitions: AtomicI32::new(self.partitions()),
            closing: CancellationToken::new(),
            revoked: self.revoked.clone(),
            inner: Mutex::new(inner),
            read_to: watch::Sender::new(-1),
        })
    }

    /// Changes how much is held, as its share of the process's memory changes: bytes of records, and of what is owed for them.
    pub fn set_memory(&self, bytes: u64, owed: u64) {
        let mut inner = self.inner.lock();
        inner.limits.bytes = bytes;
        let limits = inner.limits;
        if let Some(window) = &mut inner.window {
            window.set_limits(limits);
        }
        for kind in WorkKind::ALL {
            inner.commits.pending(kind).limit(kind.bytes_of(owed));
        }
    }

    /// Changes how large a batch may be.
    pub fn set_batch(&self, bytes: usize) {
        let mut inner = self.inner.lock();
        inner.limits.batch = bytes;
        let limits = inner.limits;
        if let Some(window) = &mut inner.window {
            window.set_limits(limits);
        }
    }

    /// Partitions of its topic.
    pub fn partitions(&self) -> i32 {
        self.partitions.load(Ordering::Relaxed)
    }

    /// Returns whether it is known how many partitions its topic has. Until then proxies take it that some are missing, and
    /// their leases are not renewed.
    pub fn is_counted(&self) -> bool {
        self.partitions() != PARTITIONS_MAX
    }

    /// Notes how many partitions its topic has.
    pub fn set_partitions(&self, count: i32) {
        self.partitions.store(count, Ordering::Relaxed);
    }

    /// Says where it will be read from, unless a record came first.
    pub fn begin_at(&self, offset: i64) {
        let mut inner = self.inner.lock();
        if inner.window.is_none() {
            inner.begin_at(offset);
            drop(inner);
            self.read_to.send_replace(offset);
        }
    }

    /// Returns whether it is known where it is read from.
    pub fn has_begun(&self) -> bool {
        self.inner.lock().window.is_some()
    }

    /// Returns whether a record at this offset does not follow on what was read. Below it: Kafka never goes back by itself, so
    /// this is another log. Far above it: what lies between has expired, or it was never there; whoever has it or not must not
    /// be told that nothing is missing.
    pub fn is_discontinuous_at(&self, offset: i64) -> bool {
        let inner = self.inner.lock();
        let follows = |window: &Window| (0..=GAP_MAX).contains(&(offset - window.end()));
        !inner.is_untouched() && inner.window.as_ref().is_some_and(|window| !follows(window))
    }

    /// Notes that the purger itself owes work for the record at this offset, before it is added; returns whether the work may
    /// begin. If not, the record will be read again for it.
    pub fn add_pending(&self, offset: i64, work: Work) -> bool {
        let mut inner = self.inner.lock();
        inner.reach(offset);
        inner.commits.add_pending(offset, work, Instant::now())
    }

    /// Notes that the purger itself owes work for the record at this offset that has begun.
    pub fn hold(&self, offset: i64, work: Work) {
        self.inner.lock().commits.pending(work.kind).hold(offset, work);
    }

    /// Returns the records that are to be read again for work of this kind, once there is room for it.
    pub fn due_again(&self, kind: WorkKind) -> Option<(i64, i64)> {
        self.inner.lock().commits.pending(kind).due()
    }

    /// Notes that a record was read again, and all that is owed before it; returns when it was read first, if its work may
    /// begin now.
    pub fn resume(&self, offset: i64, work: Work) -> Option<Instant> {
        let mut inner = self.inner.lock();
        let owed = inner.commits.pending(work.kind);
        owed.pass(offset);
        owed.resume(offset, work)
    }

    /// Notes that no record below this offset is to be read again for work of this kind.
    pub fn pass(&self, offset: i64, kind: WorkKind) {
        self.inner.lock().commits.pending(kind).pass(offset);
    }

    /// Adds the record at this offset.
    pub fn push(&self, offset: i64, fingerprint: u64, held: Option<HeldRecord>) {
        let mut inner = self.inner.lock();
        inner.add(offset, fingerprint, held);
        drop(inner);
        self.read_to.send_replace(offset + 1);
    }

    /// Notes that Kafka has nothing more below this offset.
    pub fn skip_to(&self, offset: i64) {
        let mut inner = self.inner.lock();
        let Some(window) = inner.window.as_mut().filter(|window| window.end() < offset) else {
            return;
        };
        window.skip_to(offset);
        inner.commits.read(offset);
        drop(inner);
        self.read_to.send_replace(offset);
    }

    /// Notes that the log ends before what was read of it: it is another one, or was cut.
    pub fn record_truncation(&self, high: i64) {
        self.inner.lock().truncated_end = Some(high);
    }

    /// Returns an end that lies before what was read, once.
    pub fn take_truncation(&self) -> Option<i64> {
        self.inner.lock().truncated_end.take()
    }

    /// Notes what the broker said.
    pub fn record_end_offset(&self, end_offset: EndOffset) {
        let mut inner = self.inner.lock();
        inner.end_offsets.push_back(end_offset);
        if inner.end_offsets.len() > END_OFFSETS_MAX {
            inner.end_offsets.pop_front();
        }
    }

    /// Returns whether the consumer has to pause: too much is held for proxies. Proxies because of which it is held, while
    /// others are far ahead of them, are released before. What the purger itself owes never pauses it.
    pub fn is_full(&self) -> bool {
        self.inner.lock().trim()
    }

    /// Everything below may be committed; `None`: nothing is known yet.
    pub fn committable(&self) -> Option<i64> {
        let mut inner = self.inner.lock();
        inner.window.is_some().then(|| inner.commits.committable())
    }

    /// Watches how far it has been read.
    pub fn read_to(&self) -> watch::Receiver<i64> {
        self.read_to.subscribe()
    }

    /// Returns what is to be sent to a proxy at this position; `None`: it has to be read from Kafka.
    pub fn slice(&self, next: i64, purges_max: usize) -> Option<Slice> {
        self.inner.lock().window.as_ref()?.slice(next, purges_max)
    }

    /// The lowest offset that is held.
    pub fn window_start(&self) -> Option<i64> {
        self.inner.lock().window.as_ref().map(Window::start)
    }

    /// The fingerprint of the record at this offset, where it is held.
    pub fn fingerprint_at(&self, offset: i64) -> Option<u64> {
        self.inner.lock().window.as_ref()?.fingerprint_at(offset)
    }

    /// Returns since when it is known that everything which was then in the log lies below this offset.
    pub fn clean_since(&self, next: i64) -> Option<Duration> {
        let inner = self.inner.lock();
        let clean = inner.end_offsets.iter().rev().find(|end_offset| end_offset.high <= next)?;
        Some(clean.at.elapsed())
    }

    /// What the broker said last.
    pub fn last_end_offset(&self) -> Option<EndOffset> {
        self.inner.lock().end_offsets.back().copied()
    }

    /// Notes that a proxy that keeps up has confirmed everything below `next`; returns how long ago the changes happened that
    /// every such proxy has confirmed now.
    pub fn confirm(&self, target: TargetId, next: i64, now: SystemTime) -> Vec<Duration> {
        let mut inner = self.inner.lock();
        let is_far_behind = |window: &Window| {
            next < window.start() || window.is_half_full() && next < window.middle()
        };
        if !inner.commits.is_held_by(target) && inner.window.as_ref().is_some_and(is_far_behind) {
            return Vec::new(); // it has to come nearer before the others wait for it
        }
        let before = inner.commits.confirmed_by_all();
        inner.commits.confirm(target, next);
        let after = inner.commits.confirmed_by_all();
        let Some(window) = &inner.window else { return Vec::new() };
        let confirmed = window.range(before, after).filter_map(|held| held.time);
        confirmed.map(|time| now.duration_since(time).unwrap_or_default()).collect()
    }

    /// Notes that a proxy is about to say where it stands: what it may not have is not committed before, unless it takes too
    /// long.
    pub fn expect(&self, target: TargetId) {
        self.inner.lock().commits.expect(target);
    }

    /// Notes that a proxy does not keep up: it holds nobody back from now on.
    pub fn release(&self, target: TargetId) {
        self.inner.lock().commits.release(target);
    }

    /// Returns whether this proxy holds the others back.
    pub fn is_held_by(&self, target: TargetId) -> bool {
        self.inner.lock().commits.is_held_by(target)
    }

    /// Notes that something that was owed for a record is done.
    pub fn complete(&self, offset: i64, kind: WorkKind) {
        self.inner.lock().commits.pending(kind).complete(offset);
    }

    /// How it is doing.
    pub fn progress(&self) -> Progress {
        let mut inner = self.inner.lock();
        let Inner { window, commits, end_offsets, .. } = &mut *inner;
        let committable = commits.committable();
        let waiting =
            window.iter().flat_map(|window| window.range(commits.confirmed_by_all(), i64::MAX));
        Progress {
            read_to: window.as_ref().map_or(-1, Window::end),
            committable: if window.is_some() { committable } else { -1 },
            high: end_offsets.back().map(|end_offset| end_offset.high),
            held: window.as_ref().map_or(0, Window::len),
            held_bytes: window.as_ref().map_or(0, Window::bytes),
            oldest: waiting.take(1).find_map(|held| held.time),
            pending: WorkKind::ALL.map(|kind| commits.pending(kind).records()),
            deferred: WorkKind::ALL.map(|kind| commits.pending(kind).deferred()).iter().sum(),
        }
    }
}

impl Inner {
    fn begin_at(&mut self, offset: i64) {
        self.window = Some(Window::new(offset, self.limits));
        self.commits.restart_at(offset);
    }

    /// Begins at this offset if nothing was read yet: Kafka may have gone on elsewhere than was thought, because what lies
    /// between was deleted, or never was.
    fn reach(&mut self, offset: i64) {
        let is_elsewhere = |window: &Window| window.is_empty() && window.end() != offset;
        if self.window.as_ref().is_none_or(is_elsewhere) && self.is_untouched() {
            self.begin_at(offset);
        }
    }

    fn add(&mut self, offset: i64, fingerprint: u64, held: Option<HeldRecord>) {
        self.reach(offset);
        if let Some(window) = &mut self.window {
            window.push(offset, fingerprint, held);
        }
        self.commits.read(offset + 1);
        let _is_over = self.trim(); // the consumer asks again, and pauses
    }

    /// Drops what is needed no more; returns whether still too much is held.
    fn trim(&mut self) -> bool {
        let Some(window) = &mut self.window else { return false };
        if window.trim(self.commits.confirmed_by_all()) {
            self.commits.release_behind(window.middle());
            return window.trim(self.commits.confirmed_by_all());
        }
        false
    }

    /// Returns whether nothing was read yet.
    fn is_untouched(&self) -> bool {
        self.window.as_ref().is_none_or(|window| window.start() == window.end())
    }
}

/// Sightings remembered: at one in two seconds, two minutes in which a proxy may be behind and still renew its lease.
const END_OFFSETS_MAX: usize = 64;
/// Partitions that a topic may have, as proxies see it: what is said while the number is not known.
const PARTITIONS_MAX: i32 = 4096;
/// Offsets without records that are taken for markers of transactions: segments that expire are larger.
const GAP_MAX: i64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> Arc<Partition> {
        let log = LogId { cluster: "c".into(), topic: "t".into(), partition: 0 };
        Partition::open(log, WindowLimits { records: 4, bytes: 1 << 20, batch: 1 << 20 })
    }

    fn push(partition: &Partition, offset: i64) {
        let held = HeldRecord {
            offset,
            fingerprint: 1,
            purges: vec!["{}".into()],
            selectors: 1,
            time: Some(SystemTime::UNIX_EPOCH),
            is_urgent: false,
        };
        partition.push(offset, 1, Some(held));
    }

    #[test]
    fn the_first_record_says_where_it_begins() {
        let partition = partition();
        assert!(!partition.has_begun());
        partition.begin_at(5);
        push(&partition, 9);
        assert_eq!(partition.window_start(), Some(9), "5 to 8 are no longer there, or never were");
        partition.begin_at(1);
        assert_eq!(partition.window_start(), Some(9));
    }

    #[test]
    fn a_record_that_does_not_follow_on_tears_a_partition() {
        let partition = partition();
        partition.begin_at(5);
        assert!(
            !partition.is_discontinuous_at(2),
            "nothing was read yet: it begins wherever it begins"
        );
        push(&partition, 5);
        assert!(partition.is_discontinuous_at(5));
        assert!(!partition.is_discontinuous_at(6));
        assert!(!partition.is_discontinuous_at(7), "a transaction's marker has an offset, too");
        assert!(partition.is_discontinuous_at(7 + GAP_MAX));
    }

    #[test]
    fn a_log_that_ends_before_what_was_read_is_another_one() {
        let partition = partition();
        partition.begin_at(5);
        push(&partition, 5);
        assert_eq!(partition.take_truncation(), None);
        partition.record_truncation(5);
        assert_eq!(partition.take_truncation(), Some(5));
        assert_eq!(partition.take_truncation(), None);
        let again = partition.reopened(5);
        assert!(!again.has_begun());
        push(&again, 0);
        assert_eq!(again.window_start(), Some(0));
    }

    #[test]
    fn a_proxy_that_keeps_up_holds_the_partition_until_it_is_released() {
        let partition = partition();
        partition.begin_at(0);
        partition.confirm(1, 0, SystemTime::UNIX_EPOCH);
        (0..5).for_each(|offset| push(&partition, offset));
        assert!(partition.is_full());
        assert_eq!(partition.committable(), Some(0));
        partition.confirm(2, 5, SystemTime::UNIX_EPOCH);
        assert!(!partition.is_full(), "the other one is far ahead");
        assert!(!partition.is_held_by(1));
        partition.confirm(1, 1, SystemTime::UNIX_EPOCH);
        assert!(!partition.is_held_by(1), "it is still far behind");
        assert!(!partition.is_full());
        assert_eq!(partition.committable(), Some(5));
        assert_eq!(partition.slice(0, 9), None, "the slow one has to read from Kafka");
    }

    #[test]
    fn confirmed_changes_are_timed_once() {
        let partition = partition();
        partition.begin_at(0);
        partition.confirm(1, 0, SystemTime::UNIX_EPOCH);
        partition.confirm(2, 0, SystemTime::UNIX_EPOCH);
        push(&partition, 0);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(3);
        assert!(partition.confirm(1, 1, now).is_empty());
        assert_eq!(partition.confirm(2, 1, now), [Duration::from_secs(3)]);
        assert!(partition.confirm(2, 1, now).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_rests_on_what_the_broker_said_when() {
        let partition = partition();
        partition.begin_at(0);
        let sight = |high| partition.record_end_offset(EndOffset { at: Instant::now(), high });
        sight(3);
        tokio::time::advance(Duration::from_secs(2)).await;
        sight(5);
        assert_eq!(partition.clean_since(2), None, "3 were there already");
        assert_eq!(partition.clean_since(4), Some(Duration::from_secs(2)));
        assert_eq!(partition.clean_since(5), Some(Duration::ZERO));
    }
}
