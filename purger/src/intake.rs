//! What becomes of a record: a purge that is held for proxies, a dead letter, or nothing; and what is owed for it until it
//! may be committed.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use purge_protocol::PurgeMode;
use purge_protocol::log::LoggedPurge;
use rdkafka::message::{BorrowedMessage, Headers as _, Message};
use shellac::clock::Clock;
use tokio::runtime::Handle;

use crate::dead_letter::{DeadLetter, DeadLetters};
use crate::event::{Priority, PurgeEvent, Reader, Reading, Record};
use crate::metrics::{EventOutcome, PurgerMetrics};
use crate::partition::Partition;
use crate::partition::window::{Held, Subject, fingerprint};
use crate::receipt::Receipts;
use crate::settle::Settler;

/// Reads records.
#[derive(Clone, Debug)]
pub struct Intake {
    /// What records mean.
    pub reader: Arc<Reader>,
    /// For those that mean nothing.
    pub dead_letters: DeadLetters,
    /// For purges that are to be repeated.
    pub settler: Settler,
    /// For receipts, if they are written.
    pub receipts: Option<Receipts>,
    /// Wall time.
    pub clock: Clock,
    /// Dead letters and delayed purges run here.
    pub runtime: Handle,
    /// What happened.
    pub metrics: Arc<PurgerMetrics>,
}

/// A record, read.
#[derive(Debug)]
pub struct Taken {
    /// What is to be delivered.
    pub held: Option<Held>,
    /// What it said.
    pub reading: Reading,
}

impl Intake {
    /// Takes a record of an assigned partition.
    pub fn take(&self, partition: &Arc<Partition>, message: &BorrowedMessage<'_>) {
        let Taken { held, reading } = self.read(message);
        let (offset, print) = (message.offset(), print_of(message));
        let topic = partition.log.topic.as_str();
        match reading {
            Reading::Purge(event) => {
                self.metrics.events.add(topic, EventOutcome::Purge);
                let subject = held.as_ref().and_then(|held| held.receipt.clone());
                let owed = event.settle.len() + usize::from(subject.is_some());
                // Before it can be delivered: a confirmation must not come before what it confirms.
                if let (Some(receipts), Some(subject)) = (&self.receipts, subject) {
                    receipts.expect(partition, offset, subject);
                }
                partition.push(offset, print, held, owed);
                self.settle(partition, message, &event);
            }
            Reading::Ignored(why) => {
                self.metrics.events.add(topic, EventOutcome::Ignored(why.as_str()));
                partition.push(offset, print, None, 0);
            }
            Reading::Unreadable(unreadable) => {
                self.metrics.events.add(topic, EventOutcome::DeadLetter(unreadable.code.as_str()));
                partition.push(offset, print, held, 1);
                let letter = DeadLetter::of(
                    message,
                    unreadable.code.as_str(),
                    &unreadable.detail,
                    self.clock.now(),
                );
                let (letters, partition) = (self.dead_letters.clone(), Arc::clone(partition));
                drop(self.runtime.spawn(async move {
                    letters.write(&letter).await;
                    partition.fulfil(offset);
                }));
            }
        }
    }

    /// Reads a record, without any consequence.
    pub fn read<M: Message>(&self, message: &M) -> Taken {
        let headers = headers_of(message);
        let record = Record {
            topic: message.topic(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: timestamp_of(message),
            key: message.key(),
            headers: &headers,
            payload: message.payload(),
        };
        let reading = self.reader.read(&record, self.now());
        let purge = match &reading {
            Reading::Purge(event) => Some(&**event),
            Reading::Unreadable(unreadable) => unreadable.guess.as_deref(),
            Reading::Ignored(_) => None,
        };
        let held = purge.map(|event| self.hold(event, message));
        Taken { held, reading }
    }

    fn hold<M: Message>(&self, event: &PurgeEvent, message: &M) -> Held {
        let key = || message.key().map(Bytes::copy_from_slice);
        let subject = || Arc::new(Subject { id: event.id.clone(), key: key() });
        Held {
            offset: message.offset(),
            fingerprint: print_of(message),
            purge: logged(event, message.offset()),
            time: event.time.or_else(|| Some(self.now())),
            is_urgent: event.priority == Priority::Urgent,
            receipt: self.receipts.is_some().then(subject),
        }
    }

    /// Purges once more when renderers that read from lagging replicas have settled. The offset is held until that is written.
    fn settle(
        &self,
        partition: &Arc<Partition>,
        message: &BorrowedMessage<'_>,
        event: &PurgeEvent,
    ) {
        for delay in &event.settle {
            let settler = self.settler.clone();
            let again = PurgeEvent {
                id: format!("{}+{}", event.id, humantime::format_duration(*delay)),
                settle: Vec::new(),
                rewarm: None,
                request: purge_protocol::PurgeRequest {
                    mode: Some(PurgeMode::Soft),
                    ..event.request.clone()
                },
                ..event.clone()
            };
            let wait = *delay; // from now: a publisher's clock decides nothing
            let (partition, offset) = (Arc::clone(partition), message.offset());
            let key = message.key().map(<[u8]>::to_vec);
            drop(self.runtime.spawn(async move {
                if settler.repeat(&partition, key.as_deref(), &again, wait).await {
                    partition.fulfil(offset);
                }
            }));
        }
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(self.clock.now().as_millis())
    }
}

/// Returns the purge as it is sent.
pub fn logged(event: &PurgeEvent, offset: i64) -> Bytes {
    let purge = LoggedPurge {
        offset,
        request: event.request.clone(),
        revision: event.revision,
        rewarm: event.rewarm.clone(),
    };
    serde_json::to_vec(&purge).unwrap_or_default().into() // a struct of texts and numbers always has a JSON form
}

fn print_of<M: Message>(message: &M) -> u64 {
    fingerprint(message.offset(), message.key(), message.payload())
}

/// The headers that have values.
pub fn headers_of<M: Message>(message: &M) -> Vec<(&str, &[u8])> {
    let headers = message.headers();
    let pairs = headers.iter().flat_map(|headers| headers.iter());
    pairs.filter_map(|header| Some((header.key, header.value?))).collect()
}

/// When the broker or the producer says that the record was written.
pub fn timestamp_of<M: Message>(message: &M) -> Option<SystemTime> {
    let millis = u64::try_from(message.timestamp().to_millis()?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(millis))
}
