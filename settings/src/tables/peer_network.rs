//! `PeerNetwork`: a set of peers, by the address that their connections come from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// A block of IP addresses, or everybody who comes over a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerNetwork {
    /// `"10.0.0.0/8"`.
    Block(IpNet),
    /// `"unix:"`: the file's mode says who they are.
    Unix,
}

impl PeerNetwork {
    /// Returns whether this address is in it. IPv4 in IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match self {
            Self::Block(block) => block.contains(&address.to_canonical()),
            Self::Unix => false,
        }
    }

    /// Returns whether some peer is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Block(one), Self::Block(other)) => one.contains(other) || other.contains(one),
            (Self::Unix, Self::Unix) => true,
            (Self::Block(_), Self::Unix) | (Self::Unix, Self::Block(_)) => false,
        }
    }
}

impl fmt::Display for PeerNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(block) => block.fmt(f),
            Self::Unix => f.write_str("unix:"),
        }
    }
}

impl From<IpNet> for PeerNetwork {
    fn from(block: IpNet) -> Self {
        Self::Block(block)
    }
}

impl FromStr for PeerNetwork {
    type Err = ipnet::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "unix:" { Ok(Self::Unix) } else { text.parse().map(Self::Block) }
    }
}
