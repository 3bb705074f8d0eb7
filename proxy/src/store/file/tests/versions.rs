//! Versions: those of one opening are above those of all before, however many were given.

use std::sync::atomic::Ordering;

use super::bench::{SMALL, SimulatedStore};
use crate::store::file::device::simulated::{Crash, Random};

#[test]
fn versions_rise_from_opening_to_opening_though_more_than_2_to_the_32_were_given() {
    for crash in [Crash::Kill, Crash::Power] {
        let mut random = Random::of(1);
        let mut store = SimulatedStore::new(SMALL);
        for round in 0..4 {
            let volume = store.store.volume();
            volume.versions.fetch_add(1 << 33, Ordering::Relaxed); // so many were stored meanwhile
            let stored = store.put("/a", &[], format!("{round}").as_bytes()).unwrap();
            store = store.crash(crash, &mut random);
            assert!(store.store.volume().next_version() > stored.version, "round {round}");
        }
    }
}
