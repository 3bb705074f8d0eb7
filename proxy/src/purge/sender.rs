//! `PurgeSender`: the client that a purge over HTTP came from.

use std::net::IpAddr;

use super::metrics::Source;
use crate::client::peer::Peer;

#[derive(Clone, Debug)]
pub struct PurgeSender {
    pub(super) source: Source,
    /// Its address, or `unix:`.
    pub(super) client: String,
}

impl PurgeSender {
    /// `client` is the address that a trusted peer gave for it, if one did.
    pub fn new(source: Source, client: Option<IpAddr>, peer: &Peer) -> Self {
        let address = client.or_else(|| peer.remote.ip());
        let client = address.map_or_else(|| peer.remote.to_string(), |address| address.to_string());
        Self { source, client }
    }
}
