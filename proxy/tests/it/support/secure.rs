//! TLS around the tests' clients and origins: an authority, its certificates, programs with TLS
//! stacks of their own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use settings::{CertificateFiles, Config, Http2, ListenTlsSettings, OriginTlsSettings};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// An authority whose certificates are files in a folder of its own.
pub(crate) struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "tests");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        fs::write(folder.path().join("ca.key"), key.serialize_pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn issue(&self, name: &str, hosts: &[&str]) -> CertificateFiles {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let params = CertificateParams::new(hosts).unwrap();
        let key = KeyPair::generate().unwrap();
        let issued = params.signed_by(&key, &self.issuer).unwrap();
        let files = CertificateFiles {
            certificate: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
            ocsp: None,
        };
        fs::write(&files.certificate, issued.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    /// Gives the proxy's listener TLS with these certificates.
    pub(crate) fn secure_listener(config: &mut Config, certificates: Vec<CertificateFiles>) {
        let listen = &mut config.listen[0];
        listen.tls = Some(ListenTlsSettings { certificates, ..ListenTlsSettings::default() });
        listen.http2 = Http2::Alpn;
    }

    /// Lets the proxy trust this authority's servers.
    pub(crate) fn secure_origin(&self, config: &mut Config) {
        let ca = Some(self.path("ca.pem"));
        config.origins[0].tls = Some(OriginTlsSettings { ca, ..OriginTlsSettings::default() });
    }

    pub(crate) fn acceptor(files: &CertificateFiles) -> TlsAcceptor {
        let chain = CertificateDer::pem_file_iter(&files.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Puts TLS in front of an origin. Ends with the test's runtime.
    pub(crate) async fn before(&self, origin: SocketAddr, files: &CertificateFiles) -> SocketAddr {
        let acceptor = Self::acceptor(files);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                drop(tokio::spawn(async move {
                    let Ok(mut near) = acceptor.accept(stream).await else { return };
                    let mut far = TcpStream::connect(origin).await.unwrap();
                    let _ended = copy_bidirectional(&mut near, &mut far).await;
                }));
            }
        }));
        address
    }

    /// Connects to the proxy as a client of `site.example`.
    pub(crate) async fn connect(&self, address: SocketAddr) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("site.example").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// Runs a program in the folder of the certificates, and returns all that it wrote.
    pub(crate) async fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
        let output = output.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        text.concat()
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
