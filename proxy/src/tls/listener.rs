//! `ListenerTls`: TLS on one listener: its certificates, its sessions and the handshake.

use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rustls::server::{
    NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions,
    WebPkiClientVerifier,
};
use rustls::{RootCertStore, ServerConfig};
use settings::{
    CertificateFiles, ClientCertificate, Http2, ListenSettings, ListenTlsSettings, TlsVersion,
};
use tokio::sync::Semaphore;

use super::choice::CertificateChoice;
use super::counters::{CertificateFigures, HandshakeMetrics};
use super::credentials::Credentials;
use super::files::{self, FileProblem};
use super::watched::Watched;
use super::{ALPN_H2, ALPN_HTTP11, provider, unix_now, versions};

#[derive(Debug)]
pub struct ListenerTls {
    name: String,
    settings: ListenTlsSettings,
    http2: Http2,
    choice: Arc<CertificateChoice>,
    /// `None`: nobody can be let in.
    config: RwLock<Option<Arc<ServerConfig>>>,
    material: Mutex<Material>,
    pub(super) slots: Semaphore,
    pub(super) metrics: Arc<HandshakeMetrics>,
}

/// The certificates and authorities that were read from files, and the sessions under them.
#[derive(Debug)]
struct Material {
    certificates: Vec<Watched<Credentials>>,
    /// When each certificate was warned of last.
    warned: Vec<Option<u64>>,
    authorities: Option<Watched<Arc<RootCertStore>>>,
    sessions: Sessions,
}

/// Sessions that clients may resume. All workers share them, and they outlive a certificate; not
/// the authorities, whose verdict on a client a session holds.
#[derive(Clone, Debug)]
struct Sessions {
    /// For TLS 1.2 without tickets.
    store: Arc<dyn StoresServerSessions>,
    /// Tickets under keys that change every six hours.
    tickets: Option<Arc<dyn ProducesTickets>>,
}

impl ListenerTls {
    /// Makes what the listener's settings ask for. What can be kept of the one before is: all of it
    /// if nothing has changed; certificates whose files have become bad; sessions; counters.
    pub(super) fn renewed(
        listen: &ListenSettings,
        before: Option<&Arc<Self>>,
    ) -> Option<Arc<Self>> {
        let settings = listen.tls.as_ref()?;
        if let Some(before) = before.filter(|before| before.is_of(listen)) {
            before.refresh(unix_now());
            return Some(Arc::clone(before));
        }
        let held = before.map(|before| before.material.lock());
        let credentials = |files: &CertificateFiles| {
            let held = held.as_ref()?.certificates.iter().filter_map(Watched::current);
            held.into_iter().find(|held| held.files == *files).cloned()
        };
        let paths = |files| Credentials::paths(files).map(Path::to_owned);
        let certificates = settings.certificates.iter();
        let is_same_authority = before.is_some_and(|before| {
            before.settings.client_ca == settings.client_ca
                && before.settings.client_certificate == settings.client_certificate
        });
        let held_authorities = held.as_ref().filter(|_| is_same_authority);
        let material = Material {
            certificates: certificates
                .map(|files| Watched::new(paths(files), credentials(files)))
                .collect(),
            warned: vec![None; settings.certificates.len()],
            authorities: settings.client_ca.clone().map(|file| {
                let held = held_authorities.and_then(|held| held.authorities.as_ref()?.current());
                Watched::new([file], held.cloned())
            }),
            sessions: held_authorities.map_or_else(Sessions::new, |held| held.sessions.clone()),
        };
        drop(held);
        let this = Self {
            name: listen.name.clone(),
            settings: settings.clone(),
            http2: listen.http2,
            choice: Arc::default(),
            config: RwLock::default(),
            material: Mutex::new(material),
            slots: Semaphore::new(settings.max_handshakes),
            metrics: before.map_or_else(Arc::default, |before| Arc::clone(&before.metrics)),
        };
        this.refresh(unix_now());
        Some(Arc::new(this))
    }

    fn is_of(&self, listen: &ListenSettings) -> bool {
        self.name == listen.name
            && self.http2 == listen.http2
            && Some(&self.settings) == listen.tls.as_ref()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn settings(&self) -> &ListenTlsSettings {
        &self.settings
    }

    /// Returns the configuration for the next handshake, unless nobody can be let in.
    pub(super) fn config(&self) -> Option<Arc<ServerConfig>> {
        self.config.read().clone()
    }

    /// Reads files again that have changed. Blocks on files. `now` is in seconds since 1970.
    pub(super) fn refresh(&self, now: u64) {
        let mut material = self.material.lock();
        let mut is_new = self.config.read().is_none();
        let Material { certificates, warned, authorities, sessions } = &mut *material;
        let mut has_changed = is_new;
        for (watched, files) in certificates.iter_mut().zip(&self.settings.certificates) {
            let is_due = watched.current().is_some_and(|current| current.has_old_staple(now));
            has_changed |= watched.refresh(&self.name, is_due, || {
                let read = Credentials::read(files, now)?;
                if let Some(problem) = &read.staple_problem {
                    tracing::warn!(listener = self.name, %problem, "no OCSP response is sent");
                }
                Ok(read)
            });
        }
        if has_changed {
            self.choice.replace(certificates.iter().filter_map(Watched::current));
        }
        for (watched, warned) in certificates.iter().zip(warned) {
            let Some(current) = watched.current() else { continue };
            let warning = current.warning(now).filter(|_| warned.is_none_or(|at| at + DAY <= now));
            if let Some(warning) = warning {
                *warned = Some(now);
                let certificate = current.files.certificate.display();
                tracing::warn!(listener = self.name, %certificate, "the certificate {warning}");
            }
        }
        if let (Some(watched), Some(file)) = (authorities.as_mut(), &self.settings.client_ca) {
            let had = watched.current().is_some();
            let is_changed = watched
                .refresh(&self.name, false, || files::authorities(file).map(|read| read.roots));
            if is_changed && had {
                *sessions = Sessions::new();
            }
            is_new |= is_changed;
        }
        if is_new {
            *self.config.write() = self.build(authorities.as_ref(), sessions);
        }
    }

    /// `None` if nobody can be let in.
    fn build(
        &self,
        authorities: Option<&Watched<Arc<RootCertStore>>>,
        sessions: &Sessions,
    ) -> Option<Arc<ServerConfig>> {
        let verifier = match authorities {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(watched) => {
                let roots = Arc::clone(watched.current()?);
                client_verifier(roots, self.settings.client_certificate)
                    .inspect_err(|error| {
                        tracing::error!(listener = self.name, %error, "clients cannot be verified");
                    })
                    .ok()?
            }
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(self.settings.min_version));
        let builder = builder
            .inspect_err(|error| {
                tracing::error!(listener = self.name, %error, "TLS cannot be set up");
            })
            .ok()?;
        let choice = Arc::clone(&self.choice);
        let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(choice);
        config.alpn_protocols = match self.http2 {
            Http2::Alpn => vec![ALPN_H2.to_vec(), ALPN_HTTP11.to_vec()],
            Http2::Off | Http2::Cleartext => vec![ALPN_HTTP11.to_vec()],
        };
        config.session_storage = match self.settings.min_version {
            TlsVersion::Tls12 => Arc::clone(&sessions.store),
            TlsVersion::Tls13 => Arc::new(NoServerSessionStorage {}),
        };
        if let Some(tickets) = &sessions.tickets {
            config.ticketer = Arc::clone(tickets);
        }
        Some(Arc::new(config))
    }

    pub(super) fn certificates(&self) -> Vec<CertificateFigures> {
        let material = self.material.lock();
        let files = material.certificates.iter().zip(&self.settings.certificates);
        files
            .map(|(watched, files)| CertificateFigures {
                file: files.certificate.display().to_string(),
                not_after: watched.current().map(|current| current.facts.not_after),
                failures: watched.failures(),
            })
            .collect()
    }
}

impl Sessions {
    fn new() -> Self {
        let tickets = rustls::crypto::aws_lc_rs::Ticketer::new()
            .inspect_err(|error| tracing::error!(%error, "no session tickets"));
        Self { store: ServerSessionMemoryCache::new(SESSIONS_MAX), tickets: tickets.ok() }
    }
}

fn client_verifier(
    roots: Arc<RootCertStore>,
    clients: ClientCertificate,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, String> {
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let builder = match clients {
        ClientCertificate::Required => builder,
        ClientCertificate::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| error.to_string())
}

/// Returns what is wrong with the files of these settings, and what should be known of them: the
/// key in `[listen.tls]`, and whether it can be lived with.
pub(super) fn problems(settings: &ListenTlsSettings) -> Vec<(SettingPlace, FileProblem, bool)> {
    let mut problems = Vec::new();
    let now = unix_now();
    for (index, files) in settings.certificates.iter().enumerate() {
        let at = |key| SettingPlace { certificate: Some(index), key };
        match Credentials::read(files, now) {
            Ok(read) => {
                if let Some(warning) = read.warning(now) {
                    let problem = FileProblem::new(&files.certificate, warning);
                    problems.push((at("certificate"), problem, true));
                }
                problems.extend(read.staple_problem.map(|problem| (at("ocsp"), problem, true)));
            }
            Err(problem) => {
                let is_key = problem.file == files.key
                    && (files.key != files.certificate
                        || files::certificates(&files.certificate).is_ok());
                let key = if is_key { "key" } else { "certificate" };
                problems.push((at(key), problem, false));
            }
        }
    }
    if let Some(Err(problem)) = settings.client_ca.as_deref().map(files::authorities) {
        problems.push((SettingPlace { certificate: None, key: "client_ca" }, problem, false));
    }
    problems
}

/// A setting of `[listen.tls]`, or of the certificate with this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SettingPlace {
    pub(super) certificate: Option<usize>,
    pub(super) key: &'static str,
}

/// Sessions of clients that know no tickets, some 300 bytes each.
const SESSIONS_MAX: usize = 4096;
const DAY: u64 = 86_400;
