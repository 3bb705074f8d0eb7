//! Exact counts: each stored response is counted by the first purge that hits it, and once.

use std::collections::HashSet;
use std::sync::Arc;

use crate::invalidation::{Sequence, Tag};
use crate::store::Stored;

/// A large purge whose responses are counted but not yet removed.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    /// Those that carry the tag and were born before.
    Tag(Arc<Tag>, Sequence),
    /// All that were born before.
    All(Sequence),
}

impl Pending {
    /// Returns whether it has counted this response.
    pub(super) fn covers(&self, stored: &Stored) -> bool {
        match self {
            Self::Tag(tag, sequence) => {
                stored.provenance.born() < *sequence && stored.provenance.carries(tag)
            }
            Self::All(sequence) => stored.provenance.born() < *sequence,
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tag(_, one), Self::Tag(_, two)) | (Self::All(one), Self::All(two)) => one == two,
            (Self::Tag(..), Self::All(_)) | (Self::All(_), Self::Tag(..)) => false,
        }
    }
}

/// How many responses a selector matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) objects: u64,
    /// Of these, matched by an earlier selector of the same purge.
    pub(super) already_counted: u64,
}

/// Counts the selectors of one purge.
#[derive(Debug)]
pub(super) struct Tally<'a> {
    sequence: Sequence,
    earlier: &'a [Pending],
    /// What a selector of this purge has taken as a whole.
    whole: Option<Pending>,
    hit: Vec<Arc<Stored>>,
    seen: HashSet<*const Stored>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(sequence: Sequence, earlier: &'a [Pending]) -> Self {
        Self { sequence, earlier, whole: None, hit: Vec::new(), seen: HashSet::new() }
    }

    /// Returns whether nothing was counted that a number of holders could overlap with.
    pub(super) fn is_blank(&self) -> bool {
        self.earlier.is_empty() && self.whole.is_none() && self.hit.is_empty()
    }

    /// Counts all holders of a tag without looking at them.
    pub(super) fn take_all_of(&mut self, tag: &Arc<Tag>) -> Count {
        self.whole = Some(Pending::Tag(Arc::clone(tag), self.sequence));
        Count { objects: tag.live(), already_counted: 0 }
    }

    /// Counts everything without looking at it.
    pub(super) fn take_everything(&mut self, objects: u64) -> Count {
        self.whole = Some(Pending::All(self.sequence));
        Count { objects, already_counted: 0 }
    }

    /// Counts these responses, those that an earlier purge has counted left out.
    pub(super) fn look_at(&mut self, stored: Vec<Arc<Stored>>) -> Count {
        let mut count = Count::default();
        for stored in stored {
            let is_meant = stored.response().is_some()
                && stored.provenance.born() < self.sequence
                && !stored.provenance.is_condemned()
                && !self.earlier.iter().any(|pending| pending.covers(&stored));
            if !is_meant {
                continue;
            }
            count.objects += 1;
            let is_taken = self.whole.as_ref().is_some_and(|whole| whole.covers(&stored));
            if is_taken || !self.seen.insert(Arc::as_ptr(&stored)) {
                count.already_counted += 1;
            } else {
                self.hit.push(stored);
            }
        }
        count
    }

    /// The responses that were looked at and counted.
    pub(super) fn into_hit(self) -> Vec<Arc<Stored>> {
        self.hit
    }
}
