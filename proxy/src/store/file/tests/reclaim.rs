//! Giving segments away: nothing fragments, what is used stays, readers keep their bytes, what is
//! written is bounded.

use bytes::Buf as _;
use std::sync::Arc;

use super::bench::{NOW, SMALL, SimulatedStore, Size};
use crate::store::CopyMode;
use crate::store::contract::{Page, content, key};
use crate::store::file::device::simulated::Random;
use crate::store::file::volume::open::Geometry;
use crate::store::{Body, Removal, Store as _};

const LARGER: Size = Size {
    geometry: Geometry { segment_bytes: 256 << 10, segments: 32, half_bytes: 256 << 10 },
    memory: 512 << 10,
    object: 1 << 20,
};

#[test]
fn a_hundred_times_the_capacity_of_adversarial_sizes_fragments_nothing() {
    let store = SimulatedStore::new(LARGER);
    let capacity = u64::from(LARGER.geometry.segments) * LARGER.geometry.segment_bytes;
    let mut random = Random::of(7);
    let (mut written, mut number) = (0, 0_u64);
    while written < capacity * 100 {
        let length = match number % 4 {
            0 => 1,
            1 => (256 << 10) / 8 - 1,
            2 => 500 << 10,
            _ => 1 << random.below(16),
        };
        let path = format!("/{}", random.below(3000));
        let tag = format!("t{}", random.below(50));
        let page = Page { tags: &[&tag], ..Page::at(&path) };
        store.put_page(page, &vec![b'x'; usize::try_from(length).unwrap()]).unwrap();
        if number % 97 == 0 {
            store.purge_tag(&format!("t{}", random.below(50))).unwrap();
        }
        written += length;
        number += 1;
    }
    let usage = store.store.file_usage();
    assert_eq!(usage.dropped, 0, "room was found for each of {number}");
    let known = usage.live_bytes + usage.dead_bytes + usage.free_bytes;
    assert!(known * 100 >= usage.capacity * 98 && known <= usage.capacity, "{usage:?}");
    assert!(usage.rewritten <= usage.written, "at most twice is written: {usage:?}");
    assert_eq!(usage.segments.iter().sum::<u64>(), u64::from(LARGER.geometry.segments));
    let (all, removals) = (store.store.usage(), store.store.usage().removals);
    assert_eq!(
        all.inserts,
        all.objects + removals.iter().sum::<u64>(),
        "what came is there, or has left, once"
    );
}

#[test]
fn what_is_used_outlives_what_is_not() {
    let store = SimulatedStore::new(LARGER);
    for number in 0..20 {
        store.put(&format!("/hot/{number}"), &[], &[b'h'; 2000]).unwrap();
    }
    for number in 0..6000 {
        store.put(&format!("/cold/{number}"), &[], &[b'c'; 4000]).unwrap();
        if number % 50 == 0 {
            store.store.settle();
            for hot in 0..20 {
                drop(store.get(&format!("/hot/{hot}")));
            }
        }
    }
    let hot = (0..20).filter(|number| store.get(&format!("/hot/{number}")).is_some()).count();
    let cold = (0..6000).filter(|number| store.get(&format!("/cold/{number}")).is_some()).count();
    assert_eq!(hot, 20);
    assert!((500..3000).contains(&cold), "{cold}");
    assert!(store.store.usage().removals[Removal::Size as usize] > 3000);
}

#[test]
fn expired_segments_are_given_away_first() {
    let store = SimulatedStore::new(LARGER);
    for number in 0..300 {
        store.put(&format!("/short/{number}"), &[], &vec![b's'; 10_000]).unwrap();
    }
    store.clock.advance(std::time::Duration::from_hours(72));
    for number in 0..550 {
        let path = format!("/long/{number}");
        let page = Page { second: NOW.as_secs() + 3 * 86_400, ..Page::at(&path) };
        store.put_page(page, &[b'l'; 10_000]).unwrap();
    }
    let kept = (0..550).filter(|number| store.get(&format!("/long/{number}")).is_some()).count();
    assert_eq!(kept, 550);
    assert!(store.store.usage().removals[Removal::Expired as usize] > 0);
}

#[test]
fn a_reader_keeps_its_bytes_while_everything_around_is_given_away() {
    let store = SimulatedStore::new(LARGER);
    let body: Vec<u8> =
        (0..150_000_u32).map(|it| it.to_le_bytes()[0] ^ it.to_le_bytes()[1]).collect();
    store.put("/large", &[], &body).unwrap();
    store.clear_source();
    crate::store::contract::load(&*store.store, &key("/large"));
    let stored = store.store.lookup(&key("/large"), &|_| true).unwrap();
    let Body::Deferred(file) = &stored.response().unwrap().body else { panic!("it is large") };
    let reading = Arc::clone(file).open();
    let mut read = reading.window(0, 150_000, CopyMode::Mapped).unwrap().chunk().to_vec();
    for number in 0..2000 {
        drop(store.put(&format!("/{number}"), &[], &vec![b'x'; 20_000]));
        if number % 300 == 299 && (read.len() as u64) < 150_000 {
            read.extend_from_slice(
                reading.window(read.len() as u64, 150_000, CopyMode::Mapped).unwrap().chunk(),
            );
        }
    }
    assert!(read == body);
    let is_gone = store.store.file_usage().reclaimed[0] > 2 * u64::from(LARGER.geometry.segments);
    assert!(is_gone, "everything around was given away twice");
}

#[test]
fn stalled_readers_do_not_hold_the_store_hostage() {
    let store = SimulatedStore::new(LARGER);
    let mut stalled = Vec::new();
    for number in 0..300 {
        let path = format!("/large/{number}");
        store.put(&path, &[], &vec![b'x'; 700_000]).unwrap();
        store.clear_source();
        crate::store::contract::load(&*store.store, &key(&path));
        if let Some(stored) = store.store.lookup(&key(&path), &|_| true)
            && let Body::Deferred(file) = &stored.response().unwrap().body
        {
            stalled.push(Arc::clone(file).open());
        }
    }
    assert!(stalled.len() > 100, "{}", stalled.len());
    let usage = store.store.file_usage();
    assert_eq!(usage.dropped, 0, "{usage:?}");
    assert!(usage.segments[3] <= 3, "{usage:?}");
}

#[test]
fn a_large_body_that_is_aborted_leaves_nothing_alive() {
    let store = SimulatedStore::new(SMALL);
    let mut writer = store.store.begin();
    for _ in 0..6 {
        writer.append(bytes::Bytes::from(vec![b'x'; 30_000])).unwrap();
    }
    drop(writer);
    let usage = store.store.file_usage();
    assert_eq!((usage.objects, usage.live_bytes), (0, 0), "{usage:?}");
}

#[test]
fn a_freshened_large_response_keeps_its_body_in_the_file() {
    let store = SimulatedStore::new(LARGER);
    let body = vec![b'z'; 900_000];
    store.put("/large", &[], &body).unwrap();
    store.clear_source();
    crate::store::contract::load(&*store.store, &key("/large"));
    let old = store.store.lookup(&key("/large"), &|_| true).unwrap();
    let draft = crate::store::contract::draft(
        &store.invalidation,
        Page { second: 99, ..Page::at("/large") },
    );
    let new = store.store.freshen(&old, draft).unwrap();
    assert!(content(new.response().unwrap()) == body);
    drop((old, new));
    let store = store.restart();
    assert!(store.get("/large") == Some(body));
}

/// Its body is in the file, but not in extents that could be handed on.
#[test]
fn a_freshened_response_behind_its_head_is_counted_as_live_once() {
    let size = Size {
        geometry: Geometry { segment_bytes: 1 << 20, segments: 6, half_bytes: 256 << 10 },
        memory: 1 << 20,
        object: 1 << 20,
    };
    let store = SimulatedStore::new(size);
    store.put("/other", &[], &[b'o'; 5000]).unwrap();
    let live = |store: &SimulatedStore| store.store.file_usage().live_bytes;
    let without = live(&store);
    store.put("/page", &[], &vec![b'p'; 100_000]).unwrap();
    let with = live(&store);
    let store = store.restart();
    crate::store::contract::load(&*store.store, &key("/page"));
    let old = store.store.lookup(&key("/page"), &|_| true).unwrap();
    let page = Page { second: 99, ..Page::at("/page") };
    let draft = crate::store::contract::draft(&store.invalidation, page);
    let new = store.store.freshen(&old, draft).unwrap();
    assert_eq!(live(&store), with);
    assert!(store.store.remove(&new, Removal::Replaced));
    assert_eq!(live(&store), without);
}

#[test]
fn what_is_served_from_the_file_is_found_where_it_was_moved() {
    let size = Size {
        geometry: Geometry { segment_bytes: 1 << 20, segments: 12, half_bytes: 256 << 10 },
        memory: 4 << 20,
        object: 1 << 20,
    };
    let store = SimulatedStore::new(size);
    let body: Vec<u8> = (0..100_000_u32).map(|it| it.to_le_bytes()[0]).collect();
    store.put("/hot", &[], &body).unwrap();
    let store = store.restart();
    for number in 0..2000 {
        assert!(store.get("/hot").as_ref() == Some(&body), "after {number}");
        let stored = store.store.lookup(&key("/hot"), &|_| true).unwrap();
        assert!(matches!(stored.response().unwrap().body, Body::Deferred(_)));
        store.clock.advance(std::time::Duration::from_millis(100));
        store.store.touch(&stored);
        drop(store.put(&format!("/cold/{number}"), &[], &vec![b'c'; 20_000]));
    }
    let usage = store.store.file_usage();
    assert!(usage.rewritten >= 100_000 && usage.reclaimed[0] > 24, "{usage:?}");
}
