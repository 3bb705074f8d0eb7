//! Receipts: one event for each purge with the time at which each proxy confirmed it, so that other
//! systems can act once a change is visible everywhere. A purge's offset is not committed before
//! its receipt is written.
//!
//! The memory of open receipts is bounded ([`WorkKind::Receipt`]). A purge beyond the bound is read
//! again when there is room; if its proxies have confirmed it by then, the number of purged
//! responses is unknown.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use process::clock::Clock;
use process::metrics::Counter;
use process::timestamp::Timestamp;
use purge_protocol::log::{Hit, LogId};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::kafka::producer::Producer;
use crate::partition::Partition;
use crate::partition::commit_tracker::TargetId;
use crate::partition::pending::WorkKind;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub id: String,
    #[serde(flatten)]
    pub log: LogId,
    pub offset: i64,
    pub complete: bool,
    /// Milliseconds since 1970 at which the purger read the event.
    pub read_ms: u64,
    /// Milliseconds since 1970 at which the last proxy confirmed it, or the purger stopped waiting.
    pub closed_ms: u64,
    /// Stored responses that were invalidated, over all proxies; absent if the number of some proxy
    /// is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
    pub confirmed: Vec<Confirmed>,
    /// Proxies that did not confirm in time. They still get the purge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unconfirmed: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    pub proxy: String,
    /// Milliseconds since 1970; with unknown `objects`, the moment at which the purger learned of
    /// it.
    pub at_ms: u64,
    /// Stored responses that it invalidated; absent if it confirmed before the purger read the
    /// purge, as after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeSubject {
    pub id: String,
    pub key: Option<Bytes>,
}

#[derive(Clone, Debug)]
pub struct Receipts {
    notes: mpsc::Sender<ReceiptNote>,
    pub written: Arc<Counter>,
}

#[derive(Debug)]
enum ReceiptNote {
    Expected { offset: i64, pending: OpenReceipt },
    Confirmed { partition: Arc<Partition>, target: TargetId, next: i64, hits: Vec<Hit> },
    Known(Vec<(TargetId, String)>),
}

#[derive(Debug)]
struct ReceiptCollector {
    topic: String,
    producer: Producer,
    timeout: Duration,
    clock: Clock,
    written: Arc<Counter>,
    known: Vec<(TargetId, String)>,
    /// By incarnation of their partitions.
    logs: BTreeMap<u64, LogReceipts>,
}

/// The receipts of one partition, until it is revoked or its log is replaced.
#[derive(Debug)]
struct LogReceipts {
    partition: Arc<Partition>,
    positions: HashMap<TargetId, i64>,
    pending: BTreeMap<i64, OpenReceipt>,
}

#[derive(Debug)]
struct OpenReceipt {
    partition: Arc<Partition>,
    subject: PurgeSubject,
    read: Timestamp,
    confirmed: Vec<ProxyConfirmation>,
}

#[derive(Clone, Copy, Debug)]
struct ProxyConfirmation {
    target: TargetId,
    at_ms: u64,
    objects: Option<u64>,
}

impl Receipts {
    /// Starts collecting; ends when the last clone is gone.
    pub fn start(topic: &str, producer: Producer, timeout: Duration, clock: Clock) -> Self {
        let (notes, inbox) = mpsc::channel(NOTES_MAX);
        let written = Arc::new(Counter::default());
        let collection = ReceiptCollector {
            topic: topic.to_owned(),
            producer,
            timeout,
            clock,
            written: Arc::clone(&written),
            known: Vec::new(),
            logs: BTreeMap::new(),
        };
        drop(tokio::spawn(collection.run(inbox)));
        Self { notes, written }
    }

    /// Opens a receipt for a purge that was read at this time. Blocks while too many notes wait.
    pub fn expect(
        &self,
        partition: &Arc<Partition>,
        offset: i64,
        subject: PurgeSubject,
        read: Timestamp,
    ) {
        let partition = Arc::clone(partition);
        let pending = OpenReceipt { partition, subject, read, confirmed: Vec::new() };
        let _is_shutting_down = self.notes.blocking_send(ReceiptNote::Expected { offset, pending });
    }

    pub async fn confirm(
        &self,
        partition: &Arc<Partition>,
        target: TargetId,
        next: i64,
        hits: Vec<Hit>,
    ) {
        let partition = Arc::clone(partition);
        let note = ReceiptNote::Confirmed { partition, target, next, hits };
        let _is_shutting_down = self.notes.send(note).await;
    }

    pub async fn know(&self, targets: Vec<(TargetId, String)>) {
        let _is_shutting_down = self.notes.send(ReceiptNote::Known(targets)).await;
    }
}

impl ReceiptCollector {
    async fn run(mut self, mut inbox: mpsc::Receiver<ReceiptNote>) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                note = inbox.recv() => match note {
                    Some(note) => self.take(note),
                    None => return,
                },
                _ = tick.tick() => self.close_late(),
            }
        }
    }

    fn take(&mut self, note: ReceiptNote) {
        match note {
            ReceiptNote::Known(known) => {
                let is_known = |target: &TargetId| known.iter().any(|(id, _)| id == target);
                for log in self.logs.values_mut() {
                    log.positions.retain(|target, _| is_known(target));
                }
                self.known = known;
                let incarnations: Vec<u64> = self.logs.keys().copied().collect();
                for incarnation in incarnations {
                    self.close_complete(incarnation, i64::MIN..i64::MAX);
                }
            }
            ReceiptNote::Expected { offset, mut pending } => {
                let at_ms = self.clock.now().as_millis();
                let incarnation = pending.partition.incarnation;
                let log = log_of(&mut self.logs, &pending.partition);
                pending.confirmed.extend(self.known.iter().filter_map(|(target, _)| {
                    let next = log.positions.get(target)?;
                    let noted = ProxyConfirmation { target: *target, at_ms, objects: None };
                    (*next > offset).then_some(noted)
                }));
                log.pending.insert(offset, pending);
                self.close_complete(incarnation, offset..offset + 1);
            }
            ReceiptNote::Confirmed { partition, target, next, hits } => {
                let incarnation = partition.incarnation;
                let log = log_of(&mut self.logs, &partition);
                let before = log.positions.insert(target, next);
                let range = before.unwrap_or(i64::MIN)..next;
                if !range.is_empty() && self.known.iter().any(|(id, _)| *id == target) {
                    let at_ms = self.clock.now().as_millis();
                    log.note(range.clone(), target, at_ms, before.map(|_| &*hits));
                    self.close_complete(incarnation, range);
                }
            }
        }
    }

    /// Writes the receipts of a range that every known proxy has confirmed.
    fn close_complete(&mut self, incarnation: u64, range: Range<i64>) {
        let Some(log) = self.logs.get_mut(&incarnation) else { return };
        let known = &self.known;
        let is_complete = |_: &i64, pending: &mut OpenReceipt| is_complete(pending, known);
        let closed: Vec<_> = log.pending.extract_if(range, is_complete).collect();
        for (offset, pending) in closed {
            self.write(offset, pending);
        }
    }

    /// Writes the receipts that have waited for `timeout`; forgets those of partitions that another
    /// purger has now.
    fn close_late(&mut self) {
        let (now, timeout) = (self.clock.now(), self.timeout);
        let mut closed = Vec::new();
        self.logs.retain(|_, log| log.is_needed());
        for log in self.logs.values_mut() {
            // Offsets are in the order of reading.
            while let Some(first) = log.pending.first_entry()
                && now.since(first.get().read) >= timeout
            {
                closed.push(first.remove_entry());
            }
        }
        for (offset, pending) in closed {
            self.write(offset, pending);
        }
    }

    fn write(&self, offset: i64, pending: OpenReceipt) {
        let receipt = receipt(offset, &pending, &self.known, &self.clock);
        let (producer, topic) = (self.producer.clone(), self.topic.clone());
        let written = Arc::clone(&self.written);
        drop(tokio::spawn(async move {
            let json = serde_json::to_vec(&receipt).unwrap_or_default();
            let key = pending.subject.key.as_deref();
            let done = tokio::select! {
                done = producer.insist(&topic, key, &json) => done,
                () = pending.partition.revoked.cancelled() => return, // now another's work
            };
            if let Err(error) = done {
                tracing::error!(%error, id = receipt.id, "a receipt is too large for its topic");
            }
            written.add(1);
            pending.partition.complete(offset, WorkKind::Receipt);
        }));
    }
}

fn log_of<'a>(
    logs: &'a mut BTreeMap<u64, LogReceipts>,
    partition: &Arc<Partition>,
) -> &'a mut LogReceipts {
    let log = logs.entry(partition.incarnation).or_insert_with(|| LogReceipts {
        partition: Arc::clone(partition),
        positions: HashMap::new(),
        pending: BTreeMap::new(),
    });
    if log.partition.closing.is_cancelled() {
        log.partition = Arc::clone(partition);
    }
    log
}

impl LogReceipts {
    /// Returns whether the partition is still this purger's, and its log is read or owes receipts.
    fn is_needed(&self) -> bool {
        let is_read = !self.partition.closing.is_cancelled();
        !self.partition.revoked.is_cancelled() && (is_read || !self.pending.is_empty())
    }

    /// Records that a proxy confirmed a range; everything below it was recorded before. `None`: it
    /// had confirmed the range before it was first asked.
    fn note(&mut self, range: Range<i64>, target: TargetId, at_ms: u64, hits: Option<&[Hit]>) {
        let by_offset = |hits: &[Hit]| {
            hits.iter().map(|hit| (hit.offset, hit.objects)).collect::<HashMap<_, _>>()
        };
        let hits = hits.map(by_offset);
        for (offset, pending) in self.pending.range_mut(range) {
            if !pending.has(target) {
                let objects = hits.as_ref().map(|hits| hits.get(offset).copied().unwrap_or(0));
                pending.confirmed.push(ProxyConfirmation { target, at_ms, objects });
            }
        }
    }
}

impl OpenReceipt {
    fn has(&self, target: TargetId) -> bool {
        self.confirmed.iter().any(|noted| noted.target == target)
    }
}

/// Returns whether every known proxy has confirmed; without any, nothing is complete.
fn is_complete(pending: &OpenReceipt, known: &[(TargetId, String)]) -> bool {
    !known.is_empty() && known.iter().all(|(id, _)| pending.has(*id))
}

fn receipt(
    offset: i64,
    pending: &OpenReceipt,
    known: &[(TargetId, String)],
    clock: &Clock,
) -> Receipt {
    let by_the_wall = |at: Timestamp| at.moved(clock.correction()).as_millis();
    let confirmation = |noted: &ProxyConfirmation| {
        let (_, proxy) = known.iter().find(|(id, _)| *id == noted.target)?;
        let proxy = proxy.clone();
        let at_ms = by_the_wall(Timestamp::from_millis(noted.at_ms));
        Some(Confirmed { proxy, at_ms, objects: noted.objects })
    };
    let confirmed: Vec<Confirmed> = pending.confirmed.iter().filter_map(confirmation).collect();
    let missing = known.iter().filter(|(id, _)| !pending.has(*id));
    Receipt {
        id: pending.subject.id.clone(),
        log: pending.partition.log.clone(),
        offset,
        complete: is_complete(pending, known),
        read_ms: by_the_wall(pending.read),
        closed_ms: by_the_wall(clock.now()),
        objects: confirmed.iter().map(|confirmed| confirmed.objects).sum(),
        confirmed,
        unconfirmed: missing.map(|(_, proxy)| proxy.clone()).collect(),
    }
}

const NOTES_MAX: usize = 10_000;
const TICK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use settings::KafkaSettings;

    use super::*;
    use crate::kafka::context::TokenSource;
    use crate::partition::window::WindowLimits;

    fn collector(clock: Clock) -> ReceiptCollector {
        let kafka =
            KafkaSettings { brokers: vec!["127.0.0.1:1".to_owned()], ..KafkaSettings::default() };
        let tokens = TokenSource { file: None, clock: clock.clone() };
        ReceiptCollector {
            topic: "receipts".to_owned(),
            producer: Producer::new(&kafka, tokens).unwrap(),
            timeout: Duration::from_mins(1),
            clock,
            written: Arc::default(),
            known: vec![(1, "http://proxy".to_owned())],
            logs: BTreeMap::new(),
        }
    }

    fn partition() -> Arc<Partition> {
        let log = LogId { cluster: "c".into(), topic: "t".into(), partition: 0 };
        Partition::open(log, WindowLimits { records: 9, bytes: 1 << 20, batch: 1 << 20 })
    }

    fn expect(collector: &mut ReceiptCollector, partition: &Arc<Partition>, offset: i64) {
        let subject = PurgeSubject { id: "e".to_owned(), key: None };
        let (partition, read) = (Arc::clone(partition), collector.clock.now());
        let pending = OpenReceipt { partition, subject, read, confirmed: Vec::new() };
        collector.take(ReceiptNote::Expected { offset, pending });
    }

    fn confirm(collector: &mut ReceiptCollector, partition: &Arc<Partition>, next: i64) {
        let partition = Arc::clone(partition);
        collector.take(ReceiptNote::Confirmed { partition, target: 1, next, hits: Vec::new() });
    }

    fn open(collector: &ReceiptCollector) -> usize {
        collector.logs.values().map(|log| log.pending.len()).sum()
    }

    #[tokio::test]
    async fn a_position_in_another_log_closes_no_receipt() {
        let mut collector = collector(Clock::system());
        let old = partition();
        old.push(29, 1, None);
        confirm(&mut collector, &old, 30);
        let replaced = old.reopened(0);
        expect(&mut collector, &replaced, 0);
        assert_eq!(open(&collector), 1, "the proxy has not confirmed it");
        confirm(&mut collector, &replaced, 1);
        assert_eq!(open(&collector), 0);
        // Another purger had it meanwhile.
        replaced.closing.cancel();
        replaced.revoked.cancel();
        let assigned_again = partition();
        expect(&mut collector, &assigned_again, 0);
        assert_eq!(open(&collector), 1);
    }

    #[tokio::test]
    async fn receipts_of_a_log_that_goes_on_stay_open_until_it_is_revoked() {
        let mut collector = collector(Clock::system());
        let partition = partition();
        expect(&mut collector, &partition, 0);
        partition.push(0, 1, None);
        partition.closing.cancel();
        let again = partition.reopened(500);
        collector.close_late();
        assert_eq!(open(&collector), 1);
        confirm(&mut collector, &again, 1);
        assert_eq!(open(&collector), 0);
        expect(&mut collector, &again, 500);
        again.revoked.cancel();
        collector.close_late();
        assert!(collector.logs.is_empty(), "it is another purger's");
    }
}
