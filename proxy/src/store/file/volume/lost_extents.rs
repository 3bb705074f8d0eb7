//! `LostExtents`: parts of large bodies that could not be read, so that no second client is broken
//! off by one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::store::file::format::extent::ExtentPlace;

/// The places outlive the responses in memory: one that is evicted or was never promoted is loaded
/// again with its body unread.
#[derive(Debug, Default)]
pub(crate) struct LostExtents {
    places: Mutex<VecDeque<ExtentPlace>>,
    count: AtomicUsize,
}

impl LostExtents {
    /// Notes a place. Beyond [`PLACES_MAX`], the first one noted is forgotten.
    pub(crate) fn note(&self, place: ExtentPlace) {
        let mut places = self.places.lock();
        if !places.contains(&place) {
            if places.len() == PLACES_MAX {
                places.pop_front();
            }
            places.push_back(place);
        }
        self.count.store(places.len(), Ordering::Release);
    }

    /// Returns whether any of these was noted, and forgets those that were.
    pub(crate) fn take(&self, wanted: &[ExtentPlace]) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let mut places = self.places.lock();
        let before = places.len();
        places.retain(|place| !wanted.contains(place));
        self.count.store(places.len(), Ordering::Release);
        places.len() < before
    }
}

/// Places that are remembered. Each is taken out when its response is loaded next.
const PLACES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u32) -> ExtentPlace {
        ExtentPlace { segment: 1, lsn: 2, offset, length: 3 }
    }

    #[test]
    fn a_noted_place_is_found_once() {
        let lost = LostExtents::default();
        assert!(!lost.take(&[place(1)]));
        lost.note(place(1));
        lost.note(place(1));
        assert!(!lost.take(&[place(2)]));
        assert!(lost.take(&[place(2), place(1)]));
        assert!(!lost.take(&[place(1)]));
    }

    #[test]
    fn the_first_place_makes_room_for_the_last() {
        let lost = LostExtents::default();
        let places = u32::try_from(PLACES_MAX).unwrap();
        (0..=places).for_each(|offset| lost.note(place(offset)));
        assert!(!lost.take(&[place(0)]));
        assert!(lost.take(&[place(1)]) && lost.take(&[place(places)]));
    }
}
