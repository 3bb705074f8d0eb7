//! The journal: what a store keeps durable beside its responses, before it is acknowledged. The
//! memory engine keeps nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use purge_protocol::log::{LogId, Position};

use crate::invalidation::{HostDeclaration, PurgeMark, PurgeTimes, Sequence};

/// An event to be made durable. Entries are replayed in the order in which they were appended.
#[derive(Clone, Debug)]
pub enum JournalEntry {
    /// Every purge of this partition below this offset has been applied.
    Position(Position),
    /// There is no position in this partition any more.
    Forgotten(LogId),
    /// Responses born before this purge sequence are validated before they are used: a purge of
    /// them may have been missed. Responses that were in flight are stored after this entry, and
    /// meant as well.
    Unproven { until: u64 },
    /// Responses with this selector that report a lower revision than this are not kept.
    Revision {
        /// The tag or host, in the form `tag:x`, `host:x`.
        selector: String,
        revision: u64,
    },
    /// What responses of a host declare about the queries of their URLs.
    Declaration(HostDeclaration),
    /// A purge. Its marks are in force already, and the remembered past purges include it.
    Purge { marks: Vec<PurgeMark>, past: PurgeTimes },
}

/// The reason that an entry may not be durable. The caller does not acknowledge it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process serves now, and has not heard of it.
    #[error("another process has taken over: send the purge again, to that one")]
    HandedOver,
    /// The device failed: purges are in force, but may be lost at a restart.
    #[error("the purge is in force, but not durable: {0}")]
    Device(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// All recovered responses were fetched before this.
    pub before: Sequence,
}

/// Makes entries durable, in the order in which they are appended.
pub trait JournalBackend: Send + Sync + std::fmt::Debug {
    /// Adds an entry. It is durable when a later [`Self::settled`] returns.
    fn append(&self, entry: JournalEntry);

    /// Returns when all entries that were appended before are durable.
    fn settled(&self) -> Settled<'_>;

    fn positions(&self) -> Vec<Position>;

    /// Returns what was recovered; `None`: the store began empty.
    fn recovered(&self) -> Option<Recovered>;
}

/// The waiting until entries are durable.
pub type Settled<'a> = Pin<Box<dyn Future<Output = Result<(), JournalError>> + Send + 'a>>;

/// Receives what is to be durable. Clones are the same journal.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    backend: Option<Arc<dyn JournalBackend>>,
    is_handed_over: Arc<AtomicBool>,
}

impl Journal {
    pub fn kept_by(backend: Arc<dyn JournalBackend>) -> Self {
        Self { backend: Some(backend), ..Self::default() }
    }

    pub fn hand_over(&self) {
        self.is_handed_over.store(true, Ordering::Release);
    }

    /// Returns whether purges go to another process, or to another life of this one.
    pub fn is_handed_over(&self) -> bool {
        self.is_handed_over.load(Ordering::Acquire)
    }

    /// Adds an entry. It is durable when a later [`Self::settled`] returns.
    pub fn append(&self, entry: JournalEntry) {
        if let Some(backend) = &self.backend {
            backend.append(entry);
        }
    }

    /// Returns when everything that was appended before is durable.
    pub async fn settled(&self) -> Result<(), JournalError> {
        let durable = match &self.backend {
            Some(backend) => backend.settled().await,
            None => Ok(()),
        };
        // A backend that was handed over is closed, and fails: the hand-over is the reason.
        if self.is_handed_over() {
            return Err(JournalError::HandedOver);
        }
        durable
    }

    /// Returns the positions that were recovered with the store, as they are now.
    pub fn positions(&self) -> Vec<Position> {
        self.backend.as_ref().map_or_else(Vec::new, |backend| backend.positions())
    }

    /// Returns the recovered state; `None`: the store began empty.
    pub fn recovered(&self) -> Option<Recovered> {
        self.backend.as_ref().and_then(|backend| backend.recovered())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn after_a_hand_over_nothing_is_acknowledged_though_nothing_is_durable_anyway() {
        let journal = Journal::default();
        assert!(journal.settled().await.is_ok());
        journal.clone().hand_over();
        assert!(matches!(journal.settled().await, Err(JournalError::HandedOver)));
    }

    /// A store that was closed for another process.
    #[derive(Debug)]
    struct Closed;

    impl JournalBackend for Closed {
        fn append(&self, _entry: JournalEntry) {}

        fn settled(&self) -> Settled<'_> {
            Box::pin(async { Err(JournalError::Device("the store is closed".to_owned())) })
        }

        fn positions(&self) -> Vec<Position> {
            Vec::new()
        }

        fn recovered(&self) -> Option<Recovered> {
            None
        }
    }

    #[tokio::test]
    async fn a_store_closed_for_another_process_is_handed_over_not_broken() {
        let journal = Journal::kept_by(Arc::new(Closed));
        assert!(matches!(journal.settled().await, Err(JournalError::Device(_))));
        journal.hand_over();
        assert!(matches!(journal.settled().await, Err(JournalError::HandedOver)));
    }
}
