//! `AvailableSockets`: the sockets that a process is given before it binds any.

use std::io;

use super::{BindError, BindRules, BoundAddress, InheritedSockets, ListenSocket};
use crate::client::end_address::EndAddress;
use settings::ListenAddress;

/// The sockets that a service manager, or the process that this one takes over from, has passed.
#[derive(Debug, Default)]
pub struct AvailableSockets {
    pub inherited: InheritedSockets,
    pub passed: Vec<PassedAddress>,
}

/// The sockets of an address of another process.
#[derive(Debug)]
pub struct PassedAddress {
    pub is_admin: bool,
    /// As that process was told to listen at.
    pub configured: String,
    pub sockets: Vec<ListenSocket>,
}

impl AvailableSockets {
    /// Takes the sockets that were passed for an address, or else binds it.
    pub fn bind(
        &mut self,
        address: &ListenAddress,
        rules: BindRules,
        is_admin: bool,
    ) -> Result<BoundAddress, BindError> {
        let place = self.passed.iter().position(|passed| passed.serves(address, is_admin));
        let Some(place) = place else {
            return BoundAddress::bind(address, rules, &mut self.inherited);
        };
        let sockets = self.passed.remove(place).sockets;
        BoundAddress::passed(address, sockets, rules).map_err(|source: io::Error| BindError {
            address: address.clone(),
            source,
            holder: None,
            free: None,
        })
    }
}

impl PassedAddress {
    /// Returns whether these sockets are those of an address: it is written the same, or they are
    /// bound there.
    fn serves(&self, address: &ListenAddress, is_admin: bool) -> bool {
        let local = self.sockets.first().and_then(|socket| socket.local().ok());
        let is_bound_there = address
            .tcp()
            .is_some_and(|address| address.port() != 0 && local == Some(EndAddress::Ip(address)));
        is_bound_there || self.is_admin == is_admin && self.configured == address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    fn passed(configured: &str, is_admin: bool) -> (PassedAddress, SocketAddr) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let sockets = vec![ListenSocket::Tcp(socket)];
        (PassedAddress { is_admin, configured: configured.to_owned(), sockets }, address)
    }

    #[test]
    fn passed_sockets_are_found_by_what_is_written_and_by_where_they_are_bound() {
        let rules = BindRules { backlog: 8, mode: 0o600, workers: 1, is_shared: false };
        let any = ListenAddress::Tcp("127.0.0.1:0".parse().unwrap());
        let (traffic, first) = passed("127.0.0.1:0", false);
        let (admin, second) = passed("127.0.0.1:0", true);
        let mut available =
            AvailableSockets { passed: vec![traffic, admin], ..AvailableSockets::default() };

        assert_eq!(available.bind(&any, rules, true).unwrap().tcp(), Some(second));
        let by_number = ListenAddress::Tcp(first);
        assert_eq!(available.bind(&by_number, rules, false).unwrap().tcp(), Some(first));
        let another = available.bind(&any, rules, false).unwrap().tcp().unwrap();
        assert!(another != first && another != second, "it is bound");
    }
}
