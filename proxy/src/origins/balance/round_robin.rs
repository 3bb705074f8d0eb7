//! `RoundRobin`: smooth weighted round robin, as nginx has it. Heavier servers come more often, and
//! spread out.

use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::Candidate;

/// Held while credits change; each server has its own in its [`ServerLoad`](super::ServerLoad).
#[derive(Debug, Default)]
pub(in crate::origins) struct RoundRobin(Mutex<()>);

impl RoundRobin {
    /// Each candidate gets its weight as credit. The one with the most credit is chosen, and pays
    /// what all have got.
    pub(super) fn choose(&self, candidates: &[Candidate<'_>]) -> Option<usize> {
        let _alone = self.0.lock();
        let mut total = 0;
        let mut best: Option<(usize, i64)> = None;
        for (place, candidate) in candidates.iter().enumerate() {
            let weight = i64::try_from(candidate.weight).unwrap_or(i64::MAX);
            let credit = candidate.load.credit.fetch_add(weight, Ordering::Relaxed) + weight;
            total += weight;
            if best.is_none_or(|(_, most)| credit > most) {
                best = Some((place, credit));
            }
        }
        let (place, _) = best?;
        if let Some(chosen) = candidates.get(place) {
            chosen.load.credit.fetch_sub(total, Ordering::Relaxed);
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Servers;
    use super::*;

    fn chosen(servers: &Servers, times: usize) -> Vec<usize> {
        let turns = RoundRobin::default();
        (0..times).map(|_| turns.choose(&servers.candidates()).unwrap()).collect()
    }

    #[test]
    fn servers_take_turns_and_heavier_ones_come_more_often_spread_out() {
        assert_eq!(chosen(&Servers::new(&[1, 1, 1]), 6), [0, 1, 2, 0, 1, 2]);
        assert_eq!(chosen(&Servers::new(&[5, 1, 1]), 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(chosen(&Servers::new(&[7]), 3), [0, 0, 0]);
        assert_eq!(RoundRobin::default().choose(&[]), None);
    }

    #[test]
    fn a_server_that_was_left_out_gets_no_more_than_its_turn_after_it() {
        let servers = Servers::new(&[1, 1, 1]);
        let turns = RoundRobin::default();
        turns.choose(&servers.candidates());
        for _ in 0..100 {
            turns.choose(&servers.candidates()[..2]);
        }
        let after = (0..6).map(|_| turns.choose(&servers.candidates()).unwrap());
        assert_eq!(after.filter(|place| *place == 2).count(), 2);
    }
}
