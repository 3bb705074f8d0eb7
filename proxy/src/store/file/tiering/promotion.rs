//! Promotion: which of the responses that are read from the file enter memory again.
//!
//! All, while memory has room. Once it is full, those that are asked for again within as many loads
//! as memory holds responses: memory would have kept them (the ghost queue of 2Q and S3-FIFO). The
//! others are served from the file and leave memory as it is: entering and evicting costs more than
//! reading, see `benches/README.md`.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
pub(crate) struct Promotion {
    /// 32 bits of a response's identity, and the number of its last recall.
    places: Box<[AtomicU64]>,
    loads: AtomicU64,
}

impl Promotion {
    /// Makes one for memory of so many bytes.
    pub(crate) fn new(memory_bytes: u64) -> Self {
        let places = (memory_bytes / BYTES_PER_PLACE).clamp(PLACES_MIN, PLACES_MAX);
        Self { places: (0..places).map(|_| AtomicU64::new(0)).collect(), loads: AtomicU64::new(0) }
    }

    /// Notes a recall, and says whether it is the second within this many.
    pub(crate) fn is_due(&self, identity: u64, within: u64) -> bool {
        let now = self.loads.fetch_add(1, Ordering::Relaxed) & LOW;
        let place = usize::try_from(identity).unwrap_or(0) % self.places.len();
        let Some(place) = self.places.get(place) else { return false };
        let print = (identity >> 32 | 1) << 32;
        let before = place.swap(print | now, Ordering::Relaxed);
        before & !LOW == print && now.wrapping_sub(before) & LOW <= within
    }
}

const LOW: u64 = 0xffff_ffff;
/// There is a place for each response that memory holds, if these are of the usual size: a
/// five-hundredth of memory.
const BYTES_PER_PLACE: u64 = 4 << 10;
const PLACES_MIN: u64 = 1 << 10;
const PLACES_MAX: u64 = 1 << 22;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recalled_again_soon_is_promoted_and_what_comes_late_is_not() {
        let promotion = Promotion::new(64 << 20);
        let identity = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        assert!(!promotion.is_due(identity(1), 10), "the first time");
        assert!((2..10).all(|number| !promotion.is_due(identity(number), 10)));
        assert!(promotion.is_due(identity(1), 10), "the tenth recall");
        assert!((10..30).all(|number| !promotion.is_due(identity(number), 10)));
        assert!(!promotion.is_due(identity(1), 10), "too late");
        assert!(promotion.is_due(identity(1), 10), "but that counts, too");
    }

    #[test]
    fn a_flood_of_others_forgets_it() {
        let promotion = Promotion::new(0);
        assert!(!promotion.is_due(7, u64::MAX));
        for number in 1..PLACES_MIN * 20 {
            promotion.is_due(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), u64::MAX);
        }
        assert!(!promotion.is_due(7, u64::MAX));
    }
}
