//! `PastPurges`: the purges that matter to responses which are not in memory, and hold no tags
//! there.
//!
//! It holds the last purge of each tag, up to [`PAST_MAX`]; older ones are folded into a table of a
//! fixed size, in which tags may share a place, and those of prefixes into purges of their hosts:
//! then more is invalidated than was purged, never less.

mod expressions;
mod prefixes;

use std::collections::HashMap;
use std::sync::Arc;

use purge_protocol::{PurgeMode, UrlPrefix};

use self::expressions::Expressions;
use self::prefixes::Prefixes;
use super::condition::{PurgeCondition, Subject};
use super::deployments::{DeployMark, DeployStates};
use super::marks::Verdict;
use super::{Mark, Sequence, TagId};
use process::timestamp::Timestamp;

/// The last hard and the last soft purge of one thing. Zero: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PurgeTimes {
    pub hard: Sequence,
    pub soft: Sequence,
    pub soft_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurgeMark {
    /// A tag that the origin gave, a host, a group or a URL.
    Tag(TagId),
    Prefix(UrlPrefix),
    Condition(Arc<PurgeCondition>),
    /// Kept for good: what a server of an earlier deployment still answers is judged by it.
    Deploy(DeployMark),
    All,
}

#[derive(Clone, Debug)]
pub struct PastPurges {
    room: Room,
    tags: HashMap<TagId, PurgeTimes>,
    prefixes: Prefixes,
    expressions: Expressions,
    deploys: DeployStates,
    all: PurgeTimes,
    /// Hard purges of tags that there was no room for, by the tag's hash; empty: there are none.
    folded: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Room {
    tags: usize,
    /// Bytes of prefixes.
    prefix_bytes: usize,
    expression_bytes: usize,
    folded: usize,
}

impl Default for PastPurges {
    fn default() -> Self {
        Self::sized(usize::MAX)
    }
}

impl PurgeTimes {
    /// The past after one purge.
    pub fn of(mode: PurgeMode, sequence: Sequence, now: Timestamp) -> Self {
        match mode {
            PurgeMode::Hard => Self { hard: sequence, ..Self::default() },
            PurgeMode::Soft => Self { soft: sequence, soft_at: now, hard: Sequence::default() },
        }
    }

    pub(super) fn join(&mut self, other: Self) {
        self.hard = self.hard.max(other.hard);
        if other.soft > self.soft {
            (self.soft, self.soft_at) = (other.soft, other.soft_at);
        }
    }

    pub(super) fn verdict(self, born: Sequence) -> Verdict {
        if self.hard > born {
            Verdict::Purged
        } else if self.soft > born {
            Verdict::Soft(self.soft_at)
        } else {
            Verdict::Valid
        }
    }

    pub(super) fn latest(self) -> Sequence {
        self.hard.max(self.soft)
    }
}

impl PurgeMark {
    pub fn of(mark: &Mark<'_>) -> Self {
        match mark {
            Mark::Tag(id) | Mark::Fold(id) => Self::Tag(*id),
            Mark::Prefix(prefix) => Self::Prefix((*prefix).clone()),
            Mark::Condition(condition) => Self::Condition(Arc::clone(condition)),
            Mark::Deploy(deploy) => Self::Deploy((*deploy).clone()),
            Mark::All => Self::All,
        }
    }
}

impl PastPurges {
    /// Returns an empty one that takes at most half of `bytes` when it is written.
    pub fn sized(bytes: usize) -> Self {
        let folded = (bytes / 8 / 8).clamp(64, FOLDED);
        let room = Room {
            tags: (bytes / 16 * 3 / TAG_BYTES).clamp(64, PAST_MAX),
            prefix_bytes: (bytes / 8).min(PREFIX_BYTES_MAX),
            expression_bytes: (bytes / 16).min(EXPRESSION_BYTES_MAX),
            folded: (folded / 2 + 1).next_power_of_two(),
        };
        Self {
            room,
            tags: HashMap::new(),
            prefixes: Prefixes::default(),
            expressions: Expressions::default(),
            deploys: DeployStates::default(),
            all: PurgeTimes::default(),
            folded: Vec::new(),
        }
    }

    pub fn note(&mut self, mark: &PurgeMark, past: PurgeTimes) {
        match mark {
            PurgeMark::All => self.all.join(past),
            PurgeMark::Tag(id) => self.tags.entry(*id).or_default().join(past),
            PurgeMark::Prefix(prefix) => self.prefixes.note(prefix, past),
            PurgeMark::Condition(condition) => self.note_condition(condition, past),
            PurgeMark::Deploy(deploy) => self.note_deploy(deploy, past),
        }
        if self.tags.len() > self.room.tags {
            self.fold();
        }
        self.all.join(self.prefixes.fold(self.room.prefix_bytes));
    }

    /// Widens the oldest expressions where there is no room for another.
    fn note_condition(&mut self, condition: &Arc<PurgeCondition>, past: PurgeTimes) {
        self.expressions.note(condition, past);
        while let Some((oldest, past)) = self.expressions.excess(self.room.expression_bytes) {
            for mark in expressions::widened(&oldest) {
                self.note(&mark, past);
            }
        }
    }

    fn note_deploy(&mut self, deploy: &DeployMark, past: PurgeTimes) {
        if let Some(host) = self.deploys.set(deploy, past.latest()) {
            let hard = PurgeTimes { hard: past.latest(), ..PurgeTimes::default() };
            self.note(&PurgeMark::Tag(host), hard);
        }
    }

    pub(super) const fn deploys(&self) -> &DeployStates {
        &self.deploys
    }

    /// Decides for a response that was born then and carries these tags.
    pub fn verdict(&self, born: Sequence, tags: &[TagId], subject: &Subject<'_>) -> Verdict {
        let (key, table) = (subject.key, subject.table);
        let mut verdict = self.all.verdict(born);
        verdict = verdict.worse(self.prefixes.verdict(born, (key.host(), subject.path())));
        verdict = verdict.worse(self.expressions.verdict(born, subject));
        let place = table.place(key, subject.tags.is_of_other_page());
        for id in tags.iter().copied().chain([table.url(key), place]) {
            if let Some(past) = self.tags.get(&id) {
                verdict = verdict.worse(past.verdict(born));
            }
            if self.folded_at(id) > born.0 {
                verdict = Verdict::Purged;
            }
        }
        verdict
    }

    /// Forgets every purge that is older than everything it could still apply to.
    pub fn forget_before(&mut self, oldest_born: Sequence) {
        self.tags.retain(|_, past| past.latest() > oldest_born);
        self.prefixes.retain(|_, past| past.latest() > oldest_born);
        self.expressions.retain(|past| past.latest() > oldest_born);
        if self.folded.iter().all(|sequence| *sequence <= oldest_born.0) {
            self.folded = Vec::new();
        }
    }

    /// Shows everything it knows of, in no order.
    pub fn for_each(&self, mut show: impl FnMut(PurgeMark, PurgeTimes)) {
        show(PurgeMark::All, self.all);
        self.prefixes.for_each(|prefix, past| show(PurgeMark::Prefix(prefix.clone()), past));
        self.expressions
            .for_each(|condition, past| show(PurgeMark::Condition(Arc::clone(condition)), past));
        for (deploy, changed) in self.deploys.iter() {
            let past = PurgeTimes::of(PurgeMode::Soft, changed, deploy.at);
            show(PurgeMark::Deploy(deploy.clone()), past);
        }
        #[expect(clippy::iter_over_hash_type, reason = "they are noted again in any order")]
        for (id, past) in &self.tags {
            show(PurgeMark::Tag(*id), *past);
        }
    }

    /// The table of purges that there was no room for, by place; empty: there are none.
    pub fn folded(&self) -> &[u64] {
        &self.folded
    }

    /// Takes a table back that [`Self::folded`] showed, a piece at a time from this place on.
    pub fn unfold(&mut self, place: usize, sequences: &[u64]) {
        self.folded.resize(self.room.folded, 0);
        for (known, sequence) in self.folded.iter_mut().skip(place).zip(sequences) {
            *known = (*known).max(*sequence);
        }
    }

    pub fn latest(&self) -> Sequence {
        let mut latest = Sequence(self.folded.iter().copied().max().unwrap_or(0));
        self.for_each(|_, past| latest = latest.max(past.latest()));
        latest
    }

    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Returns whether it remembers no tag.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Folds the older half. A soft purge becomes a hard one: there is no room for its time.
    fn fold(&mut self) {
        let mut ages: Vec<Sequence> = self.tags.values().map(|past| past.latest()).collect();
        let middle = ages.len() / 2;
        let limit = *ages.select_nth_unstable(middle).1;
        self.folded.resize(self.room.folded, 0);
        let folded = &mut self.folded;
        self.tags.retain(|id, past| {
            let stays = past.latest() > limit;
            let place = place_of(*id, folded.len());
            if !stays && let Some(place) = folded.get_mut(place) {
                *place = (*place).max(past.latest().0);
            }
            stays
        });
    }

    fn folded_at(&self, id: TagId) -> u64 {
        self.folded.get(place_of(id, self.folded.len())).copied().unwrap_or(0)
    }
}

fn place_of(id: TagId, places: usize) -> usize {
    usize::try_from((id.bits() >> 64) % (places.max(1) as u128)).unwrap_or(0)
}

/// Bytes of a written tag.
const TAG_BYTES: usize = 72;
/// Tags whose last purge is remembered exactly: some 20 MiB.
const PAST_MAX: usize = 1 << 18;
/// Places of the table for older ones: 8 MiB once it is needed.
const FOLDED: usize = 1 << 20;
/// Bytes of prefixes, however large the journal is: some 150,000 of the usual length.
const PREFIX_BYTES_MAX: usize = 16 << 20;
/// Bytes of expressions, however large the journal is. A response that comes back from disk is
/// compared with all that are newer than it.
const EXPRESSION_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invalidation::{ConditionTerm, TagTable};
    use crate::key::{Key, KeySeed, Scheme};

    const NOW: Timestamp = Timestamp::from_secs(5);

    fn tag(number: usize) -> TagId {
        TagId::from_bits((number as u128) << 64 | 1)
    }

    fn hard(sequence: u64) -> PurgeTimes {
        PurgeTimes::of(PurgeMode::Hard, Sequence(sequence), NOW)
    }

    fn verdict(past_purges: &PastPurges, born: u64, number: usize) -> Verdict {
        // With this seed the URL and its path share no place with the tags that are folded here.
        let table = TagTable::new(2);
        let key = Key::new(KeySeed(1), Scheme::Http, b"h", b"/a/b");
        let tags = &[tag(number)][..];
        let subject = Subject::new(&key, &tags, &table);
        past_purges.verdict(Sequence(born), tags, &subject)
    }

    #[test]
    fn the_last_purge_of_each_thing_decides() {
        let mut past_purges = PastPurges::default();
        past_purges.note(&PurgeMark::Tag(tag(1)), hard(10));
        past_purges.note(&PurgeMark::Tag(tag(1)), hard(7));
        past_purges
            .note(&PurgeMark::Tag(tag(2)), PurgeTimes::of(PurgeMode::Soft, Sequence(11), NOW));
        assert_eq!(verdict(&past_purges, 9, 1), Verdict::Purged);
        assert_eq!(verdict(&past_purges, 10, 1), Verdict::Valid);
        assert_eq!(verdict(&past_purges, 10, 2), Verdict::Soft(NOW));
        past_purges.note(&PurgeMark::Prefix(UrlPrefix::parse("//h/a/").unwrap()), hard(12));
        assert_eq!(verdict(&past_purges, 11, 3), Verdict::Purged);
        assert_eq!(verdict(&past_purges, 12, 3), Verdict::Valid);
        past_purges.note(&PurgeMark::All, hard(13));
        assert_eq!(verdict(&past_purges, 12, 3), Verdict::Purged);
        assert_eq!(past_purges.latest(), Sequence(13));
        past_purges.forget_before(Sequence(11));
        assert!(past_purges.is_empty());
        assert_eq!(verdict(&past_purges, 12, 3), Verdict::Purged);
    }

    #[test]
    fn tags_beyond_the_limit_are_folded_and_stay_purged() {
        let mut past_purges = PastPurges::default();
        for number in 0..=PAST_MAX {
            past_purges.note(&PurgeMark::Tag(tag(number)), hard(number as u64 + 1));
        }
        assert!(past_purges.len() <= PAST_MAX / 2 + 1);
        for number in 0..=PAST_MAX {
            assert_eq!(verdict(&past_purges, number as u64, number), Verdict::Purged);
            assert_eq!(verdict(&past_purges, number as u64 + 1, number), Verdict::Valid);
        }
        let mut other = PastPurges::default();
        past_purges.for_each(|mark, past| other.note(&mark, past));
        other.unfold(0, past_purges.folded());
        assert!((0..=PAST_MAX).all(|it| verdict(&other, it as u64, it) == Verdict::Purged));
    }

    #[test]
    fn a_small_one_remembers_less_exactly_and_everything_all_the_same() {
        let mut past_purges = PastPurges::sized(32 << 10);
        for number in 0..5000 {
            past_purges.note(&PurgeMark::Tag(tag(number)), hard(number as u64 + 1));
            let prefix = UrlPrefix::parse(&format!("//h/prefix-{number}/")).unwrap();
            past_purges.note(&PurgeMark::Prefix(prefix), hard(number as u64 + 1));
        }
        assert!(past_purges.len() <= 113 && past_purges.prefixes.bytes() <= 4096);
        assert!(past_purges.folded().len() <= 512);
        assert!((0..5000).all(|it| verdict(&past_purges, it as u64, it) == Verdict::Purged));
        assert_eq!(verdict(&past_purges, 5000, 1), Verdict::Valid);
    }

    #[test]
    fn conditions_beyond_the_limit_are_widened_and_stay_purged() {
        let table = TagTable::new(1);
        let condition = |number: usize| {
            let [all_of, none_of] =
                [tag(number), tag(number + 1)].map(|id| [ConditionTerm::Carried(id)]);
            Arc::new(PurgeCondition {
                all_of: all_of.into(),
                any_of: [].into(),
                none_of: none_of.into(),
            })
        };
        let mut past_purges = PastPurges::default();
        for number in 0..2000 {
            let mark = PurgeMark::Condition(condition(number));
            past_purges.note(&mark, hard(number as u64 + 1));
        }
        let key = Key::new(KeySeed(1), Scheme::Http, b"h", b"/a/b");
        let both = |past_purges: &PastPurges, born: u64, number: usize| {
            let tags = &[tag(number), tag(number + 1)][..];
            let subject = Subject::new(&key, &tags, &table);
            past_purges.verdict(Sequence(born), tags, &subject)
        };
        for number in 0..2000 {
            assert_eq!(verdict(&past_purges, number as u64, number), Verdict::Purged);
            assert_eq!(verdict(&past_purges, number as u64 + 1, number), Verdict::Valid);
        }
        assert_eq!(both(&past_purges, 1998, 1999), Verdict::Valid, "it carries what is left out");
        assert_eq!(both(&past_purges, 5, 5), Verdict::Purged, "what is widened is purged as well");
        let mut other = PastPurges::default();
        past_purges.for_each(|mark, past| other.note(&mark, past));
        assert_eq!(both(&other, 1998, 1999), Verdict::Valid);
        assert_eq!(verdict(&other, 1998, 1999), Verdict::Purged);
    }

    #[test]
    fn a_prefix_means_every_spelling_of_what_it_covers() {
        let mut past_purges = PastPurges::default();
        let prefix = UrlPrefix::parse("//h/caf%C3%A9/b").unwrap();
        past_purges.note(&PurgeMark::Prefix(prefix), hard(2));
        let (table, none) = (TagTable::new(2), &[][..]);
        for (path, expected) in [
            ("/caf%C3%A9/blog", Verdict::Purged),
            ("/caf%c3%a9/%62log?x", Verdict::Purged),
            ("/caf%C3%A9/%2562", Verdict::Valid),
        ] {
            let key = Key::new(KeySeed(1), Scheme::Http, b"h", path.as_bytes());
            let subject = Subject::new(&key, &none, &table);
            assert_eq!(past_purges.verdict(Sequence(1), none, &subject), expected, "{path}");
        }
    }

    #[test]
    fn many_purges_of_prefixes_leave_what_they_do_not_cover() {
        let mut past_purges = PastPurges::default();
        for number in 0..20_000 {
            let prefix = UrlPrefix::parse(&format!("//other/p{number}/")).unwrap();
            past_purges.note(&PurgeMark::Prefix(prefix), hard(100 + number));
        }
        assert_eq!(verdict(&past_purges, 99, 1), Verdict::Valid);
        let prefix = UrlPrefix::parse("/a/").unwrap();
        past_purges.note(&PurgeMark::Prefix(prefix), hard(101));
        assert_eq!(verdict(&past_purges, 100, 1), Verdict::Purged);
        assert_eq!(verdict(&past_purges, 101, 1), Verdict::Valid);
    }
}
