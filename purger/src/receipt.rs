//! Receipts: one event for each purge that says which proxy confirmed it when, so that others can act once a change is
//! visible everywhere. A purge's offset is not committed before its receipt is written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use purge_protocol::log::{Hit, LogId};
use serde::{Deserialize, Serialize};
use shellac::clock::Clock;
use shellac::metrics::Counter;
use shellac::timestamp::Timestamp;
use tokio::sync::mpsc;

use crate::kafka::producer::Producer;
use crate::partition::Partition;
use crate::partition::ledger::TargetId;
use crate::partition::window::Subject;

/// What happened to one purge, as the JSON of a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The purge event's id.
    pub id: String,
    /// Where the event is.
    #[serde(flatten)]
    pub log: LogId,
    /// Its offset.
    pub offset: i64,
    /// Whether every known proxy confirmed it.
    pub complete: bool,
    /// When the purger read the event, in milliseconds since 1970.
    pub read_ms: u64,
    /// When the last of them did, or when the purger stopped waiting.
    pub closed_ms: u64,
    /// Stored responses that were invalidated, over all proxies.
    pub objects: u64,
    /// What each proxy confirmed.
    pub confirmed: Vec<Confirmed>,
    /// Proxies that did not confirm in time. They still get the purge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unconfirmed: Vec<String>,
}

/// What one proxy confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// The proxy's admin URL.
    pub proxy: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Stored responses that it invalidated.
    pub objects: u64,
}

/// Takes note of purges and confirmations. Clones write to one collection.
#[derive(Clone, Debug)]
pub struct Receipts {
    notes: mpsc::Sender<Note>,
    /// Receipts written.
    pub written: Arc<Counter>,
}

#[derive(Debug)]
enum Note {
    Expected { partition: Arc<Partition>, offset: i64, subject: Arc<Subject> },
    Confirmed { log: LogId, target: TargetId, next: i64, hits: Vec<Hit> },
    Known(Vec<(TargetId, String)>),
}

/// What is waited for.
#[derive(Debug)]
struct Collection {
    topic: String,
    producer: Producer,
    timeout: Duration,
    clock: Clock,
    written: Arc<Counter>,
    known: Vec<(TargetId, String)>,
    /// How far each target has confirmed each partition.
    positions: HashMap<(LogId, TargetId), i64>,
    pending: BTreeMap<LogId, BTreeMap<i64, Pending>>,
}

#[derive(Debug)]
struct Pending {
    partition: Arc<Partition>,
    subject: Arc<Subject>,
    read: Timestamp,
    confirmed: Vec<(TargetId, Confirmed)>,
}

impl Receipts {
    /// Starts collecting; ends when the last clone is gone.
    pub fn start(topic: &str, producer: Producer, timeout: Duration, clock: Clock) -> Self {
        let (notes, inbox) = mpsc::channel(NOTES_MAX);
        let written = Arc::new(Counter::default());
        let collection = Collection {
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

    /// A purge was read; its partition owes a receipt. Waits on the consumer's thread when too many notes are pending.
    pub fn expect(&self, partition: &Arc<Partition>, offset: i64, subject: Arc<Subject>) {
        let partition = Arc::clone(partition);
        let note = Note::Expected { partition, offset, subject };
        let _is_shutting_down = self.notes.blocking_send(note);
    }

    /// A proxy confirmed everything below an offset.
    pub async fn confirm(&self, log: &LogId, target: TargetId, next: i64, hits: Vec<Hit>) {
        let note = Note::Confirmed { log: log.clone(), target, next, hits };
        let _is_shutting_down = self.notes.send(note).await;
    }

    /// These are all proxies there are.
    pub async fn know(&self, targets: Vec<(TargetId, String)>) {
        let _is_shutting_down = self.notes.send(Note::Known(targets)).await;
    }
}

impl Collection {
    async fn run(mut self, mut inbox: mpsc::Receiver<Note>) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                note = inbox.recv() => match note {
                    Some(note) => self.take(note),
                    None => return,
                },
                _ = tick.tick() => {}
            }
            while let Ok(note) = inbox.try_recv() {
                self.take(note);
            }
            self.close();
        }
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Known(known) => self.known = known,
            Note::Expected { partition, offset, subject } => {
                let read = self.clock.now();
                let pending = Pending { partition, subject, read, confirmed: Vec::new() };
                let log = pending.partition.log.clone();
                self.pending.entry(log.clone()).or_default().insert(offset, pending);
                let already =
                    self.positions.iter().filter(|((of, _), next)| *of == log && **next > offset);
                let already: Vec<TargetId> = already.map(|((_, target), _)| *target).collect();
                for target in already {
                    self.note_one(&log, offset, target, 0);
                }
            }
            Note::Confirmed { log, target, next, hits } => {
                let position = self.positions.entry((log.clone(), target)).or_insert(next);
                *position = next.max(*position);
                let Some(pending) = self.pending.get(&log) else { return };
                let offsets: Vec<i64> = pending.range(..next).map(|(offset, _)| *offset).collect();
                for offset in offsets {
                    let hit = hits.iter().find(|hit| hit.offset == offset);
                    self.note_one(&log, offset, target, hit.map_or(0, |hit| hit.objects));
                }
            }
        }
    }

    fn note_one(&mut self, log: &LogId, offset: i64, target: TargetId, objects: u64) {
        let at_ms = self.clock.now().as_millis();
        let Some((_, proxy)) = self.known.iter().find(|(id, _)| *id == target) else { return };
        let pending = self.pending.get_mut(log).and_then(|pending| pending.get_mut(&offset));
        if let Some(pending) = pending
            && !pending.confirmed.iter().any(|(id, _)| *id == target)
        {
            pending.confirmed.push((target, Confirmed { proxy: proxy.clone(), at_ms, objects }));
        }
    }

    /// Writes the receipts that wait for nobody any more.
    fn close(&mut self) {
        let (now, timeout, known) = (self.clock.now(), self.timeout, &self.known);
        let is_complete = |pending: &Pending| {
            !known.is_empty()
                && known
                    .iter()
                    .all(|(id, _)| pending.confirmed.iter().any(|(other, _)| other == id))
        };
        let mut closed = Vec::new();
        for (log, pending) in &mut self.pending {
            pending.retain(|_, pending| !pending.partition.closing.is_cancelled()); // another purger owes them now
            let is_closed = |_: &i64, pending: &mut Pending| {
                is_complete(pending) || now.since(pending.read) >= timeout
            };
            for (offset, pending) in pending.extract_if(.., is_closed) {
                let complete = is_complete(&pending);
                closed.push((
                    receipt(log, offset, &pending, complete, known, now),
                    pending,
                    offset,
                ));
            }
        }
        self.pending.retain(|_, pending| !pending.is_empty());
        for (receipt, pending, offset) in closed {
            let (producer, topic) = (self.producer.clone(), self.topic.clone());
            let written = Arc::clone(&self.written);
            drop(tokio::spawn(async move {
                let json = serde_json::to_vec(&receipt).unwrap_or_default();
                let key = pending.subject.key.as_deref();
                if let Err(error) = producer.insist(&topic, key, &json).await {
                    tracing::error!(%error, id = receipt.id, "a receipt is too large for its topic");
                }
                written.add(1);
                pending.partition.fulfil(offset);
            }));
        }
    }
}

fn receipt(
    log: &LogId,
    offset: i64,
    pending: &Pending,
    complete: bool,
    known: &[(TargetId, String)],
    now: Timestamp,
) -> Receipt {
    let has_confirmed = |id: &TargetId| pending.confirmed.iter().any(|(other, _)| other == id);
    let missing = known.iter().filter(|(id, _)| !has_confirmed(id));
    Receipt {
        id: pending.subject.id.clone(),
        log: log.clone(),
        offset,
        complete,
        read_ms: pending.read.as_millis(),
        closed_ms: now.as_millis(),
        objects: pending.confirmed.iter().map(|(_, confirmed)| confirmed.objects).sum(),
        confirmed: pending.confirmed.iter().map(|(_, confirmed)| confirmed.clone()).collect(),
        unconfirmed: missing.map(|(_, proxy)| proxy.clone()).collect(),
    }
}

/// Notes that wait for the collection.
const NOTES_MAX: usize = 10_000;
const TICK: Duration = Duration::from_millis(100);
