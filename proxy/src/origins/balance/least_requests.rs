//! `LeastRequests`: the power of two choices. Two servers are drawn by weight; the second one is
//! chosen if it is less loaded.
//!
//! The load of a server is its number of requests over its weight. Where one of the two is much
//! slower, it is multiplied by the latency, as in Finagle and Linkerd. Latencies that are much the
//! same do not count: else all requests of a quiet site would go to the server that
//! was quicker by a hair.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Candidate;

#[derive(Debug, Default)]
pub(in crate::origins) struct LeastRequests {
    /// The state of a splitmix64 generator.
    random: AtomicU64,
}

impl LeastRequests {
    pub(super) fn choose(&self, candidates: &[Candidate<'_>]) -> Option<usize> {
        if candidates.len() < 2 {
            return (!candidates.is_empty()).then_some(0);
        }
        let first = self.draw(candidates, None)?;
        let second = self.draw(candidates, Some(first))?;
        let is_better = is_less_loaded(candidates.get(second)?, candidates.get(first)?);
        Some(if is_better { second } else { first })
    }

    /// Draws one by weight, but not this one.
    fn draw(&self, candidates: &[Candidate<'_>], but: Option<usize>) -> Option<usize> {
        let weights = || {
            let all = candidates.iter().map(|candidate| candidate.weight).enumerate();
            all.filter(|(place, _)| Some(*place) != but)
        };
        let total: u64 = weights().map(|(_, weight)| weight).sum();
        let mut left = self.random().checked_rem(total)?;
        for (place, weight) in weights() {
            if left < weight {
                return Some(place);
            }
            left -= weight;
        }
        None
    }

    fn random(&self) -> u64 {
        let state = self.random.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn is_less_loaded(one: &Candidate<'_>, other: &Candidate<'_>) -> bool {
    let (low, high) = (one.latency.min(other.latency), one.latency.max(other.latency));
    if low <= 0.0 || high <= low * SIMILAR {
        let load = |own: &Candidate<'_>, by: u64| own.in_flight as u64 * by;
        return load(one, other.weight) < load(other, one.weight);
    }
    cost(one) < cost(other)
}

#[expect(clippy::cast_precision_loss, reason = "requests and weights are far below 2^52")]
fn cost(candidate: &Candidate<'_>) -> f64 {
    candidate.latency * (candidate.in_flight as f64 + 1.0) / candidate.weight as f64
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// Latencies that differ by no more than this factor count as the same.
const SIMILAR: f64 = 2.0;

#[cfg(test)]
mod tests {
    use std::collections::BinaryHeap;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::super::tests::Servers;
    use super::*;

    /// The share of each server, in hundredths, of requests that are over at once.
    fn shares(weights: &[u64]) -> Vec<usize> {
        let (servers, draw) = (Servers::new(weights), LeastRequests::default());
        let mut counts = vec![0; weights.len()];
        for _ in 0..10_000 {
            counts[draw.choose(&servers.candidates()).unwrap()] += 1;
        }
        counts.iter().map(|count| (count + 50) / 100).collect()
    }

    #[test]
    fn idle_servers_get_requests_by_their_weights() {
        let near = |shares: Vec<usize>, expected: &[usize]| {
            let pairs = shares.iter().zip(expected);
            let is_near = pairs.clone().all(|(share, wanted)| share.abs_diff(*wanted) <= 2);
            assert!(is_near, "{shares:?} {expected:?}");
        };
        near(shares(&[1, 1, 1, 1]), &[25, 25, 25, 25]);
        near(shares(&[1, 2, 1]), &[25, 50, 25]);
        near(shares(&[1000, 100]), &[91, 9]);
        assert_eq!(shares(&[3]), [100]);
    }

    #[test]
    fn the_one_with_fewer_requests_is_chosen_of_two() {
        let servers = Servers::new(&[1, 1]);
        assert!(servers.0[0].2.begin(10));
        let draw = LeastRequests::default();
        assert!((0..100).all(|_| draw.choose(&servers.candidates()) == Some(1)));
        assert_eq!(draw.choose(&[]), None);
    }

    /// Sends `rate` requests a second for a minute to servers that take this many milliseconds.
    /// Each 97th response is 400 ms late. Returns how many each got.
    fn simulated(millis: &[u64], rate: u32) -> Vec<u64> {
        let (servers, draw) = (Servers::new(&vec![1; millis.len()]), LeastRequests::default());
        let start = Instant::now();
        let mut ends: BinaryHeap<std::cmp::Reverse<(Instant, usize, Duration)>> = BinaryHeap::new();
        for request in 0..rate * 60 {
            let now = start + Duration::from_secs(1) * request / rate;
            while let Some(std::cmp::Reverse((end, place, time))) = ends.peek().copied()
                && end <= now
            {
                ends.pop();
                servers.0[place].2.answered(time, end);
                servers.0[place].2.end();
            }
            let mut candidates = servers.candidates();
            for candidate in &mut candidates {
                candidate.latency = candidate.load.latency(now);
            }
            let place = draw.choose(&candidates).unwrap();
            assert!(servers.0[place].2.begin(usize::MAX));
            let pause = if request % 97 == 0 { 400 } else { 0 };
            let time = Duration::from_millis(millis[place] + pause);
            ends.push(std::cmp::Reverse((now + time, place, time)));
        }
        servers.0.iter().map(|(_, _, load)| load.requests.value()).collect()
    }

    #[test]
    fn a_server_that_is_twenty_times_slower_gets_less_than_one_in_a_hundred() {
        for rate in [20, 200, 1000] {
            let counts = simulated(&[50, 50, 1000], rate);
            let all: u64 = counts.iter().sum();
            assert!(counts[2] * 100 < all, "{rate} a second: {counts:?}");
            assert!(counts[2] >= 2, "it is tried now and then: {counts:?}");
            assert!(counts[0] * 10 > all * 4 && counts[1] * 10 > all * 4, "{counts:?}");
        }
    }

    #[test]
    fn servers_that_are_alike_get_as_much() {
        for rate in [5, 500] {
            let counts = simulated(&[50, 55, 60], rate);
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(least * 10 >= most * 6, "{rate} a second: {counts:?}");
        }
    }
}
