//! Locating a proxy's position in a partition, and checking that the log is still the same. This
//! happens when a delivery begins, and whenever the proxy reports another position.

use std::sync::Arc;

use purge_protocol::log::{LogStatus, Position, Start};

use super::batch_sender::BatchSender;
use crate::kafka::cursor::CursorError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PositionVerdict {
    GoOn(i64),
    /// As [`Self::GoOn`], if the record before this offset has this fingerprint.
    GoOnIf(i64, u64),
    /// Purges may be missing: the proxy begins at the log's end and validates everything stored
    /// before.
    StartOver(Start),
}

/// Judges a proxy's position in a log that begins at `low` and ends at `high`. Pure.
pub(super) fn judge(
    log_status: &LogStatus,
    log: &purge_protocol::log::LogId,
    low: i64,
    high: i64,
) -> PositionVerdict {
    let same_topic = |position: &&Position| position.log.topic == log.topic;
    match log_status.positions.iter().find(|position| position.log == *log) {
        Some(position) if position.next < low => PositionVerdict::StartOver(Start::Expired),
        Some(position) if position.next > high => PositionVerdict::StartOver(Start::Replaced),
        // The record before it must exist to be compared; when everything older has expired,
        // nothing is missing.
        Some(position) => match position.last.filter(|_| position.next > low) {
            Some(last) => PositionVerdict::GoOnIf(position.next, last),
            None => PositionVerdict::GoOn(position.next),
        },
        None => {
            let cousins: Vec<&Position> = log_status.positions.iter().filter(same_topic).collect();
            let is_new_partition = !cousins.is_empty()
                && cousins.iter().all(|position| position.log.cluster == log.cluster);
            match (is_new_partition, cousins.is_empty()) {
                // The topic has grown. A log that still begins at 0 has lost nothing; a long one is
                // not new.
                (true, _) if low == 0 && high <= NEW_MAX => PositionVerdict::GoOn(0),
                (true, _) | (_, true) => PositionVerdict::StartOver(Start::Adopt),
                _ => PositionVerdict::StartOver(Start::Replaced),
            }
        }
    }
}

/// Asks for the proxy's position and compares it with the log; returns the first offset to deliver.
pub(super) async fn locate(sender: &mut BatchSender) -> i64 {
    loop {
        let log_status = match sender.log_status.take() {
            Some(log_status) => log_status,
            None => match sender.target.log_status().await {
                Ok(log_status) => log_status,
                Err(outcome) => {
                    sender.failed(&outcome).await;
                    continue;
                }
            },
        };
        sender.target.note_instance(&log_status.instance);
        sender.instance.clone_from(&log_status.instance);
        sender.clock = log_status.clock.map(|clock| (clock, tokio::time::Instant::now()));
        // Asked after the proxy: a response that it stores from now on is younger than this end of
        // the log.
        let Some((low, high)) = sender.watermarks().await else { continue };
        if !sender.partition.is_counted() {
            sender.unreachable("the number of the topic's partitions is unknown").await;
            continue;
        }
        let verdict = judge(&log_status, &sender.partition.log, low, high);
        let start = match verdict {
            PositionVerdict::GoOn(next) => return begin(sender, next).await,
            PositionVerdict::GoOnIf(next, last) => match is_same_log(sender, next, last).await {
                Some(true) => return begin(sender, next).await,
                Some(false) => Start::Replaced,
                None => continue,
            },
            PositionVerdict::StartOver(start) => start,
        };
        if let Some(next) = sender.start_over(start, high).await {
            return next;
        }
    }
}

async fn begin(sender: &BatchSender, next: i64) -> i64 {
    let is_behind = sender.partition.slice(next, 0).is_none();
    sender.arrived(next, Vec::new(), is_behind).await;
    next
}

/// Returns whether the record before `next` has this fingerprint; `None`: Kafka does not answer.
async fn is_same_log(sender: &mut BatchSender, next: i64, last: u64) -> Option<bool> {
    if let Some(fingerprint) = sender.partition.fingerprint_at(next - 1) {
        return Some(fingerprint == last);
    }
    let permit = sender.context.cursor_threads.permit().await?;
    let (cursors, log) = (Arc::clone(&sender.context.cursors), sender.partition.log.clone());
    let fingerprint = move || {
        let found = cursors.fingerprint_at(&log, next - 1);
        drop(permit);
        match found {
            // It expired just now, or is damaged.
            Err(CursorError::OutOfRange(_) | CursorError::Damaged(_)) => Ok(None),
            found => found,
        }
    };
    let found = sender.ask_kafka(fingerprint).await?;
    // A record that is not there proves nothing: it was compacted, has expired, or is a
    // transaction's marker.
    Some(found.is_none_or(|found| found == last))
}

/// Up to this length a partition counts as new: delivering all its records costs less than
/// validating everything stored.
const NEW_MAX: i64 = 10_000;

#[cfg(test)]
mod tests {
    use purge_protocol::log::LogId;

    use super::*;

    fn log(cluster: &str, partition: i32) -> LogId {
        LogId { cluster: cluster.into(), topic: "t".into(), partition }
    }

    fn log_status(positions: &[(LogId, i64, Option<u64>)]) -> LogStatus {
        let position = |(log, next, last): &(LogId, i64, Option<u64>)| Position {
            log: log.clone(),
            next: *next,
            last: *last,
            clean_ms: None,
        };
        LogStatus { positions: positions.iter().map(position).collect(), ..LogStatus::default() }
    }

    #[test]
    fn a_position_is_believed_only_where_the_log_still_has_it() {
        let here = log("c", 0);
        let at = |next, last| log_status(&[(here.clone(), next, last)]);
        for (log_status, low, high, expected) in [
            (at(5, None), 0, 9, PositionVerdict::GoOn(5)),
            (at(5, Some(7)), 0, 9, PositionVerdict::GoOnIf(5, 7)),
            (at(5, Some(7)), 5, 9, PositionVerdict::GoOn(5)),
            (at(9, Some(7)), 0, 9, PositionVerdict::GoOnIf(9, 7)),
            (at(4, Some(7)), 5, 9, PositionVerdict::StartOver(Start::Expired)),
            (at(10, Some(7)), 0, 9, PositionVerdict::StartOver(Start::Replaced)),
            (at(0, None), 0, 0, PositionVerdict::GoOn(0)),
            (log_status(&[]), 0, 9, PositionVerdict::StartOver(Start::Adopt)),
            (
                log_status(&[(log("other", 0), 3, None)]),
                0,
                9,
                PositionVerdict::StartOver(Start::Replaced),
            ),
            (log_status(&[(log("c", 1), 3, None)]), 0, 9, PositionVerdict::GoOn(0)),
            (log_status(&[(log("c", 1), 3, None)]), 2, 9, PositionVerdict::StartOver(Start::Adopt)),
            (
                log_status(&[(log("c", 1), 3, None)]),
                0,
                99_999,
                PositionVerdict::StartOver(Start::Adopt),
            ),
        ] {
            assert_eq!(
                judge(&log_status, &here, low, high),
                expected,
                "{log_status:?} {low} {high}"
            );
        }
    }
}
