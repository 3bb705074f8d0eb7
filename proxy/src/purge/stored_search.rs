//! `StoredSearch`: the stored responses in memory that a target of a purge names.

use std::collections::HashSet;
use std::sync::Arc;

use purge_protocol::UrlPrefix;

use super::prefix_set::PrefixSet;
use super::target::{PathTarget, ResolvedTarget};
use super::walked::WalkedResponses;
use crate::invalidation::{Carrier as _, PurgeCondition, Subject, TagId, TagTable};
use crate::key::Key;
use crate::store::{Store, Stored};

#[derive(Clone, Copy, Debug)]
pub(super) struct StoredSearch<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) table: &'a TagTable,
}

impl StoredSearch<'_> {
    /// Returns the responses that a target will hit, none for a deploy. Walks over the store for
    /// prefixes and everything: not on a thread that serves requests.
    pub(super) fn hits(self, target: &ResolvedTarget) -> Vec<Arc<Stored>> {
        match target {
            ResolvedTarget::Tag(id) => self.holders(*id),
            ResolvedTarget::FoldedTag(id, folds) => {
                std::iter::once(id).chain(folds).flat_map(|id| self.holders(*id)).collect()
            }
            ResolvedTarget::Url(keys, ids) => self.under(keys, ids),
            ResolvedTarget::Path(path) => {
                let carriers = path.ids.iter().flat_map(|id| self.holders(*id));
                carriers.chain(self.plain(path)).collect()
            }
            ResolvedTarget::Condition(condition) => {
                self.meeting(condition, self.covered(std::slice::from_ref(target)).all())
            }
            ResolvedTarget::Deploy(_) => Vec::new(),
            ResolvedTarget::Prefix(_) => self.covered(std::slice::from_ref(target)).all().to_vec(),
            ResolvedTarget::All => self.all(|_| true),
        }
    }

    pub(super) fn holders(self, id: TagId) -> Vec<Arc<Stored>> {
        let mut hashes = self.table.key_hashes(id);
        hashes.sort_unstable();
        hashes.dedup();
        let under = hashes.into_iter().flat_map(|hash| self.store.by_hash(hash));
        under.filter(|stored| stored.provenance.carries(id)).collect()
    }

    /// Returns the responses of a page or a path that carry no tag of it: those under its keys.
    pub(super) fn plain(self, path: &PathTarget) -> Vec<Arc<Stored>> {
        let under = path.keys.iter().flat_map(|key| self.store.by_hash(key.hash()));
        let is_plain = |stored: &Arc<Stored>| {
            let tags = &stored.provenance;
            path.keys.contains(&stored.key)
                && !path.ids.iter().any(|id| tags.carries(*id))
                && !(path.is_page && tags.is_of_other_page())
        };
        under.filter(is_plain).collect()
    }

    /// Returns the responses of a URL: those under its keys, and those of other spellings and of
    /// equivalent URLs, which carry its tags.
    pub(super) fn under(self, keys: &[Key], ids: &[TagId]) -> Vec<Arc<Stored>> {
        let mut seen = HashSet::new();
        let under = keys.iter().flat_map(|key| self.store.by_hash(key.hash()));
        let own = under.filter(|stored| keys.contains(&stored.key));
        let others = ids.iter().flat_map(|id| self.holders(*id));
        own.chain(others).filter(|stored| seen.insert(Arc::as_ptr(stored))).collect()
    }

    /// Everything that a prefix covers, or a condition that no tag tells of, in one walk over the
    /// store however many there are.
    pub(super) fn covered(self, resolved: &[ResolvedTarget]) -> WalkedResponses {
        let prefixes: Vec<&UrlPrefix> =
            resolved.iter().filter_map(ResolvedTarget::prefix).collect();
        let conditions: Vec<&PurgeCondition> =
            resolved.iter().filter_map(ResolvedTarget::walked_condition).collect();
        if conditions.is_empty() && prefixes.is_empty() {
            return WalkedResponses::default();
        }
        let set = PrefixSet::of(prefixes.iter().copied());
        let all = self.all(|Stored { key, provenance, .. }| {
            let subject = Subject::new(key, provenance, self.table);
            set.covers(key.host(), subject.path())
                || conditions.iter().any(|condition| condition.is_met(&subject))
        });
        WalkedResponses::new(all, &prefixes)
    }

    /// Returns the responses that meet a condition: those of its rarest tag, or of all that a walk
    /// has found where no tag tells.
    pub(super) fn meeting(
        self,
        condition: &PurgeCondition,
        walked: &[Arc<Stored>],
    ) -> Vec<Arc<Stored>> {
        let table = self.table;
        let mut seen = HashSet::new();
        let mut found: Vec<_> = match condition.carried_by_all(|id| table.live(id)) {
            Some(ids) => ids.iter().flat_map(|id| self.holders(*id)).collect(),
            None => walked.to_vec(),
        };
        found.retain(|stored| {
            let subject = Subject::new(&stored.key, &stored.provenance, table);
            condition.is_met(&subject) && seen.insert(Arc::as_ptr(stored))
        });
        found
    }

    pub(super) fn all(self, is_meant: impl Fn(&Stored) -> bool) -> Vec<Arc<Stored>> {
        let mut all = Vec::new();
        self.store.visit(&mut |stored| {
            if is_meant(stored) {
                all.push(Arc::clone(stored));
            }
        });
        all
    }
}
