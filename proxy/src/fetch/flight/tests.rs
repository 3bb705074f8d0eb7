//! Readers at their own pace, explicit ends, and a budget that always comes back.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use bytes::Bytes;

use super::pieces::PASSING_PIECES;
use super::writer::UNREAD_MAX;
use super::*;
use crate::freshness::Uncacheable;
use crate::invalidation::Invalidation;

fn flight(budget: &Arc<Budget>) -> (Arc<Flight>, FlightWriter) {
    let invalidation = Arc::new(Invalidation::new(1));
    Flight::begin(invalidation.begin_fetch(), Arc::clone(budget), Arc::default(), None)
}

fn budget(max: u64) -> Arc<Budget> {
    Arc::new(Budget::new(max))
}

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    fn rings(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn poll(reader: &mut FlightReader) -> Poll<Option<Result<FlightPiece, OriginError>>> {
    reader.poll_piece(&mut Context::from_waker(Waker::noop()))
}

fn piece(reader: &mut FlightReader) -> Bytes {
    match poll(reader) {
        Poll::Ready(Some(Ok(FlightPiece::Frame(frame)))) => frame.into_data().unwrap(),
        other => panic!("no piece, but {other:?}"),
    }
}

fn is_trailers(reader: &mut FlightReader) -> bool {
    matches!(poll(reader), Poll::Ready(Some(Ok(FlightPiece::Frame(frame)))) if frame.is_trailers())
}

fn is_clean_end(reader: &mut FlightReader) -> bool {
    matches!(poll(reader), Poll::Ready(None))
}

fn is_failure(reader: &mut FlightReader) -> bool {
    matches!(poll(reader), Poll::Ready(Some(Err(_)))) && matches!(poll(reader), Poll::Ready(None))
}

async fn read_all(mut reader: FlightReader) -> Result<Vec<u8>, OriginError> {
    let mut all = Vec::new();
    while let Some(piece) = std::future::poll_fn(|cx| reader.poll_piece(cx)).await {
        if let FlightPiece::Frame(frame) = piece?
            && let Ok(piece) = frame.into_data()
        {
            all.extend_from_slice(&piece);
        }
    }
    Ok(all)
}

type Room<'a> = Pin<Box<dyn Future<Output = Result<(), OriginError>> + 'a>>;

fn is_waiting(room: &mut Room<'_>) -> bool {
    room.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

fn bytes(number: u8) -> Bytes {
    Bytes::copy_from_slice(&[number; 10])
}

#[test]
fn every_reader_reads_at_its_own_pace_and_late_ones_get_everything() {
    let budget = budget(1000);
    let (flight, writer) = flight(&budget);
    let mut fast = writer.first_reader();
    let mut slow = flight.join(9).unwrap();
    writer.push(bytes(1));
    assert_eq!(piece(&mut fast), bytes(1));
    assert!(poll(&mut fast).is_pending());
    writer.push(bytes(2));
    assert_eq!(piece(&mut fast), bytes(2));
    let mut late = flight.join(9).unwrap();
    writer.complete(None);
    for reader in [&mut slow, &mut late] {
        assert_eq!((piece(reader), piece(reader)), (bytes(1), bytes(2)));
        assert!(is_clean_end(reader));
    }
    assert!(is_clean_end(&mut fast));
    assert_eq!(flight.join(9).unwrap_err(), NotJoinable::Uncollapsible, "it has left its key");
}

#[test]
fn trailers_come_last_and_once() {
    let (_, writer) = flight(&budget(1000));
    let mut reader = writer.first_reader();
    writer.push(bytes(1));
    writer.complete(Some(HeaderMap::new()));
    assert_eq!(piece(&mut reader), bytes(1));
    assert!(is_trailers(&mut reader));
    assert!(is_clean_end(&mut reader));
}

#[tokio::test]
async fn only_the_first_head_counts_and_every_reader_gets_it() {
    let (flight, writer) = flight(&budget(1000));
    let (one, two) = (writer.first_reader(), flight.join(9).unwrap());
    writer.publish_head(HeadOutcome::Unshared(Uncacheable::NoStore));
    writer.publish_head(HeadOutcome::Unshared(Uncacheable::Private));
    writer.complete(None);
    for reader in [&one, &two] {
        assert!(matches!(reader.head().await, HeadOutcome::Unshared(Uncacheable::NoStore)));
    }
}

#[tokio::test]
async fn a_flight_that_ends_without_a_head_has_failed() {
    for completes in [false, true] {
        let (_, writer) = flight(&budget(1000));
        let reader = writer.first_reader();
        if completes {
            writer.complete(None);
        } else {
            drop(writer);
        }
        assert!(matches!(reader.head().await, HeadOutcome::Failed(_)));
    }
}

#[test]
fn a_dropped_writer_fails_every_reader_without_a_clean_end() {
    let budget = budget(1000);
    let (flight, writer) = flight(&budget);
    let (mut ahead, mut behind) = (writer.first_reader(), flight.join(9).unwrap());
    writer.push(bytes(1));
    assert_eq!(piece(&mut ahead), bytes(1));
    drop(writer);
    let mut late = flight.join(9).unwrap();
    assert!(is_failure(&mut ahead));
    assert_eq!(piece(&mut behind), bytes(1));
    assert!(is_failure(&mut behind));
    assert_eq!(piece(&mut late), bytes(1));
    assert!(is_failure(&mut late));
}

#[test]
fn a_full_flight_is_not_joined_and_a_place_is_free_again() {
    let (flight, writer) = flight(&budget(1000));
    let leader = writer.first_reader();
    let follower = flight.join(1).unwrap();
    assert_eq!(flight.join(1).unwrap_err(), NotJoinable::Full);
    drop(leader);
    let other = flight.join(1).unwrap();
    assert_eq!(flight.join(1).unwrap_err(), NotJoinable::Full);
    drop((follower, other));
}

#[test]
fn a_reader_that_left_leaves_nothing_to_the_one_that_takes_its_place() {
    let (flight, writer) = flight(&budget(1000));
    let mut first = writer.first_reader();
    writer.push(bytes(1));
    assert_eq!(piece(&mut first), bytes(1));
    drop(first);
    assert_eq!(piece(&mut flight.join(1).unwrap()), bytes(1), "from the beginning");
}

#[tokio::test]
async fn transient_content_waits_for_the_slowest_reader() {
    let budget = budget(0);
    let (flight, writer) = flight(&budget);
    let (mut fast, mut slow) = (writer.first_reader(), flight.join(9).unwrap());
    for number in 0..4 {
        assert_eq!(writer.push(bytes(number)), Pushed::Transient);
    }
    assert!(flight.join(9).is_ok(), "nothing is gone yet");
    let mut room: Room<'_> = Box::pin(writer.wait_for_readers());
    (0..4).for_each(|number| assert_eq!(piece(&mut fast), bytes(number)));
    assert!(is_waiting(&mut room), "the slow one has read nothing");
    assert_eq!(piece(&mut slow), bytes(0));
    assert!(room.as_mut().await.is_ok());
    drop(room);
    assert_eq!(flight.join(9).unwrap_err(), NotJoinable::Uncollapsible);
    let (first, kept) = {
        let state = flight.state.lock();
        (state.pieces.first, state.pieces.kept())
    };
    assert_eq!((first, kept), (1, 3));
    writer.complete(None);
    (1..4).for_each(|number| assert_eq!(piece(&mut slow), bytes(number)));
    assert!(is_clean_end(&mut fast) && is_clean_end(&mut slow));
}

#[tokio::test]
async fn memory_of_a_passing_flight_is_bounded_however_long_it_is() {
    let budget = budget(35);
    let (flight, writer) = flight(&budget);
    let reader = writer.first_reader();
    let reading = tokio::spawn(read_all(reader));
    for number in 0..=255 {
        if writer.push(bytes(number)) == Pushed::Transient {
            writer.wait_for_readers().await.unwrap();
            assert!(flight.state.lock().pieces.kept() < PASSING_PIECES + 3, "and what is paid for");
        }
        assert!(budget.used() <= 35);
    }
    assert_eq!(budget.used(), 0, "what has passed is no longer charged");
    writer.complete(None);
    let expected: Vec<u8> = (0..=255).flat_map(|number| [number; 10]).collect();
    assert_eq!(reading.await.unwrap().unwrap(), expected);
}

#[tokio::test]
async fn a_slow_reader_holds_up_others_only_when_the_budget_is_used_up() {
    let budget = budget(100);
    let (flight, writer) = flight(&budget);
    let (mut fast, mut slow) = (writer.first_reader(), flight.join(9).unwrap());
    writer.stop_retaining();
    for number in 0..9 {
        assert_eq!(writer.push(bytes(number)), Pushed::Transient);
        assert!(writer.wait_for_readers().await.is_ok(), "{number}");
        assert_eq!(piece(&mut fast), bytes(number));
    }
    assert_eq!(budget.used(), 60, "what its share allows");
    writer.push(bytes(9));
    let mut room: Room<'_> = Box::pin(writer.wait_for_readers());
    assert!(is_waiting(&mut room));
    (0..7).for_each(|number| assert_eq!(piece(&mut slow), bytes(number)));
    assert!(room.as_mut().await.is_ok());
    drop(room);
    assert_eq!(budget.used(), 0);
    writer.complete(None);
    (7..10).for_each(|number| assert_eq!(piece(&mut slow), bytes(number)));
    assert_eq!(piece(&mut fast), bytes(9));
    assert!(is_clean_end(&mut fast) && is_clean_end(&mut slow));
}

#[test]
fn once_stored_readers_go_on_from_the_store_and_the_budget_is_free() {
    let budget = budget(1000);
    let (flight, writer) = flight(&budget);
    let (mut ahead, mut stuck) = (writer.first_reader(), flight.join(9).unwrap());
    let mut done = flight.join(9).unwrap();
    (0..3).for_each(|number| assert_eq!(writer.push(bytes(number)), Pushed::Retained));
    assert_eq!(piece(&mut ahead), bytes(0));
    (0..3).for_each(|number| assert_eq!(piece(&mut done), bytes(number)));

    writer.stored(Body::Whole(Bytes::from_static(&[7; 35])), 5..35);
    assert_eq!(budget.used(), 0);
    assert_eq!(writer.push(bytes(3)), Pushed::Retained);
    assert_eq!(budget.used(), 0);
    let mut late = flight.join(9).unwrap();
    writer.complete(Some(HeaderMap::new()));

    let from_store = [(&mut ahead, 15), (&mut stuck, 5), (&mut late, 5)];
    for (reader, start) in from_store {
        let Poll::Ready(Some(Ok(FlightPiece::Stored(body, part)))) = poll(reader) else {
            panic!("not sent on")
        };
        assert_eq!((body.length(), part), (35, start..35));
        assert!(is_trailers(reader));
        assert!(is_clean_end(reader));
    }
    // It has had everything.
    assert!(is_trailers(&mut done));
}

#[tokio::test]
async fn a_transient_flight_without_readers_is_abandoned() {
    let (_, writer) = flight(&budget(1000));
    drop(writer.first_reader());
    assert_eq!(writer.push(bytes(1)), Pushed::Retained);
    writer.stop_retaining();
    assert_eq!(writer.push(bytes(2)), Pushed::Transient);
    assert!(matches!(writer.wait_for_readers().await, Err(OriginError::Abandoned)));
}

#[tokio::test(start_paused = true)]
async fn a_flight_without_readers_ends_after_a_while() {
    let (flight, writer) = flight(&budget(1000));
    let reader = writer.first_reader();
    tokio::time::advance(UNREAD_MAX).await;
    assert!(!writer.is_unread_for_long(), "somebody reads");
    drop(reader);
    assert!(writer.is_unread_for_long());
    let _late = flight.join(9).unwrap();
    assert!(!writer.is_unread_for_long());

    let (_, young) = self::flight(&budget(1000));
    assert!(!young.is_unread_for_long());
}

#[test]
fn a_reader_that_leaves_wakes_the_waiting_writer() {
    let (flight, writer) = flight(&budget(0));
    let (mut fast, stuck) = (writer.first_reader(), flight.join(9).unwrap());
    for number in 0..4 {
        writer.push(bytes(number));
        piece(&mut fast);
    }
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut room: Room<'_> = Box::pin(writer.wait_for_readers());
    assert!(room.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(stuck);
    assert_eq!(bell.rings(), 1);
    assert!(room.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

#[tokio::test]
async fn the_budget_comes_back_with_the_pieces_on_every_way_out() {
    let ways: [fn(FlightWriter); 4] = [
        |writer| writer.complete(None),
        |writer| writer.fail(OriginError::IdleTimeout),
        drop,
        |writer| {
            writer.stop_retaining();
            writer.push(bytes(1));
            drop(writer);
        },
    ];
    let budget = budget(1000);
    for way in ways {
        let (flight, writer) = flight(&budget);
        let reader = writer.first_reader();
        (0..10).for_each(|number| assert_eq!(writer.push(bytes(number)), Pushed::Retained));
        way(writer);
        assert_eq!(budget.used(), 100, "a reader may want them");
        drop((flight, reader));
        assert_eq!(budget.used(), 0);
    }
}

#[tokio::test]
async fn after_the_end_what_every_reader_has_is_let_go() {
    let budget = budget(1000);
    let (flight, writer) = flight(&budget);
    let (mut fast, mut slow) = (writer.first_reader(), flight.join(9).unwrap());
    (0..10).for_each(|number| assert_eq!(writer.push(bytes(number)), Pushed::Retained));
    writer.complete(None);
    (0..10).for_each(|number| assert_eq!(piece(&mut fast), bytes(number)));
    assert_eq!(budget.used(), 100);
    (0..4).for_each(|number| assert_eq!(piece(&mut slow), bytes(number)));
    assert_eq!(budget.used(), 60);
    drop(slow);
}

#[test]
fn one_flight_over_the_budget_passes_and_the_others_keep_their_share() {
    let budget = budget(30);
    let ((_, one), (_, two)) = (flight(&budget), flight(&budget));
    assert_eq!(one.push(bytes(1)), Pushed::Retained);
    assert_eq!(two.push(bytes(1)), Pushed::Retained);
    assert_eq!(one.push(bytes(2)), Pushed::Transient);
    assert_eq!(one.push(Bytes::from_static(b"x")), Pushed::Transient, "once passing, for ever");
    assert_eq!(budget.used(), 20);
    drop(one);
    assert_eq!(budget.used(), 10);
    assert_eq!(two.push(bytes(2)), Pushed::Retained);
    drop(two);
    assert_eq!(budget.used(), 0);
}

/// A lost wake-up would hang here. Readers join at any time, on threads of their own; one leaves
/// early.
#[test]
fn no_wake_up_is_lost_between_threads() {
    let expected: Vec<u8> = (0..100).flat_map(|number| [number; 10]).collect();
    for round in 0..200 {
        let budget = budget(if round % 2 == 0 { 100_000 } else { 300 });
        let (flight, writer) = flight(&budget);
        let first = writer.first_reader();
        thread::scope(|scope| {
            let mut readers = vec![scope.spawn(|| finish(read_all(first)))];
            for _ in 0..4 {
                let reader = flight.join(99).unwrap();
                readers.push(scope.spawn(|| finish(read_all(reader))));
            }
            let leaver = flight.join(99).unwrap();
            scope.spawn(|| drop(leaver));
            scope.spawn(|| finish(fly(writer)));
            while readers.len() < 8
                && let Ok(reader) = flight.join(99)
            {
                readers.push(scope.spawn(|| finish(read_all(reader))));
            }
            for reader in readers {
                assert_eq!(reader.join().unwrap().unwrap(), expected);
            }
        });
        drop(flight);
        assert_eq!(budget.used(), 0);
    }
}

async fn fly(writer: FlightWriter) {
    for number in 0..100 {
        if writer.push(bytes(number)) == Pushed::Transient {
            writer.wait_for_readers().await.unwrap();
        }
    }
    writer.complete(None);
}

#[test]
fn joining_while_the_writer_is_dropped_ends_in_a_failure() {
    for _ in 0..500 {
        let (flight, writer) = flight(&budget(1000));
        writer.push(bytes(1));
        thread::scope(|scope| {
            scope.spawn(move || drop(writer));
            let read = finish(async {
                let reader = flight.join(9).unwrap();
                assert!(matches!(reader.head().await, HeadOutcome::Failed(_)));
                read_all(reader).await
            });
            assert!(read.is_err());
        });
    }
}

fn finish<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let bounded = async { tokio::time::timeout(PATIENCE, future).await };
    runtime.block_on(bounded).expect("a wake-up was lost")
}

/// Far longer than anything takes, even on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);
