//! Sweeping: what a purge by tag, host or prefix has hit in the file is dead though nobody asks for
//! it; nothing else is; and what is live is counted right, whatever happened.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use purge_protocol::{PurgeMode, UrlPrefix};

use super::bench::{NOW, SimulatedStore, Size};
use crate::invalidation::{Mark, PurgeMark, Sequence};
use crate::store::ColdTier as _;
use crate::store::contract::{self, Page};
use crate::store::file::device::simulated::{Crash, Random};
use crate::store::file::format::record::UNIT;
use crate::store::file::read::response;
use crate::store::file::tiering::{OpenedStore, TieredStore, Tiering};
use crate::store::file::volume::Volume;
use crate::store::file::volume::metrics::FileUsage;
use crate::store::file::volume::open::{FileLimits, Geometry};
use crate::store::memory::MemoryLimits;
use crate::store::{Removal, Store as _};
use process::clock::Clock;

/// Six megabytes in 96 segments.
const MIDDLE: Size = Size {
    geometry: Geometry { segment_bytes: 64 << 10, segments: 96, half_bytes: 64 << 10 },
    memory: 128 << 10,
    object: 200 << 10,
};
/// One megabyte: segments are given away all the time.
const TIGHT: Size = Size {
    geometry: Geometry { segment_bytes: 64 << 10, segments: 16, half_bytes: 64 << 10 },
    memory: 64 << 10,
    object: 200 << 10,
};

impl SimulatedStore {
    fn usage(&self) -> FileUsage {
        self.store.file_usage()
    }

    fn purged(&self) -> u64 {
        self.store.usage().removals[Removal::Purged as usize]
    }

    fn sweep(&self) {
        self.store.sweep();
        self.assert_counted();
    }

    /// Asserts that live bytes are those that the index knows of, to the byte, and that each
    /// response is there or has left, once.
    pub(super) fn assert_counted(&self) {
        let volume = self.store.volume();
        let mut truth: HashMap<u32, u64> = HashMap::new();
        volume.index.visit(&mut |entry| {
            let Some(place) = entry.place() else { return };
            *truth.entry(place.segment).or_default() += u64::from(place.units) * UNIT;
            let record = place.is_large.then(|| response::read(volume, &entry));
            for extent in record.iter().flatten().flat_map(|record| &record.head.extents) {
                if volume.segments.at(extent.segment).lsn() == extent.lsn {
                    *truth.entry(extent.segment).or_default() += extent.record_bytes();
                }
            }
        });
        for number in 0..volume.segments.count() {
            let live = volume.segments.at(number).live();
            assert_eq!(live, truth.get(&number).copied().unwrap_or(0), "segment {number}");
        }
    }
}

/// Makes a store with pages of one tag, in complete segments and in one that is being filled, in
/// the file only; and as many of another tag.
fn filled() -> SimulatedStore {
    let store = SimulatedStore::new(MIDDLE);
    for number in 0..60 {
        for tag in ["t", "u"] {
            store.put(&format!("/{tag}/{number}"), &[tag, "both"], &[b'x'; 3000]).unwrap();
        }
    }
    store.put("/t/large", &["t"], &vec![b'l'; 150_000]).unwrap();
    store.clear_source();
    store
}

fn found(store: &SimulatedStore, tag: &str) -> usize {
    (0..60).filter(|number| store.get(&format!("/{tag}/{number}")).is_some()).count()
}

#[test]
fn a_purge_by_tag_frees_the_space_of_what_is_only_in_the_file_and_counts_it_once() {
    let store = filled();
    let before = store.usage();
    store.purge_tag("t").unwrap();
    let in_memory = store.purged();
    assert!(in_memory < 10, "most are in the file only");
    store.sweep();
    let after = store.usage();
    assert_eq!((store.purged(), after.swept[0]), (61, 61 - in_memory));
    assert_eq!(after.objects, before.objects - 61);
    assert!(before.live_bytes - after.live_bytes >= 60 * 3000 + 150_000, "{before:?} {after:?}");
    assert_eq!((found(&store, "t"), found(&store, "u")), (0, 60));
    assert_eq!(store.purged(), 61, "asking for it counts nothing again");
    store.purge_tag("t").unwrap();
    store.sweep();
    assert_eq!(store.purged(), 61, "nor does the same purge");
    let (all, removals) = (store.store.usage(), store.store.usage().removals);
    assert_eq!(all.inserts, all.objects + removals.iter().sum::<u64>());
}

#[test]
fn a_segment_of_which_all_is_purged_is_given_away_before_anything_that_is_live() {
    let store = SimulatedStore::new(MIDDLE);
    for (tag, count) in [("keep", 400), ("t", 600), ("keep", 450)] {
        for number in 0..count {
            store.put(&format!("/{tag}/{count}/{number}"), &[tag], &[b'x'; 3000]).unwrap();
        }
    }
    store.purge_tag("t").unwrap();
    store.sweep();
    let evicted = store.store.usage().removals[Removal::Size as usize];
    for number in 0..500 {
        store.put(&format!("/new/{number}"), &[], &[b'x'; 3000]).unwrap();
    }
    assert!(store.usage().reclaimed[0] > 0);
    assert_eq!(
        store.store.usage().removals[Removal::Size as usize],
        evicted,
        "nothing live had to go"
    );
}

#[test]
fn what_was_fetched_after_the_purge_stays() {
    let store = filled();
    store.purge_tag("t").unwrap();
    for number in 0..30 {
        store.put(&format!("/t/{number}"), &["t"], &[b'y'; 3000]).unwrap();
    }
    store.clear_source();
    store.sweep();
    assert_eq!(found(&store, "t"), 30);
    assert_eq!(store.get("/t/7"), Some(vec![b'y'; 3000]));
}

#[test]
fn a_soft_purge_takes_nothing_out() {
    let store = filled();
    let before = store.usage();
    let id = store.invalidation.ids().tag(b"t");
    store.purge(&Mark::Tag(id), PurgeMode::Soft).unwrap();
    store.sweep();
    assert_eq!((store.usage().objects, store.purged()), (before.objects, 0));
    assert_eq!(found(&store, "t"), 60);
}

#[test]
fn hosts_and_prefixes_are_found_whether_they_end_at_a_directory_or_not() {
    let prefix = |text: &'static str| {
        move |store: &SimulatedStore| {
            let prefix = UrlPrefix::parse(text).unwrap();
            store.purge(&Mark::Prefix(&prefix), PurgeMode::Hard).unwrap();
        }
    };
    let hit = |purge: &dyn Fn(&SimulatedStore)| {
        let store = filled();
        purge(&store);
        store.sweep();
        let (purged, found) = (store.purged(), found(&store, "u"));
        assert_eq!(store.purged(), purged, "nothing was left for those who ask");
        (purged, found)
    };
    let all = 121 + 40; // with what has filled memory
    assert_eq!(hit(&prefix("http://shop.example/")), (all, 0));
    assert_eq!(hit(&prefix("/u/")), (60, 0));
    assert_eq!(hit(&prefix("http://shop.example/u/")), (60, 0));
    assert_eq!(hit(&prefix("/u/1")), (11, 49));
    assert_eq!(hit(&prefix("http://shop.example/u")), (60, 0));
    assert_eq!(hit(&prefix("http://other.example/u/")), (0, 60));
    let store = filled();
    let host = store.invalidation.ids().host(b"shop.example");
    store.purge(&Mark::Tag(host), PurgeMode::Hard).unwrap();
    store.sweep();
    let index = &store.store.volume().index;
    assert_eq!(
        index.entries(),
        index.in_memory(),
        "these pages do not carry their host, which would retire_matches those in memory"
    );
    let store = filled();
    prefix("/u")(&store);
    assert_eq!(store.usage().sweeps_refused, 1, "it would be every head in the file");
    assert_eq!(found(&store, "u"), 0, "it is in force all the same");
}

type End = fn(SimulatedStore) -> SimulatedStore;

#[test]
fn what_was_not_found_before_a_restart_or_a_crash_is_found_after_it() {
    let ends: [(&str, End); 3] = [
        ("restart", SimulatedStore::restart),
        ("kill", |store| store.crash(Crash::Kill, &mut Random::of(1))),
        ("power", |store| {
            use crate::store::file::device::disk::Disk as _;
            store.data.sync().unwrap();
            store.crash(Crash::Power, &mut Random::of(1))
        }),
    ];
    for (how, end) in ends {
        let store = filled();
        store.purge_tag("t").unwrap();
        let missing = 61 - store.purged();
        let store = end(store);
        store.sweep();
        assert_eq!((store.purged(), store.usage().swept[0]), (missing, missing), "{how}");
        assert_eq!(found(&store, "u"), 60, "{how}");
        // What was complete then, and what was completed by the recovery, is found by later purges,
        // too.
        store.clear_source();
        store.purge_tag("both").unwrap();
        store.sweep();
        assert_eq!(store.purged(), missing + 60, "{how}");
        let store = end(store);
        store.sweep();
        assert_eq!(store.purged(), 0, "{how}: what was found is gone for good");
    }
}

#[test]
fn what_is_moved_after_its_purge_is_dropped_instead() {
    let store = filled();
    // Used: it would be moved when its segment's turn comes.
    assert_eq!(found(&store, "t"), 60);
    store.clear_source();
    store.purge_tag("t").unwrap();
    let struck = store.purged();
    for number in 0..1500 {
        store.put(&format!("/filler-2/{number}"), &[], &[b'x'; 3000]).unwrap();
    }
    store.assert_counted();
    assert!(store.purged() > struck, "some were found when their segments' turn came");
    store.sweep();
    assert!(store.store.usage().removals[Removal::Size as usize] > 0);
    assert_eq!(found(&store, "t"), 0);
    let (all, removals) = (store.store.usage(), store.store.usage().removals);
    assert_eq!(all.inserts, all.objects + removals.iter().sum::<u64>());
}

#[test]
fn sweeping_beside_everything_else_loses_nothing_and_counts_everything_once() {
    let store = SimulatedStore::new(TIGHT);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (store, is_over) = (&store, &is_over);
        for seed in 1..3 {
            scope.spawn(move || {
                let mut random = Random::of(seed);
                for _ in 0..3000 {
                    let path = format!("/{}/{}", random.below(4), random.below(60));
                    let tag = format!("t{}", random.below(6));
                    let length = 10 + random.below(6000); // what has extents waits for the writer under its lock here
                    let body = vec![b'x'; usize::try_from(length).unwrap()];
                    match random.below(10) {
                        0..7 => drop(store.put(&path, &[&tag], &body)),
                        _ => drop(store.get(&path)),
                    }
                }
                is_over.store(true, Ordering::Release);
            });
        }
        scope.spawn(move || {
            let mut random = Random::of(9);
            while !is_over.load(Ordering::Acquire) || store.usage().swept[0] == 0 {
                store.purge_tag(&format!("t{}", random.below(6))).unwrap();
                store.store.sweep();
                store.store.settle();
            }
        });
    });
    store.sweep();
    let (all, removals, usage) = (store.store.usage(), store.store.usage().removals, store.usage());
    assert_eq!(all.inserts, all.objects + removals.iter().sum::<u64>(), "{removals:?}");
    assert!(usage.reclaimed[0] > 0, "{usage:?}");
    let last = store.put("/last", &["t1"], b"fetched after every purge").unwrap();
    drop(last);
    store.store.evict_all();
    store.sweep();
    assert!(store.get("/last").is_some());
}

#[test]
fn a_flood_of_purges_is_bounded_and_in_force_all_the_same() {
    let store = filled();
    let mark = |number: u128| PurgeMark::Tag(crate::invalidation::TagId::from_bits(number << 64));
    let flood: Vec<_> = (0..40_000).map(mark).collect();
    store.store.sweep_purged(&flood, Sequence::from_number(u64::MAX));
    let refused = store.usage().sweeps_refused;
    assert!((7000..8000).contains(&refused), "{refused}");
    store.purge_tag("t").unwrap();
    assert_eq!(store.usage().sweeps_refused, refused + 1);
    store.sweep();
    assert!(store.purged() < 10, "nobody has looked for it");
    assert_eq!((found(&store, "t"), found(&store, "u")), (0, 60));
    store.purge_tag("u").unwrap();
    store.sweep();
    assert_eq!(store.purged(), 121 - 1, "there is room again");
}

#[test]
fn dead_bytes_are_the_same_after_a_restart_where_large_responses_were_replaced() {
    let store = SimulatedStore::new(MIDDLE);
    for round in 0..3 {
        for number in 0..3 {
            let path = format!("/large/{number}");
            store.put(&path, &["t"], &vec![b'a' + round; 100_000 + usize::from(round)]).unwrap();
        }
        store.put("/gone", &["gone"], &vec![b'g'; 90_000]).unwrap();
        store.purge_tag("gone").unwrap();
    }
    store.assert_counted();
    let before = store.usage();
    assert!(before.dead_bytes > 6 * 100_000);
    let store = store.restart();
    store.assert_counted();
    let after = store.usage();
    assert_eq!((after.live_bytes, after.dead_bytes), (before.live_bytes, before.dead_bytes));
    store.put("/large/0", &[], &vec![b'z'; 120_000]).unwrap();
    let live = store.usage().live_bytes;
    let store = store.crash(Crash::Kill, &mut Random::of(3));
    store.assert_counted();
    assert_eq!(store.usage().live_bytes, live);
    assert_eq!(store.get("/large/0"), Some(vec![b'z'; 120_000]));
}

#[test]
fn large_responses_that_have_expired_over_a_restart_are_dead() {
    let store = SimulatedStore::new(MIDDLE);
    store.put("/large", &[], &vec![b'l'; 150_000]).unwrap();
    store.clock.advance(Duration::from_hours(24 * 400));
    let store = store.restart();
    assert_eq!((store.usage().objects, store.usage().live_bytes), (0, 0));
    store.assert_counted();
}

#[test]
fn a_large_response_that_is_freshened_after_memory_has_evicted_it_keeps_its_live_bytes() {
    let store = SimulatedStore::new(MIDDLE);
    store.put("/large", &[], &vec![b'l'; 150_000]).unwrap();
    store.clear_source();
    contract::load(&*store.store, &contract::key("/large"));
    let old = store.store.lookup(&contract::key("/large"), &|_| true).unwrap();
    let mut filled = 0;
    while !store.store.holds(old.key.hash()) {
        store.put(&format!("/filler-2/{}", filled % 20), &[], &[b'f'; 8000]).unwrap();
        store.store.settle();
        filled += 1;
    }
    let draft = contract::draft(&store.invalidation, Page { second: 99, ..Page::at("/large") });
    store.store.freshen(&old, draft).unwrap();
    store.assert_counted();
    assert_eq!(store.get("/large"), Some(vec![b'l'; 150_000]));
}

#[test]
fn the_sweeper_finds_what_was_purged_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW);
    let open = |path: &Path| {
        let limits = FileLimits {
            path: path.to_owned(),
            capacity: 4 << 20,
            object_bytes_max: 1 << 20,
            persists: true,
            wait: Duration::ZERO,
            sync: Duration::from_secs(1),
            entries_max: 10_000,
        };
        let memory =
            MemoryLimits { capacity: 1 << 20, object_bytes_max: 1 << 20, variants_max: 64 };
        TieredStore::open(&limits, memory, Tiering::File, &clock).unwrap()
    };
    let put = |opened: &OpenedStore, number: u32| {
        let mut writer = opened.store.begin();
        writer.append(bytes::Bytes::from(vec![b'x'; 2000])).unwrap();
        let path = format!("/{number}");
        let page = Page { tags: &["t"], ..Page::at(&path) };
        drop(writer.commit(contract::draft(&opened.invalidation, page)).unwrap());
    };
    let wait = |opened: &OpenedStore, is_so: &dyn Fn(&Volume) -> bool| {
        while !opened.store.is_settled() || !is_so(opened.store.volume()) {
            std::thread::yield_now();
        }
    };
    let opened = open(folder.path());
    wait(&opened, &|_| true);
    (0..300).for_each(|number| put(&opened, number));
    wait(&opened, &|_| true);
    drop(opened);
    let opened = open(folder.path());
    wait(&opened, &|volume| volume.index.entries() == 300);
    (300..310).for_each(|number| put(&opened, number));
    wait(&opened, &|_| true);
    let id = opened.invalidation.ids().tag(b"t");
    let sequence = opened.invalidation.mark(&[Mark::Tag(id)], PurgeMode::Hard, NOW);
    opened.store.sweep_purged(&[PurgeMark::Tag(id)], sequence);
    wait(&opened, &|volume| volume.index.entries() == 10);
    assert_eq!(opened.store.file_usage().swept[0], 300, "those in memory are struck there");
    opened.store.close();
}
