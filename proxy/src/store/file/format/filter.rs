//! `Filter`: which identities a segment may hold, so that a purge reads only the segments that it
//! may have hit.
//!
//! A Bloom filter: ten bits for each identity, with which one in a hundred is held by mistake, but
//! never more than 32 for each response, whatever it carries: so it fits beside the index. What it
//! does not hold is not in the segment.

use super::codec::{Cursor, Put as _};

/// A set of identities that holds some more than were put into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Bits that are set for each identity.
    probes: u64,
    words: Box<[u64]>,
}

impl Filter {
    /// Makes one of these identities, so many, of so many responses.
    pub(crate) fn of(ids: impl Iterator<Item = u64>, count: u64, responses: u64) -> Self {
        let words = words_for(count, responses);
        let probes = (words * 64 * 7 / 10 / count.max(1)).clamp(1, PROBES_MAX);
        let zeros = vec![0; usize::try_from(words).unwrap_or(0)];
        let mut filter = Self { probes, words: zeros.into() };
        for id in ids {
            for (place, bit) in filter.places(id) {
                if let Some(word) = filter.words.get_mut(place) {
                    *word |= bit;
                }
            }
        }
        filter
    }

    /// Returns whether this identity may have been put into it.
    pub(crate) fn may_hold(&self, id: u64) -> bool {
        self.places(id)
            .all(|(place, bit)| self.words.get(place).is_some_and(|word| word & bit != 0))
    }

    /// Returns the bytes on the heap, which are those in the file without the number of probes.
    pub(crate) const fn bytes(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(self.probes);
        self.words.iter().for_each(|word| out.put_u64(*word));
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let probes = cursor.u64().filter(|probes| (1..=PROBES_MAX).contains(probes))?;
        let mut words = Vec::with_capacity(bytes.len() / 8);
        while !cursor.is_at_end() {
            words.push(cursor.u64()?);
        }
        Some(Self { probes, words: words.into() })
    }

    /// Returns the words and bits of an identity, which is a hash already: steps of a width of its
    /// own from a start of its own.
    fn places(&self, id: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let bits = self.words.len() as u128 * 64;
        let step = id.rotate_left(32).wrapping_mul(GOLDEN) | 1;
        (0..self.probes).map(move |probe| {
            let bit = (u128::from(id.wrapping_add(step.wrapping_mul(probe))) * bits) >> 64;
            (usize::try_from(bit / 64).unwrap_or(usize::MAX), 1 << (bit % 64))
        })
    }
}

/// Returns the bytes in the file of a filter of so many identities.
pub(crate) const fn bytes_for(ids: u64, responses: u64) -> u64 {
    words_for(ids, responses) * 8 + 8
}

const fn words_for(ids: u64, responses: u64) -> u64 {
    let (wanted, most) = (ids * BITS_EACH, responses * RESPONSE_BYTES_MAX * 8);
    (if wanted < most { wanted } else { most }).div_ceil(64)
}

const BITS_EACH: u64 = 10;
/// Upper bound of a filter's size, in bytes per response.
pub(crate) const RESPONSE_BYTES_MAX: u64 = 4;
const PROBES_MAX: u64 = 7;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash(number: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes())
    }

    proptest! {
        #[test]
        fn what_was_put_into_it_is_held_however_small_it_is(
            ids in proptest::collection::vec(any::<u64>(), 0..300), responses in 1..300_u64,
        ) {
            let filter = Filter::of(ids.iter().copied(), ids.len() as u64, responses);
            prop_assert!(ids.iter().all(|id| filter.may_hold(*id)));
            let mut bytes = Vec::new();
            filter.encode(&mut bytes);
            prop_assert_eq!(bytes.len() as u64, bytes_for(ids.len() as u64, responses));
            prop_assert_eq!(Filter::decode(&bytes), Some(filter));
        }

        #[test]
        fn any_bytes_are_read(bytes in any::<Vec<u8>>(), id in any::<u64>()) {
            if let Some(filter) = Filter::decode(&bytes) {
                filter.may_hold(id);
            }
        }
    }

    #[test]
    fn one_in_a_hundred_is_held_by_mistake_and_nothing_by_an_empty_one() {
        let filter = Filter::of((0..10_000).map(hash), 10_000, 10_000);
        let mistaken = (10_000..110_000).filter(|number| filter.may_hold(hash(*number))).count();
        assert!((500..1500).contains(&mistaken), "{mistaken} of 100000");
        let empty = Filter::of(std::iter::empty(), 0, 0);
        assert!(!(0..100).any(|number| empty.may_hold(hash(number))));
    }

    #[test]
    fn many_identities_of_few_responses_make_it_less_sharp_and_not_larger() {
        let filter = Filter::of((0..20_000).map(hash), 20_000, 1000);
        assert!(filter.bytes() <= 1000 * RESPONSE_BYTES_MAX);
        let mistaken = (20_000..30_000).filter(|number| filter.may_hold(hash(*number))).count();
        assert!((4000..6000).contains(&mistaken), "{mistaken} of 10000");
    }
}
