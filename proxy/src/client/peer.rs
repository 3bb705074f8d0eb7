//! `Peer`: the other end of a client connection, and how far it is believed.

use std::sync::Arc;

use http::HeaderMap;

use super::account::Account;
use super::end_address::EndAddress;
use super::untrusted_claims::UntrustedClaims;
use crate::key::Scheme;
use settings::PeerNetwork;

#[derive(Clone, Debug)]
pub struct Peer {
    /// The socket's own address, or the client's that a trusted peer gave by the PROXY protocol.
    /// Access is decided on no other.
    pub remote: EndAddress,
    pub local: EndAddress,
    pub is_trusted: bool,
    /// The connection is a TLS one.
    pub is_secure: bool,
    /// `None` for a request of our own.
    pub listener: Option<ListenerId>,
    /// Account of the bytes that stay in memory for this peer's requests during a fetch.
    pub retained: Arc<Account>,
    pub claims: Arc<UntrustedClaims>,
}

/// A listener's place among those of its kind. It stays the same while the listener is open or one
/// of its connections is; after that it may be another one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerId(u32);

impl ListenerId {
    /// The number of listeners that can be there at once.
    pub const MAX: usize = 256;

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
    /// The scheme that the client used: what a trusted peer says, which may have ended the client's
    /// TLS or begun its own, else that of this connection. Two lines say nothing, as a list does:
    /// the first may be the client's.
    pub fn scheme_of(&self, fields: &HeaderMap) -> Scheme {
        let mut lines = self.is_trusted.then(|| fields.get_all(PROTO).iter()).into_iter().flatten();
        let told = lines.next().filter(|_| lines.next().is_none());
        let is =
            |proto: &[u8]| told.is_some_and(|told| told.as_bytes().eq_ignore_ascii_case(proto));
        let is_https = is(b"https") || self.is_secure && !is(b"http");
        if is_https { Scheme::Https } else { Scheme::Http }
    }

    /// Notes in a request that is forwarded what its peer says and is not believed.
    pub fn note_claims(&self, fields: &HeaderMap) {
        if !self.is_trusted && fields.contains_key(PROTO) {
            self.claims.note_scheme(self.remote);
        }
    }

    /// Returns whether it is in one of these networks.
    pub fn is_in(&self, networks: &[PeerNetwork]) -> bool {
        contains(networks, self.remote)
    }
}

const PROTO: &str = "x-forwarded-proto";

/// Returns whether the address lies in one of these networks. IPv4 in IPv6 counts as IPv4.
pub fn contains(networks: &[PeerNetwork], address: EndAddress) -> bool {
    networks.iter().any(|network| match address.ip() {
        Some(address) => network.contains(address),
        None => address == EndAddress::Unix && *network == PeerNetwork::Unix,
    })
}
