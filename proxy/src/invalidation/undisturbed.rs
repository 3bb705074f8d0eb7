//! Whether something was purged since a request was sent, other than by the request itself (RFC 9110 §9.3.3).

use purge_protocol::PurgeMode;

use super::marks::Verdict;
use super::{FetchBirth, Invalidation, Mark, Provenance, Sequence};
use crate::key::Key;
use process::timestamp::Timestamp;

/// What came of marking.
#[derive(Clone, Copy, Debug)]
pub struct Marked {
    /// The place of the purge in the order of all.
    pub sequence: Sequence,
    /// Whether nothing of it had been marked since the request was sent that it is for.
    pub is_first: bool,
}

impl Invalidation {
    /// Marks what the answer to an unsafe request has changed, and says whether none of it had been marked since that request was
    /// sent: two requests that change one thing at the same time leave it open which of the answers is the later one.
    pub fn mark_own(
        &self,
        marks: &[Mark<'_>],
        mode: PurgeMode,
        now: Timestamp,
        since: &FetchBirth,
    ) -> Marked {
        let mut ledger = self.ledger.lock();
        let is_first = marks.iter().all(|mark| match mark {
            Mark::Tag(id) => self.tags.verdict_of(*id, since.born) == Verdict::Valid,
            Mark::Prefix(_) | Mark::All => true,
        });
        Marked { sequence: self.mark_under(&mut ledger, marks, mode, now), is_first }
    }

    /// Decides whether no purge but `own` has hit a response since its request was sent.
    pub fn is_undisturbed(
        &self,
        provenance: &Provenance,
        since: &FetchBirth,
        own: Sequence,
        key: &Key,
    ) -> bool {
        let since = since.born;
        self.all.has_only(since, own)
            && self.tags.has_only(self.tags.url(key), since, own)
            && provenance.tags().all(|tag| tag.marks().has_only(since, own))
            && self.prefixes.verdict(since, key) == Verdict::Valid
            && self.is_above_floor(since)
            && !self.is_unproven(since)
    }
}

impl FetchBirth {
    /// Enters a fetch that counts as sent at a later moment, of which no mark can have been forgotten while this one lives.
    #[must_use]
    pub fn later(&self, born: Sequence) -> Self {
        self.invalidation.ledger.lock().enter(born);
        Self { invalidation: std::sync::Arc::clone(&self.invalidation), born }
    }
}
