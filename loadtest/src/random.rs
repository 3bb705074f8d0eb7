//! Reproducible randomness: `SplitMix64`, seeded, without state shared between tasks.
//!
//! Not for secrets. The n-th value of a seed can be had directly, so that request n picks the same
//! URL whichever connection sends it.

#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Starts a stream for the `index`-th event of a run, unrelated to its neighbours'.
    pub(crate) fn nth(seed: u64, index: u64) -> Self {
        let mut outer = Self(seed);
        let spread = outer.bits();
        Self(spread ^ index.wrapping_mul(GOLDEN_GAMMA))
    }

    /// Returns the next 64 bits (Steele, Lea and Flood: "Fast splittable pseudorandom number
    /// generators").
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN_GAMMA);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        // The mantissa of a number in [1, 2): no cast, no rounding.
        f64::from_bits(0x3FF0_0000_0000_0000 | (self.bits() >> 12)) - 1.0
    }

    /// Puts `items` into random order, each order as likely as the others (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            // The upper half of the product is below `end + 1`; its bias is far below what a run
            // could show.
            let below = (u128::from(self.bits()) * (end as u128 + 1)) >> 64;
            items.swap(end, usize::try_from(below).unwrap_or(end));
        }
    }

    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_splitmix64() {
        // First outputs of the reference implementation for seed 1234567.
        let mut random = Random::seeded(1_234_567);

        let first: Vec<u64> = (0..3).map(|_| random.bits()).collect();

        assert_eq!(
            first,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn units_fill_the_interval_evenly() {
        let mut random = Random::seeded(7);
        let mut tenths = [0_u32; 10];
        for _ in 0..10_000 {
            let unit = random.unit();
            let tenth = (0..10).rev().find(|tenth| unit >= f64::from(*tenth) / 10.0);
            tenths[usize::try_from(tenth.expect("units are not negative")).expect("small")] += 1;
        }

        assert!(tenths.iter().all(|count| (850..1150).contains(count)), "{tenths:?}");
    }

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let mut random = Random::seeded(11);
        let draws: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();

        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / 20_000.0;

        assert!(mean.abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn a_shuffle_keeps_all_items_and_depends_on_the_seed_alone() {
        let shuffled = |seed| {
            let mut items: Vec<u32> = (0..100).collect();
            Random::seeded(seed).shuffle(&mut items);
            items
        };

        let mut sorted = shuffled(1);
        sorted.sort_unstable();

        assert_eq!(sorted, (0..100).collect::<Vec<u32>>());
        assert_eq!(shuffled(1), shuffled(1));
        assert_ne!(shuffled(1), shuffled(2));
    }

    #[test]
    fn every_order_is_equally_likely() {
        let mut random = Random::seeded(5);
        let mut orders = std::collections::BTreeMap::<[u8; 3], u32>::new();
        for _ in 0..6000 {
            let mut items = [0, 1, 2];
            random.shuffle(&mut items);
            *orders.entry(items).or_default() += 1;
        }

        assert_eq!(orders.len(), 6);
        assert!(orders.values().all(|count| (850..1150).contains(count)), "{orders:?}");
    }

    #[test]
    fn the_nth_event_is_the_same_in_every_run() {
        assert_eq!(Random::nth(1, 99).bits(), Random::nth(1, 99).bits());
        assert_ne!(Random::nth(1, 99).bits(), Random::nth(1, 100).bits());
        assert_ne!(Random::nth(1, 99).bits(), Random::nth(2, 99).bits());
    }
}
