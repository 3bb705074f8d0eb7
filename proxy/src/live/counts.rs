//! `FigureCounts`: the counters that are kept by second.

use std::ops::{Index, IndexMut};

/// A counter of the proxy. The first nine are answers; each request has one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    Hits,
    Stale,
    Revalidated,
    Misses,
    Uncacheable,
    Bypasses,
    /// Responses with 5xx that the proxy made itself.
    Errors,
    /// Other responses of its own: redirects, refusals, answers of rules.
    Synthetic,
    /// Answers to `PURGE` on a traffic listener.
    PurgeAnswers,
    /// Responses with 5xx, whoever made them. They are among the others.
    ServerErrors,
    OriginRequests,
    /// Selectors of purges.
    Purges,
    BytesIn,
    BytesOut,
    /// Stored responses that left memory to make room.
    Evictions,
}

/// A reading of all counters, or the difference of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FigureCounts([u64; Figure::COUNT]);

impl Figure {
    pub const COUNT: usize = Self::Evictions as usize + 1;

    /// The answers to requests.
    pub const ANSWERS: [Self; 9] = [
        Self::Hits,
        Self::Stale,
        Self::Revalidated,
        Self::Misses,
        Self::Uncacheable,
        Self::Bypasses,
        Self::Errors,
        Self::Synthetic,
        Self::PurgeAnswers,
    ];
}

impl FigureCounts {
    /// Returns what was counted since. A counter that went back, as an origin is gone, has counted
    /// nothing.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = *self;
        for (own, earlier) in difference.0.iter_mut().zip(earlier.0) {
            *own = own.saturating_sub(earlier);
        }
        difference
    }

    pub fn add(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own = own.saturating_add(other);
        }
    }

    /// Returns the part of place `part` where this is divided into `parts` equal ones. Their sum is
    /// the whole.
    #[must_use]
    pub fn part(&self, part: u64, parts: u64) -> Self {
        let share = |whole: u64| {
            let upto =
                |place: u64| u128::from(whole) * u128::from(place) / u128::from(parts.max(1));
            u64::try_from(upto(part + 1) - upto(part)).unwrap_or(u64::MAX)
        };
        Self(self.0.map(share))
    }

    pub fn requests(&self) -> u64 {
        Figure::ANSWERS.into_iter().map(|figure| self[figure]).sum()
    }

    /// Returns the part of the requests for stored responses, and for those that might be stored,
    /// that were answered without waiting for the origin.
    pub fn hit_ratio(&self) -> Option<f64> {
        let hits = self[Figure::Hits] + self[Figure::Stale];
        let others: u64 =
            [Figure::Revalidated, Figure::Misses, Figure::Bypasses, Figure::Uncacheable]
                .into_iter()
                .map(|figure| self[figure])
                .sum();
        let all = hits + others;
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        (all > 0).then(|| hits as f64 / all as f64)
    }
}

#[expect(clippy::indexing_slicing, reason = "the array has a place for each figure")]
impl Index<Figure> for FigureCounts {
    type Output = u64;

    fn index(&self, figure: Figure) -> &u64 {
        &self.0[figure as usize]
    }
}

#[expect(clippy::indexing_slicing, reason = "the array has a place for each figure")]
impl IndexMut<Figure> for FigureCounts {
    fn index_mut(&mut self, figure: Figure) -> &mut u64 {
        &mut self.0[figure as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(all: &[(Figure, u64)]) -> FigureCounts {
        let mut counts = FigureCounts::default();
        for (figure, value) in all {
            counts[*figure] = *value;
        }
        counts
    }

    #[test]
    fn hits_and_stale_responses_are_of_all_that_could_have_been_stored() {
        let of = |all: &[(Figure, u64)]| counts(all).hit_ratio();
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(Figure::Synthetic, 7), (Figure::Errors, 3)]), None);
        let all = [(Figure::Hits, 5), (Figure::Stale, 1), (Figure::Misses, 1)];
        let others = [(Figure::Revalidated, 1), (Figure::Uncacheable, 1), (Figure::Bypasses, 1)];
        assert_eq!(of(&[all, others].concat()), Some(0.6));
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let whole = counts(&[(Figure::Hits, 10), (Figure::BytesOut, u64::MAX), (Figure::Stale, 1)]);
        let mut sum = FigureCounts::default();
        for place in 0..3 {
            sum.add(&whole.part(place, 3));
        }
        assert_eq!(sum, whole);
    }

    #[test]
    fn a_counter_that_went_back_has_counted_nothing() {
        let [earlier, later] = [counts(&[(Figure::Hits, 9)]), counts(&[(Figure::Hits, 2)])];
        assert_eq!(later.since(&earlier)[Figure::Hits], 0);
        assert_eq!(earlier.since(&later)[Figure::Hits], 7);
    }

    #[test]
    fn every_answer_is_a_request_and_nothing_else_is() {
        let answers: Vec<_> = Figure::ANSWERS.into_iter().map(|figure| (figure, 1)).collect();
        assert_eq!(counts(&answers).requests(), 9);
        let others = [(Figure::ServerErrors, 1), (Figure::OriginRequests, 1), (Figure::BytesIn, 1)];
        assert_eq!(counts(&others).requests(), 0);
    }
}
