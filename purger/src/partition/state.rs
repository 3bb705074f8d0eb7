//! `PartitionState`: the window of a partition together with what may be committed. Pure.

use std::time::{Duration, SystemTime};

use super::commit_tracker::{CommitTracker, TargetId};
use super::end_offsets::EndOffsets;
use super::pending::WorkKind;
use super::window::{HeldRecord, Window, WindowLimits};

#[derive(Debug)]
pub(super) struct PartitionState {
    /// `None`: the first offset is not known yet.
    pub(super) window: Option<Window>,
    pub(super) commits: CommitTracker,
    pub(super) end_offsets: EndOffsets,
    limits: WindowLimits,
    /// A record may have been passed over because it could not be read.
    is_doubtful: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Everything below has been read; `-1`: the first offset is not known yet.
    pub read_to: i64,
    /// Everything below may be committed; `-1`: the first offset is not known yet.
    pub committable: i64,
    pub high: Option<i64>,
    pub held: usize,
    /// Bytes of these records.
    pub held_bytes: u64,
    pub pending: [usize; 3],
    /// Number of those whose work is not held in memory, and that will be read again.
    pub deferred: usize,
    /// Time of the oldest change that some proxy which keeps up has not confirmed.
    pub oldest: Option<SystemTime>,
}

impl PartitionState {
    pub(super) fn new(commits: CommitTracker, limits: WindowLimits) -> Self {
        Self {
            window: None,
            commits,
            end_offsets: EndOffsets::default(),
            limits,
            is_doubtful: false,
        }
    }

    pub(super) const fn limits(&self) -> WindowLimits {
        self.limits
    }

    pub(super) const fn set_limits(&mut self, limits: WindowLimits) {
        self.limits = limits;
        if let Some(window) = &mut self.window {
            window.set_limits(limits);
        }
    }

    /// Begins at this offset unless the first offset is known; returns whether it did.
    pub(super) fn begin_at(&mut self, offset: i64) -> bool {
        let is_new = self.window.is_none();
        if is_new {
            self.restart_at(offset);
        }
        is_new
    }

    fn restart_at(&mut self, offset: i64) {
        self.window = Some(Window::new(offset, self.limits));
        self.commits.restart_at(offset);
    }

    /// Begins at this offset if nothing has been read: Kafka may start at another offset than
    /// expected, because the records between were deleted or never existed.
    pub(super) fn reach(&mut self, offset: i64) {
        let is_elsewhere = |window: &Window| window.is_empty() && window.end() != offset;
        if self.window.as_ref().is_none_or(is_elsewhere) && self.is_untouched() {
            self.restart_at(offset);
        }
    }

    pub(super) fn push(&mut self, offset: i64, fingerprint: u64, held: Option<HeldRecord>) {
        self.reach(offset);
        if let Some(window) = &mut self.window {
            window.push(offset, fingerprint, held);
        }
        self.is_doubtful = false;
        self.commits.read(offset + 1);
        let _is_over = self.trim(); // the consumer asks again, and pauses
    }

    /// Covers everything below this offset, where the log holds no record; returns whether that was
    /// news.
    pub(super) fn skip_to(&mut self, offset: i64) -> bool {
        let Some(window) = self.window.as_mut().filter(|window| window.end() < offset) else {
            return false;
        };
        window.skip_to(offset);
        self.commits.read(offset);
        true
    }

    /// Drops records that no proxy needs; returns whether the window is still over its limits.
    /// Proxies that are far behind others are released before.
    pub(super) fn trim(&mut self) -> bool {
        let Some(window) = &mut self.window else { return false };
        if window.trim(self.commits.confirmed_by_all()) {
            self.commits.release_behind(window.middle());
            return window.trim(self.commits.confirmed_by_all());
        }
        false
    }

    /// Records that a record may have been passed over because it could not be read.
    pub(super) const fn doubt(&mut self) {
        self.is_doubtful = true;
    }

    /// Returns whether a record at this offset does not follow on what was read. Kafka never goes
    /// back by itself, so a lower offset belongs to another log. Far above the last record, the
    /// records between have expired or never existed; no proxy may be told that nothing is missing.
    /// A small gap is a transaction's marker, unless it is known to have held records.
    pub(super) fn is_discontinuous_at(&self, offset: i64) -> bool {
        let follows = |window: &Window| {
            let end = window.end();
            let has_lost_records = self.is_doubtful || end < self.end_offsets.low();
            let gap_max = if has_lost_records { 0 } else { GAP_MAX };
            (0..=gap_max).contains(&(offset - end))
        };
        !self.is_untouched() && self.window.as_ref().is_some_and(|window| !follows(window))
    }

    fn is_untouched(&self) -> bool {
        self.window.as_ref().is_none_or(|window| window.start() == window.end())
    }

    /// Records that a proxy has confirmed everything below `next`; returns the ages of the changes
    /// that every proxy which keeps up has confirmed now. A proxy that is far behind does not count
    /// as keeping up.
    pub(super) fn confirm(
        &mut self,
        target: TargetId,
        next: i64,
        now: SystemTime,
    ) -> Vec<Duration> {
        let is_far_behind = |window: &Window| {
            next < window.start() || window.is_half_full() && next < window.middle()
        };
        if !self.commits.is_held_by(target) && self.window.as_ref().is_some_and(is_far_behind) {
            return Vec::new(); // it has to come nearer before commits wait for it
        }
        let before = self.commits.confirmed_by_all();
        self.commits.confirm(target, next);
        let after = self.commits.confirmed_by_all();
        let Some(window) = &self.window else { return Vec::new() };
        let confirmed = window.range(before, after).filter_map(|held| held.time);
        confirmed.map(|time| now.duration_since(time).unwrap_or_default()).collect()
    }

    pub(super) fn progress(&mut self) -> Progress {
        let committable = self.commits.committable();
        let confirmed = self.commits.confirmed_by_all();
        let window = self.window.as_ref();
        let waiting = window.into_iter().flat_map(|window| window.range(confirmed, i64::MAX));
        Progress {
            read_to: window.map_or(-1, Window::end),
            committable: if window.is_some() { committable } else { -1 },
            high: self.end_offsets.last().map(|end_offset| end_offset.high),
            held: window.map_or(0, Window::len),
            held_bytes: window.map_or(0, Window::bytes),
            oldest: waiting.take(1).find_map(|held| held.time),
            pending: WorkKind::ALL.map(|kind| self.commits.pending(kind).records()),
            deferred: WorkKind::ALL.map(|kind| self.commits.pending(kind).deferred()).iter().sum(),
        }
    }
}

/// Offsets without records that are taken for markers of transactions: segments that expire are
/// larger.
pub(super) const GAP_MAX: i64 = 100;
