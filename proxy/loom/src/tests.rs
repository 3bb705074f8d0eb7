//! A scribe gives a segment away and fills it anew while others read it. Its content is a cell:
//! loom fails where one reads it while another writes, or where the order of both is left to
//! chance.

use loom::cell::Cell;
use loom::thread;

use super::segment_state::{Pin, Pins, SegmentState};
use super::sync::{Arc, AtomicU64, Ordering};

/// A segment whose content is the incarnation it was written in.
struct Segment {
    word: Arc<SegmentState>,
    content: Cell<u64>,
}

impl Segment {
    fn open(lsn: u64) -> Arc<Self> {
        let (word, content) = (Arc::new(SegmentState::default()), Cell::new(lsn));
        word.open(lsn);
        Arc::new(Self { word, content })
    }

    /// Reads it if that is possible in this incarnation, and says whether it was.
    fn read(&self, lsn: u64) -> bool {
        let pin = Pin::of(&self.word, lsn);
        if pin.is_some() {
            assert_eq!(self.content.get(), lsn);
        }
        pin.is_some()
    }
}

/// Runs a model of three threads in every order with up to four preemptions: more find nothing new,
/// and take minutes.
fn model_of_three(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(4);
    builder.check(run);
}

fn spawn(segment: &Arc<Segment>, run: impl FnOnce(&Segment) + 'static) -> thread::JoinHandle<()> {
    let segment = Arc::clone(segment);
    thread::spawn(move || run(&segment))
}

#[test]
fn content_does_not_change_while_two_read_it_and_the_scribe_gives_it_away() {
    model_of_three(|| {
        let segment = Segment::open(1);
        let readers = [&[1, 2][..], &[1]].map(|incarnations| {
            spawn(&segment, move |segment| {
                for incarnation in incarnations {
                    segment.read(*incarnation);
                }
            })
        });
        segment.word.close();
        if segment.word.free() {
            segment.content.set(2);
            segment.word.open(2);
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn the_last_who_lets_go_makes_room_and_nobody_comes_in_after_it_was_closed() {
    model_of_three(|| {
        let segment = Segment::open(1);
        let readers = [(); 2].map(|()| {
            spawn(&segment, |segment| {
                segment.read(1);
            })
        });
        segment.word.close();
        assert!(!segment.read(1), "it is closed");
        let is_free = segment.word.free();
        if is_free {
            segment.content.set(0);
        }
        for reader in readers {
            reader.join().unwrap();
        }
        assert!(segment.word.free(), "nobody reads it any more");
        assert!(Pin::of(&segment.word, 0).is_none(), "a free segment is not read");
    });
}

/// After a restart, incarnations have another upper half and begin to count anew.
#[test]
fn an_incarnation_with_the_same_lower_half_is_not_taken_for_an_earlier_one() {
    let (old, new) = (1 << 32 | 5, 2 << 32 | 5);
    loom::model(move || {
        let segment = Segment::open(old);
        let reader = spawn(&segment, move |segment| {
            segment.read(old);
        });
        segment.word.close();
        if segment.word.free() {
            segment.word.open(new);
            segment.content.set(new); // records are added while it is open
        }
        reader.join().unwrap();
    });
}

/// What is read without a pin counts if the incarnation is the same afterwards.
#[test]
fn what_was_read_without_a_pin_is_known_to_be_of_an_incarnation_or_not() {
    loom::model(|| {
        let word = Arc::new(SegmentState::default());
        let content = Arc::new(AtomicU64::new(1));
        word.open(1);
        let reader = {
            let (word, content) = (Arc::clone(&word), Arc::clone(&content));
            thread::spawn(move || {
                let read = content.load(Ordering::Relaxed);
                assert!(!word.was(1) || read == 1);
            })
        };
        word.close();
        assert!(word.free());
        content.store(2, Ordering::Relaxed);
        word.open(2);
        reader.join().unwrap();
    });
}

#[test]
fn a_lease_that_is_revoked_breaks_the_reader_off_and_never_shows_it_what_came_after() {
    loom::model(|| {
        let segment = Segment::open(1);
        let pins = Arc::new(Pins::of(Pin::of(&segment.word, 1).into_iter()));
        let reader = {
            let pins = Arc::clone(&pins);
            spawn(&segment, move |segment| {
                segment.read(1); // a window
                segment.read(1); // another
                drop(pins);
            })
        };
        segment.word.close();
        if segment.word.free() {
            segment.content.set(2); // the reader has come to its end
        } else {
            pins.revoke();
            if segment.word.free() {
                segment.content.set(2);
            }
        }
        drop(pins);
        reader.join().unwrap();
        assert!(segment.word.free());
    });
}
