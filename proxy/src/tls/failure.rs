//! `HandshakeFailure`: why a handshake with a client came to nothing.

use std::io;

use rustls::{Error, InvalidMessage, PeerIncompatible};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeFailure {
    Timeout,
    /// The client left.
    Closed,
    NotTls,
    /// The client does not like what it was shown.
    Alert,
    Version,
    /// No cipher suite, group or signature in common.
    Incompatible,
    Alpn,
    ClientCertificateMissing,
    ClientCertificateInvalid,
    /// There is none of ours to show.
    NoCertificate,
    Protocol,
}

impl HandshakeFailure {
    pub(super) const ALL: [Self; 11] = [
        Self::Timeout,
        Self::Closed,
        Self::NotTls,
        Self::Alert,
        Self::Version,
        Self::Incompatible,
        Self::Alpn,
        Self::ClientCertificateMissing,
        Self::ClientCertificateInvalid,
        Self::NoCertificate,
        Self::Protocol,
    ];

    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::NotTls => "not_tls",
            Self::Alert => "alert",
            Self::Version => "version",
            Self::Incompatible => "incompatible",
            Self::Alpn => "alpn",
            Self::ClientCertificateMissing => "client_certificate_missing",
            Self::ClientCertificateInvalid => "client_certificate_invalid",
            Self::NoCertificate => "no_certificate",
            Self::Protocol => "protocol",
        }
    }

    pub(super) fn of(error: &io::Error) -> Self {
        let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
            return match error.kind() {
                io::ErrorKind::InvalidData => Self::Protocol,
                _ => Self::Closed,
            };
        };
        match error {
            Error::AlertReceived(_) => Self::Alert,
            Error::PeerIncompatible(
                PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::SignatureAlgorithmsExtensionRequired // TLS 1.1 and older
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            )
            | Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => Self::Version,
            Error::PeerIncompatible(_) => Self::Incompatible,
            Error::NoApplicationProtocol => Self::Alpn,
            Error::NoCertificatesPresented => Self::ClientCertificateMissing,
            Error::InvalidCertificate(_) => Self::ClientCertificateInvalid,
            Error::General(_) => Self::NoCertificate, // "no server certificate chain resolved"
            _ => Self::Protocol,
        }
    }
}
