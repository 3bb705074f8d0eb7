//! The servers of an origin: addresses and weights.

use std::fmt;
use std::path::PathBuf;

use http::uri::Authority;

use crate::table::Table;
use crate::tree::Node;
use crate::value::{Fault, authority, boolean, parsed, text, whole};

/// One server of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// The place of the server.
    pub address: ServerAddress,
    /// Its share of the requests, relative to the others', 1 to 256.
    pub weight: u32,
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// `host:port`: one server. The addresses of its name race (RFC 8305).
    Host(Authority),
    /// `unix:/path`: a Unix socket.
    Unix(PathBuf),
    /// `{ dns = "name:port" }`: one server for each address of the name.
    Dns(Authority),
    /// `{ dns = "_http._tcp.name", srv = true }`: one server for each SRV record (RFC 2782).
    Srv(String),
}

impl From<Authority> for ServerSettings {
    fn from(authority: Authority) -> Self {
        Self { address: ServerAddress::Host(authority), weight: 1 }
    }
}

impl From<std::net::SocketAddr> for ServerSettings {
    fn from(address: std::net::SocketAddr) -> Self {
        let authority = Authority::try_from(address.to_string());
        Self::from(authority.unwrap_or_else(|_never| Authority::from_static("localhost:80")))
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(authority) => write!(f, "{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Dns(authority) => write!(f, "dns:{authority}"),
            Self::Srv(name) => write!(f, "srv:{name}"),
        }
    }
}

/// Reads a server that is written as text.
pub(super) fn server(node: &Node) -> Result<ServerSettings, Fault> {
    let address = address(text(node)?)?;
    Ok(ServerSettings { address, weight: 1 })
}

/// Reads a server that is written as a table.
pub(super) fn server_table(table: &mut Table<'_>) -> Option<ServerSettings> {
    let (mut written, mut dns, mut is_srv, mut weight) = (None, None::<String>, false, 1);
    table.read("address", |node| parsed(address)(node).map(Some), &mut written);
    table.read("dns", |node| text(node).map(|name| Some(name.to_owned())), &mut dns);
    table.read("srv", boolean, &mut is_srv);
    table.read("weight", whole(1..=256), &mut weight);
    if table.has("address") == table.has("dns") {
        let fault = Fault::new("must have `address` or `dns`", "one of them")
            .help("{ address = \"10.0.0.1:3000\", weight = 2 } or { dns = \"app.internal:3000\" }");
        table.fault_of_table(fault);
        return None;
    }
    let address = match (written, dns) {
        (Some(address), _) => Ok(address),
        (None, Some(name)) if is_srv => service(&name).map(ServerAddress::Srv),
        (None, Some(name)) => authority(&name).map(ServerAddress::Dns),
        (None, None) => return None, // reported already
    };
    match address {
        Ok(address) => Some(ServerSettings { address, weight }),
        Err(fault) => {
            table.fault_of("dns", fault);
            None
        }
    }
}

fn address(text: &str) -> Result<ServerAddress, Fault> {
    let Some(path) = text.strip_prefix("unix:") else {
        return authority(text).map(ServerAddress::Host);
    };
    let fault =
        |label: &str| Fault::new(format!("must be unix:/path, and `{text}` is none"), label);
    if !path.starts_with('/') {
        return Err(fault("not an absolute path").help("\"unix:/run/app/http.sock\""));
    }
    if path.len() > SOCKET_PATH_MAX {
        return Err(fault("longer than the system allows").help("107 bytes at most"));
    }
    Ok(ServerAddress::Unix(PathBuf::from(path)))
}

fn service(name: &str) -> Result<String, Fault> {
    let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    let is_service = matches!(labels.as_slice(), [service, protocol, _host, ..]
        if service.starts_with('_') && protocol.starts_with('_'));
    let is_name = labels.iter().all(|label| !label.is_empty() && label.len() <= 63)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_service && is_name {
        return Ok(labels.join(".").to_ascii_lowercase());
    }
    let wants = format!("must be the name of an SRV record, and `{name}` is none");
    Err(Fault::new(wants, "not _service._protocol.name").help("\"_http._tcp.app.internal\""))
}

/// Bytes of the longest path of a Unix socket, without the zero at its end.
const SOCKET_PATH_MAX: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_with_a_port_or_a_unix_socket() {
        for text in ["127.0.0.1:3000", "app:80", "[::1]:3000", "unix:/run/app.sock"] {
            assert_eq!(address(text).unwrap().to_string(), text);
        }
        let long = format!("unix:/{}", "a".repeat(SOCKET_PATH_MAX));
        for text in ["app", "unix:", "unix:run/app.sock", "unix://x", &long] {
            let is_ok = address(text).is_ok();
            assert_eq!(is_ok, text == "unix://x", "{text}");
        }
    }

    #[test]
    fn an_srv_record_has_a_service_and_a_protocol() {
        assert_eq!(service("_http._tcp.App.internal.").unwrap(), "_http._tcp.app.internal");
        for name in
            ["app.internal", "_http.app.internal", "_http._tcp", "_http._tcp..x", "_a._b.c d"]
        {
            assert!(service(name).is_err(), "{name}");
        }
    }
}
