//! TLS (rustls with aws-lc-rs), towards clients and towards servers.
//!
//! ```text
//! ListenersTls ─► ListenerTls ─► choice       a certificate by name and signature
//!  of a            by name       handshake    bounded, counted ─► Transport::Tls
//!  snapshot                      sessions     tickets and cache, shared by the workers
//!                  watched ─► files, credentials, facts, der
//! OriginTls ─► roots, watched; connect ─► Transport::Tls, or ServerTlsError
//! ```
//!
//! Files are read again when they change; what cannot be used replaces nothing. Nothing here reads
//! a file on a worker: [`ListenersTls::refresh`] is called by housekeeping.

mod any_certificate;
mod choice;
mod counters;
mod credentials;
mod der;
mod facts;
mod failure;
mod files;
pub mod handshake;
mod inspection;
mod listener;
mod metrics;
mod origin;
mod roots;
mod self_signed;
mod server_error;
#[cfg(test)]
mod tests;
mod watched;

use std::sync::{Arc, OnceLock};

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls_pki_types::UnixTime;
use settings::{ListenSettings, TlsVersion};

pub use self::inspection::inspect;
pub use self::listener::ListenerTls;
pub use self::origin::{HttpOffer, OriginTls};
pub use self::server_error::ServerTlsError;
use crate::metrics::family::Family;

/// TLS of all listeners that have it.
#[derive(Clone, Debug, Default)]
pub struct ListenersTls(Box<[Arc<ListenerTls>]>);

impl ListenersTls {
    /// Makes what the settings ask for, and keeps what has not changed. Blocks on files.
    #[must_use]
    pub fn renewed(&self, listen: &[ListenSettings]) -> Self {
        Self(listen.iter().filter_map(|one| ListenerTls::renewed(one, self.of(one))).collect())
    }

    pub fn of(&self, listen: &ListenSettings) -> Option<&Arc<ListenerTls>> {
        self.0.iter().find(|tls| tls.name() == listen.name).filter(|_| listen.tls.is_some())
    }

    /// Reads files again that have changed. Blocks on files.
    pub fn refresh(&self) {
        self.0.iter().for_each(|tls| tls.refresh(unix_now()));
    }

    pub(crate) fn families(&self) -> Vec<Family> {
        metrics::listener_families(&self.0)
    }
}

pub(crate) fn origin_families(all: &[Arc<OriginTls>]) -> Vec<Family> {
    metrics::origin_families(all)
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

const fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match oldest {
        TlsVersion::Tls12 => rustls::ALL_VERSIONS,
        TlsVersion::Tls13 => TLS13,
    }
}

static TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Seconds since 1970, by which certificates expire.
fn unix_now() -> u64 {
    UnixTime::now().as_secs()
}

const ALPN_H2: &[u8] = b"h2";
const ALPN_HTTP11: &[u8] = b"http/1.1";
