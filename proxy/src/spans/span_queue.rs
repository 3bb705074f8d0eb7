//! `SpanQueue`: spans on their way to the exporter. Nobody waits to put one in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use process::metrics::Counter;
use tokio::sync::Notify;

use super::message::WireSpan;

#[derive(Debug)]
pub(super) struct SpanQueue {
    waiting: Mutex<Vec<WireSpan>>,
    spans_max: usize,
    is_closed: AtomicBool,
    /// The exporter: a batch is there, or the end.
    exporter: Notify,
    pub(super) counts: Arc<SpanCounts>,
}

#[derive(Debug, Default)]
pub(super) struct SpanCounts {
    pub(super) exported: Counter,
    /// The queue was full.
    pub(super) crowded_out: Counter,
    /// The collector was not there, though it was asked several times.
    pub(super) undelivered: Counter,
    /// The collector said that it will never take the export.
    pub(super) refused: Counter,
    /// The collector took the export, and not these.
    pub(super) rejected: Counter,
}

impl SpanQueue {
    pub(super) fn new(spans_max: usize, counts: &Arc<SpanCounts>) -> Self {
        Self {
            waiting: Mutex::default(),
            spans_max,
            is_closed: AtomicBool::new(false),
            exporter: Notify::new(),
            counts: Arc::clone(counts),
        }
    }

    /// Takes the spans of one request, all or none.
    pub(super) fn push(&self, spans: impl ExactSizeIterator<Item = WireSpan>) {
        let count = spans.len();
        let mut waiting = self.waiting.lock();
        if self.is_closed.load(Ordering::Relaxed) || waiting.len() + count > self.spans_max {
            self.counts.crowded_out.add(count as u64);
            return;
        }
        waiting.extend(spans);
        if waiting.len() >= BATCH {
            self.exporter.notify_one();
        }
    }

    /// Takes a batch out; empty if nothing waits.
    pub(super) fn batch(&self) -> Vec<WireSpan> {
        let mut waiting = self.waiting.lock();
        let end = waiting.len().min(BATCH);
        waiting.drain(..end).collect()
    }

    /// Returns once a batch waits, or the queue is closed.
    pub(super) async fn changed(&self) {
        self.exporter.notified().await;
    }

    /// Takes everything out that waits.
    pub(super) fn rest(&self) -> usize {
        std::mem::take(&mut *self.waiting.lock()).len()
    }

    /// Takes no more. What waits is exported.
    pub(super) fn close(&self) {
        let waiting = self.waiting.lock();
        self.is_closed.store(true, Ordering::Relaxed);
        drop(waiting);
        self.exporter.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }
}

/// Spans of one export.
pub(super) const BATCH: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(count: usize) -> std::vec::IntoIter<WireSpan> {
        vec![WireSpan::default(); count].into_iter()
    }

    #[test]
    fn a_full_queue_takes_no_part_of_a_request_and_counts_what_it_leaves_out() {
        let queue = SpanQueue::new(3, &Arc::default());
        queue.push(spans(2));
        queue.push(spans(2));
        queue.push(spans(1));
        assert_eq!((queue.batch().len(), queue.counts.crowded_out.value()), (3, 2));
        queue.push(spans(2));
        queue.close();
        queue.push(spans(1));
        assert_eq!((queue.batch().len(), queue.counts.crowded_out.value()), (2, 3));
        assert!(queue.is_closed());
    }

    #[tokio::test]
    async fn the_exporter_is_woken_by_a_batch_and_by_the_end() {
        let queue = SpanQueue::new(2 * BATCH, &Arc::default());
        queue.push(spans(BATCH));
        queue.changed().await;
        assert_eq!((queue.batch().len(), queue.batch().len()), (BATCH, 0));
        queue.close();
        queue.changed().await;
    }
}
