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
    Confirmed { log: LogId, target: TargetId, next: i64, hits: Vec<Hit> },
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
    /// Each target's position in each partition.
    positions: HashMap<(LogId, TargetId), i64>,
    pending: BTreeMap<LogId, BTreeMap<i64, OpenReceipt>>,
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
            positions: HashMap::new(),
            pending: BTreeMap::new(),
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

    pub async fn confirm(&self, log: &LogId, target: TargetId, next: i64, hits: Vec<Hit>) {
        let note = ReceiptNote::Confirmed { log: log.clone(), target, next, hits };
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
                self.positions.retain(|(_, target), _| known.iter().any(|(id, _)| id == target));
                self.known = known;
                self.close_complete(None);
            }
            ReceiptNote::Expected { offset, mut pending } => {
                let log = pending.partition.log.clone();
                let at_ms = self.clock.now().as_millis();
                pending.confirmed.extend(self.known.iter().filter_map(|(target, _)| {
                    let next = self.positions.get(&(log.clone(), *target))?;
                    let noted = ProxyConfirmation { target: *target, at_ms, objects: None };
                    (*next > offset).then_some(noted)
                }));
                self.pending.entry(log.clone()).or_default().insert(offset, pending);
                self.close_complete(Some((&log, offset..offset + 1)));
            }
            ReceiptNote::Confirmed { log, target, next, hits } => {
                let before = self.positions.insert((log.clone(), target), next);
                let range = before.unwrap_or(i64::MIN)..next;
                if !range.is_empty() {
                    self.note(&log, range.clone(), target, before.map(|_| &*hits));
                    self.close_complete(Some((&log, range)));
                }
            }
        }
    }

    /// Records that a proxy confirmed a range; everything below it was recorded before. `None`: it
    /// had confirmed the range before it was first asked.
    fn note(&mut self, log: &LogId, range: Range<i64>, target: TargetId, hits: Option<&[Hit]>) {
        if !self.known.iter().any(|(id, _)| *id == target) {
            return;
        }
        let at_ms = self.clock.now().as_millis();
        let by_offset = |hits: &[Hit]| {
            hits.iter().map(|hit| (hit.offset, hit.objects)).collect::<HashMap<_, _>>()
        };
        let hits = hits.map(by_offset);
        let Some(pending) = self.pending.get_mut(log) else { return };
        for (offset, pending) in pending.range_mut(range) {
            if !pending.has(target) {
                let objects = hits.as_ref().map(|hits| hits.get(offset).copied().unwrap_or(0));
                pending.confirmed.push(ProxyConfirmation { target, at_ms, objects });
            }
        }
    }

    /// Writes the receipts that every known proxy has confirmed, in a range or everywhere.
    fn close_complete(&mut self, range: Option<(&LogId, Range<i64>)>) {
        let known = &self.known;
        let is_complete = |_: &i64, pending: &mut OpenReceipt| is_complete(pending, known);
        let mut closed = Vec::new();
        match range {
            Some((log, range)) => {
                if let Some(pending) = self.pending.get_mut(log) {
                    closed.extend(pending.extract_if(range, is_complete));
                }
            }
            None => {
                for pending in self.pending.values_mut() {
                    closed.extend(pending.extract_if(.., is_complete));
                }
            }
        }
        for (offset, pending) in closed {
            self.write(offset, pending);
        }
    }

    /// Writes the receipts that have waited for `timeout`; forgets those of partitions that another
    /// purger has now.
    fn close_late(&mut self) {
        let (now, timeout) = (self.clock.now(), self.timeout);
        let mut closed = Vec::new();
        for pending in self.pending.values_mut() {
            let is_ours = |pending: &OpenReceipt| !pending.partition.closing.is_cancelled();
            if pending.first_key_value().is_some_and(|(_, first)| !is_ours(first)) {
                pending.retain(|_, pending| is_ours(pending));
            }
            // Offsets are in the order of reading.
            while let Some(first) = pending.first_entry()
                && now.since(first.get().read) >= timeout
            {
                closed.push(first.remove_entry());
            }
        }
        self.pending.retain(|_, pending| !pending.is_empty());
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
