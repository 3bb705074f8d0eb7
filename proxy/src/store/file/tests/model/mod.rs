//! A model: random histories of the tiered store on a simulated disk beside a list of what was
//! stored and purged. proptest makes them, and cuts one that fails down to a few operations.

mod history;
mod invariants;
mod truth;

use proptest::prelude::*;

use self::history::History;
use crate::store::file::device::simulated::Crash;
use crate::store::file::tests::bench::Size;
use crate::store::file::volume::open::Geometry;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Put(Slot, Tag, Length),
    /// A body that arrives in part only.
    Abort(Length),
    Overtaken(Slot, Tag, Length, Aim),
    Get(Slot),
    Range(Slot, u64, u64),
    /// A request while the device cannot be read.
    GetUnreadable(Slot),
    Freshen(Slot),
    Remove(Slot),
    Purge(Aim, Mode),
    Flood,
    /// Seconds by which the clock advances.
    Advance(u64),
    /// The wall clock is set forward by so many seconds, or back.
    SetClock(i64),
    Evict,
    Sync,
    Sweep,
    Open(Slot),
    ReadOn(u64),
    CloseAll,
    /// A bit of the file changes on the device.
    Flip(usize),
    /// The file is cut short and made as long again; at so many thousandths of its length.
    Cut(usize),
    Restart,
    /// The process or the power ends, after so many writes and syncs.
    Crash(Crash, u64, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slot(usize, usize);

#[derive(Clone, Copy, Debug)]
struct Tag(usize);

#[derive(Clone, Copy, Debug)]
struct Length(u64);

#[derive(Clone, Copy, Debug)]
enum Aim {
    Tag(usize),
    Url(usize),
    Prefix(usize),
    /// The page at this path.
    Page(usize),
    /// This path under every query.
    Path(usize),
    /// Both a tag and a prefix.
    Both(usize, usize),
    /// What does not carry the tag.
    Except(usize),
    Host,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Hard,
    Soft,
}

const PATHS: [&str; 5] = ["/a/1", "/a/2", "/b/1", "/b/2", "/a/1?q"];
/// The page of each: the last of `/b/` is the data of the first one.
const PAGES: [&str; 5] = ["/a/1", "/a/2", "/b/1", "/b/1", "/a/1"];
const PREFIXES: [&str; 2] = ["/a/", "/b/"];
const SELECTING: [&str; 3] = ["", "x", "y"];
const TAGS: [&str; 3] = ["one", "two", "three"];

impl Slot {
    fn all() -> impl Iterator<Item = Self> {
        (0..PATHS.len()).flat_map(|path| (0..SELECTING.len()).map(move |value| Self(path, value)))
    }

    fn path(self) -> &'static str {
        PATHS[self.0]
    }

    fn page(self) -> &'static str {
        PAGES[self.0]
    }

    fn selecting(self) -> &'static str {
        SELECTING[self.1]
    }
}

fn slot() -> impl Strategy<Value = Slot> {
    (0..PATHS.len(), prop_oneof![3 => Just(0), 1 => 0..SELECTING.len()])
        .prop_map(|(path, selecting)| Slot(path, selecting))
}

fn tag() -> impl Strategy<Value = Tag> {
    (0..TAGS.len()).prop_map(Tag)
}

fn length() -> impl Strategy<Value = Length> {
    prop_oneof![
        1 => Just(0),
        4 => 1..3000_u64,
        2 => 7000..9000_u64,
        3 => 20_000..40_000_u64,
        1 => 100_000..200_000_u64,
    ]
    .prop_map(Length)
}

fn aim() -> impl Strategy<Value = Aim> {
    prop_oneof![
        4 => (0..TAGS.len()).prop_map(Aim::Tag),
        3 => (0..PATHS.len()).prop_map(Aim::Url),
        2 => (0..PREFIXES.len()).prop_map(Aim::Prefix),
        2 => (0..PATHS.len()).prop_map(Aim::Page),
        2 => (0..PATHS.len()).prop_map(Aim::Path),
        2 => (0..TAGS.len(), 0..PREFIXES.len()).prop_map(|(tag, prefix)| Aim::Both(tag, prefix)),
        1 => (0..TAGS.len()).prop_map(Aim::Except),
        1 => Just(Aim::Host),
        1 => Just(Aim::All),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let mode = prop_oneof![2 => Just(Mode::Hard), 1 => Just(Mode::Soft)];
    let crash = prop_oneof![Just(Crash::Kill), Just(Crash::Power)];
    let steps = prop_oneof![1 => Just(0), 2 => 1..30_u64];
    prop_oneof![
        20 => (slot(), tag(), length()).prop_map(|(slot, tag, it)| Operation::Put(slot, tag, it)),
        1 => length().prop_map(Operation::Abort),
        2 => (slot(), tag(), length(), aim())
            .prop_map(|(slot, tag, length, aim)| Operation::Overtaken(slot, tag, length, aim)),
        6 => slot().prop_map(Operation::Get),
        3 => (slot(), 0..1000_u64, 1..1000_u64)
            .prop_map(|(slot, from, length)| Operation::Range(slot, from, length)),
        1 => slot().prop_map(Operation::GetUnreadable),
        3 => slot().prop_map(Operation::Freshen),
        3 => slot().prop_map(Operation::Remove),
        5 => (aim(), mode).prop_map(|(aim, mode)| Operation::Purge(aim, mode)),
        2 => Just(Operation::Flood),
        2 => prop_oneof![1..100_u64, Just(400_000)].prop_map(Operation::Advance),
        1 => (-4000..4000_i64).prop_map(Operation::SetClock),
        5 => Just(Operation::Evict),
        2 => Just(Operation::Sync),
        1 => Just(Operation::Sweep),
        2 => slot().prop_map(Operation::Open),
        2 => (1..100_000_u64).prop_map(Operation::ReadOn),
        1 => Just(Operation::CloseAll),
        1 => any::<usize>().prop_map(Operation::Flip),
        1 => (0..1000_usize).prop_map(Operation::Cut),
        2 => Just(Operation::Restart),
        4 => (crash, steps, 0..1000_u64)
            .prop_map(|(crash, steps, seed)| Operation::Crash(crash, steps, seed)),
    ]
}

/// Eight segments, so that they are given away soon, and a journal that begins anew soon.
const NARROW: Size = Size {
    geometry: Geometry { segment_bytes: 64 << 10, segments: 8, half_bytes: 24 << 10 },
    memory: 128 << 10,
    object: 200 << 10,
};
/// Segments in which bodies that are read in windows stand behind their heads.
const WIDE: Size = Size {
    geometry: Geometry { segment_bytes: 1 << 20, segments: 6, half_bytes: 24 << 10 },
    memory: 1 << 20,
    object: 2 << 20,
};

/// Configures forty histories of each size; `SHELLAC_MODEL_HISTORIES` asks for more.
fn config() -> ProptestConfig {
    let asked = std::env::var("SHELLAC_MODEL_HISTORIES").ok().and_then(|it| it.parse().ok());
    ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::with_cases(asked.unwrap_or(40)) }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_store_of_small_segments_shows_what_may_be_shown_and_nothing_else(
        operations in proptest::collection::vec(operation(), 1..80),
    ) {
        History::run(NARROW, 1, operations);
    }

    #[test]
    fn a_store_of_large_segments_shows_what_may_be_shown_and_nothing_else(
        operations in proptest::collection::vec(operation(), 1..50),
    ) {
        History::run(WIDE, 8, operations);
    }
}
