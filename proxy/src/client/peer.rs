//! `Peer`: the other end of a client connection, and how far it is believed.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderMap;
use ipnet::IpNet;

use super::account::Account;
use crate::key::Scheme;

/// Who is connected.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The socket's own address: the only one that access is decided on.
    pub remote: SocketAddr,
    /// Our address on this connection.
    pub local: SocketAddr,
    /// Whether its `Forwarded` and `X-Forwarded-*` fields are believed.
    pub is_trusted: bool,
    /// The listener's place in the configuration, for metrics.
    pub listener: usize,
    /// What is retained in memory for its requests while it is fetched.
    pub retained: Arc<Account>,
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
