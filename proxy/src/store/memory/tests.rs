//! The memory engine keeps the contract, and its policy treats fresh, large and hot responses as it
//! promises.

use std::thread;
use std::time::Duration;

use super::*;
use crate::store::contract::{self, Bench, Engine, EngineLimits, Page, SMALL};
use process::timestamp::Timestamp;

#[test]
fn the_contract_is_kept() {
    contract::check(&|limits| engine(&store(limits, &stopped_clock())));
}

/// Measured: moka's `TinyLFU` alone kept none of 100 fresh responses.
#[test]
fn fresh_responses_are_admitted_when_the_store_is_full_of_warm_ones() {
    let (bench, memory) = full_of_warm_ones(&stopped_clock());
    for number in 0..20 {
        bench.put(Page::at(&format!("/fresh/{number}")), &[b'x'; 10_000]);
    }
    memory.settle();
    let kept = (0..20).filter(|n| bench.find(&format!("/fresh/{n}"), "").is_some()).count();
    assert_eq!(kept, 20);
}

/// Measured: moka's `TinyLFU` alone never admitted a response of a hundred times the usual size.
#[test]
fn a_large_response_is_admitted_when_the_store_is_full_of_warm_ones() {
    let (bench, memory) = full_of_warm_ones(&stopped_clock());
    bench.put(Page::at("/large"), &vec![b'x'; 64 << 10]);
    memory.settle();
    assert!(bench.find("/large", "").is_some());
}

#[test]
fn hot_responses_survive_a_scan_of_responses_that_are_used_once() {
    let clock = stopped_clock();
    let (bench, memory) = full_of_warm_ones(&clock);
    let hot = || (0..WARM).filter_map(|n| bench.find(&format!("/warm/{n}"), ""));
    let before = hot().count();
    for number in 0..WARM * 10 {
        bench.put(Page::at(&format!("/scan/{number}")), &[b'x'; 10_000]);
        if number % WARM == 0 {
            clock.advance(Duration::from_secs(2));
            hot().for_each(|stored| memory.touch(&stored));
        }
    }
    memory.settle();
    let after = hot().count();
    assert!(after * 100 >= before * 70, "of {before} hot responses {after} are left");
}

/// Two versions, or a marker and a response, may have different names in the policy.
#[test]
fn a_response_that_replaces_a_marker_leaves_nothing_of_it_in_the_policy() {
    let memory = store(SMALL, &stopped_clock());
    let bench = Bench::new(&|_| engine(&memory), SMALL);
    let marker = NewEntry {
        variant: None,
        content: crate::store::Content::Uncacheable {
            reason: crate::freshness::Uncacheable::NoStore,
            until: Timestamp::from_secs(9),
        },
        ..bench.draft(Page::at("/v"))
    };
    memory.begin().commit(marker).unwrap();
    bench.put(Page { selecting: "a", ..Page::at("/v") }, b"x");
    assert_in_step(&memory);
}

#[test]
fn map_and_policy_stay_in_step_under_concurrent_use() {
    for round in 0..4 {
        let memory = store(SMALL, &stopped_clock());
        let bench = Bench::new(&|_| engine(&memory), SMALL);
        thread::scope(|scope| {
            for worker in 0..4_u64 {
                let (bench, memory) = (&bench, &memory);
                scope.spawn(move || churn(bench, memory, worker + 10 * round));
            }
        });
        assert_in_step(&memory);
        let usage = memory.usage();
        assert!(usage.bytes <= SMALL.capacity, "{usage:?}");
        assert_eq!(usage.bytes, bench.visited_bytes());
    }
}

/// Puts, freshens, removes and finds among few paths, so that threads meet.
fn churn(bench: &Bench, memory: &MemoryStore, seed: u64) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for step in 0..3000_u64 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let path = format!("/{}", random % 40);
        let selecting = ["", "a", "b"][usize::try_from(random >> 8).unwrap() % 3];
        let page = Page { selecting, second: step, ..Page::at(&path) };
        match (random >> 16) % 8 {
            0..4 => {
                let size = usize::try_from(random >> 24).unwrap() % 60_000;
                drop(bench.put(page, &vec![b'x'; size]));
            }
            4 => drop(bench.find(&path, selecting).map(|it| memory.remove(&it, Removal::Purged))),
            5 => drop(bench.find(&path, selecting).map(|it| {
                memory.freshen(&it, bench.draft(page)).unwrap();
            })),
            _ => drop(bench.find(&path, selecting).map(|it| memory.touch(&it))),
        }
    }
}

/// Asserts that each response in the map has exactly one place, and no other response has one.
fn assert_in_step(memory: &MemoryStore) {
    let look = || {
        memory.settle();
        let mut mapped = Vec::new();
        memory.visit(&mut |stored| mapped.push(Arc::as_ptr(stored)));
        let mut residents: Vec<_> = memory.residency.residents().iter().map(Arc::as_ptr).collect();
        mapped.sort_unstable();
        residents.sort_unstable();
        (mapped, residents)
    };
    // moka does its housekeeping in portions.
    let (mapped, residents) = (0..PORTIONS)
        .map(|_| look())
        .find(|(mapped, residents)| mapped == residents)
        .unwrap_or_else(look);
    assert_eq!(mapped, residents, "what is found, and what has a place");
}

/// As often is housekeeping given the chance to finish.
const PORTIONS: usize = 20;

/// Makes a store that is full of responses that were used several times.
fn full_of_warm_ones(clock: &Clock) -> (Bench, MemoryStore) {
    let memory = store(SMALL, clock);
    let bench = Bench::new(&|_| engine(&memory), SMALL);
    for _ in 0..5 {
        for number in 0..WARM {
            let path = format!("/warm/{number}");
            match bench.find(&path, "") {
                Some(stored) => memory.touch(&stored),
                None => drop(bench.put(Page::at(&path), &[b'x'; 10_000])),
            }
        }
        clock.advance(Duration::from_secs(2));
        memory.settle();
    }
    assert!(memory.usage().bytes > SMALL.capacity * 7 / 10);
    (bench, memory)
}

fn store(limits: EngineLimits, clock: &Clock) -> MemoryStore {
    let EngineLimits { capacity, object_bytes_max, variants_max } = limits;
    MemoryStore::new(MemoryLimits { capacity, object_bytes_max, variants_max }, clock.clone())
}

fn engine(memory: &MemoryStore) -> Engine {
    let settled = memory.clone();
    Engine {
        store: Arc::new(memory.clone()),
        settle: Box::new(move || settled.settle()),
        invalidation: None,
    }
}

fn stopped_clock() -> Clock {
    Clock::manual(Timestamp::from_secs(1_000_000))
}

/// Of 10 kB each: they fill [`SMALL`].
const WARM: usize = 320;
