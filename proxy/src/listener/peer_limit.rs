//! `PeerLimit`: how many connections each peer has at once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// The open connections of each peer, while their number is limited.
#[derive(Debug, Default)]
pub struct PeerLimit(Mutex<HashMap<IpAddr, usize>>);

/// A connection that counts for its peer until it is dropped.
#[derive(Debug)]
pub(super) struct PeerConnection {
    limit: Arc<PeerLimit>,
    peer: IpAddr,
}

impl PeerLimit {
    /// Counts a connection, unless its peer has as many as it may have.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<PeerConnection> {
        let peer = network_of(address);
        let mut all = self.0.lock();
        let count = all.entry(peer).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(all);
        Some(PeerConnection { limit: Arc::clone(self), peer })
    }
}

impl Drop for PeerConnection {
    fn drop(&mut self) {
        let mut all = self.limit.0.lock();
        if let Some(count) = all.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.peer);
            }
        }
    }
}

/// Returns what counts as one peer: an IPv4 address, or the /64 that one IPv6 host has.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        ipv4 @ IpAddr::V4(_) => ipv4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_peer_has_no_more_connections_than_it_may_have() {
        let limit = Arc::<PeerLimit>::default();
        let first = limit.admit(address("192.0.2.1"), 2);
        let second = limit.admit(address("::ffff:192.0.2.1"), 2);
        assert!(first.is_some() && second.is_some());
        assert!(limit.admit(address("192.0.2.1"), 2).is_none());
        assert!(limit.admit(address("192.0.2.2"), 2).is_some(), "another one may");
        drop(first);
        assert!(limit.admit(address("192.0.2.1"), 2).is_some());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_peer() {
        let limit = Arc::<PeerLimit>::default();
        let _first = limit.admit(address("2001:db8::1"), 1).unwrap();
        assert!(limit.admit(address("2001:db8::ffff:1"), 1).is_none());
        assert!(limit.admit(address("2001:db8:0:1::1"), 1).is_some());
    }

    #[test]
    fn peers_without_connections_are_forgotten() {
        let limit = Arc::<PeerLimit>::default();
        for _ in 0..3 {
            drop(limit.admit(address("192.0.2.1"), 5));
        }
        assert!(limit.0.lock().is_empty());
    }
}
