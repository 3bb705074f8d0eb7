//! `[[listen]]`: the addresses that clients connect to.

use std::net::{Ipv4Addr, SocketAddr};

use super::listen_tls::ListenTlsSettings;
use super::{ListenAddress, PeerNetwork};
use crate::table::Table;
use crate::value::{Fault, choice, file_mode, listen_address, parsed, peer_network, whole};

/// One listener for traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSettings {
    /// The listener's name in logs and metrics.
    pub name: String,
    /// The addresses to listen on, never empty.
    pub addresses: Vec<ListenAddress>,
    /// The mode of the files of Unix sockets. Who may write to the file may connect.
    pub socket_mode: u32,
    /// HTTP/2 beside HTTP/1.
    pub http2: Http2,
    /// The PROXY protocol, by which a load balancer says whom it speaks for.
    pub proxy_protocol: ProxyProtocol,
    /// X
    pub trusted_proxies: Vec<PeerNetwork>,
    /// The fields of trusted peers that name the client.
    pub client_fields: ClientFields,
    /// Connections the kernel holds until they are accepted, 1 to 65535. `net.core.somaxconn` caps
    /// it silently.
    pub backlog: u32,
    /// `[listen.tls]`; `None`: plain connections.
    pub tls: Option<ListenTlsSettings>,
}

/// The PROXY protocol, versions 1 and 2, of the peers in `trusted_proxies`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Connections begin with TLS or HTTP.
    Off,
    /// A connection of a trusted peer may begin with a header. One of another peer may not.
    Optional,
    /// Each connection begins with a header, of a trusted peer.
    Required,
}

/// The fields in which a trusted peer names the client. It must write or remove them in every
/// request: what it passes on is the client's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFields {
    /// `X-Forwarded-For`, `-Proto` and `-Host`.
    XForwarded,
    /// `X-Real-IP` for the address, else as with [`ClientFields::XForwarded`].
    XRealIp,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// HTTP/2 on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2 {
    /// HTTP/1 only.
    Off,
    /// HTTP/2 with prior knowledge beside HTTP/1 (RFC 9113 §3.3).
    Cleartext,
    /// HTTP/2 for clients that ask for it in their TLS handshake (RFC 7301).
    Alpn,
}

impl Default for ListenSettings {
    fn default() -> Self {
        Self {
            name: "main".to_owned(),
            addresses: vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)).into()],
            socket_mode: SOCKET_MODE,
            http2: Http2::Cleartext,
            proxy_protocol: ProxyProtocol::Off,
            trusted_proxies: Vec::new(),
            client_fields: ClientFields::XForwarded,
            backlog: 4096,
            tls: None,
        }
    }
}

impl ListenSettings {
    /// Reads each `[[listen]]`; without any, the default one.
    pub(crate) fn read_all(root: &mut Table<'_>) -> Vec<Self> {
        let mut all = Vec::new();
        root.tables("listen", |table| all.push(Self::read(table, all.is_empty())));
        all
    }

    /// Reads one table. All but the first are named by their addresses when they have no name.
    fn read(table: &mut Table<'_>, is_first: bool) -> Self {
        let mut listen = Self::default();
        table.read_one_or_more("address", parsed(listen_address), &mut listen.addresses);
        if !is_first {
            let addresses = listen.addresses.iter().map(ToString::to_string);
            listen.name = addresses.collect::<Vec<_>>().join(", ");
        }
        table.read("name", parsed(name), &mut listen.name);
        let mut http2 = None;
        table.read("http2", choice(&HTTP2), &mut http2);
        table.read("proxy_protocol", choice(&PROXY_PROTOCOL), &mut listen.proxy_protocol);
        table.read_each("trusted_proxies", parsed(peer_network), &mut listen.trusted_proxies);
        table.read("client_fields", choice(&CLIENT_FIELDS), &mut listen.client_fields);
        table.read("socket_mode", parsed(file_mode), &mut listen.socket_mode);
        table.read("backlog", whole(1..=65_535), &mut listen.backlog);
        table.table("tls", |table| listen.tls = ListenTlsSettings::read(table));
        let usual = if listen.tls.is_some() { Http2::Alpn } else { Http2::Cleartext };
        listen.http2 = http2.unwrap_or(usual);
        listen
    }
}

fn name(text: &str) -> Result<String, Fault> {
    if text.is_empty() {
        Err(Fault::new("must not be empty", "a name is needed"))
    } else {
        Ok(text.to_owned())
    }
}

/// For the owner and the group of the process.
pub(super) const SOCKET_MODE: u32 = 0o660;

const PROXY_PROTOCOL: [(&str, ProxyProtocol); 3] = [
    ("off", ProxyProtocol::Off),
    ("optional", ProxyProtocol::Optional),
    ("required", ProxyProtocol::Required),
];
const CLIENT_FIELDS: [(&str, ClientFields); 3] = [
    ("x-forwarded", ClientFields::XForwarded),
    ("x-real-ip", ClientFields::XRealIp),
    ("forwarded", ClientFields::Forwarded),
];
const HTTP2: [(&str, Option<Http2>); 3] =
    [("cleartext", Some(Http2::Cleartext)), ("alpn", Some(Http2::Alpn)), ("off", Some(Http2::Off))];
