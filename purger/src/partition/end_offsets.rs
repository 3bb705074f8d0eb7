//! `EndOffsets`: where a log ended, and when the broker said so.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// A broker's answer to the question where a log ends.
#[derive(Clone, Copy, Debug)]
pub struct EndOffset {
    /// A moment before the broker was asked.
    pub at: Instant,
    /// The offset behind the newest record.
    pub high: i64,
}

#[derive(Debug, Default)]
pub(super) struct EndOffsets {
    /// Oldest first, at most [`END_OFFSETS_MAX`].
    latest: VecDeque<EndOffset>,
    truncated: Option<i64>,
    /// The lowest offset that the log still had.
    low: i64,
    /// Records below were lost before they were read, and no other follows.
    lost_to: Option<i64>,
}

impl EndOffsets {
    pub(super) fn record(&mut self, end_offset: EndOffset) {
        self.latest.push_back(end_offset);
        if self.latest.len() > END_OFFSETS_MAX {
            self.latest.pop_front();
        }
    }

    pub(super) fn last(&self) -> Option<EndOffset> {
        self.latest.back().copied()
    }

    /// Returns the time since the latest moment at which the log ended at or below `next`.
    pub(super) fn clean_since(&self, next: i64) -> Option<Duration> {
        let clean = self.latest.iter().rev().find(|end_offset| end_offset.high <= next)?;
        Some(clean.at.elapsed())
    }

    pub(super) fn record_low(&mut self, low: i64) {
        self.low = self.low.max(low);
    }

    pub(super) const fn low(&self) -> i64 {
        self.low
    }

    pub(super) const fn record_loss(&mut self, to: i64) {
        self.lost_to = Some(to);
    }

    /// Returns the end of lost records, once.
    pub(super) const fn take_loss(&mut self) -> Option<i64> {
        self.lost_to.take()
    }

    /// Records an end that lies before what was read.
    pub(super) const fn record_truncation(&mut self, high: i64) {
        self.truncated = Some(high);
    }

    /// Returns such an end, once.
    pub(super) const fn take_truncation(&mut self) -> Option<i64> {
        self.truncated.take()
    }
}

/// At one in two seconds, two minutes in which a proxy may be behind and still renew its lease.
const END_OFFSETS_MAX: usize = 64;
