//! `Chunk`: consecutive records that a proxy has missed, folded and encoded.

use std::time::Duration;

use bytes::Bytes;
use rdkafka::Message as _;
use tokio::time::Instant;

use super::context::DeliveryContext;
use super::fold::Fold;
use crate::intake::SELECTORS_MAX;
use crate::kafka::client::PATIENCE;
use crate::kafka::cursor::{Cursor, CursorError, CursorItem};
use crate::partition::window::fingerprint;

#[derive(Debug)]
pub(super) struct Chunk {
    /// Behind the last record; `None`: no record was read.
    pub(super) to: Option<i64>,
    pub(super) last: Option<u64>,
    /// Encoded: a fold takes several times as much.
    pub(super) purges: Vec<(i64, Bytes)>,
    /// `None`: the chunk is full, or no record came within [`GATHER`].
    pub(super) end: Option<End>,
}

#[derive(Debug)]
pub(super) enum End {
    /// The log has no further record at present.
    OfLog,
    Failed(CursorError),
}

impl Chunk {
    pub(super) fn failed(error: CursorError) -> Self {
        Self { to: None, last: None, purges: Vec::new(), end: Some(End::Failed(error)) }
    }

    /// Reads records until the fold is full. Waits up to [`PATIENCE`] for the first record, then up
    /// to [`GATHER`] for each. Ends early when nobody waits for it.
    pub(super) fn gather(
        cursor: &mut Cursor,
        context: &DeliveryContext,
        is_abandoned: impl Fn() -> bool,
    ) -> Self {
        let mut chunk = Self { to: None, last: None, purges: Vec::new(), end: None };
        let mut fold = Fold::default();
        for _ in 0..RECORDS_MAX {
            let next = match chunk.to {
                None => first(cursor, &is_abandoned),
                Some(_) => cursor.next(GATHER),
            };
            match next {
                Ok(CursorItem::Record(record)) => {
                    let offset = record.offset();
                    chunk.to = Some(offset + 1);
                    chunk.last = Some(fingerprint(offset, record.key(), record.payload()));
                    fold.extend(context.intake.purges_of(&*record));
                }
                Ok(CursorItem::End) => {
                    chunk.end = Some(End::OfLog);
                    break;
                }
                Err(CursorError::Silence(_)) if chunk.to.is_some() => break,
                Err(error) => {
                    chunk.end = Some(End::Failed(error));
                    break;
                }
            }
            if fold.is_full() || is_abandoned() {
                break;
            }
        }
        chunk.purges = fold.encode(SELECTORS_MAX);
        chunk
    }
}

/// Waits for the first record, and looks meanwhile whether somebody still waits for it.
fn first(cursor: &mut Cursor, is_abandoned: impl Fn() -> bool) -> Result<CursorItem, CursorError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match cursor.next(LOOK) {
            Err(CursorError::Silence(_)) if Instant::now() < deadline && !is_abandoned() => {}
            Err(CursorError::Silence(_)) => return Err(CursorError::Silence(PATIENCE)),
            found => return found,
        }
    }
}

const RECORDS_MAX: usize = 10_000;
const LOOK: Duration = Duration::from_millis(100);
/// Longest wait for each record after the first.
const GATHER: Duration = Duration::from_millis(20);
