//! An authority, files of its certificates, and clients that trust it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SerialNumber, date_time_ymd,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use settings::{CertificateFiles, Http2, ListenSettings, ListenTlsSettings};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::ListenerTls;
use crate::tls::handshake::accept;
use crate::transport::Transport;

/// An authority in a folder of its own.
pub(super) struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

pub(super) const SERIAL: [u8; 2] = [0x2a, 0x17];

impl Authority {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        let der = certificate.der().clone();
        Self { folder, issuer: Issuer::new(params, key), der }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes NAME.pem and NAME.key, as an editor would: another file takes the name.
    pub(super) fn issue(&self, name: &str, hosts: &[&str]) -> CertificateFiles {
        self.issue_until(name, hosts, 2099)
    }

    pub(super) fn issue_until(&self, name: &str, hosts: &[&str], year: i32) -> CertificateFiles {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.serial_number = Some(SerialNumber::from_slice(&SERIAL));
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (pem, key_file) =
            (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        replace(&pem, certificate.pem().as_bytes());
        replace(&key_file, key.serialize_pem().as_bytes());
        CertificateFiles { certificate: pem, key: key_file, ocsp: None }
    }

    /// Writes a certificate for `self.test` as `openssl req -x509` does: its own authority.
    pub(super) fn self_signed(&self, name: &str, year: i32) -> CertificateFiles {
        let mut params = CertificateParams::new(vec!["self.test".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let (pem, key_file) =
            (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        replace(&pem, certificate.pem().as_bytes());
        replace(&key_file, key.serialize_pem().as_bytes());
        CertificateFiles { certificate: pem, key: key_file, ocsp: None }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        roots
    }

    /// A client that trusts this authority, and shows a certificate if it has one.
    pub(super) fn client(&self, own: Option<&CertificateFiles>) -> TestClient {
        let seen = Arc::new(Seen::new(self.roots()));
        let builder = ClientConfig::builder_with_provider(crate::tls::provider())
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::<Seen>::clone(&seen));
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let chain = CertificateDer::pem_file_iter(&files.certificate).unwrap();
                let chain = chain.collect::<Result<_, _>>().unwrap();
                let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        TestClient { config, seen }
    }
}

pub(super) fn replace(file: &Path, content: &[u8]) {
    let new = file.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, file).unwrap();
}

pub(super) struct TestClient {
    pub(super) config: ClientConfig,
    pub(super) seen: Arc<Seen>,
}

impl TestClient {
    pub(super) fn alpn(mut self, protocols: &[&str]) -> Self {
        let protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec());
        self.config.alpn_protocols = protocols.collect();
        self
    }

    /// Shakes hands with a listener. Returns both ends: the client's, if it is content so far, and
    /// the listener's.
    pub(super) async fn shake(
        &self,
        tls: &ListenerTls,
        host: &str,
    ) -> (Result<TlsStream<UnixStream>, std::io::Error>, Option<(Transport, bool)>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let connector = TlsConnector::from(Arc::new(self.config.clone()));
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let (client, server) =
            tokio::join!(connector.connect(name, theirs), accept(tls, Transport::Unix(ours)));
        (client, server.map(|secured| (secured.stream, secured.is_http2)))
    }
}

/// What the listener showed last: its certificate and the OCSP response.
#[derive(Debug)]
pub(super) struct Seen {
    verifier: Arc<WebPkiServerVerifier>,
    pub(super) last: Mutex<Option<(Vec<u8>, Vec<u8>)>>,
}

impl Seen {
    fn new(roots: RootCertStore) -> Self {
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crate::tls::provider());
        Self { verifier: builder.build().unwrap(), last: Mutex::new(None) }
    }

    /// Returns the certificate of a whole handshake since the last call.
    pub(super) fn take(&self) -> Option<Vec<u8>> {
        self.last.lock().take().map(|(certificate, _)| certificate)
    }
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.last.lock() = Some((end_entity.to_vec(), ocsp.to_vec()));
        self.verifier.verify_server_cert(end_entity, intermediates, name, &[], now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

pub(super) fn listen(certificates: &[CertificateFiles]) -> ListenSettings {
    let tls = ListenTlsSettings {
        certificates: certificates.to_vec(),
        handshake_timeout: Duration::from_secs(10),
        ..ListenTlsSettings::default()
    };
    ListenSettings { http2: Http2::Alpn, tls: Some(tls), ..ListenSettings::default() }
}

pub(super) fn certificate_in(files: &CertificateFiles) -> Vec<u8> {
    CertificateDer::from_pem_file(&files.certificate).unwrap().to_vec()
}
