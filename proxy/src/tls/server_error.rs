//! `ServerTlsError`: why a server could not be spoken to over TLS, in words and in those of RFC
//! 9209.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, Error};

use crate::reason::Reason;

#[derive(Clone, Debug, thiserror::Error)]
pub enum ServerTlsError {
    /// Its certificate is not what it should be. Nothing was sent.
    #[error("its certificate {0}")]
    Certificate(String),
    /// It refused what it was shown, perhaps our certificate.
    #[error("it sent the alert {0:?}")]
    Alert(AlertDescription),
    #[error("the handshake failed: {0}")]
    Protocol(String),
    /// The connection broke within the handshake.
    #[error("the connection broke in the handshake")]
    Broken(#[source] Arc<io::Error>),
    #[error("it did not complete the handshake in time")]
    Timeout,
    /// Files of ours cannot be used. The operator mends them; they are tried again.
    #[error("TLS is not set up: {0}")]
    Setup(String),
}

impl ServerTlsError {
    pub(super) fn of(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::AlertReceived(alert)) => Self::Alert(*alert),
            Some(Error::InvalidCertificate(error)) => Self::Certificate(in_words(error)),
            Some(Error::NoCertificatesPresented) => Self::Certificate("is missing".to_owned()),
            Some(error) => Self::Protocol(error.to_string()),
            None => Self::Broken(Arc::new(error)),
        }
    }

    /// Returns the alert that ended an exchange: with TLS 1.3 a server may refuse our certificate
    /// after its side of the handshake.
    pub fn of_exchange(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut causes = std::iter::successors(Some(error), |error| (*error).source());
        causes.find_map(|cause| {
            let inner = cause.downcast_ref::<io::Error>()?.get_ref()?;
            match inner.downcast_ref::<Error>()? {
                Error::AlertReceived(alert) => Some(Self::Alert(*alert)),
                _ => None,
            }
        })
    }

    /// The number of the alert that the server sent (RFC 9209 §2.3.15).
    pub fn alert(&self) -> Option<u8> {
        match self {
            Self::Alert(alert) => Some(u8::from(*alert)),
            _ => None,
        }
    }

    /// The error type of RFC 9209 §2.3.
    pub const fn proxy_status_type(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "tls_certificate_error",
            Self::Alert(_) => "tls_alert_received",
            Self::Protocol(_) => "tls_protocol_error",
            Self::Broken(_) => "connection_terminated",
            Self::Timeout => "connection_timeout",
            Self::Setup(_) => "proxy_configuration_error",
        }
    }

    pub const fn reason(&self) -> Reason {
        match self {
            Self::Certificate(_) => Reason::TlsCertificate,
            Self::Alert(_) => Reason::TlsAlert,
            Self::Protocol(_) => Reason::TlsProtocol,
            Self::Broken(_) => Reason::TlsBroken,
            Self::Timeout => Reason::TlsTimeout,
            Self::Setup(_) => Reason::TlsSetup,
        }
    }
}

fn in_words(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet".to_owned()
        }
        CertificateError::BadSignature => {
            "is signed by another authority of the same name, or not at all".to_owned()
        }
        CertificateError::Other(error) if format!("{error:?}").contains("CaUsedAsEndEntity") => {
            "is an authority's: put it into `ca`, or give the server one of its own".to_owned()
        }
        CertificateError::UnknownIssuer => "is of an unknown authority".to_owned(),
        CertificateError::NotValidForName => "is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented = presented.iter().take(NAMES_MAX).map(|name| bare(name));
            let presented: Vec<&str> = presented.collect();
            format!("is not for {}, but for {}", expected.to_str(), presented.join(", "))
        }
        error => format!("is not accepted: {error}"),
    }
}

/// Returns the name in `DnsName("name")` or `IpAddress(name)`.
fn bare(presented: &str) -> &str {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.map_or(presented, |inner| inner.trim_matches('"'))
}

const NAMES_MAX: usize = 5;
