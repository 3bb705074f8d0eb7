//! A record whose purge a proxy refuses becomes a dead letter.

use std::sync::Arc;

use purge_protocol::log::LogId;
use rdkafka::message::{Message as _, OwnedMessage};

use super::context::DeliveryContext;
use crate::backoff::Backoff;
use crate::dead_letter::DeadLetter;
use crate::kafka::client::PATIENCE;
use crate::kafka::cursor::{CursorError, CursorItem, Cursors};
use crate::partition::Partition;
use crate::partition::pending::{Work, WorkKind};

/// Writes the record at this offset to the dead letters, because a proxy refuses it; its offset is
/// not committed before. While [`REFUSALS_MAX`] such records are being written, further ones are
/// only logged, so that delivery does not wait.
pub(super) fn give_up(
    context: &DeliveryContext,
    partition: &Arc<Partition>,
    offset: i64,
    proxy: &str,
    why: &str,
) {
    let Ok(permit) = Arc::clone(&context.refusals).try_acquire_owned() else {
        tracing::error!(proxy, offset, why, "too many refused purges wait for their dead letters");
        return;
    };
    partition.hold_pending(offset, Work { kind: WorkKind::DeadLetter, count: 1, bytes: 0 });
    let (cursors, letters) = (Arc::clone(&context.cursors), context.dead_letters.clone());
    let (readers, now) = (Arc::clone(&context.refused_readers), context.clock.wall());
    let backoff_max = context.rules.backoff_max;
    let (proxy, detail) = (proxy.to_owned(), format!("{proxy} refuses it: {why}"));
    let partition = Arc::clone(partition);
    drop(tokio::spawn(async move {
        let Ok(reader) = readers.acquire_owned().await else { return };
        let log = partition.log.clone();
        let mut backoff = Backoff::new(backoff_max);
        let record = loop {
            let (cursors, log) = (Arc::clone(&cursors), log.clone());
            let read = tokio::task::spawn_blocking(move || read_refused(&cursors, &log, offset));
            match read.await {
                Ok(Ok(record)) => break record,
                Ok(Err(error)) => {
                    tracing::debug!(%error, offset, "cannot read a record again yet");
                }
                Err(error) => tracing::error!(%error, offset, "cannot read a record again"),
            }
            tokio::select! {
                () = partition.revoked.cancelled() => return, // its work is another purger's now
                () = tokio::time::sleep(backoff.wait()) => {}
            }
        };
        drop(reader);
        if let Some(record) = record {
            let letter = DeadLetter::of(&*record, "refused", &detail, now);
            letters.write(&letter).await;
        } else {
            tracing::error!(proxy, offset, detail, "a purge is refused, and its record is gone");
        }
        partition.complete(offset, WorkKind::DeadLetter);
        drop(permit);
    }));
}

/// Reads a record again; `None`: the record is gone. Blocks up to [`PATIENCE`].
fn read_refused(
    cursors: &Cursors,
    log: &LogId,
    offset: i64,
) -> Result<Option<Box<OwnedMessage>>, CursorError> {
    match cursors.open(log, offset).and_then(|mut cursor| cursor.next(PATIENCE)) {
        Ok(CursorItem::Record(record)) => {
            Ok(Some(record).filter(|record| record.offset() == offset))
        }
        Ok(CursorItem::End) | Err(CursorError::OutOfRange(_) | CursorError::Damaged(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Refused records whose dead letters may be in progress at once.
pub const REFUSALS_MAX: usize = 100;
/// Refused records that may be read from Kafka at once.
pub const REFUSED_READERS_MAX: usize = 2;
