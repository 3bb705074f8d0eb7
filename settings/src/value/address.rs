//! Addresses: where to listen, where the origin is, which peers are meant.

use std::net::{AddrParseError, IpAddr, SocketAddr};

use http::uri::Authority;
use ipnet::IpNet;

use super::Fault;
use crate::tables::{ListenAddress, PeerNetwork};

/// Reads an IP address with a port.
pub(crate) fn socket_address(text: &str) -> Result<SocketAddr, Fault> {
    text.parse().map_err(|error: AddrParseError| {
        let wants = format!("must be an IP address with a port, and `{text}` is none");
        let fault = Fault::new(wants, error.to_string());
        match with_host(text, "0.0.0.0") {
            Some(meant) => fault.help(format!("did you mean \"{meant}\"?")),
            None => fault.help("\"0.0.0.0:8080\" or \"[::]:8080\""),
        }
    })
}

/// Reads an address to listen on: an IP address with a port, or a socket of another kind.
pub(crate) fn listen_address(text: &str) -> Result<ListenAddress, Fault> {
    if !text.starts_with("unix:") && !text.starts_with("fd:") && !text.starts_with('/') {
        return socket_address(text).map(ListenAddress::Tcp);
    }
    text.parse().map_err(|error: String| {
        let wants = format!("must be an address to listen on, and `{text}` is none");
        if text.starts_with('/') {
            return Fault::new(wants, "a path").help(format!("did you mean \"unix:{text}\"?"));
        }
        Fault::new(wants, error).help("\"unix:/run/shellac/http.sock\" or \"fd:http\"")
    })
}

/// Reads a block of IP addresses, or `unix:`.
pub(crate) fn peer_network(text: &str) -> Result<PeerNetwork, Fault> {
    match text {
        "unix:" => Ok(PeerNetwork::Unix),
        "unix" => Err(Fault::new("must be a CIDR block or `unix:`", "the colon is missing")
            .help("did you mean \"unix:\"?")),
        text => cidr(text).map(PeerNetwork::Block),
    }
}

/// Reads the `host:port` of a server.
pub(crate) fn authority(text: &str) -> Result<Authority, Fault> {
    let fault = |label: &str| Fault::new(format!("must be host:port, and `{text}` is none"), label);
    if let Some((scheme, rest)) = text.split_once("://") {
        let fault = fault("a URL");
        return Err(match scheme {
            "http" => fault.help(format!("did you mean \"{}\"?", rest.trim_end_matches('/'))),
            "https" => fault.help("host:port alone, and scheme = \"https\" beside `servers`"),
            _ => fault.help("origins are reached by HTTP"),
        });
    }
    let authority: Authority = text.parse().map_err(|error: http::uri::InvalidUri| {
        fault(&error.to_string())
            .help("\"127.0.0.1:3000\", \"app.internal:3000\" or \"[::1]:3000\"")
    })?;
    let has_port = authority.port_u16().is_some_and(|port| port != 0);
    if has_port && !authority.host().is_empty() && !text.contains('@') {
        return Ok(authority);
    }
    let port = authority.port_u16().filter(|port| *port != 0).unwrap_or(80);
    let meant = with_host(text, "127.0.0.1");
    let meant = meant.unwrap_or_else(|| format!("{}:{port}", authority.host()));
    Err(fault("not host:port").help(format!("did you mean \"{meant}\"?")))
}

/// Returns the likely meaning of a lone port, with or without its colon or behind `localhost`.
fn with_host(text: &str, host: &str) -> Option<String> {
    let (name, port) = text.rsplit_once(':').unwrap_or(("", text));
    let host = match name {
        "" | "*" => host,
        "localhost" => "127.0.0.1",
        _ => return None,
    };
    port.parse::<u16>().ok().map(|port| format!("{host}:{port}"))
}

/// Reads a block of IP addresses.
pub(crate) fn cidr(text: &str) -> Result<IpNet, Fault> {
    let fault =
        |label: &str| Fault::new(format!("must be a CIDR block, and `{text}` is none"), label);
    if let Ok(address) = text.parse::<IpAddr>() {
        let block = IpNet::from(address);
        return Err(
            fault("an address without a prefix length").help(format!("did you mean \"{block}\"?"))
        );
    }
    let block: IpNet = text.parse().map_err(|error: ipnet::AddrParseError| {
        fault(&error.to_string()).help("\"10.0.0.0/8\" or \"fd00::/8\"")
    })?;
    if block.addr() == block.network() {
        return Ok(block);
    }
    let (network, host) = (block.trunc(), IpNet::from(block.addr()));
    Err(fault("it has bits after its prefix")
        .help(format!("did you mean \"{network}\" or \"{host}\"?")))
}

#[cfg(test)]
mod tests {
    use super::{authority, cidr, listen_address, peer_network, socket_address};

    #[test]
    fn addresses_have_ports() {
        for text in ["0.0.0.0:8080", "[::]:8080", "127.0.0.1:0"] {
            assert!(socket_address(text).is_ok(), "{text}");
        }
        for text in ["", "8080", ":8080", "127.0.0.1", "localhost:8080", "::1:80", "1.2.3.4:65536"]
        {
            assert!(socket_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_listener_has_an_address_a_path_or_a_name() {
        for text in ["127.0.0.1:80", "[::]:0", "unix:/run/a.sock", "fd:http", "fd:shellac.socket"] {
            assert_eq!(listen_address(text).unwrap().to_string(), text);
        }
        let long = format!("unix:/{}", "x".repeat(107));
        for text in
            ["8080", "unix:", "unix:a.sock", "unix:/run/", "fd:", "fd:a:b", "/a.sock", &long]
        {
            assert!(listen_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn peers_of_unix_sockets_are_a_network_of_their_own() {
        let (unix, block) = (peer_network("unix:").unwrap(), peer_network("10.0.0.0/8").unwrap());
        assert!(block.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!unix.contains("10.1.2.3".parse().unwrap()) && !unix.overlaps(&block));
        assert!(unix.overlaps(&unix) && peer_network("unix").is_err());
    }

    #[test]
    fn servers_have_hosts_and_ports() {
        for text in ["127.0.0.1:3000", "app.internal:80", "[::1]:3000", "a:1"] {
            assert!(authority(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "3000",
            ":3000",
            "app",
            "app:0",
            "app:",
            "app:99999",
            "u@app:80",
            "http://a:1",
            "a:1/x",
            "::1:80",
        ] {
            assert!(authority(text).is_err(), "{text}");
        }
    }

    #[test]
    fn blocks_have_prefixes_and_nothing_after() {
        for text in ["10.0.0.0/8", "10.0.0.5/32", "fd00::/8", "0.0.0.0/0"] {
            assert!(cidr(text).is_ok(), "{text}");
        }
        for text in ["", "10.0.0.5", "10.0.0.5/8", "10.0.0.0/33", "fd00::", "office"] {
            assert!(cidr(text).is_err(), "{text}");
        }
    }
}
