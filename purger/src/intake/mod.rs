//! Intake of records: each becomes a purge that is held for proxies, a dead letter, or nothing.
//! Dead letters, delayed purges and receipts are pending work until they are written.

pub mod rereader;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use process::clock::Clock;
use purge_protocol::log::LoggedPurge;
use rdkafka::message::{BorrowedMessage, Headers as _, Message};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::dead_letter::{DeadLetter, DeadLetters};
use crate::event::{EventReader, Priority, PurgeEvent, Reading, Record, Unreadable};
use crate::metrics::{EventOutcome, PurgerMetrics};
use crate::partition::Partition;
use crate::partition::pending::{Work, WorkKind};
use crate::partition::window::{HeldRecord, fingerprint};
use crate::receipt::{PurgeSubject, Receipts};
use crate::settle::Settler;

#[derive(Clone, Debug)]
pub struct Intake {
    pub reader: Arc<EventReader>,
    pub dead_letters: DeadLetters,
    pub settler: Settler,
    /// For receipts, if they are written.
    pub receipts: Option<Receipts>,
    pub clock: Clock,
    pub runtime: Handle,
    pub metrics: Arc<PurgerMetrics>,
}

#[derive(Debug)]
struct ReadRecord {
    held: Option<HeldRecord>,
    reading: Reading,
}

impl Intake {
    pub fn take(&self, partition: &Arc<Partition>, message: &BorrowedMessage<'_>) {
        let ReadRecord { held, reading } = self.read(message);
        let offset = message.offset();
        let outcome = match &reading {
            Reading::Purge(_) => EventOutcome::Purge,
            Reading::Ignored(why) => EventOutcome::Ignored(why.as_str()),
            Reading::Unreadable(unreadable) => EventOutcome::DeadLetter(unreadable.code.as_str()),
        };
        self.metrics.events.add(&partition.log.topic, outcome);
        // Before the record can be delivered: a confirmation must not precede what it confirms.
        for work in self.work_for(message, &reading) {
            if partition.add_pending(offset, work) {
                self.begin(work.kind, partition, message, &reading, Instant::now());
            }
        }
        partition.push(offset, print_of(message), held);
    }

    /// Takes a record again for work of this kind that could not begin at the first reading;
    /// returns whether there was room for it. Blocks.
    pub fn take_again<M: Message>(
        &self,
        partition: &Arc<Partition>,
        message: &M,
        kind: WorkKind,
    ) -> bool {
        // As of a moment at which no event is too old: pending work stays pending.
        let reading =
            self.reader.read(&record_of(message, &headers_of(message)), SystemTime::UNIX_EPOCH);
        let offset = message.offset();
        let Some(work) =
            self.work_for(message, &reading).into_iter().find(|work| work.kind == kind)
        else {
            partition.skip_pending(offset + 1, kind);
            return true;
        };
        let Some(read) = partition.resume_pending(offset, work) else { return false };
        self.begin(kind, partition, message, &reading, read);
        true
    }

    fn work_for<M: Message>(&self, message: &M, reading: &Reading) -> Vec<Work> {
        let (key, value) = (length(message.key()), length(message.payload()));
        match reading {
            Reading::Ignored(_) => Vec::new(),
            Reading::Unreadable(_) => {
                let headers = headers_of(message);
                let headers: usize =
                    headers.iter().map(|(name, value)| name.len() + value.len()).sum();
                let bytes = (key + value + headers) * BASE64_COPIES + WORK_BYTES;
                vec![Work { kind: WorkKind::DeadLetter, count: 1, bytes: bytes as u64 }]
            }
            Reading::Purge(event) => {
                let mut works = Vec::new();
                let delays = event.settle.len();
                if let Ok(count @ 1..) = u32::try_from(delays) {
                    let bytes = delays * (key + 2 * value + WORK_BYTES);
                    works.push(Work { kind: WorkKind::Repetition, count, bytes: bytes as u64 });
                }
                if self.receipts.is_some() {
                    let bytes = key + event.id.len() + WORK_BYTES;
                    works.push(Work { kind: WorkKind::Receipt, count: 1, bytes: bytes as u64 });
                }
                works
            }
        }
    }

    /// Begins the work of one kind for a record that was first read at `read`.
    fn begin<M: Message>(
        &self,
        kind: WorkKind,
        partition: &Arc<Partition>,
        message: &M,
        reading: &Reading,
        read: Instant,
    ) {
        match (kind, reading) {
            (WorkKind::DeadLetter, Reading::Unreadable(unreadable)) => {
                self.write_letter(partition, message, unreadable);
            }
            (WorkKind::Repetition, Reading::Purge(event)) => {
                self.settle(partition, message, event, read);
            }
            (WorkKind::Receipt, Reading::Purge(event)) => {
                if let Some(receipts) = &self.receipts {
                    let subject = subject(event, message);
                    let read = self.clock.now().minus(read.elapsed());
                    receipts.expect(partition, message.offset(), subject, read);
                }
            }
            _ => {} // no record has such work
        }
    }

    fn write_letter<M: Message>(
        &self,
        partition: &Arc<Partition>,
        message: &M,
        unreadable: &Unreadable,
    ) {
        let (code, detail) = (unreadable.code.as_str(), &unreadable.detail);
        let letter = DeadLetter::of(message, code, detail, self.clock.wall());
        let (letters, partition) = (self.dead_letters.clone(), Arc::clone(partition));
        drop(self.runtime.spawn(async move {
            tokio::select! {
                () = letters.write(&letter) => partition.complete(letter.offset, WorkKind::DeadLetter),
                () = partition.revoked.cancelled() => {} // another purger reads it again
            }
        }));
    }

    fn parse<M: Message>(&self, message: &M) -> Reading {
        self.reader.read(&record_of(message, &headers_of(message)), self.now())
    }

    /// Reads a record without side effects.
    fn read<M: Message>(&self, message: &M) -> ReadRecord {
        let reading = self.parse(message);
        let purge = match &reading {
            Reading::Purge(event) => Some(&**event),
            Reading::Unreadable(unreadable) => unreadable.guess.as_deref(),
            Reading::Ignored(_) => None,
        };
        let held = purge.map(|event| self.hold(event, message));
        ReadRecord { held, reading }
    }

    pub fn purges_of<M: Message>(&self, message: &M) -> Vec<LoggedPurge> {
        match self.parse(message) {
            Reading::Purge(event) => logged(&event, message.offset()),
            Reading::Unreadable(unreadable) => {
                unreadable.guess.map_or_else(Vec::new, |event| logged(&event, message.offset()))
            }
            Reading::Ignored(_) => Vec::new(),
        }
    }

    fn hold<M: Message>(&self, event: &PurgeEvent, message: &M) -> HeldRecord {
        HeldRecord {
            offset: message.offset(),
            fingerprint: print_of(message),
            purges: logged(event, message.offset()).iter().map(encoded).collect(),
            selectors: event.request.selector_count(),
            time: event.time.or_else(|| Some(self.now())),
            is_urgent: event.priority == Priority::Urgent,
        }
    }

    /// Schedules repetitions of a purge, for renderers that read from lagging replicas. They are
    /// pending work until written.
    fn settle<M: Message>(
        &self,
        partition: &Arc<Partition>,
        message: &M,
        event: &PurgeEvent,
        read: Instant,
    ) {
        for delay in &event.settle {
            let settler = self.settler.clone();
            let again = event.repetition(*delay);
            let due = read + *delay; // independent of the publisher's clock
            let (partition, offset) = (Arc::clone(partition), message.offset());
            let key = message.key().map(<[u8]>::to_vec);
            drop(self.runtime.spawn(async move {
                if settler.repeat(&partition, key.as_deref(), &again, due).await {
                    partition.complete(offset, WorkKind::Repetition);
                }
            }));
        }
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(self.clock.wall().as_millis())
    }
}

/// Returns the purge in the form that is sent, in parts that proxies take by default.
pub fn logged(event: &PurgeEvent, offset: i64) -> Vec<LoggedPurge> {
    let purge = LoggedPurge {
        offset,
        request: event.request.clone(),
        revision: event.revision,
        rewarm: event.rewarm.clone(),
    };
    purge.parts(SELECTORS_MAX)
}

pub fn encoded(purge: &LoggedPurge) -> Bytes {
    // A struct of strings and numbers always serializes. A vector that grew is up to twice as large
    // as its content, and would be held for long.
    let json = serde_json::to_vec(purge).unwrap_or_default();
    Bytes::copy_from_slice(&json)
}

/// Selectors in one purge: the default of the proxies' `purge.max_selectors`.
pub const SELECTORS_MAX: usize = 1000;

fn subject<M: Message>(event: &PurgeEvent, message: &M) -> PurgeSubject {
    PurgeSubject { id: event.id.clone(), key: message.key().map(Bytes::copy_from_slice) }
}

fn record_of<'a, M: Message>(message: &'a M, headers: &'a [(&'a str, &'a [u8])]) -> Record<'a> {
    Record {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: timestamp_of(message),
        key: message.key(),
        headers,
        payload: message.payload(),
    }
}

fn length(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(0, <[u8]>::len)
}

fn print_of<M: Message>(message: &M) -> u64 {
    fingerprint(message.offset(), message.key(), message.payload())
}

pub fn headers_of<M: Message>(message: &M) -> Vec<(&str, &[u8])> {
    let headers = message.headers();
    let pairs = headers.iter().flat_map(|headers| headers.iter());
    pairs.filter_map(|header| Some((header.key, header.value?))).collect()
}

/// Returns the record's timestamp, set by the producer or the broker.
pub fn timestamp_of<M: Message>(message: &M) -> Option<SystemTime> {
    let millis = u64::try_from(message.timestamp().to_millis()?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(millis))
}

/// Memory of any pending work, beside the record's bytes.
const WORK_BYTES: usize = 1 << 10;
/// Copies of a record in its dead letter, each a third longer in base64: the letter, its JSON, the
/// producer's own.
const BASE64_COPIES: usize = 6;
