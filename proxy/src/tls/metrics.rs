//! The families of TLS on the page of metrics.

use std::sync::Arc;

use super::failure::HandshakeFailure;
use super::listener::ListenerTls;
use super::origin::OriginTls;
use crate::metrics::family::{Family, Sample};

pub(super) fn listener_families(all: &[Arc<ListenerTls>]) -> Vec<Family> {
    if all.is_empty() {
        return Vec::new();
    }
    let each = || all.iter().map(|tls| (("listener", tls.name().to_owned()), tls));
    let mut families = vec![
        Family::labelled(
            "shellac_tls_handshakes",
            "Complete TLS handshakes of clients, by version and kind",
            each().flat_map(|(name, tls)| {
                let versions = VERSIONS.into_iter().zip(&tls.metrics.succeeded);
                versions.flat_map(move |(version, counters)| {
                    let name = name.clone();
                    KINDS.into_iter().zip(counters).map(move |(kind, count)| {
                        let version = ("version", version.to_owned());
                        let labels = [name.clone(), version, ("kind", kind.to_owned())];
                        Sample::counter(labels, count.value())
                    })
                })
            }),
        ),
        Family::labelled(
            "shellac_tls_handshake_failures",
            "TLS handshakes of clients that came to nothing, by the reason",
            each().flat_map(|(name, tls)| {
                let reasons = HandshakeFailure::ALL.iter().zip(&tls.metrics.failed);
                reasons.map(move |(failure, count)| {
                    let labels = [name.clone(), ("reason", failure.reason().to_owned())];
                    Sample::counter(labels, count.value())
                })
            }),
        ),
        Family::labelled(
            "shellac_tls_handshake_duration_seconds",
            "Time from an accepted connection to the end of its TLS handshake",
            each().map(|(name, tls)| Sample::histogram([name], &tls.metrics.duration)),
        ),
        Family::labelled(
            "shellac_tls_client_certificates",
            "Complete TLS handshakes in which the client has shown a certificate",
            each().map(|(name, tls)| {
                Sample::counter([name], tls.metrics.with_client_certificate.value())
            }),
        ),
        Family::labelled(
            "shellac_tls_handshakes_in_flight",
            "TLS handshakes of clients that are being made",
            each().map(|(name, tls)| Sample::labelled_gauge([name], in_flight(tls))),
        ),
        Family::labelled(
            "shellac_tls_handshakes_waiting",
            "Clients that wait because so many TLS handshakes are being made",
            each().map(|(name, tls)| Sample::labelled_gauge([name], tls.metrics.waiting.count())),
        ),
    ];
    families.extend(certificate_families(all));
    families
}

fn certificate_families(all: &[Arc<ListenerTls>]) -> [Family; 2] {
    let each = || all.iter().map(|tls| (("listener", tls.name().to_owned()), tls));
    let certificates = || {
        each().flat_map(|(name, tls)| {
            let figures = tls.certificates().into_iter();
            figures.map(move |figures| {
                let labels = [name.clone(), ("certificate", figures.file.clone())];
                (labels, figures)
            })
        })
    };
    [
        Family::labelled(
            "shellac_tls_certificate_expiry_timestamp_seconds",
            "When a certificate expires, in seconds since 1970; 0: there is none",
            certificates().map(|(labels, figures)| {
                Sample::labelled_gauge(labels, figures.not_after.unwrap_or(0))
            }),
        ),
        Family::labelled(
            "shellac_tls_certificate_failures",
            "Times that a certificate's files became such that they cannot be used",
            certificates().map(|(labels, figures)| Sample::counter(labels, figures.failures)),
        ),
    ]
}

pub(super) fn origin_families(all: &[Arc<OriginTls>]) -> Vec<Family> {
    if all.is_empty() {
        return Vec::new();
    }
    let each = || all.iter().map(|tls| (("origin", tls.name().to_owned()), tls));
    let certificates = || {
        each().filter_map(|(name, tls)| {
            let figures = tls.certificate()?;
            Some(([name, ("certificate", figures.file.clone())], figures))
        })
    };
    let mut families = vec![
        Family::labelled(
            "shellac_origin_tls_handshakes",
            "Complete TLS handshakes with servers, by version and kind",
            each().flat_map(|(name, tls)| {
                let versions = VERSIONS.into_iter().zip(&tls.metrics().0);
                versions.flat_map(move |(version, counters)| {
                    let name = name.clone();
                    KINDS.into_iter().zip(counters).map(move |(kind, count)| {
                        let version = ("version", version.to_owned());
                        let labels = [name.clone(), version, ("kind", kind.to_owned())];
                        Sample::counter(labels, count.value())
                    })
                })
            }),
        ),
        Family::labelled(
            "shellac_origin_tls_unverified",
            "Whether any certificate of a server is accepted",
            each().map(|(name, tls)| Sample::labelled_gauge([name], u64::from(tls.is_blind()))),
        ),
    ];
    if certificates().next().is_none() {
        return families;
    }
    families.extend([
        Family::labelled(
            "shellac_origin_tls_certificate_expiry_timestamp_seconds",
            "When our certificate for an origin expires, in seconds since 1970; 0: there is none",
            certificates().map(|(labels, figures)| {
                Sample::labelled_gauge(labels, figures.not_after.unwrap_or(0))
            }),
        ),
        Family::labelled(
            "shellac_origin_tls_certificate_failures",
            "Times that the files of our certificate became such that they cannot be used",
            certificates().map(|(labels, figures)| Sample::counter(labels, figures.failures)),
        ),
    ]);
    families
}

fn in_flight(tls: &ListenerTls) -> u64 {
    let taken = tls.settings().max_handshakes.saturating_sub(tls.slots.available_permits());
    u64::try_from(taken).unwrap_or(u64::MAX)
}

const VERSIONS: [&str; 2] = ["1.2", "1.3"];
const KINDS: [&str; 2] = ["full", "resumed"];
