//! `Selection`: the choice of a server with a free slot for one request.

use std::sync::Arc;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::balance::{Balancer, Candidate};
use super::server::Server;
use super::slots::{RequestSlot, SlotQueue};
use super::traffic::{Reach, ServerPlace};

#[derive(Clone, Copy, Debug)]
pub(super) struct Selection<'o> {
    pub(super) balancer: &'o Balancer,
    pub(super) queue: &'o Arc<SlotQueue>,
    /// The requests that a server has at most.
    pub(super) requests_max: usize,
    /// The hash by which the request is balanced.
    pub(super) key: u64,
}

impl Selection<'_> {
    pub(super) fn slot(&self, server: &Server) -> Option<RequestSlot> {
        RequestSlot::take(server.load(), self.requests_max, self.queue)
    }

    /// Chooses one of these and takes a slot there. Returns `None` while none has a free slot.
    /// Servers that could not be connected to lately come after all others.
    pub(super) fn pick(
        &self,
        usable: &[&Arc<Server>],
        tried: &[Arc<Server>],
        reach: Reach,
    ) -> Option<ServerPlace> {
        let is_tried = |server: &Arc<Server>| tried.iter().any(|tried| Arc::ptr_eq(tried, server));
        let rank = |server: &Arc<Server>| {
            if is_tried(server) { 2 } else { u8::from(!server.is_prompt()) }
        };
        let ranked: SmallVec<[_; 4]> =
            usable.iter().map(|server| (*server, rank(server))).collect();
        let last = if reach == Reach::All { 2 } else { 1 };
        (0..=last).find_map(|rank| {
            let of_rank = ranked.iter().filter(|(_, own)| *own == rank);
            let servers: SmallVec<[_; 4]> = of_rank.map(|(server, _)| *server).collect();
            self.pick_of(&servers)
        })
    }

    fn pick_of(&self, servers: &[&Arc<Server>]) -> Option<ServerPlace> {
        let now = Instant::now();
        // Another worker may take the last slot of the server that was chosen.
        for _ in 0..=servers.len() {
            let mut busy = 0;
            let mut free = SmallVec::<[_; 4]>::new();
            for server in servers {
                let in_flight = server.load().in_flight();
                if in_flight < self.requests_max {
                    free.push((*server, candidate(server, in_flight, now)));
                } else {
                    busy += in_flight;
                }
            }
            let candidates: SmallVec<[_; 4]> =
                free.iter().map(|(_, candidate)| *candidate).collect();
            let (server, _) = free.get(self.balancer.choose(&candidates, self.key, busy)?)?;
            if let Some(slot) = self.slot(server) {
                return Some(ServerPlace { server: Arc::clone(server), slot });
            }
        }
        None
    }

    /// Returns those that are tried, in this order, when the chosen one cannot be connected to.
    pub(super) fn others(&self, usable: &[&Arc<Server>], chosen: &Arc<Server>) -> Vec<Arc<Server>> {
        let now = Instant::now();
        let is_other = |server: &&&Arc<Server>| !Arc::ptr_eq(server, chosen);
        let is_free = |server: &&&Arc<Server>| server.load().in_flight() < self.requests_max;
        let before = usable.iter().take_while(is_other).filter(is_free).count();
        let others = usable.iter().filter(is_other).filter(is_free);
        let mut others: Vec<_> = others.map(|server| Arc::clone(server)).collect();
        self.balancer.order(&mut others, before, self.key, |server| candidate(server, 0, now));
        others.sort_by_key(|server| server.is_slow());
        others
    }
}

fn candidate(server: &Server, in_flight: usize, now: Instant) -> Candidate<'_> {
    let load = server.load();
    let weight = server.weight(now);
    Candidate { name: server.name(), weight, load, in_flight, latency: load.latency(now) }
}
