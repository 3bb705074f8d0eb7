//! Catching up: for a proxy that is behind the window, missed records are read from Kafka, folded
//! and delivered.

use std::sync::Arc;

use purge_protocol::log::{LogId, Start};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::sleep;

use super::batch_sender::{BatchSender, SendResult};
use super::chunk::{Chunk, End};
use crate::kafka::cursor::CursorError;
use crate::partition::window::Slice;

/// Delivers missed records until the proxy is within the window; returns its position. There are
/// few cursors: a proxy gets one after it has taken an empty batch, and loses it with the first
/// batch that fails.
pub(super) async fn catch_up(sender: &mut BatchSender, next: i64) -> SendResult {
    sender.partition.release(sender.target.id);
    if let SendResult::LocateAgain = sender.probe(next).await {
        return SendResult::LocateAgain;
    }
    sender.target.note_position(sender.log(), next, true);
    with_cursor(sender, next).await
}

/// Delivers from a cursor, which is given back before any pause.
async fn with_cursor(sender: &mut BatchSender, next: i64) -> SendResult {
    let Some(permit) = sender.context.cursor_threads.permit().await else {
        return SendResult::LocateAgain;
    };
    sender.context.metrics.catch_ups.inc();
    sender.is_catching_up = true;
    let outcome = deliver_missed(sender, next, permit).await;
    sender.is_catching_up = false;
    sleep(std::mem::take(&mut sender.pause)).await;
    outcome
}

async fn deliver_missed(
    sender: &mut BatchSender,
    mut next: i64,
    permit: OwnedSemaphorePermit,
) -> SendResult {
    // Before the cursor opens, so that it sees every record below that the group's consumer has
    // read.
    let window_start = sender.partition.window_start();
    // Until the last chunk is delivered, too: the thread ends with two of them under way.
    let permit = Arc::new(permit);
    let Some(mut chunks) = read_from(sender, next, Arc::clone(&permit)) else {
        sender.unreachable("a cursor has no thread").await;
        return SendResult::Confirmed(next);
    };
    let end = loop {
        let Some(chunk) = chunks.recv().await else {
            sender.unreachable("the cursor's thread ended").await;
            return SendResult::Confirmed(next);
        };
        if let Some(to) = chunk.to {
            let (last, purges) = (chunk.last, chunk.purges);
            let slice = Slice { from: next, to, last, purges, is_urgent: false };
            match send_missed(sender, &slice).await {
                SendResult::Confirmed(confirmed) => next = confirmed,
                SendResult::LocateAgain => return SendResult::LocateAgain,
            }
        }
        if sender.partition.slice(next, 0).is_some() {
            return SendResult::Confirmed(next);
        }
        if let Some(end) = chunk.end {
            break end;
        }
    };
    drop(permit);
    match end {
        End::OfLog => skip_to_window(sender, next, window_start).await,
        End::Failed(CursorError::OutOfRange(_)) => log_truncated(sender, next).await,
        End::Failed(error @ CursorError::Damaged(_)) => {
            let LogId { topic, partition, .. } = &sender.partition.log;
            tracing::error!(%error, topic, partition, "a purge is lost: starting a proxy over");
            let Some((_low, high)) = sender.watermarks().await else {
                return SendResult::LocateAgain;
            };
            start_over(sender, Start::Expired, high).await
        }
        End::Failed(error) => {
            sender.unreachable(&error.to_string()).await;
            SendResult::Confirmed(next) // another cursor continues there
        }
    }
}

async fn send_missed(sender: &mut BatchSender, slice: &Slice) -> SendResult {
    let sent = sender.send(slice, None).await;
    if sender.partition.slice(slice.to, 0).is_none() {
        sender.partition.release(sender.target.id);
        sender.target.note_position(sender.log(), slice.to, true);
    }
    sent
}

/// Moves the proxy across a range without records, such as aborted transactions and compaction
/// leave; it would refuse the window's records as following a gap.
async fn skip_to_window(
    sender: &mut BatchSender,
    next: i64,
    window_start: Option<i64>,
) -> SendResult {
    let Some(skipped) = gap(next, window_start) else {
        sender.unreachable("the log ends below the window").await;
        return SendResult::Confirmed(next);
    };
    send_missed(sender, &skipped).await
}

/// Starts the proxy over, because the log lost records that it has not seen.
async fn log_truncated(sender: &mut BatchSender, next: i64) -> SendResult {
    let Some((low, high)) = sender.watermarks().await else { return SendResult::LocateAgain };
    let start = if next < low { Start::Expired } else { Start::Replaced };
    if (low..=high).contains(&next) {
        // A broker that has just become the leader may not know the extent yet.
        sender.unreachable("the brokers disagree about the log's extent").await;
        return SendResult::LocateAgain;
    }
    start_over(sender, start, high).await
}

async fn start_over(sender: &mut BatchSender, start: Start, high: i64) -> SendResult {
    sender.start_over(start, high).await.map_or(SendResult::LocateAgain, SendResult::Confirmed)
}

/// Starts a thread that reads and folds from `next` on, until the receiver is dropped. It keeps the
/// permit as long as its cursor, which a broker that does not answer holds up for a while. `None`:
/// the system has no thread.
fn read_from(
    sender: &BatchSender,
    next: i64,
    permit: Arc<OwnedSemaphorePermit>,
) -> Option<mpsc::Receiver<Chunk>> {
    let (chunks, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let (context, log) = (Arc::clone(&sender.context), sender.partition.log.clone());
    let read = move || {
        let _permit = permit;
        let mut cursor = match context.cursors.open(&log, next) {
            Ok(cursor) => cursor,
            Err(error) => {
                let _nobody_waits = chunks.blocking_send(Chunk::failed(error));
                return;
            }
        };
        loop {
            let chunk = Chunk::gather(&mut cursor, &context, || chunks.is_closed());
            let is_last = chunk.end.is_some();
            if chunks.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    };
    sender.context.cursor_threads.start(read).then_some(receiver)
}

/// Returns the empty range from `next` up to the window; `None`: the window begins no later, or is
/// unknown.
fn gap(next: i64, window_start: Option<i64>) -> Option<Slice> {
    let to = window_start.filter(|start| *start > next)?;
    Some(Slice { to, ..Slice::empty(next) })
}

const CHUNKS_AHEAD: usize = 1;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use process::clock::Clock;
    use settings::{Config, Sources, TargetHttp};
    use tokio::time::Instant;

    use super::*;
    use crate::app::App;
    use crate::backoff;
    use crate::delivery::context::DeliveryContext;
    use crate::delivery::cursor_threads::CursorThreads;
    use crate::delivery::target::{Target, TargetOptions};
    use crate::partition::Partition;
    use crate::partition::window::WindowLimits;

    fn context_with(cursor_threads: CursorThreads) -> Arc<DeliveryContext> {
        let text = "[origin.app]\nservers = [\"127.0.0.1:1\"]\n[kafka]\nbrokers = [\"127.0.0.1:1\"]\n[purger]\nadmin = \"127.0.0.1:0\"";
        let file = Some(("test.toml".to_owned(), text.to_owned()));
        let config = Config::load(&Sources { file, ..Sources::default() }).unwrap();
        let app = App::new(config, Clock::system()).unwrap();
        let cursor_threads = Arc::new(cursor_threads);
        Arc::new(DeliveryContext { cursor_threads, ..DeliveryContext::clone(app.fleet.context()) })
    }

    fn sender_to(id: u32, context: &Arc<DeliveryContext>) -> BatchSender {
        let timeout = Duration::from_secs(1);
        let options = TargetOptions { http: TargetHttp::Http1, token: None, timeout };
        let target = Target::new(id, "http://127.0.0.1:1".to_owned(), &options);
        let log = LogId { cluster: "c".into(), topic: "t".into(), partition: 0 };
        let limits = WindowLimits { records: 9, bytes: 1 << 20, batch: 1 << 20 };
        BatchSender::new(Arc::clone(context), Arc::new(target), Partition::open(log, limits))
    }

    #[tokio::test(start_paused = true)]
    async fn a_cursor_without_a_thread_pauses_and_keeps_nobody_waiting() {
        let context = context_with(CursorThreads::without_any(1));
        let (mut first, mut second) = (sender_to(1, &context), sender_to(2, &context));
        while first.backoff.wait() < context.rules.backoff_max / 2 {}
        let begun = Instant::now();
        let (first, second) =
            tokio::join!(async { (with_cursor(&mut first, 5).await, begun.elapsed()) }, async {
                (with_cursor(&mut second, 7).await, begun.elapsed())
            },);
        assert!(first.1 >= context.rules.backoff_max / 2, "{first:?}");
        assert!(second.1 <= backoff::FIRST, "{second:?}");
        for (outcome, next) in [(first.0, 5), (second.0, 7)] {
            let tries_again = matches!(outcome, SendResult::Confirmed(at) if at == next);
            assert!(tries_again, "{outcome:?}");
        }
    }

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
