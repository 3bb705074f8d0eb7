//! `SelfSigned`: a verifier of servers for which a certificate of `ca` may be a server's own, as
//! with OpenSSL: `openssl req -x509` makes certificates that are both.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::facts::CertificateFacts;
use super::provider;

#[derive(Debug)]
pub(super) struct SelfSigned {
    authorities: Arc<WebPkiServerVerifier>,
    known: Arc<[CertificateDer<'static>]>,
}

impl SelfSigned {
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        known: Arc<[CertificateDer<'static>]>,
    ) -> Result<Self, String> {
        let builder = WebPkiServerVerifier::builder_with_provider(roots, provider());
        let authorities = builder.build().map_err(|error| error.to_string())?;
        Ok(Self { authorities, known })
    }
}

/// Verifies a certificate that is known byte by byte: its time and its name.
fn verify_known(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    let facts = CertificateFacts::read(certificate).ok_or(CertificateError::BadEncoding)?;
    if now.as_secs() > facts.not_after {
        return Err(CertificateError::Expired.into());
    }
    if now.as_secs() < facts.not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
    Ok(ServerCertVerified::assertion())
}

impl ServerCertVerifier for SelfSigned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.known.iter().any(|known| known == end_entity) {
            return verify_known(end_entity, name, now);
        }
        self.authorities.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
