//! The rules case by case, and against all orders in which batches may arrive.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1000);

fn log(partition: i32) -> LogId {
    LogId { cluster: "c".into(), topic: "t".into(), partition }
}

fn batch(partition: i32, from: i64, to: i64) -> Batch {
    Batch {
        log: log(partition),
        partitions: 3,
        from,
        to,
        last: None,
        clean_ms: None,
        start: None,
        instance: None,
        clean_at: None,
        end: None,
        purger: "p".into(),
        purges: Vec::new(),
    }
}

fn adopt(partition: i32, to: i64) -> Batch {
    Batch { start: Some(Start::Adopt), clean_ms: Some(0), ..batch(partition, to, to) }
}

fn adopted(to: i64) -> Positions {
    let mut positions = Positions::default();
    for partition in 0..3 {
        positions.take(&adopt(partition, to), NOW);
    }
    positions
}

fn recovered(next: i64) -> Positions {
    let position =
        |partition| Position { log: log(partition), next, last: Some(9), clean_ms: None };
    Positions::recovered((0..3).map(position).collect(), NOW)
}

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

#[test]
fn a_batch_is_taken_when_nothing_is_missing_before_it() {
    use BatchKind::{Advance, Heartbeat, Repeat, Start};
    for (given, expected) in [
        (batch(0, 10, 12), Ok((10, Advance))),
        (batch(0, 8, 12), Ok((10, Advance))),
        (batch(0, 0, 10), Ok((10, Repeat))),
        (batch(0, 3, 5), Ok((10, Repeat))),
        (batch(0, 10, 10), Ok((10, Heartbeat))),
        (batch(0, 9, 9), Ok((10, Heartbeat))),
        (batch(0, 11, 12), Err(Gap)),
        (batch(0, 11, 11), Err(Gap)),
        (Batch { partitions: 4, ..batch(3, 1, 2) }, Err(Gap)),
        (Batch { partitions: 4, ..batch(3, 0, 1) }, Ok((0, Advance))),
        (adopt(0, 99), Ok((i64::MIN, Start))),
        (adopt(0, 3), Ok((i64::MIN, Start))),
    ] {
        let position =
            adopted(10).position_of(&given).map(|position| (position.applied, position.kind));
        assert_eq!(position, expected, "{given:?}");
    }
}

#[test]
fn a_position_never_moves_back_unless_it_is_set() {
    let mut positions = adopted(10);
    for (given, next) in [
        (batch(0, 10, 12), 12),
        (batch(0, 0, 11), 12),
        (batch(0, 12, 12), 12),
        (adopt(0, 3), 3),
        (batch(0, 3, 4), 4),
    ] {
        assert_eq!(positions.take(&given, NOW).next, next, "{given:?}");
    }
}

#[test]
fn the_fingerprint_is_that_of_the_record_below_the_position() {
    let mut positions = adopted(10);
    let last = |last, given| Batch { last: Some(last), ..given };
    assert_eq!(positions.take(&last(1, batch(0, 10, 12)), NOW).last, Some(1));
    assert_eq!(positions.take(&last(2, batch(0, 5, 11)), NOW).last, Some(1), "of another record");
    assert_eq!(positions.take(&batch(0, 12, 12), NOW).last, Some(1));
    assert_eq!(positions.take(&batch(0, 12, 13), NOW).last, None, "unknown");
}

#[test]
fn the_moment_that_is_clean_is_the_oldest_of_all_partitions() {
    let mut positions = adopted(10);
    assert_eq!(positions.clean(), Some(NOW));
    let clean = |age, given| Batch { clean_ms: Some(age), ..given };
    positions.take(&clean(1000, batch(0, 10, 10)), later(10));
    positions.take(&clean(0, batch(1, 10, 10)), later(10));
    assert_eq!(positions.clean(), Some(NOW), "the third has said nothing new");
    positions.take(&clean(2000, batch(2, 10, 10)), later(10));
    assert_eq!(positions.clean(), Some(later(8)));
    positions.take(&clean(60_000, batch(2, 10, 10)), later(11));
    assert_eq!(positions.clean(), Some(later(8)), "what was known once stays known");
}

#[test]
fn a_partition_that_nobody_speaks_for_keeps_the_moment_from_moving() {
    let mut positions = Positions::default();
    assert_eq!(positions.clean(), None);
    positions.take(&adopt(0, 5), NOW);
    positions.take(&adopt(1, 5), later(5));
    let clean = Batch { clean_ms: Some(0), ..batch(0, 5, 5) };
    positions.take(&clean, later(60));
    assert_eq!(positions.clean(), Some(NOW), "there are three partitions");
}

#[test]
fn partitions_that_the_topic_no_longer_has_are_dropped() {
    let mut positions = adopted(10);
    positions.take(&Batch { partitions: 2, ..batch(0, 10, 11) }, NOW);
    let shown = positions.shown(NOW);
    assert_eq!(shown.iter().map(|it| it.log.partition).collect::<Vec<_>>(), [0, 1]);
    let other = LogId { topic: "other".into(), ..log(0) };
    positions.take(&Batch { log: other, partitions: 1, ..adopt(0, 1) }, NOW);
    assert_eq!(positions.len(), 3, "another topic is another topic");
}

#[test]
fn positions_are_behind_until_every_partition_was_clean_after_the_start() {
    let mut positions = recovered(7);
    assert!(positions.is_behind());
    assert!(positions.shown(NOW).iter().all(|it| it.clean_ms.is_none() && it.next == 7));
    let clean = |partition, age| Batch { clean_ms: Some(age), ..batch(partition, 7, 9) };
    positions.take(&clean(0, 0), later(5));
    positions.take(&clean(1, 5000), later(5));
    positions.take(&clean(2, 6000), later(5));
    assert!(positions.is_behind(), "the third was clean before the start only");
    positions.take(&batch(2, 9, 12), later(6));
    assert!(positions.is_behind(), "that says nothing of when");
    positions.take(&Batch { clean_ms: Some(0), ..batch(2, 12, 12) }, later(7));
    assert!(!positions.is_behind());
}

/// A partition that held no record before the restart has no position in the journal. Its first
/// purges may have been written while the proxy was down.
#[test]
fn a_partition_without_a_recovered_position_is_waited_for() {
    let position = Position { log: log(0), next: 7, last: Some(9), clean_ms: None };
    let mut positions = Positions::recovered(vec![position], NOW);
    let clean = |partition, next| Batch {
        partitions: 2,
        clean_ms: Some(0),
        ..batch(partition, next, next)
    };
    positions.take(&clean(0, 7), later(5));
    assert!(positions.is_behind(), "the topic has another partition");
    positions.take(&Batch { clean_ms: Some(9000), ..clean(1, 0) }, later(6));
    assert!(positions.is_behind(), "it was clean before the start only");
    positions.take(&Batch { to: 2, ..clean(1, 0) }, later(7));
    assert!(!positions.is_behind());
    positions.end_catch_up();
    positions.take(&Batch { partitions: 3, ..clean(0, 7) }, later(8));
    assert!(!positions.is_behind(), "a topic that grows later misses nothing");
}

#[test]
fn a_number_of_partitions_that_is_not_known_yet_ends_no_wait() {
    let position = Position { log: log(0), next: 7, last: Some(9), clean_ms: None };
    let mut positions = Positions::recovered(vec![position], NOW);
    let clean = |partitions| Batch { partitions, clean_ms: Some(0), ..batch(0, 7, 7) };
    positions.take(&clean(4096), later(5));
    assert!(positions.is_behind());
    positions.take(&clean(1), later(6));
    assert!(!positions.is_behind());
}

#[test]
fn a_position_that_is_set_waits_for_nothing() {
    let mut positions = recovered(7);
    for partition in 0..3 {
        let expired = Batch { start: Some(Start::Expired), ..batch(partition, 90, 90) };
        positions.take(&expired, NOW);
    }
    assert!(!positions.is_behind());
}

#[test]
fn a_topic_that_nobody_attends_is_forgotten_once_another_is() {
    let mut positions = recovered(7);
    positions.end_catch_up();
    assert!(!positions.is_behind());
    assert!(!positions.forget_unattended(), "a purger may come yet");
    let other = LogId { topic: "renamed".into(), ..log(0) };
    positions.take(&Batch { log: other, partitions: 1, ..adopt(0, 1) }, NOW);
    assert!(positions.forget_unattended());
    assert_eq!(positions.len(), 1);
    assert_eq!(positions.take_forgotten(), [log(0), log(1), log(2)], "a restart is not to wait");
}

#[test]
fn a_topic_that_has_moved_to_another_cluster_is_waited_for_there_only() {
    let mut positions = recovered(7);
    let moved = LogId { cluster: "other".into(), ..log(0) };
    let replaced = Batch { start: Some(Start::Replaced), log: moved, ..batch(0, 0, 4) };
    positions.take(&replaced, NOW);
    assert_eq!((positions.len(), positions.take_forgotten().len()), (1, 3));
}

#[test]
fn a_partition_whose_purger_is_late_is_not_forgotten() {
    let mut positions = recovered(7);
    positions.take(&batch(0, 7, 8), NOW);
    assert!(!positions.forget_unattended());
    assert_eq!(positions.len(), 3);
}

/// An event on the way from two purgers to the proxy.
#[derive(Clone, Debug)]
enum Delivery {
    /// The purger delivers this number of records from where it believes the position to be.
    Next(usize, i64),
    /// The batch is lost; the purger believes that it arrived.
    Lost(usize, i64),
    /// An earlier batch arrives once more.
    Again(prop::sample::Index),
}

fn deliveries() -> impl Strategy<Value = Vec<Delivery>> {
    let one = prop_oneof![
        4 => (0..2_usize, 0..5_i64).prop_map(|(purger, count)| Delivery::Next(purger, count)),
        1 => (0..2_usize, 1..5_i64).prop_map(|(purger, count)| Delivery::Lost(purger, count)),
        2 => any::<prop::sample::Index>().prop_map(Delivery::Again),
    ];
    prop::collection::vec(one, 1..60)
}

proptest! {
    /// Every record below the position was applied, and none twice: neither losses nor repeats nor
    /// a second purger matter.
    #[test]
    fn every_purge_below_the_position_was_applied_once(deliveries in deliveries()) {
        let mut positions = adopted(0);
        let mut believed = [0_i64; 2];
        let mut sent: Vec<Batch> = Vec::new();
        let mut applied = BTreeSet::new();
        for delivery in deliveries {
            let (purger, given) = match delivery {
                Delivery::Lost(purger, count) => {
                    believed[purger] += count;
                    continue;
                }
                Delivery::Next(purger, count) => {
                    (Some(purger), batch(0, believed[purger], believed[purger] + count))
                }
                Delivery::Again(_) if sent.is_empty() => continue,
                Delivery::Again(index) => (None, index.get(&sent).clone()),
            };
            sent.push(given.clone());
            let before = positions.shown(NOW)[0].next;
            match positions.position_of(&given) {
                Err(Gap) => {
                    prop_assert!(given.from > before, "refused without a gap");
                    if let Some(purger) = purger {
                        believed[purger] = before; // 409: it rewinds
                    }
                }
                Ok(position) => {
                    for offset in given.from.max(position.applied)..given.to {
                        prop_assert!(applied.insert(offset), "{offset} twice");
                    }
                    let next = positions.take(&given, NOW).next;
                    prop_assert!(next >= before);
                    if let Some(purger) = purger {
                        believed[purger] = next;
                    }
                }
            }
            let next = positions.shown(NOW)[0].next;
            prop_assert!((0..next).all(|offset| applied.contains(&offset)), "a gap below {next}");
            prop_assert!(applied.iter().all(|offset| *offset < next));
        }
    }
}

/// A batch may wait in a socket for as long as the process stands still: its age is wrong then, its
/// moment is not.
#[test]
fn a_batch_that_was_long_under_way_never_renews_more_than_it_knew() {
    let mut positions = adopted(10);
    let late = NOW.plus(Duration::from_mins(1));
    let told = NOW.plus(Duration::from_secs(1));
    let at = |moment: Timestamp| Some(moment.as_millis());
    for partition in 0..3 {
        let given = batch(partition, 10, 10);
        positions.take(&Batch { clean_ms: Some(0), clean_at: at(told), ..given }, late);
    }
    assert_eq!(positions.clean(), Some(told));
    for partition in 0..3 {
        let future = late.plus(Duration::from_secs(5));
        positions.take(&Batch { clean_at: at(future), ..batch(partition, 10, 10) }, late);
    }
    assert_eq!(positions.clean(), Some(late), "the future is not known");
}

#[test]
fn the_lag_is_what_is_left_to_the_end_that_was_told_last() {
    let mut positions = Positions::default();
    let log = batch(0, 10, 10).log;
    assert_eq!(positions.lag(&log), None, "there is no position");
    positions.take(&Batch { start: Some(Start::Adopt), ..batch(0, 10, 10) }, NOW);
    assert_eq!(positions.lag(&log), None, "nobody has told of the end");
    let mut take = |from, to, end| {
        positions.take(&Batch { end, ..batch(0, from, to) }, NOW);
        positions.lag(&log)
    };
    assert_eq!(take(10, 12, Some(20)), Some(8));
    assert_eq!(take(12, 18, None), Some(2), "an older purger says nothing");
    assert_eq!(take(18, 25, Some(20)), Some(0), "it was asked for before these came");
}
