//! `FollowingCursor`: reads a partition for as long as its user likes.

use std::sync::Arc;
use std::time::Duration;

use purge_protocol::log::LogId;
use rdkafka::message::Message as _;
use tokio::time::Instant;

use super::consumer::SILENCE_MAX;
use super::cursor::{Cursor, CursorError, CursorItem, Cursors};

/// A cursor that is opened again, where it was, when its client does not hear the brokers any more
/// (librdkafka 2.12.1 forgets all addresses when a broker names none, its issue 5301).
#[derive(Debug)]
pub struct FollowingCursor {
    cursors: Arc<Cursors>,
    current: Cursor,
    log: LogId,
    next: i64,
    heard: Instant,
}

impl FollowingCursor {
    /// Opens a cursor at an offset. Blocks.
    pub fn open(cursors: Arc<Cursors>, log: LogId, next: i64) -> Result<Self, CursorError> {
        let current = cursors.open(&log, next)?;
        Ok(Self { cursors, current, log, next, heard: Instant::now() })
    }

    /// Reads the next record. Blocks up to `patience`, and longer where the brokers are asked
    /// whether they are there.
    pub fn next(&mut self, patience: Duration) -> Result<CursorItem, CursorError> {
        let item = self.current.next(patience);
        match &item {
            Ok(CursorItem::Record(record)) => self.next = record.offset() + 1,
            // A log to which nobody writes is silent as well.
            Err(CursorError::Silence(_)) if self.heard.elapsed() >= SILENCE_MAX => {
                if !self.current.is_answered() {
                    self.current = self.cursors.open(&self.log, self.next)?;
                }
            }
            _ => return item,
        }
        self.heard = Instant::now();
        item
    }

    /// Goes on after an error and a pause, at the log's beginning if it does not hold the next
    /// offset any more; returns whether it can. Blocks.
    #[expect(clippy::disallowed_methods, reason = "its callers are on threads that may block")]
    pub fn recover(&mut self, error: &CursorError) -> bool {
        if matches!(error, CursorError::Damaged(_) | CursorError::Silence(_)) {
            return true; // it goes on by itself
        }
        std::thread::sleep(PAUSE);
        let begin = match (error, self.cursors.watermarks(&self.log)) {
            (CursorError::OutOfRange(_), Ok((low, _high))) => low,
            _ => self.next,
        };
        match self.cursors.open(&self.log, begin) {
            Ok(cursor) => (self.current, self.next) = (cursor, begin),
            Err(_) => return false,
        }
        true
    }
}

/// Between two attempts to go on.
const PAUSE: Duration = Duration::from_secs(1);
