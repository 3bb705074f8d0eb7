//! `BatchSender`: sends one batch at a time of one partition to one proxy, until the proxy has
//! confirmed it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use purge_protocol::log::{Applied, Hit, LogStatus, Start};
use tokio::time::{Instant, sleep, timeout};

use super::batch_patience::BatchPatience;
use super::context::DeliveryContext;
use super::encoding::{self, CleanSince};
use super::outcome::DeliveryOutcome;
use super::parts::Parts;
use super::refusal::give_up;
use super::target::Target;
use crate::backoff::Backoff;
use crate::partition::Partition;
use crate::partition::window::Slice;

#[derive(Debug)]
pub(super) struct BatchSender {
    pub(super) context: Arc<DeliveryContext>,
    pub(super) target: Arc<Target>,
    pub(super) partition: Arc<Partition>,
    pub(super) backoff: Backoff,
    patience: BatchPatience,
    pub(super) instance: String,
    /// The latest reading of the proxy's clock, in its milliseconds, and the moment of its arrival.
    pub(super) clock: Option<(u64, Instant)>,
    progressed: Instant,
    pub(super) sent: Option<Instant>,
    /// While true, it holds a cursor, of which there are few.
    pub(super) is_catching_up: bool,
    /// The pause that is due once the cursor is given back.
    pub(super) pause: Duration,
    /// The position from a refused batch, not yet compared with the log.
    pub(super) log_status: Option<LogStatus>,
}

#[derive(Debug)]
pub(super) enum SendResult {
    Confirmed(i64),
    /// The proxy reports another position, or another process has taken its place.
    LocateAgain,
}

#[derive(Debug)]
enum BatchResult {
    Applied(Applied),
    /// The proxy refuses the content of the batch, for this reason.
    Refused(String),
    /// The batch takes the proxy too long.
    TooSlow,
    /// The proxy reports another position, or another process has taken its place.
    LocateAgain,
}

impl BatchSender {
    /// Makes a sender that does not know the proxy's position.
    pub(super) fn new(
        context: Arc<DeliveryContext>,
        target: Arc<Target>,
        partition: Arc<Partition>,
    ) -> Self {
        let backoff = Backoff::new(context.rules.backoff_max);
        let patience = BatchPatience::new(context.rules.timeout);
        Self {
            context,
            target,
            partition,
            backoff,
            patience,
            instance: String::new(),
            clock: None,
            progressed: Instant::now(),
            sent: None,
            is_catching_up: false,
            pause: Duration::ZERO,
            log_status: None,
        }
    }

    pub(super) fn log(&self) -> (&str, i32) {
        (&self.partition.log.topic, self.partition.log.partition)
    }

    /// Sends a batch until it is confirmed. A batch that is refused or takes too long is sent in
    /// parts.
    pub(super) async fn send(&mut self, slice: &Slice, start: Option<Start>) -> SendResult {
        let offered = if self.patience.is_exhausted() && !slice.purges.is_empty() {
            BatchResult::TooSlow // as those before were
        } else {
            self.offer(slice, start).await
        };
        match offered {
            BatchResult::Applied(applied) => self.confirmed(slice, applied).await,
            BatchResult::Refused(_) | BatchResult::TooSlow => {
                Box::pin(self.send_in_parts(slice, offered)).await
            }
            BatchResult::LocateAgain => SendResult::LocateAgain,
        }
    }

    /// Sends the purges of a batch in ever smaller parts. A selector that is refused alone is given
    /// up; one that takes long is sent for as long as it takes.
    async fn send_in_parts(&mut self, slice: &Slice, mut offered: BatchResult) -> SendResult {
        let mut parts = Parts::of(slice);
        let mut is_distrusted = false;
        (1..self.patience.late()).for_each(|_| parts.halve());
        loop {
            match offered {
                BatchResult::Applied(applied) => {
                    let is_whole = parts.applied(&applied.hits);
                    if is_whole {
                        let applied = Applied { hits: parts.into_hits(), ..applied };
                        return self.confirmed(slice, applied).await;
                    }
                    if self.target.note_instance(&applied.instance) {
                        return SendResult::LocateAgain;
                    }
                }
                BatchResult::Refused(why) => {
                    if let Some(purge) = parts.refused() {
                        if !is_distrusted && self.distrust(slice.from, &why).await.is_none() {
                            return SendResult::LocateAgain;
                        }
                        is_distrusted = true;
                        self.give_up(purge, &why);
                    }
                }
                BatchResult::TooSlow => parts.halve(),
                BatchResult::LocateAgain => return SendResult::LocateAgain,
            }
            offered = self.offer(&parts.next(), None).await;
        }
    }

    fn give_up(&self, (offset, purge): (i64, Bytes), why: &str) {
        let why = format!("{why} ({})", String::from_utf8_lossy(&purge));
        give_up(&self.context, &self.partition, offset, &self.target.url, &why);
    }

    /// Makes the proxy validate everything stored before, since a purge that it refuses may have
    /// meant any of it.
    async fn distrust(&mut self, from: i64, why: &str) -> Option<i64> {
        tracing::error!(
            proxy = self.target.url,
            topic = self.log().0,
            partition = self.log().1,
            why,
            "a proxy refuses a purge: it validates what it stored before"
        );
        self.start_over(Start::Refused, from).await
    }

    /// Sends a batch until the proxy has answered it.
    async fn offer(&mut self, slice: &Slice, start: Option<Start>) -> BatchResult {
        let target = Arc::clone(&self.target);
        let bytes = slice.purges.iter().map(|(_, purge)| purge.len()).sum();
        loop {
            let room = target.room_for(bytes).await;
            self.sent = Some(Instant::now());
            let outcome = self.deliver(self.encode(slice, start)).await;
            drop(room);
            self.context
                .metrics
                .deliveries
                .add(outcome.as_str(), self.sent.map(|sent| sent.elapsed()));
            match outcome {
                DeliveryOutcome::Applied(applied) => {
                    self.note_progress(&applied);
                    if let Some(sent) = self.sent.filter(|_| !slice.purges.is_empty()) {
                        self.patience.note_answer(sent.elapsed());
                    }
                    return BatchResult::Applied(applied);
                }
                DeliveryOutcome::Gap(log_status) => {
                    tracing::info!(
                        proxy = self.target.url,
                        topic = self.log().0,
                        partition = self.log().1,
                        from = slice.from,
                        "a proxy reports another position: going back"
                    );
                    self.log_status = Some(log_status);
                    self.wait(HOLE_PAUSE).await;
                    return BatchResult::LocateAgain;
                }
                DeliveryOutcome::Refused(refusal) if refusal.proxy != self.instance => {
                    // Another process has taken its place.
                    self.log_status = None;
                    self.wait(HOLE_PAUSE).await;
                    return BatchResult::LocateAgain;
                }
                DeliveryOutcome::Refused(refusal) if !slice.purges.is_empty() => {
                    tracing::debug!(
                        proxy = self.target.url,
                        why = refusal.detail,
                        purges = slice.purges.len(),
                        "a batch is refused"
                    );
                    return BatchResult::Refused(refusal.detail);
                }
                outcome @ DeliveryOutcome::Late(_) if !slice.purges.is_empty() => {
                    if let Some(result) = self.late(slice, &outcome).await {
                        return result;
                    }
                }
                outcome => {
                    self.failed(&outcome).await;
                    if self.is_catching_up {
                        return BatchResult::LocateAgain; // others wait for its cursor
                    }
                }
            }
        }
    }

    /// Delivers a batch. A proxy that takes longer than `slow_after` delays no commit meanwhile.
    async fn deliver(&self, batch: Bytes) -> DeliveryOutcome {
        let mut delivered = pin!(self.target.deliver(batch, self.patience.current()));
        if let Ok(outcome) = timeout(self.context.rules.slow_after, delivered.as_mut()).await {
            return outcome;
        }
        self.partition.release(self.target.id);
        delivered.await
    }

    /// Judges a batch without an answer in time. A proxy that answers otherwise is at work on it:
    /// it gets more time and, if that is not enough, smaller batches. `None`: to be sent again.
    async fn late(&mut self, slice: &Slice, outcome: &DeliveryOutcome) -> Option<BatchResult> {
        let Ok(log_status) = self.target.log_status().await else {
            self.failed(outcome).await;
            return self.is_catching_up.then_some(BatchResult::LocateAgain);
        };
        let own = log_status.positions.iter().find(|own| own.log == self.partition.log);
        let is_beyond = own.is_some_and(|own| own.next > slice.from);
        if is_beyond || log_status.instance != self.instance {
            // It finished the batch after all, or another process has taken its place.
            self.log_status = Some(log_status);
            return Some(BatchResult::LocateAgain);
        }
        self.patience.note_late();
        self.failed(outcome).await;
        if self.is_catching_up && self.patience.late().is_multiple_of(LATE_WITH_CURSOR) {
            return Some(BatchResult::LocateAgain); // others wait for its cursor
        }
        self.patience.is_exhausted().then_some(BatchResult::TooSlow)
    }

    fn encode(&self, slice: &Slice, start: Option<Start>) -> Bytes {
        let since = self.partition.clean_since(slice.to);
        let at = since.zip(self.clock).map(|(since, (clock, read))| {
            (clock + millis(read.elapsed())).saturating_sub(millis(since))
        });
        let clean = CleanSince { ms: since.map(millis), at };
        encoding::batch(&self.partition, &self.context.name, &self.instance, slice, start, clean)
    }

    fn note_progress(&mut self, applied: &Applied) {
        self.backoff.reset();
        self.progressed = Instant::now();
        self.clock = applied.clock.map(|clock| (clock, Instant::now()));
    }

    async fn confirmed(&mut self, slice: &Slice, applied: Applied) -> SendResult {
        let is_another = self.target.note_instance(&applied.instance);
        if applied.next < slice.to || is_another {
            // The process has another position, or has just started: ask it.
            self.log_status = None;
            return SendResult::LocateAgain;
        }
        self.arrived(slice.to, applied.hits, false).await;
        SendResult::Confirmed(slice.to)
    }

    pub(super) async fn arrived(&self, next: i64, hits: Vec<Hit>, is_catching_up: bool) {
        self.target.note_position(self.log(), next, is_catching_up);
        if !is_catching_up {
            for age in self.partition.confirm(self.target.id, next, self.context.wall_time()) {
                self.context.metrics.event_to_applied.record(age);
            }
        }
        if let Some(receipts) = &self.context.receipts {
            receipts.confirm(&self.partition, self.target.id, next, hits).await;
        }
    }

    /// Sends an empty batch until the proxy has confirmed it. What it says of the proxy does not
    /// hold for batches with purges: the backoff goes on where it was.
    pub(super) async fn probe(&mut self, next: i64) -> SendResult {
        let backoff = self.backoff.clone();
        let slice = Slice::empty(next);
        match self.offer(&slice, None).await {
            BatchResult::Applied(applied) => {
                self.backoff = backoff;
                if self.target.note_instance(&applied.instance) || applied.next != next {
                    SendResult::LocateAgain
                } else {
                    SendResult::Confirmed(next)
                }
            }
            BatchResult::Refused(_) | BatchResult::TooSlow | BatchResult::LocateAgain => {
                SendResult::LocateAgain
            }
        }
    }

    /// Waits before the next attempt.
    pub(super) async fn failed(&mut self, outcome: &DeliveryOutcome) {
        let pause = self.note_failure(outcome);
        self.wait(pause).await;
    }

    /// Waits; while it holds a cursor, the wait comes after it is given back.
    async fn wait(&mut self, pause: Duration) {
        if self.is_catching_up {
            self.pause = pause;
        } else {
            sleep(pause).await;
        }
    }

    /// Returns the pause before the next attempt. A proxy that fails for `slow_after` no longer
    /// delays commits.
    fn note_failure(&mut self, outcome: &DeliveryOutcome) -> Duration {
        self.target.note_failure(outcome);
        if self.progressed.elapsed() >= self.context.rules.slow_after {
            self.partition.release(self.target.id);
        }
        let pause = self.backoff.wait();
        match outcome {
            DeliveryOutcome::Wait(Some(asked)) => pause.max(*asked),
            _ => pause,
        }
    }

    /// Sets the proxy's position to the end of the log.
    pub(super) async fn start_over(&mut self, start: Start, high: i64) -> Option<i64> {
        let (topic, partition) = self.log();
        tracing::warn!(
            proxy = self.target.url,
            topic,
            partition,
            ?start,
            offset = high,
            "a proxy's position is set: it validates what it stored before"
        );
        self.context.metrics.starts.add(start);
        match self.send(&Slice::empty(high), Some(start)).await {
            SendResult::Confirmed(next) => Some(next),
            SendResult::LocateAgain => None,
        }
    }

    /// Asks the brokers for the log's oldest offset and the one behind its newest.
    pub(super) async fn watermarks(&mut self) -> Option<(i64, i64)> {
        let permit = Arc::clone(&self.context.questions).acquire_owned().await.ok()?;
        let (brokers, log) = (self.context.brokers.clone(), self.partition.log.clone());
        let ask = move || {
            let _permit = permit;
            brokers.watermarks(&log)
        };
        self.ask_kafka(ask).await
    }

    /// Makes a blocking call to Kafka; if it fails, waits for the backoff and returns `None`.
    pub(super) async fn ask_kafka<T, E>(
        &mut self,
        call: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Option<T>
    where
        T: Send + 'static,
        E: std::fmt::Display + Send + 'static,
    {
        let error = match tokio::task::spawn_blocking(call).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(panicked) => panicked.to_string(),
        };
        self.unreachable(&error).await;
        None
    }

    /// Waits because Kafka does not answer, without blaming the proxy.
    pub(super) async fn unreachable(&mut self, error: &str) {
        tracing::debug!(error, topic = self.log().0, "Kafka does not answer: asking again");
        let pause = self.backoff.wait();
        self.wait(pause).await;
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Batches in a row without an answer in time, after which a cursor is given back.
const LATE_WITH_CURSOR: u32 = 3;
/// Slows down two purgers that each believe they own the partition.
const HOLE_PAUSE: Duration = Duration::from_millis(20);
