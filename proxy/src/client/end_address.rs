//! `EndAddress`: the address of one end of a client connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndAddress {
    Ip(SocketAddr),
    /// The client of a Unix socket has no address: the mode of the socket's file says who it is.
    Unix,
    /// A trusted peer speaks for a client and does not say which one. Nothing is allowed to it.
    Unknown,
}

impl EndAddress {
    /// Returns the IP address; IPv4 in IPv6 as IPv4.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip().to_canonical()),
            Self::Unix | Self::Unknown => None,
        }
    }

    /// Returns whether only a process of this machine can have it.
    pub fn is_of_this_machine(&self) -> bool {
        *self == Self::Unix || self.ip().is_some_and(|address| address.is_loopback())
    }

    /// Returns the host of a request that names none and arrived here.
    pub fn authority(&self) -> String {
        match self {
            Self::Ip(address) => address.to_string(),
            Self::Unix | Self::Unknown => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for EndAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix:"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl From<SocketAddr> for EndAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}
