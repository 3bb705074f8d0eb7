//! Recalled responses: for one use, or to stay in memory; and the effect of purges on them.

use std::ops::ControlFlow;
use std::sync::Arc;

use purge_protocol::PurgeMode;

use super::bench::{SMALL, SimulatedStore, block_on};
use crate::invalidation::{Mark, Verdict};
use crate::store::ColdTier as _;
use crate::store::contract::{content, key};
use crate::store::{Promote, Store as _, Stored};

const BODY: &[u8] = &[b'a'; 2000];

/// Makes a store whose memory is full of other responses than `/a`.
fn crowded() -> SimulatedStore {
    let store = SimulatedStore::new(SMALL);
    store.put("/a", &["t"], BODY).unwrap();
    for number in 0..400 {
        store.put(&format!("/other/{number}"), &[], b"small").unwrap();
    }
    store.store.settle();
    assert!(!is_in_memory(&store));
    store
}

fn recalled(store: &SimulatedStore, promote: Promote) -> Option<Arc<Stored>> {
    block_on(store.store.load(&key("/a"), promote)).pop()
}

fn is_in_memory(store: &SimulatedStore) -> bool {
    store.store.lookup(&key("/a"), &|_| true).is_some()
}

#[test]
fn what_is_asked_for_once_is_handed_out_and_leaves_memory_as_it_is() {
    let store = crowded();
    let before = store.store.usage();
    let transient = recalled(&store, Promote::IfHot).unwrap();
    assert_eq!(content(transient.response().unwrap()), BODY);
    assert!(!is_in_memory(&store));
    assert_eq!(store.store.usage(), before);
    assert_eq!(store.store.file_usage().promoted, 0);
}

#[test]
fn what_is_asked_for_again_soon_stays_in_memory() {
    let store = crowded();
    assert!(recalled(&store, Promote::IfHot).is_some());
    assert!(recalled(&store, Promote::IfHot).is_none() && is_in_memory(&store));
    assert_eq!(store.store.file_usage().promoted, 1);
}

#[test]
fn while_memory_has_room_everything_that_is_asked_for_stays_there() {
    let store = SimulatedStore::new(SMALL);
    store.put("/a", &["t"], BODY).unwrap();
    let store = store.restart();
    assert!(recalled(&store, Promote::IfHot).is_none() && is_in_memory(&store));
}

#[test]
fn what_is_about_to_be_replaced_is_put_into_memory() {
    let store = crowded();
    assert!(recalled(&store, Promote::Always).is_none() && is_in_memory(&store));
}

#[test]
fn a_purge_finds_what_was_handed_out_before_it_and_nothing_is_handed_out_after() {
    let store = crowded();
    let transient = recalled(&store, Promote::IfHot).unwrap();
    let verdict = |of: &Stored| store.invalidation.verdict(&of.provenance, &key("/a"));
    assert_eq!(verdict(&transient), Verdict::Valid);
    store.purge_tag("t").unwrap();
    assert_eq!(verdict(&transient), Verdict::Purged);
    assert!(recalled(&store, Promote::IfHot).is_none() && !is_in_memory(&store));
}

#[test]
fn what_was_purged_softly_is_handed_out_as_stale() {
    let store = crowded();
    let id = store.invalidation.ids().tag(b"t");
    store.purge(&Mark::Tag(id), PurgeMode::Soft).unwrap();
    let transient = recalled(&store, Promote::IfHot).unwrap();
    let verdict = store.invalidation.verdict(&transient.provenance, &key("/a"));
    assert!(matches!(verdict, Verdict::Soft(_)), "{verdict:?}");
}

#[test]
fn what_is_handed_out_can_be_removed_and_does_not_come_back() {
    let store = crowded();
    let transient = recalled(&store, Promote::IfHot).unwrap();
    assert!(store.store.remove(&transient, crate::store::Removal::Expired));
    assert!(recalled(&store, Promote::Always).is_none() && !is_in_memory(&store));
    assert!(!store.store.remove(&transient, crate::store::Removal::Expired), "once");
}

/// Everything that a walk shows from this hash on, at most so many.
fn walked(store: &SimulatedStore, from: u64, most: usize) -> Vec<Arc<Stored>> {
    let mut seen = Vec::new();
    store.store.walk(from, None, &mut |stored| {
        seen.push(Arc::clone(stored));
        if seen.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    seen
}

#[test]
fn a_walk_shows_all_that_is_not_in_memory_in_order_and_changes_nothing() {
    let store = crowded();
    store.store.evict_all();
    let before = (store.store.usage(), store.store.file_usage().promoted);
    let all = walked(&store, 0, usize::MAX);
    assert_eq!(all.len(), 401);
    assert!(all.is_sorted_by_key(|stored| stored.key.hash()));
    assert_eq!((store.store.usage(), store.store.file_usage().promoted), before);

    let first = walked(&store, 0, 100);
    let rest = walked(&store, first[99].key.hash() + 1, usize::MAX);
    let hashes = |some: &[Arc<Stored>]| some.iter().map(|it| it.key.hash()).collect::<Vec<_>>();
    assert_eq!([hashes(&first), hashes(&rest)].concat(), hashes(&all));
    assert!(walked(&store, all[400].key.hash() + 1, 1).is_empty());
}

#[test]
fn a_walk_leaves_out_what_was_purged() {
    let store = crowded();
    store.store.evict_all();
    store.purge_tag("t").unwrap();
    assert!(walked(&store, 0, usize::MAX).iter().all(|stored| stored.key != key("/a")));
}
