//! Exact counts: each stored response is counted by the first purge that hits it, and once.

use std::collections::HashSet;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::invalidation::{Sequence, TagId};
use crate::store::Stored;

/// A large purge whose responses are counted but not yet removed.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    /// Those that carry one of the tags and were born before. None carries two of them.
    Tags(SmallVec<[TagId; 2]>, Sequence),
    /// All that were born before.
    All(Sequence),
}

impl Pending {
    pub(super) fn covers(&self, stored: &Stored) -> bool {
        match self {
            Self::Tags(ids, sequence) => {
                stored.provenance.born() < *sequence
                    && ids.iter().any(|id| stored.provenance.carries(*id))
            }
            Self::All(sequence) => stored.provenance.born() < *sequence,
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tags(_, one), Self::Tags(_, two)) | (Self::All(one), Self::All(two)) => {
                one == two
            }
            (Self::Tags(..), Self::All(_)) | (Self::All(_), Self::Tags(..)) => false,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) objects: u64,
    /// Of these, matched by an earlier selector of the same purge.
    pub(super) already_counted: u64,
    /// Of these, hit by what stands for several tags.
    pub(super) folded: u64,
}

impl Count {
    /// Adds the count of another part of the same selector.
    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            objects: self.objects + other.objects,
            already_counted: self.already_counted + other.already_counted,
            folded: self.folded + other.folded,
        }
    }

    /// Adds responses that were not in memory, and are taken out already.
    pub(super) const fn plus(self, cold: u64) -> Self {
        Self { objects: self.objects + cold, ..self }
    }

    /// Adds responses in which something stands for the tag.
    pub(super) const fn with_folded(self, folded: Self) -> Self {
        Self {
            objects: self.objects + folded.objects,
            already_counted: self.already_counted + folded.already_counted,
            folded: folded.objects,
        }
    }
}

#[derive(Debug)]
pub(super) struct PurgeTally<'a> {
    sequence: Sequence,
    earlier: &'a [Pending],
    /// Tags that a selector of this purge has counted as a whole.
    whole: Option<Pending>,
    hit: Vec<Arc<Stored>>,
    seen: HashSet<*const Stored>,
}

impl<'a> PurgeTally<'a> {
    pub(super) fn new(sequence: Sequence, earlier: &'a [Pending]) -> Self {
        Self { sequence, earlier, whole: None, hit: Vec::new(), seen: HashSet::new() }
    }

    /// Returns whether nothing was counted that a number of holders could overlap with.
    pub(super) fn is_blank(&self) -> bool {
        self.earlier.is_empty() && self.whole.is_none() && self.hit.is_empty()
    }

    /// Counts all `live` holders of tags without looking at them.
    pub(super) fn take_all_of(&mut self, ids: &[TagId], live: u64) -> Count {
        self.whole = Some(Pending::Tags(ids.into(), self.sequence));
        Count { objects: live, ..Count::default() }
    }

    /// Counts everything without looking at it.
    pub(super) fn take_everything(&mut self, objects: u64) -> Count {
        self.whole = Some(Pending::All(self.sequence));
        Count { objects, ..Count::default() }
    }

    /// Counts these responses, those that an earlier purge has counted left out.
    pub(super) fn look_at(&mut self, stored: Vec<Arc<Stored>>) -> Count {
        let mut count = Count::default();
        for stored in stored {
            let is_meant = stored.response().is_some()
                && stored.provenance.born() < self.sequence
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

    pub(super) fn into_hit(self) -> Vec<Arc<Stored>> {
        self.hit
    }
}

#[cfg(test)]
mod tests {
    use purge_protocol::PurgeMode;

    use super::*;
    use crate::freshness::Uncacheable;
    use crate::invalidation::Mark;
    use crate::store::contract::{Bench, Engine, EngineLimits, Page, SMALL};
    use crate::store::memory::{MemoryLimits, MemoryStore};
    use crate::store::{Content, NewEntry};
    use process::clock::Clock;
    use process::timestamp::Timestamp;

    fn bench() -> Bench {
        let memory = |limits: EngineLimits| {
            let EngineLimits { capacity, object_bytes_max, variants_max } = limits;
            let limits = MemoryLimits { capacity, object_bytes_max, variants_max };
            MemoryStore::new(limits, Clock::manual(Timestamp::from_secs(1)))
        };
        let engine = |limits| Engine {
            store: Arc::new(memory(limits)),
            settle: Box::new(|| ()),
            invalidation: None,
        };
        Bench::new(&engine, SMALL)
    }

    fn put(bench: &Bench, path: &str, tags: &[&str]) -> Arc<Stored> {
        bench.put(Page { tags, ..Page::at(path) }, b"content")
    }

    fn purge(bench: &Bench) -> Sequence {
        bench.invalidation.mark(&[Mark::All], PurgeMode::Hard, Timestamp::from_secs(2))
    }

    fn count(objects: u64, already_counted: u64) -> Count {
        Count { objects, already_counted, folded: 0 }
    }

    #[test]
    fn a_response_that_two_selectors_match_is_counted_by_the_first() {
        let bench = bench();
        let all: Vec<_> = ["/a", "/b", "/c"].map(|path| put(&bench, path, &[])).into();
        let mut tally = PurgeTally::new(purge(&bench), &[]);
        assert!(tally.is_blank());
        assert_eq!(tally.look_at(all[..2].to_vec()), count(2, 0));
        assert!(!tally.is_blank());
        assert_eq!(tally.look_at(all[1..].to_vec()), count(2, 1));
        assert_eq!(tally.look_at([&all[0], &all[0]].map(Arc::clone).into()), count(2, 2));
        let hit = tally.into_hit();
        assert!(hit.iter().map(Arc::as_ptr).eq(all.iter().map(Arc::as_ptr)));
    }

    #[test]
    fn markers_and_younger_responses_are_not_counted() {
        let bench = bench();
        let reason = Uncacheable::NoStore;
        let content = Content::Uncacheable { reason, until: Timestamp::from_secs(9) };
        let draft = NewEntry { content, ..bench.draft(Page::at("/marker")) };
        let marker = bench.store().begin().commit(draft).unwrap();
        let sequence = purge(&bench);
        let born_since = put(&bench, "/new", &[]);
        let mut tally = PurgeTally::new(sequence, &[]);
        assert_eq!(tally.look_at(vec![marker, born_since]), count(0, 0));
        assert!(tally.into_hit().is_empty());
    }

    #[test]
    fn responses_that_an_earlier_purge_has_counted_are_not_counted_again() {
        let bench = bench();
        let (tagged, other) = (put(&bench, "/tagged", &["t"]), put(&bench, "/other", &[]));
        let earlier = [Pending::Tags(smallvec::smallvec![bench.tag("t")], purge(&bench))];
        let later = put(&bench, "/later", &["t"]);
        let mut tally = PurgeTally::new(purge(&bench), &earlier);
        assert!(!tally.is_blank(), "a number of holders would count them again");
        assert_eq!(tally.look_at(vec![tagged, other, later]), count(2, 0));
        let everything = [Pending::All(purge(&bench))];
        let mut tally = PurgeTally::new(purge(&bench), &everything);
        assert_eq!(tally.look_at(vec![put(&bench, "/x", &["t"])]), count(0, 0), "born after both");
    }

    #[test]
    fn a_tag_that_is_counted_as_a_whole_leaves_its_responses_to_nobody_else() {
        let bench = bench();
        let (tagged, other) = (put(&bench, "/tagged", &["t"]), put(&bench, "/other", &[]));
        let live = bench.invalidation.ids().live(bench.tag("t"));
        let mut tally = PurgeTally::new(purge(&bench), &[]);
        assert_eq!(tally.take_all_of(&[bench.tag("t")], live), count(1, 0));
        assert!(!tally.is_blank());
        assert_eq!(tally.look_at(vec![tagged, other]), count(2, 1));
        assert_eq!(tally.into_hit().len(), 1, "the background takes the others out");
    }

    #[test]
    fn everything_is_everything_that_was_born_before() {
        let bench = bench();
        let old = put(&bench, "/old", &[]);
        let sequence = purge(&bench);
        let new = put(&bench, "/new", &[]);
        let mut tally = PurgeTally::new(sequence, &[]);
        assert_eq!(tally.take_everything(1), count(1, 0));
        assert_eq!(tally.look_at(vec![old, new]), count(1, 1));
        let [one, other] =
            [Pending::All(sequence), Pending::Tags(smallvec::smallvec![bench.tag("t")], sequence)];
        assert!(one.is_same(&one.clone()) && !one.is_same(&other));
    }
}
