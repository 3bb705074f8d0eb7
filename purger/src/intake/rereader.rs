//! Reads records again whose pending work was not held in memory, on a thread of its own with one
//! cursor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::Message as _;

use super::Intake;
use crate::kafka::assignment::Assignment;
use crate::kafka::client::PATIENCE;
use crate::kafka::cursor::{CursorError, CursorItem, Cursors};
use crate::partition::Partition;
use crate::partition::pending::WorkKind;

/// Begins deferred work as soon as there is room for it.
#[derive(Debug)]
pub struct Rereader {
    pub assignment: Arc<Assignment>,
    pub cursors: Arc<Cursors>,
    pub intake: Intake,
}

impl Rereader {
    /// Reads until `stop` is set.
    #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
    pub fn run(self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            for partition in self.assignment.partitions() {
                for kind in WorkKind::ALL {
                    if let Some((from, to)) = partition.due_for_reread(kind) {
                        self.read(&partition, kind, from, to, stop);
                    }
                }
            }
            std::thread::sleep(NAP);
        }
    }

    /// Reads a range as far as there is room for its pending work.
    fn read(
        &self,
        partition: &Arc<Partition>,
        kind: WorkKind,
        from: i64,
        to: i64,
        stop: &AtomicBool,
    ) {
        let log = &partition.log;
        let is_over = || stop.load(Ordering::Relaxed) || partition.revoked.is_cancelled();
        let mut records = 0;
        let outcome = self.cursors.open(log, from).and_then(|mut cursor| {
            while !is_over() {
                let record = match cursor.next(PATIENCE) {
                    Ok(CursorItem::Record(record)) => record,
                    Ok(CursorItem::End) => {
                        partition.skip_pending(to, kind); // the log holds no further record
                        break;
                    }
                    Err(error @ CursorError::Damaged(_)) => {
                        self.intake.metrics.owed_expired.inc();
                        tracing::error!(%error, topic = log.topic, partition = log.partition, kind = kind.as_str(), "its dead letter, repetition or receipt is given up");
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                if record.offset() >= to {
                    partition.skip_pending(to, kind);
                    break;
                }
                if !self.intake.take_again(partition, &*record, kind) {
                    break;
                }
                records += 1;
            }
            Ok(())
        });
        let (topic, number, kind_name) = (&log.topic, log.partition, kind.as_str());
        match outcome {
            Ok(()) => {
                tracing::debug!(topic, partition = number, kind = kind_name, records, "read again");
            }
            Err(CursorError::OutOfRange(_)) => self.skip_expired(partition, kind, from),
            Err(error) => {
                tracing::debug!(%error, topic, partition = number, "cannot read records again yet");
            }
        }
    }

    /// Gives up the work of records that have expired.
    fn skip_expired(&self, partition: &Partition, kind: WorkKind, from: i64) {
        let log = &partition.log;
        let Ok((low, _)) = self.cursors.watermarks(log) else { return };
        if low <= from {
            return; // a transient error
        }
        self.intake.metrics.owed_expired.inc();
        tracing::error!(
            topic = log.topic,
            partition = log.partition,
            kind = kind.as_str(),
            from,
            to = low,
            "records expired before their dead letters, repetitions or receipts were written"
        );
        partition.skip_pending(low, kind);
    }
}

const NAP: Duration = Duration::from_millis(50);
