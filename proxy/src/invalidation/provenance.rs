//! `Provenance`: where a response stands in the order of purges, and which tags it carries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::Sequence;
use super::marks::Verdict;
use super::tag_table::{TagEntry, TagId, TagTable};
use process::timestamp::Timestamp;

/// The sequence at which a response's request was sent, its tags, and the last verdict on it.
#[derive(Debug)]
pub struct Provenance {
    born: Sequence,
    /// The sequence up to which `soft_at` is the verdict; [`PURGED`] once it is purged.
    checked: AtomicU64,
    /// The time of its soft purge in milliseconds, or [`NEVER`]. Written before `checked`.
    soft_at: AtomicU64,
    /// In the order of their identities.
    links: Box<[Link]>,
    table: Arc<TagTable>,
}

/// A handle to a tag and the place among its holders, [`UNREGISTERED`] while the response is not
/// stored.
#[derive(Debug)]
struct Link {
    tag: Arc<TagEntry>,
    place: AtomicU32,
}

impl Provenance {
    pub(super) fn new(
        born: Sequence,
        table: &Arc<TagTable>,
        tags: impl IntoIterator<Item = TagId>,
    ) -> Self {
        let mut ids: smallvec::SmallVec<[TagId; 16]> = tags.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        let link = |id| Link { tag: table.get_or_insert(id), place: AtomicU32::new(UNREGISTERED) };
        Self {
            born,
            checked: AtomicU64::new(0),
            soft_at: AtomicU64::new(NEVER),
            links: ids.into_iter().map(link).collect(),
            table: Arc::clone(table),
        }
    }

    /// Returns that of another form of the same response, with what is known of its purges. Read
    /// after a verdict on this one.
    #[must_use]
    pub fn of_other_form(&self) -> Self {
        let form = Self::new(self.born, &self.table, self.ids());
        form.soft_at.store(self.soft_at.load(Ordering::Acquire), Ordering::Release);
        form.checked.store(self.checked.load(Ordering::Acquire), Ordering::Release);
        form
    }

    /// The purge sequence at which the request was sent to the origin.
    pub const fn born(&self) -> Sequence {
        self.born
    }

    pub(super) fn tags(&self) -> impl Iterator<Item = &TagEntry> {
        self.links.iter().map(|link| &*link.tag)
    }

    /// The identities of its tags, the host's among them.
    pub fn ids(&self) -> impl Iterator<Item = TagId> {
        self.tags().map(TagEntry::id)
    }

    pub fn carries(&self, id: TagId) -> bool {
        self.links.binary_search_by_key(&id, |link| link.tag.id()).is_ok()
    }

    /// Bytes it occupies beyond its own size, for the store's accounting: links, and places among
    /// the tags' holders. Who is the first to hold a tag pays for it.
    pub fn heap_bytes(&self) -> usize {
        let own_tags = self.tags().filter(|tag| tag.live() == 0).count();
        self.links.len() * (size_of::<Link>() + PLACE_BYTES) + own_tags * TAG_BYTES
    }

    /// Enters it among the holders of its tags: it is stored under a key of this hash.
    pub fn register(&self, key_hash: u64) {
        for link in &self.links {
            link.place.store(link.tag.hold(key_hash), Ordering::Release);
        }
    }

    /// Takes it out again: it is no longer stored. Does nothing the second time.
    pub fn unregister(&self) {
        for link in &self.links {
            let place = link.place.swap(UNREGISTERED, Ordering::AcqRel);
            if place != UNREGISTERED {
                link.tag.let_go(place);
            }
        }
    }

    pub fn mark_purged(&self) {
        self.checked.store(PURGED, Ordering::Release);
    }

    /// Returns whether it is known to be hard-purged.
    pub(super) fn is_purged(&self) -> bool {
        self.checked.load(Ordering::Acquire) == PURGED
    }

    pub fn mark_soft_purged(&self, at: Timestamp) {
        self.soft_at.fetch_min(at.as_millis(), Ordering::AcqRel);
    }

    /// Returns the time of its soft purge, as far as is known.
    pub fn soft_purged(&self) -> Option<Timestamp> {
        match self.softness() {
            Verdict::Soft(at) => Some(at),
            Verdict::Valid | Verdict::Unproven | Verdict::Purged => None,
        }
    }

    /// The verdict as of this sequence, if it was reached before; else the sequence since which it
    /// was not looked at.
    pub(super) fn remembered(&self, sequence: Sequence) -> Result<Verdict, Sequence> {
        match self.checked.load(Ordering::Acquire) {
            PURGED => Ok(Verdict::Purged),
            checked if checked == sequence.0 => Ok(self.softness()),
            checked => Err(Sequence(checked.max(self.born.0))),
        }
    }

    /// Returns whether no verdict was reached yet.
    pub(super) fn is_unchecked(&self) -> bool {
        self.checked.load(Ordering::Acquire) == 0
    }

    /// Records the verdict as of this sequence and returns it, joined with earlier soft purges.
    pub(super) fn remember(&self, sequence: Sequence, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Purged => {
                self.checked.store(PURGED, Ordering::Release);
                return Verdict::Purged;
            }
            Verdict::Soft(at) => {
                self.soft_at.fetch_min(at.as_millis(), Ordering::AcqRel);
            }
            Verdict::Valid | Verdict::Unproven => {} // unproven is not remembered: it may end
        }
        self.checked.fetch_max(sequence.0, Ordering::AcqRel); // never lowers PURGED; pairs with `remembered`
        self.softness()
    }

    fn softness(&self) -> Verdict {
        match self.soft_at.load(Ordering::Acquire) {
            NEVER => Verdict::Valid,
            millis => Verdict::Soft(Timestamp::from_millis(millis)),
        }
    }
}

impl Drop for Provenance {
    fn drop(&mut self) {
        self.unregister();
        for link in std::mem::take(&mut self.links) {
            self.table.release(link.tag);
        }
    }
}

/// A key's hash in a list that is a quarter empty, on average.
const PLACE_BYTES: usize = 12;
/// A tag, its place in the table, its list of holders: measured, see `benches/memory.rs`.
const TAG_BYTES: usize = 200;
const PURGED: u64 = u64::MAX;
const NEVER: u64 = u64::MAX;
const UNREGISTERED: u32 = u32::MAX;
