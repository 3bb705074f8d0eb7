//! `[dns]`: how the names of servers are looked up.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::table::Table;
use crate::value::{Fault, PAUSE, TIMEOUT, choice, duration, parsed};

/// The name servers, and how long their answers hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// Name servers to ask over UDP, and over TCP for long answers. Empty: those of
    /// `/etc/resolv.conf`, with its search list. `/etc/hosts` comes first in either case.
    pub servers: Vec<SocketAddr>,
    /// The kinds of addresses to ask for.
    pub family: AddressFamily,
    /// Time for one look-up of a name; 1ms to 1d. Requests wait only for the first answer, and no
    /// longer than `connect_timeout`.
    pub timeout: Duration,
    /// Shortest time between two look-ups of a name, 100ms to 1d. Each costs two packets each way
    /// per name and search domain.
    pub min_ttl: Duration,
    /// Longest time for which an answer is used without another look-up; 100ms to 1d.
    pub max_ttl: Duration,
}

/// The kinds of addresses that a name is looked up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFamily {
    /// A and AAAA records, together.
    Any,
    /// A records.
    Ipv4,
    /// AAAA records.
    Ipv6,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            family: AddressFamily::Any,
            timeout: Duration::from_secs(5),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_hours(1),
        }
    }
}

impl DnsSettings {
    /// Reads `[dns]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        let ttl = TTL_MIN..=*PAUSE.end();
        table.read_each("servers", parsed(name_server), &mut self.servers);
        table.read("family", choice(&FAMILIES), &mut self.family);
        table.read("timeout", duration(TIMEOUT), &mut self.timeout);
        table.read("min_ttl", duration(ttl.clone()), &mut self.min_ttl);
        table.read("max_ttl", duration(ttl), &mut self.max_ttl);
    }
}

/// Reads an IP address, with or without a port.
fn name_server(text: &str) -> Result<SocketAddr, Fault> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, DNS_PORT));
    }
    text.parse().map_err(|error: std::net::AddrParseError| {
        let wants = format!("must be the IP address of a name server, and `{text}` is none");
        Fault::new(wants, error.to_string()).help("\"10.0.0.2\", \"10.0.0.2:5353\" or \"[::1]:53\"")
    })
}

const FAMILIES: [(&str, AddressFamily); 3] =
    [("any", AddressFamily::Any), ("ipv4", AddressFamily::Ipv4), ("ipv6", AddressFamily::Ipv6)];
const DNS_PORT: u16 = 53;
const TTL_MIN: Duration = Duration::from_millis(100);
