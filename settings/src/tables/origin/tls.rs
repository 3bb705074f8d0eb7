//! `[origin.NAME.tls]`: how the servers of an origin are verified, and what we show them.

use std::path::PathBuf;

use crate::report::ProblemBuilder;
use crate::table::Table;
use crate::tables::kafka::path;
use crate::tables::listen_tls::{CertificateFiles, TlsVersion, VERSIONS, read_pair};
use crate::value::{Fault, boolean, choice, parsed};

/// TLS to the servers of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginTlsSettings {
    /// The authorities of servers' certificates, as PEM; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Our own certificate, for servers that ask for one.
    pub certificate: Option<CertificateFiles>,
    /// The name that a server's certificate is for, and that it is asked for (SNI); `None`: the
    /// server's host.
    pub server_name: Option<String>,
    /// The oldest protocol version that is spoken.
    pub min_version: TlsVersion,
    /// Servers are not verified at all: whoever is on the way can read and change everything.
    pub dangerously_accept_any_certificate: bool,
}

/// The scheme of requests to an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OriginScheme {
    Http,
    Https,
}

impl Default for OriginTlsSettings {
    fn default() -> Self {
        Self {
            ca: None,
            certificate: None,
            server_name: None,
            min_version: TlsVersion::Tls12,
            dangerously_accept_any_certificate: false,
        }
    }
}

impl OriginTlsSettings {
    /// Reads `scheme` and `[origin.NAME.tls]`.
    pub(super) fn read(origin: &mut Table<'_>) -> Option<Self> {
        let (mut scheme, mut tls) = (OriginScheme::Http, Self::default());
        origin.read("scheme", choice(&SCHEMES), &mut scheme);
        origin.table("tls", |table| tls.read_table(table));
        match scheme {
            OriginScheme::Https => Some(tls),
            OriginScheme::Http if tls == Self::default() => None,
            OriginScheme::Http => {
                let message =
                    format!("`{}` is set, and `scheme` is \"http\"", origin.path_of("tls"));
                let draft = ProblemBuilder::warning(message, "of no effect")
                    .help("scheme = \"https\" for TLS to the servers");
                origin.add_here(draft);
                None
            }
        }
    }

    /// Reads the table alone.
    pub(crate) fn read_table(&mut self, table: &mut Table<'_>) {
        table.read("ca", path, &mut self.ca);
        self.certificate = read_pair(table).map(|(certificate, key)| CertificateFiles {
            certificate,
            key,
            ocsp: None,
        });
        table.read("server_name", parsed(server_name), &mut self.server_name);
        table.read("min_version", choice(&VERSIONS), &mut self.min_version);
        table.read(
            "dangerously_accept_any_certificate",
            boolean,
            &mut self.dangerously_accept_any_certificate,
        );
        if self.dangerously_accept_any_certificate && self.ca.is_some() {
            let fault = Fault::new("is set, and every certificate is accepted", "never looked at")
                .help("leave out dangerously_accept_any_certificate");
            table.fault_of("ca", fault);
        }
    }
}

/// Reads a DNS name or an IP address; empty text: there is none.
fn server_name(text: &str) -> Result<Option<String>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if name.len() <= 253 && name.split('.').all(is_label)
        || name.parse::<std::net::IpAddr>().is_ok()
    {
        return Ok(Some(name.to_ascii_lowercase()));
    }
    let fault = Fault::new(format!("must be a host, and `{text}` is none"), "not a host");
    Err(fault.help("without scheme and port: \"app.internal\""))
}

/// Reports servers whose certificates nobody could tell the name of.
pub(super) fn require_names(origin: &mut Table<'_>, tls: &OriginTlsSettings, has_unix: bool) {
    let needs_name =
        has_unix && tls.server_name.is_none() && !tls.dangerously_accept_any_certificate;
    if needs_name {
        let fault = Fault::new("needs `server_name` for Unix sockets", "of which name?")
            .help("[origin.NAME.tls]\nserver_name = \"app.internal\"");
        origin.fault_of("scheme", fault);
    }
}

const SCHEMES: [(&str, OriginScheme); 2] =
    [("http", OriginScheme::Http), ("https", OriginScheme::Https)];
