//! How often each URL is asked for: Zipf's law, the rank-th URL with weight `1 / rank^exponent`.
//!
//! Web traffic has exponents of 0.6 to 1.2; 0 makes all URLs equally popular. The table takes 8
//! bytes a URL and a pick is one binary search.

/// Picks ranks, the most popular being 0.
#[derive(Clone, Debug)]
pub(crate) struct Popularity {
    /// The sum of the weights up to and including each rank; rises, and its last element is
    /// `total`.
    cumulative: Vec<f64>,
    total: f64,
}

impl Popularity {
    pub(crate) fn zipf(count: usize, exponent: f64) -> Self {
        let mut total = 0.0;
        let mut rank = 0.0_f64;
        let cumulative = (0..count)
            .map(|_| {
                rank += 1.0;
                total += rank.powf(-exponent);
                total
            })
            .collect();
        Self { cumulative, total }
    }

    /// Returns the rank that `unit`, a number in `[0, 1)`, falls on.
    pub(crate) fn pick(&self, unit: f64) -> usize {
        let point = unit * self.total;
        let rank = self.cumulative.partition_point(|sum| *sum <= point);
        rank.min(self.cumulative.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn shares(popularity: &Popularity, ranks: usize) -> Vec<f64> {
        let mut counts = vec![0.0; ranks];
        for index in 0..DRAWS {
            counts[popularity.pick(Random::nth(1, index).unit())] += 1.0;
        }
        counts.iter().map(|count| count / 100_000.0).collect()
    }

    const DRAWS: u64 = 100_000;

    #[test]
    fn ranks_are_drawn_in_proportion_to_their_weights() {
        // 1 + 1/2 + 1/3 + 1/4 = 25/12.
        let shares = shares(&Popularity::zipf(4, 1.0), 4);

        for (share, expected) in shares.iter().zip([0.48, 0.24, 0.16, 0.12]) {
            assert!((share - expected).abs() < 0.01, "{shares:?}");
        }
    }

    #[test]
    fn exponent_zero_is_uniform() {
        let shares = shares(&Popularity::zipf(10, 0.0), 10);

        assert!(shares.iter().all(|share| (share - 0.1).abs() < 0.01), "{shares:?}");
    }

    #[test]
    fn the_ends_of_the_interval_are_the_first_and_the_last_rank() {
        let popularity = Popularity::zipf(1000, 1.0);

        assert_eq!(popularity.pick(0.0), 0);
        assert_eq!(popularity.pick(1.0 - f64::EPSILON / 2.0), 999);
        assert_eq!(popularity.pick(1.0), 999);
    }
}
