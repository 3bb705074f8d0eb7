//! Weighted rendezvous hashing (highest random weight) with bounded loads: the same server for the
//! same key. When a server comes or goes, only its own keys move.

use super::Candidate;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Returns the highest in rank whose requests would not exceed its share of all requests by more
/// than a quarter (Mirrokni, Thorup and Zadimoghaddam: consistent hashing with bounded loads).
pub(super) fn choose(candidates: &[Candidate<'_>], key: u64, others: usize) -> Option<usize> {
    let requests: usize = candidates.iter().map(|candidate| candidate.in_flight).sum();
    let weights: u64 = candidates.iter().map(|candidate| candidate.weight).sum();
    let requests = (requests + others + 1) as u64;
    let has_room = |candidate: &Candidate<'_>| {
        let bound = (requests * candidate.weight * BOUND_PERCENT).div_ceil(weights.max(1) * 100);
        (candidate.in_flight as u64) < bound
    };
    let ranked = candidates.iter().enumerate();
    let ranked = ranked.map(|(place, candidate)| (place, rank(candidate, key), candidate));
    let highest = |one: &(usize, f64, _), other: &(usize, f64, _)| one.1.total_cmp(&other.1);
    let free = ranked.clone().filter(|(_, _, candidate)| has_room(candidate)).max_by(highest);
    free.or_else(|| ranked.max_by(highest)).map(|(place, ..)| place)
}

/// The rank of a server for a key. Over all keys, each is first as often as its weight says.
#[expect(clippy::cast_precision_loss, reason = "53 bits of a hash, and weights far below 2^52")]
pub(super) fn rank(candidate: &Candidate<'_>, key: u64) -> f64 {
    let hash = xxh3_64_with_seed(candidate.name.as_bytes(), key);
    let unit = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64; // between 0 and 1
    -(candidate.weight as f64) / unit.ln()
}

const BOUND_PERCENT: u64 = 125;

#[cfg(test)]
mod tests {
    use super::super::tests::Servers;
    use super::*;

    const KEYS: u64 = 10_000;

    fn owners(servers: &Servers) -> Vec<String> {
        let owner = |key| {
            let candidates = servers.candidates();
            candidates[choose(&candidates, key, 0).unwrap()].name.to_owned()
        };
        (0..KEYS).map(owner).collect()
    }

    #[test]
    fn keys_are_spread_by_weight() {
        let servers = Servers::new(&[1, 1, 2]);
        let owners = owners(&servers);
        for ((name, weight, _), expected) in servers.0.iter().zip([25, 25, 50]) {
            let count = owners.iter().filter(|owner| *owner == name).count() / 100;
            assert!(count.abs_diff(expected) <= 2, "{name} of weight {weight}: {count} %");
        }
    }

    #[test]
    fn when_a_server_goes_only_its_own_keys_move() {
        let mut servers = Servers::new(&[1, 1, 1, 1]);
        let before = owners(&servers);
        let (gone, ..) = servers.0.remove(1);
        let after = owners(&servers);
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        assert!(moved.clone().all(|(before, _)| *before == gone));
        assert_eq!(moved.count(), before.iter().filter(|owner| **owner == gone).count());
    }

    #[test]
    fn a_server_that_weighs_more_takes_keys_and_loses_none() {
        let mut servers = Servers::new(&[1, 1, 1]);
        let before = owners(&servers);
        servers.0[0].1 = 2;
        let after = owners(&servers);
        let mut moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        assert!(moved.all(|(_, after)| *after == servers.0[0].0));
    }

    #[test]
    fn no_server_has_more_than_a_quarter_above_its_share() {
        let servers = Servers::new(&[1, 1, 1, 1]);
        for _ in 0..1000 {
            let place = choose(&servers.candidates(), 7, 0).unwrap();
            assert!(servers.0[place].2.begin(usize::MAX));
        }
        let mut counts: Vec<_> = servers.0.iter().map(|(_, _, load)| load.in_flight()).collect();
        counts.sort_unstable();
        assert_eq!(counts.iter().sum::<usize>(), 1000);
        assert!(counts[0] >= 60 && counts[1] >= 312 && counts[3] == 313, "{counts:?}");
    }
}
