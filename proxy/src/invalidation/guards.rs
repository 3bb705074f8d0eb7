//! Guards of running fetches and purges: while one lives, no mark that it may need is forgotten.

use std::sync::Arc;

use super::{Invalidation, Provenance, Sequence, TagId};

/// A purge that is being applied: while it lives, its marks are not forgotten.
#[derive(Debug)]
pub struct RunningPurge {
    pub(super) invalidation: Arc<Invalidation>,
    pub(super) began: Sequence,
}

impl Drop for RunningPurge {
    fn drop(&mut self) {
        self.invalidation.end_purge(self.began);
    }
}

/// A running fetch: while it lives, no mark that is newer than it is forgotten.
#[derive(Debug)]
pub struct RunningFetch {
    pub(super) invalidation: Arc<Invalidation>,
    pub(super) born: Sequence,
}

impl RunningFetch {
    /// The purge sequence at which its request was sent.
    pub const fn born(&self) -> Sequence {
        self.born
    }

    /// Returns the provenance of its response: born now, carrying these tags.
    pub fn provenance(&self, tags: impl IntoIterator<Item = TagId>) -> Provenance {
        Provenance::new(self.born, &self.invalidation.tags, tags)
    }

    /// Enters a fetch that counts as sent at a later moment, of which no mark can have been
    /// forgotten while this one lives.
    #[must_use]
    pub fn later(&self, born: Sequence) -> Self {
        self.invalidation.running.lock().enter(born);
        Self { invalidation: Arc::clone(&self.invalidation), born }
    }
}

impl Drop for RunningFetch {
    fn drop(&mut self) {
        self.invalidation.end_fetch(self.born);
    }
}
