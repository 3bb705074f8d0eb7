//! A partition between what is read of it and what proxies confirm.

use super::state::GAP_MAX;
use super::*;

fn partition() -> Arc<Partition> {
    let log = LogId { cluster: "c".into(), topic: "t".into(), partition: 0 };
    Partition::open(log, WindowLimits { records: 4, bytes: 1 << 20, batch: 1 << 20 })
}

fn push(partition: &Partition, offset: i64) {
    let held = HeldRecord {
        offset,
        fingerprint: 1,
        purges: vec!["{}".into()],
        selectors: 1,
        time: Some(SystemTime::UNIX_EPOCH),
        is_urgent: false,
    };
    partition.push(offset, 1, Some(held));
}

#[test]
fn the_first_record_says_where_it_begins() {
    let partition = partition();
    assert!(!partition.has_begun());
    partition.begin_at(5);
    push(&partition, 9);
    assert_eq!(partition.window_start(), Some(9), "5 to 8 are no longer there, or never were");
    partition.begin_at(1);
    assert_eq!(partition.window_start(), Some(9));
}

#[test]
fn a_record_that_does_not_follow_makes_a_partition_discontinuous() {
    let partition = partition();
    partition.begin_at(5);
    assert!(
        !partition.is_discontinuous_at(2),
        "nothing was read yet: it begins wherever it begins"
    );
    push(&partition, 5);
    assert!(partition.is_discontinuous_at(5));
    assert!(!partition.is_discontinuous_at(6));
    assert!(!partition.is_discontinuous_at(7), "a transaction's marker has an offset, too");
    assert!(partition.is_discontinuous_at(7 + GAP_MAX));
}

#[test]
fn a_small_gap_is_no_marker_where_records_were_lost() {
    for lose in [Partition::doubt as fn(&Partition), |partition| partition.record_low(7)] {
        let partition = partition();
        partition.begin_at(5);
        push(&partition, 5);
        lose(&partition);
        assert!(partition.is_discontinuous_at(7));
        assert!(!partition.is_discontinuous_at(6), "no record is missing");
        push(&partition, 6);
        assert!(!partition.is_discontinuous_at(8), "a marker, as the doubt is over");
    }
}

#[test]
fn a_loss_at_the_end_is_told_once() {
    let partition = partition();
    partition.begin_at(5);
    push(&partition, 5);
    partition.record_loss(8);
    assert_eq!((partition.take_loss(), partition.take_loss()), (Some(8), None));
    let again = partition.reopened(8);
    again.begin_at(8);
    assert_eq!(again.window_start(), Some(8));
    assert_eq!(again.incarnation, partition.incarnation, "pending work stays");
}

#[test]
fn a_log_that_ends_before_what_was_read_is_another_one() {
    let partition = partition();
    partition.begin_at(5);
    push(&partition, 5);
    assert_eq!(partition.take_truncation(), None);
    partition.record_truncation(5);
    assert_eq!(partition.take_truncation(), Some(5));
    assert_eq!(partition.take_truncation(), None);
    let again = partition.reopened(5);
    assert!(!again.has_begun());
    push(&again, 0);
    assert_eq!(again.window_start(), Some(0));
}

#[test]
fn a_proxy_that_keeps_up_holds_the_partition_until_it_is_released() {
    let partition = partition();
    partition.begin_at(0);
    partition.confirm(1, 0, SystemTime::UNIX_EPOCH);
    (0..5).for_each(|offset| push(&partition, offset));
    assert!(partition.is_full());
    assert_eq!(partition.committable(), Some(0));
    partition.confirm(2, 5, SystemTime::UNIX_EPOCH);
    assert!(!partition.is_full(), "the other one is far ahead");
    assert!(!partition.is_held_by(1));
    partition.confirm(1, 1, SystemTime::UNIX_EPOCH);
    assert!(!partition.is_held_by(1), "it is still far behind");
    assert!(!partition.is_full());
    assert_eq!(partition.committable(), Some(5));
    assert_eq!(partition.slice(0, 9), None, "the slow one has to read from Kafka");
}

#[test]
fn confirmed_changes_are_timed_once() {
    let partition = partition();
    partition.begin_at(0);
    partition.confirm(1, 0, SystemTime::UNIX_EPOCH);
    partition.confirm(2, 0, SystemTime::UNIX_EPOCH);
    push(&partition, 0);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(3);
    assert!(partition.confirm(1, 1, now).is_empty());
    assert_eq!(partition.confirm(2, 1, now), [Duration::from_secs(3)]);
    assert!(partition.confirm(2, 1, now).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lease_rests_on_the_moment_of_the_brokers_answer() {
    let partition = partition();
    partition.begin_at(0);
    let sight = |high| partition.record_end_offset(EndOffset { at: Instant::now(), high });
    sight(3);
    tokio::time::advance(Duration::from_secs(2)).await;
    sight(5);
    assert_eq!(partition.clean_since(2), None, "3 were there already");
    assert_eq!(partition.clean_since(4), Some(Duration::from_secs(2)));
    assert_eq!(partition.clean_since(5), Some(Duration::ZERO));
}

#[test]
fn work_of_a_log_that_goes_on_is_not_forgotten() {
    let partition = partition();
    partition.begin_at(0);
    let letter = Work { kind: WorkKind::DeadLetter, count: 1, bytes: 1 };
    assert!(partition.add_pending(0, letter));
    push(&partition, 0);
    push(&partition, 1);
    partition.confirm(1, 2, SystemTime::UNIX_EPOCH);
    let again = partition.reopened(500);
    assert_eq!(again.incarnation, partition.incarnation);
    push(&again, 500);
    again.confirm(1, 501, SystemTime::UNIX_EPOCH);
    assert_eq!(again.committable(), Some(0), "its letter is not written");
    partition.complete(0, WorkKind::DeadLetter);
    assert_eq!(again.committable(), Some(501));
    let other = again.reopened(0);
    assert_ne!(other.incarnation, partition.incarnation);
}
