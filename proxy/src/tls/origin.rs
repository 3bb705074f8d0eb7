//! `OriginTls`: TLS to the servers of one origin: their verification, our certificate, sessions.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use process::metrics::Counter;
use rustls::client::Resumption;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};
use rustls_pki_types::ServerName;
use settings::OriginTlsSettings;
use tokio_rustls::TlsConnector;

use super::any_certificate::AnyCertificate;
use super::counters::CertificateFigures;
use super::credentials::Credentials;
use super::files::{self, Authorities, FileProblem};
use super::self_signed::SelfSigned;
use super::server_error::ServerTlsError;
use super::watched::Watched;
use super::{ALPN_H2, ALPN_HTTP11, provider, roots, unix_now, versions};
use crate::transport::Transport;

#[derive(Debug)]
pub struct OriginTls {
    /// The origin's name.
    name: String,
    settings: OriginTlsSettings,
    /// HTTP/2 is offered.
    offers_http2: bool,
    configs: RwLock<Result<ClientConfigs, String>>,
    material: Mutex<ClientMaterial>,
    metrics: Arc<ServerHandshakes>,
}

/// The protocols that a new connection may end up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpOffer {
    /// As the settings say.
    Any,
    Http1,
}

/// One for each offer. They share their sessions.
#[derive(Clone, Debug)]
struct ClientConfigs {
    any: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
}

/// The authorities and credentials that were read from files.
#[derive(Debug)]
struct ClientMaterial {
    authorities: Option<Watched<Authorities>>,
    certificate: Option<Watched<Credentials>>,
}

/// Complete handshakes of TLS 1.2 and 1.3, whole and resumed.
#[derive(Debug, Default)]
pub(super) struct ServerHandshakes(pub(super) [[Counter; 2]; 2]);

impl OriginTls {
    /// Makes what the settings ask for, and keeps what has not changed of the one before. Blocks on
    /// files.
    pub fn renewed(
        name: &str,
        settings: &OriginTlsSettings,
        offers_http2: bool,
        before: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        if let Some(before) = before
            && before.settings == *settings
            && before.offers_http2 == offers_http2
        {
            before.refresh();
            return Arc::clone(before);
        }
        let held = before.map(|before| before.material.lock());
        let same_ca = held
            .as_ref()
            .filter(|_| before.is_some_and(|before| before.settings.ca == settings.ca));
        let authorities = same_ca.and_then(|held| held.authorities.as_ref()?.current().cloned());
        let credentials = held.as_ref().and_then(|held| {
            let held = held.certificate.as_ref()?.current();
            held.filter(|held| Some(&held.files) == settings.certificate.as_ref()).cloned()
        });
        drop(held);
        let material = ClientMaterial {
            authorities: settings.ca.clone().map(|file| Watched::new([file], authorities)),
            certificate: settings
                .certificate
                .as_ref()
                .map(|files| Watched::new(Credentials::paths(files).map(Into::into), credentials)),
        };
        let this = Self {
            name: name.to_owned(),
            settings: settings.clone(),
            offers_http2,
            configs: RwLock::new(Err("its files were not read yet".to_owned())),
            material: Mutex::new(material),
            metrics: before.map_or_else(Arc::default, |before| Arc::clone(&before.metrics)),
        };
        this.refresh();
        Arc::new(this)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn is_blind(&self) -> bool {
        self.settings.dangerously_accept_any_certificate
    }

    pub(super) fn metrics(&self) -> &ServerHandshakes {
        &self.metrics
    }

    /// The name that a server's certificate is for: the one of the settings, else that of its host.
    /// `None` for a host that no certificate can be for.
    pub fn name_of(&self, host: &str) -> Option<ServerName<'static>> {
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let name = self.settings.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned()).ok()
    }

    /// Reads files again that have changed. Blocks on files.
    pub fn refresh(&self) {
        let mut material = self.material.lock();
        let ClientMaterial { authorities, certificate } = &mut *material;
        let mut is_new = self.configs.read().is_err();
        if let (Some(watched), Some(file)) = (authorities.as_mut(), &self.settings.ca) {
            is_new |= watched.refresh(&self.name, false, || files::authorities(file));
        }
        if let (Some(watched), Some(files)) = (certificate.as_mut(), &self.settings.certificate) {
            let now = unix_now();
            is_new |= watched.refresh(&self.name, false, || Credentials::read(files, now));
        }
        if is_new {
            let new = self.build(authorities.as_ref(), certificate.as_ref());
            let mut configs = self.configs.write();
            match &new {
                Err(problem) if configs.is_ok() => {
                    tracing::warn!(origin = self.name, problem, "TLS stays as it is");
                }
                _ => *configs = new,
            }
        }
    }

    fn build(
        &self,
        authorities: Option<&Watched<Authorities>>,
        certificate: Option<&Watched<Credentials>>,
    ) -> Result<ClientConfigs, String> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(self.settings.min_version))
            .map_err(|error| error.to_string())?;
        let builder = if self.is_blind() {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate::new()))
        } else if let Some(watched) = authorities {
            let own = watched.current().cloned().ok_or("`ca` cannot be used")?;
            let verifier = SelfSigned::new(own.roots, own.certificates)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        } else {
            let roots = roots::system().map_err(|problem| problem.to_string())?;
            builder.with_root_certificates(roots)
        };
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(watched) => {
                let own = watched.current().ok_or("`certificate` or `key` cannot be used")?;
                let own = SingleCertAndKey::from(Arc::clone(&own.certified));
                builder.with_client_cert_resolver(Arc::new(own))
            }
        };
        config.alpn_protocols = vec![ALPN_HTTP11.to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        let http1 = Arc::new(config.clone());
        if self.offers_http2 {
            config.alpn_protocols.insert(0, ALPN_H2.to_vec());
        }
        Ok(ClientConfigs { any: Arc::new(config), http1 })
    }

    /// Completes the handshake with a server. Has no time-out: the caller drops the future.
    pub async fn connect(
        &self,
        stream: Transport,
        name: ServerName<'static>,
        offer: HttpOffer,
    ) -> Result<Transport, ServerTlsError> {
        let configs = self.configs.read().clone().map_err(ServerTlsError::Setup)?;
        let config = match offer {
            HttpOffer::Any => configs.any,
            HttpOffer::Http1 => configs.http1,
        };
        let stream = TlsConnector::from(config).connect(name, stream).await;
        let stream = stream.map_err(ServerTlsError::of)?;
        let session = stream.get_ref().1;
        let is_tls13 = session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let is_resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        self.metrics.count(is_tls13, is_resumed);
        Ok(Transport::Tls(Box::new(stream.into())))
    }

    pub(super) fn certificate(&self) -> Option<CertificateFigures> {
        let material = self.material.lock();
        let watched = material.certificate.as_ref()?;
        let files = self.settings.certificate.as_ref()?;
        Some(CertificateFigures {
            file: files.certificate.display().to_string(),
            not_after: watched.current().map(|current| current.facts.not_after),
            failures: watched.failures(),
        })
    }
}

impl ServerHandshakes {
    fn count(&self, is_tls13: bool, is_resumed: bool) {
        let of_version = self.0.get(usize::from(is_tls13));
        if let Some(counter) = of_version.and_then(|kinds| kinds.get(usize::from(is_resumed))) {
            counter.add(1);
        }
    }
}

/// Returns what is wrong with the files of `[origin.NAME.tls]`: the key, the problem, and whether
/// it can be lived with.
pub(super) fn problems(settings: &OriginTlsSettings) -> Vec<(&'static str, FileProblem, bool)> {
    let mut problems = Vec::new();
    match &settings.ca {
        Some(file) => {
            problems.extend(files::authorities(file).err().map(|problem| ("ca", problem, false)));
        }
        None if settings.dangerously_accept_any_certificate => {}
        None => problems.extend(roots::system().err().map(|problem| ("scheme", problem, false))),
    }
    if let Some(files) = &settings.certificate {
        let now = unix_now();
        match Credentials::read(files, now) {
            Ok(read) => {
                let warning = read.warning_of_client(now);
                let problem = |warning| FileProblem::new(&files.certificate, warning);
                problems.extend(warning.map(|warning| ("certificate", problem(warning), true)));
            }
            Err(problem) => {
                let key = if problem.file == files.key { "key" } else { "certificate" };
                problems.push((key, problem, false));
            }
        }
    }
    problems
}

/// One for each server and key that it has given out.
const SESSIONS_MAX: usize = 256;
