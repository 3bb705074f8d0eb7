//! Counters of handshakes, and the figures of certificates.

use std::sync::atomic::{AtomicUsize, Ordering};

use process::metrics::{Counter, Histogram};

use super::failure::HandshakeFailure;

#[derive(Debug, Default)]
pub(super) struct HandshakeMetrics {
    /// Of TLS 1.2 and 1.3, whole and resumed.
    pub(super) succeeded: [[Counter; 2]; 2],
    pub(super) failed: [Counter; HandshakeFailure::ALL.len()],
    pub(super) with_client_certificate: Counter,
    pub(super) waiting: WaitCount,
    pub(super) duration: Histogram,
}

/// The number of those who wait.
#[derive(Debug, Default)]
pub(super) struct WaitCount(AtomicUsize);

#[derive(Debug)]
pub(super) struct WaitingHandshake<'a>(&'a AtomicUsize);

#[derive(Debug)]
pub(super) struct CertificateFigures {
    pub(super) file: String,
    /// Seconds since 1970.
    pub(super) not_after: Option<u64>,
    /// The number of times that its files became unusable.
    pub(super) failures: u64,
}

impl HandshakeMetrics {
    pub(super) fn succeed(&self, is_tls13: bool, is_resumed: bool) {
        let of_version = self.succeeded.get(usize::from(is_tls13));
        if let Some(counter) = of_version.and_then(|kinds| kinds.get(usize::from(is_resumed))) {
            counter.add(1);
        }
    }

    pub(super) fn fail(&self, failure: HandshakeFailure) {
        let place = HandshakeFailure::ALL.iter().position(|known| *known == failure);
        if let Some(counter) = place.and_then(|place| self.failed.get(place)) {
            counter.add(1);
        }
    }

    #[cfg(test)]
    pub(super) fn failures(&self) -> Vec<(&'static str, u64)> {
        let counts = self.failed.iter().map(Counter::value);
        let named = HandshakeFailure::ALL.iter().map(|failure| failure.reason()).zip(counts);
        named.filter(|(_, count)| *count > 0).collect()
    }

    #[cfg(test)]
    pub(super) fn resumed(&self) -> u64 {
        self.succeeded.iter().filter_map(|kinds| kinds.get(1)).map(Counter::value).sum()
    }
}

impl WaitCount {
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(u64::MAX)
    }

    pub(super) fn enter(&self) -> WaitingHandshake<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        WaitingHandshake(&self.0)
    }
}

impl Drop for WaitingHandshake<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
