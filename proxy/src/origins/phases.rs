//! `OriginPhases`: the time that the steps of exchanges with one origin took.

use process::metrics::Histogram;
use tokio::time::Instant;

/// One step of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OriginPhase {
    /// The wait for a server that may have one more request; next to nothing where none waits.
    Queue,
    /// Opening a connection: the look-up of the name, and the handshake of TCP.
    Connect,
    Tls,
    /// From a connection at hand to the response's head.
    FirstByte,
    /// From the head to the last byte of the content.
    Transfer,
}

#[derive(Debug, Default)]
pub struct OriginPhases([Histogram; OriginPhase::ALL.len()]);

impl OriginPhase {
    pub(super) const ALL: [Self; 5] =
        [Self::Queue, Self::Connect, Self::Tls, Self::FirstByte, Self::Transfer];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::FirstByte => "first_byte",
            Self::Transfer => "transfer",
        }
    }
}

impl OriginPhases {
    /// Records a step that began then, and ends now.
    pub(super) fn end(&self, phase: OriginPhase, begun: Instant) {
        if let Some(histogram) = self.0.get(phase as usize) {
            histogram.record(begun.elapsed(), 1);
        }
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (OriginPhase, &Histogram)> {
        OriginPhase::ALL.into_iter().zip(&self.0)
    }
}
