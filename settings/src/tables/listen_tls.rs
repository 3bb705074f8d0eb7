//! `[listen.tls]`: certificates, and who may connect.

use std::path::PathBuf;
use std::time::Duration;

use super::kafka::path;
use crate::report::ProblemBuilder;
use crate::table::Table;
use crate::value::{TIMEOUT, choice, duration, whole};

/// TLS on one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenTlsSettings {
    /// Certificates with their keys, never empty. A client gets the one of the name that it asks
    /// for, else the first.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest protocol version that is spoken.
    pub min_version: TlsVersion,
    /// The authorities of clients' certificates, as PEM; `None`: clients are not asked for one.
    pub client_ca: Option<PathBuf>,
    /// The treatment of clients without a certificate, where `client_ca` is set.
    pub client_certificate: ClientCertificate,
    /// Time from the accepted connection to the end of the handshake; 1ms to 1d.
    pub handshake_timeout: Duration,
    /// Handshakes at once, 1 to 1000000. Further clients wait within `handshake_timeout`. Each
    /// costs some 30 KiB.
    pub max_handshakes: usize,
}

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// PEM: the certificate, then the chain up to the authority.
    pub certificate: PathBuf,
    /// PEM: its private key, without a password.
    pub key: PathBuf,
    /// DER: an OCSP response that is sent along.
    pub ocsp: Option<PathBuf>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// Clients without a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// They are refused.
    Required,
    /// They are served.
    Optional,
}

impl Default for ListenTlsSettings {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            min_version: TlsVersion::Tls12,
            client_ca: None,
            client_certificate: ClientCertificate::Required,
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: 4096,
        }
    }
}

impl ListenTlsSettings {
    /// Reads `[listen.tls]`; `None` where no certificate is named.
    pub(crate) fn read(table: &mut Table<'_>) -> Option<Self> {
        let mut tls = Self::default();
        let only = read_files(table);
        let mut listed = 0;
        table.items("certificates", |table| {
            listed += 1;
            tls.certificates.extend(read_files(table));
            if !table.has("certificate") && !table.has("key") {
                table.add_missing("certificate");
            }
        });
        table.read("min_version", choice(&VERSIONS), &mut tls.min_version);
        table.read("client_ca", path, &mut tls.client_ca);
        table.read("client_certificate", choice(&CLIENTS), &mut tls.client_certificate);
        table.read("handshake_timeout", duration(TIMEOUT), &mut tls.handshake_timeout);
        table.read("max_handshakes", whole(1..=1_000_000), &mut tls.max_handshakes);
        match only {
            Some(_) if !tls.certificates.is_empty() => {
                let message =
                    format!("`{}` and `certificates` are both set", table.path_of("certificate"));
                let draft = ProblemBuilder::error(message, "a list and one beside it")
                    .help("put it into the list, the default certificate first");
                table.add_here(draft);
            }
            Some(only) => tls.certificates.push(only),
            None if listed == 0 && tls.client_ca.is_some() => table.add_missing("certificate"),
            None if listed == 0 => table.require("certificate"),
            None => {}
        }
        Some(tls).filter(|tls| !tls.certificates.is_empty())
    }
}

/// Reads `certificate`, `key` and `ocsp` of this table, if a certificate is named.
fn read_files(table: &mut Table<'_>) -> Option<CertificateFiles> {
    let (pair, mut ocsp) = (read_pair(table), None);
    table.read("ocsp", path, &mut ocsp);
    pair.map(|(certificate, key)| CertificateFiles { certificate, key, ocsp })
}

/// Reads `certificate` and `key`, of which none stands alone.
pub(super) fn read_pair(table: &mut Table<'_>) -> Option<(PathBuf, PathBuf)> {
    let (mut certificate, mut key) = (None, None);
    table.read("certificate", path, &mut certificate);
    table.read("key", path, &mut key);
    match (certificate, key) {
        (Some(certificate), Some(key)) => return Some((certificate, key)),
        (Some(_), None) => table.add_missing("key"),
        (None, Some(_)) => table.add_missing("certificate"),
        (None, None) => {}
    }
    None
}

pub(super) const VERSIONS: [(&str, TlsVersion); 2] =
    [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];

const CLIENTS: [(&str, ClientCertificate); 2] =
    [("required", ClientCertificate::Required), ("optional", ClientCertificate::Optional)];
