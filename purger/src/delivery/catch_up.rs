//! A proxy that is behind the window: what it missed is read from Kafka and folded, until it is within the window.

use std::sync::Arc;
use std::time::Duration;

use purge_protocol::log::Start;
use tokio::sync::mpsc;

use super::context::DeliveryContext;
use super::fold::Fold;
use super::route::{Delivery, SendResult};
use crate::intake::SELECTORS_MAX;
use crate::kafka::client::PATIENCE;
use crate::kafka::cursor::{Cursor, CursorError, CursorItem};
use crate::partition::window::{Slice, fingerprint};

/// Records in a row, folded.
#[derive(Debug)]
struct Chunk {
    /// The offset behind the last record; `None`: there is no record.
    to: Option<i64>,
    /// The fingerprint of the last record.
    last: Option<u64>,
    fold: Fold,
    /// Why the chunk ends, unless it is full or no record came for [`GATHER`].
    end: Option<End>,
}

#[derive(Debug)]
enum End {
    /// The log has no further record at present.
    OfLog,
    Failed(CursorError),
}

impl Delivery {
    /// Delivers what was missed until the proxy is within the window; returns the proxy's position then.
    pub(super) async fn catch_up(&mut self, next: i64) -> SendResult {
        self.partition.release(self.target.id);
        self.target.note_position(self.log(), next, true);
        let Ok(permit) = Arc::clone(&self.context.cursor_permits).acquire_owned().await else {
            return SendResult::Lost;
        };
        self.context.metrics.catch_ups.inc();
        self.is_catching_up = true;
        let outcome = self.deliver_missed(next).await;
        self.is_catching_up = false;
        drop(permit);
        outcome
    }

    async fn deliver_missed(&mut self, mut next: i64) -> SendResult {
        // Before the cursor asks: whatever the group's consumer has read below is visible to the cursor.
        let window_start = self.partition.window_start();
        let mut chunks = self.read_from(next);
        loop {
            let Some(chunk) = chunks.recv().await else {
                self.unreachable("the cursor's thread ended").await;
                return SendResult::Confirmed(next);
            };
            if let Some(to) = chunk.to {
                let purges = chunk.fold.encode(SELECTORS_MAX);
                let slice = Slice { from: next, to, last: chunk.last, purges, is_urgent: false };
                match self.send_missed(&slice).await {
                    SendResult::Confirmed(confirmed) => next = confirmed,
                    SendResult::Lost => return SendResult::Lost,
                }
            }
            if self.partition.slice(next, 0).is_some() {
                return SendResult::Confirmed(next);
            }
            match chunk.end {
                None => {}
                Some(End::OfLog) => return self.skip_to_window(next, window_start).await,
                Some(End::Failed(CursorError::OutOfRange(_))) => {
                    return self.log_truncated(next).await;
                }
                Some(End::Failed(error)) => {
                    self.unreachable(&error.to_string()).await;
                    return SendResult::Confirmed(next); // another cursor goes on from there
                }
            }
        }
    }

    async fn send_missed(&mut self, slice: &Slice) -> SendResult {
        let sent = self.send(slice, None).await;
        if self.partition.slice(slice.to, 0).is_none() {
            self.partition.release(self.target.id);
            self.target.note_position(self.log(), slice.to, true);
        }
        sent
    }

    /// The log holds no record from `next` up to the window: aborted transactions and compaction leave such gaps. The proxy is
    /// told, or it would refuse the window's records as a hole.
    async fn skip_to_window(&mut self, next: i64, window_start: Option<i64>) -> SendResult {
        let Some(skipped) = gap(next, window_start) else {
            self.unreachable("the log ends below the window").await;
            return SendResult::Confirmed(next);
        };
        self.send_missed(&skipped).await
    }

    /// The log lost what the proxy has not seen.
    async fn log_truncated(&mut self, next: i64) -> SendResult {
        let Some((low, high)) = self.watermarks().await else { return SendResult::Lost };
        let start = if next < low { Start::Expired } else { Start::Replaced };
        if (low..=high).contains(&next) {
            // A broker that has just become the leader may not know yet.
            self.unreachable("the brokers contradict each other about the log's extent").await;
            return SendResult::Lost;
        }
        self.start_over(start, high).await.map_or(SendResult::Lost, SendResult::Confirmed)
    }

    /// Starts a thread that reads and folds from an offset on. The thread ends when its chunks are no longer taken.
    fn read_from(&self, next: i64) -> mpsc::Receiver<Chunk> {
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let (context, log) = (Arc::clone(&self.context), self.partition.log.clone());
        drop(tokio::task::spawn_blocking(move || {
            let cursor = match context.cursors.open(&log, next) {
                Ok(cursor) => cursor,
                Err(error) => return sender.blocking_send(Chunk::failed(error)).is_ok(),
            };
            while !sender.is_closed() {
                let chunk = Chunk::gather(&cursor, &context);
                if sender.blocking_send(chunk).is_err() {
                    break;
                }
            }
            true
        }));
        receiver
    }
}

/// The offsets from `next` up to the window, where the log has ended without a record among them; `None`: the window begins no
/// later, or nowhere, so that the log's end tells nothing about `next`.
fn gap(next: i64, window_start: Option<i64>) -> Option<Slice> {
    let to = window_start.filter(|start| *start > next)?;
    Some(Slice { from: next, to, last: None, purges: Vec::new(), is_urgent: false })
}

impl Chunk {
    fn failed(error: CursorError) -> Self {
        Self { to: None, last: None, fold: Fold::default(), end: Some(End::Failed(error)) }
    }

    /// Reads records until the fold is full. Waits up to [`PATIENCE`] for the first record, then up to [`GATHER`] for each.
    fn gather(cursor: &Cursor, context: &DeliveryContext) -> Self {
        use rdkafka::Message as _;
        let mut chunk = Self { to: None, last: None, fold: Fold::default(), end: None };
        for _ in 0..RECORDS_MAX {
            let patience = if chunk.to.is_none() { PATIENCE } else { GATHER };
            match cursor.next(patience) {
                Ok(CursorItem::Record(record)) => {
                    let offset = record.offset();
                    chunk.to = Some(offset + 1);
                    chunk.last = Some(fingerprint(offset, record.key(), record.payload()));
                    chunk.fold.extend(context.intake.purges_of(&*record));
                }
                Ok(CursorItem::End) => {
                    chunk.end = Some(End::OfLog);
                    break;
                }
                Err(CursorError::Silence(_)) if chunk.to.is_some() => break,
                Err(error) => {
                    chunk.end = Some(End::Failed(error));
                    break;
                }
            }
            if chunk.fold.is_full() {
                break;
            }
        }
        chunk
    }
}

/// Records in one chunk.
const RECORDS_MAX: usize = 10_000;
/// How long a chunk waits for each record after the first.
const GATHER: Duration = Duration::from_millis(20);
/// Chunks that are read ahead of the deliveries.
const CHUNKS_AHEAD: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_without_records_moves_the_proxy_to_the_window() {
        let skipped = gap(5, Some(9)).unwrap();
        assert_eq!((skipped.from, skipped.to, skipped.last), (5, 9, None));
        assert!(skipped.purges.is_empty() && !skipped.is_urgent);
    }

    #[test]
    fn an_end_below_the_window_confirms_nothing() {
        for window_start in [None, Some(4), Some(5)] {
            assert_eq!(gap(5, window_start), None, "{window_start:?}");
        }
    }
}
