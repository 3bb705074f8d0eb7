//! `Peer`: the other end of a client connection, and how far it is believed.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderMap;
use ipnet::IpNet;

use super::account::Account;
use crate::key::Scheme;

#[derive(Clone, Debug)]
pub struct Peer {
    /// The socket's own address: the only one that access is decided on.
    pub remote: SocketAddr,
    pub local: SocketAddr,
    pub is_trusted: bool,
    /// `None` for a request of our own.
    pub listener: Option<ListenerId>,
    /// Account of the bytes that stay in memory for this peer's requests during a fetch.
    pub retained: Arc<Account>,
}

/// A listener's place among those of its kind in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerId(u32);

impl ListenerId {
    /// Returns the id of the listener at this place.
    pub fn at(place: usize) -> Self {
        Self(u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// Returns the listener's item of a slice that holds one for each.
    pub fn of<T>(self, all: &[T]) -> Option<&T> {
        all.get(usize::try_from(self.0).ok()?)
    }
}

impl Peer {
    /// The scheme that the client used: a trusted peer may have ended TLS.
    pub fn scheme_of(&self, fields: &HeaderMap) -> Scheme {
        let is_https = self.is_trusted
            && fields
                .get("x-forwarded-proto")
                .is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
        if is_https { Scheme::Https } else { Scheme::Http }
    }

    /// Returns whether its address lies in one of these blocks; IPv4 in IPv6 counts as IPv4.
    pub fn is_in(&self, blocks: &[IpNet]) -> bool {
        contains(blocks, self.remote)
    }
}

/// Returns whether the address lies in one of these blocks.
pub fn contains(blocks: &[IpNet], address: SocketAddr) -> bool {
    let address = address.ip().to_canonical();
    blocks.iter().any(|block| block.contains(&address))
}
