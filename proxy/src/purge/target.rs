//! `ResolvedTarget`: what a purge names, as the marks and the keys that stand for it.

use std::sync::Arc;

use process::timestamp::Timestamp;
use purge_protocol::request::Target;
use purge_protocol::{CanonicalUrl, PurgeMode, UrlPrefix, spelling};
use smallvec::{SmallVec, smallvec};

use super::count::Pending;
use super::deploys::DeployTime;
use crate::invalidation::{
    DeployMark, Invalidation, Mark, PurgeCondition, PurgeMark, Subject, TagId, TagTable,
};
use crate::key::{Key, KeySeed, Scheme};

#[derive(Debug)]
pub(super) enum ResolvedTarget {
    Tag(TagId),
    /// A tag, and what stands for it in responses that do not list all of theirs.
    FoldedTag(TagId, [TagId; 2]),
    /// A URL under both schemes and in its usual spellings; its mark, and those of the classes of
    /// URLs that are equivalent to it.
    Url(Vec<Key>, SmallVec<[TagId; 2]>),
    Path(PathTarget),
    Prefix(UrlPrefix),
    Condition(Arc<PurgeCondition>),
    Deploy(DeployMark),
    All,
}

/// A page, or a path under every query.
#[derive(Debug)]
pub(super) struct PathTarget {
    /// Under which it is stored without a query, where that is its page.
    pub(super) keys: Vec<Key>,
    /// The tag of its other responses: none carries both.
    pub(super) ids: [TagId; 2],
    pub(super) is_page: bool,
}

impl ResolvedTarget {
    pub(super) fn of(target: &Target, ids: &TagTable, seed: KeySeed, time: DeployTime) -> Self {
        match target {
            Target::Tag(tag) => {
                let text = tag.as_str().as_bytes();
                Self::FoldedTag(ids.tag(text), ids.folds(text))
            }
            Target::Host(host) => Self::Tag(ids.host(host.as_bytes())),
            Target::Url(url) => Self::of_url(url, ids, seed),
            Target::Page(url) => Self::Path(PathTarget::of(url, true, ids, seed)),
            Target::Path(url) => Self::Path(PathTarget::of(url, false, ids, seed)),
            Target::Prefix(prefix) => Self::Prefix(prefix.clone()),
            Target::Expression(terms) => Self::Condition(Arc::new(PurgeCondition::of(terms, ids))),
            Target::Deploy(deployment) => Self::Deploy(time.mark(deployment, ids)),
            Target::All => Self::All,
        }
    }

    /// Resolves a URL in every scheme and usual spelling.
    pub(super) fn of_url(url: &CanonicalUrl, ids: &TagTable, seed: KeySeed) -> Self {
        let (host, path) = (url.host().as_bytes(), url.path().as_bytes());
        let mut marks = smallvec![ids.url_of(host, path)];
        marks.extend(ids.search_classes(host, path));
        Self::Url(keys(url, seed), marks)
    }

    /// Returns the marks to be sought in the file. Purges of a URL or of everything take responses
    /// out of it at once.
    pub(super) fn sought(&self) -> SmallVec<[PurgeMark; 3]> {
        match self {
            Self::Url(_, ids) => ids.iter().skip(1).map(|id| PurgeMark::Tag(*id)).collect(),
            Self::Deploy(_) | Self::All => SmallVec::new(),
            Self::Tag(_)
            | Self::FoldedTag(..)
            | Self::Prefix(_)
            | Self::Path(_)
            | Self::Condition(_) => self.marks().iter().map(PurgeMark::of).collect(),
        }
    }

    pub(super) fn marks(&self) -> SmallVec<[Mark<'_>; 3]> {
        match self {
            Self::Tag(id) => smallvec![Mark::Tag(*id)],
            Self::Url(_, ids) => ids.iter().map(|id| Mark::Tag(*id)).collect(),
            Self::FoldedTag(id, folds) => {
                let folds = folds.iter().map(|id| Mark::Fold(*id));
                std::iter::once(Mark::Tag(*id)).chain(folds).collect()
            }
            Self::Path(path) => path.ids.iter().map(|id| Mark::Tag(*id)).collect(),
            Self::Prefix(prefix) => smallvec![Mark::Prefix(prefix)],
            Self::Condition(condition) => smallvec![Mark::Condition(condition)],
            Self::Deploy(deploy) => smallvec![Mark::Deploy(deploy)],
            Self::All => smallvec![Mark::All],
        }
    }

    pub(super) const fn prefix(&self) -> Option<&UrlPrefix> {
        if let Self::Prefix(prefix) = self { Some(prefix) } else { None }
    }

    /// Returns a condition that no tag tells of: all responses have to be looked at.
    pub(super) fn walked_condition(&self) -> Option<&PurgeCondition> {
        let Self::Condition(condition) = self else { return None };
        condition.carried_by_all(|_| 0).is_none().then_some(&**condition)
    }

    /// Returns whether a purge of it hits such a response. Deploys are no purges, and hit none.
    pub(super) fn names(&self, subject: &Subject<'_>) -> bool {
        let Subject { key, tags, .. } = subject;
        let carries = |id: &TagId| tags.carries(*id);
        match self {
            Self::Tag(id) => carries(id),
            Self::FoldedTag(id, folds) => carries(id) || folds.iter().any(carries),
            Self::Url(keys, ids) => keys.contains(key) || ids.iter().any(carries),
            Self::Path(path) => {
                let is_own = path.keys.contains(key) && !(path.is_page && tags.is_of_other_page());
                is_own || path.ids.iter().any(carries)
            }
            Self::Prefix(prefix) => subject.is_under(prefix),
            Self::Condition(condition) => condition.is_met(subject),
            Self::Deploy(_) => false,
            Self::All => true,
        }
    }

    /// The identities that stand for a tag where tags are folded.
    pub(super) const fn folds(&self) -> &[TagId] {
        match self {
            Self::FoldedTag(_, folds) => folds,
            _ => &[],
        }
    }
}

impl PathTarget {
    fn of(url: &CanonicalUrl, is_page: bool, ids: &TagTable, seed: KeySeed) -> Self {
        let of_path = ids.path_ids(url.host().as_bytes(), url.path().as_bytes());
        let other = if is_page { of_path.page } else { of_path.path };
        Self { keys: keys(url, seed), ids: [of_path.own, other], is_page }
    }
}

/// Marks classes of equivalent URLs that have become known since these targets were resolved, and
/// returns their marks.
pub(super) fn mark_late_classes(
    resolved: &[ResolvedTarget],
    invalidation: &Invalidation,
    (mode, now): (PurgeMode, Timestamp),
) -> Vec<PurgeMark> {
    let mut late = Vec::new();
    for target in resolved {
        if let ResolvedTarget::Url(keys, known) = target
            && let Some(key) = keys.first()
        {
            let present = invalidation.ids().search_classes(key.host(), key.path());
            late.extend(present.into_iter().filter(|id| !known.contains(id)).map(Mark::Tag));
        }
    }
    if !late.is_empty() {
        invalidation.mark(&late, mode, now);
    }
    late.iter().map(PurgeMark::of).collect()
}

/// Returns the marks to be sought in the file, but for those of work that seeks them itself.
pub(super) fn sought(resolved: &[ResolvedTarget], large: &[Pending]) -> Vec<PurgeMark> {
    let mut sought: Vec<_> = resolved.iter().flat_map(ResolvedTarget::sought).collect();
    sought.retain(|mark| {
        let is_of = |work: &Pending| {
            matches!((mark, work), (PurgeMark::Tag(one), Pending::Tags(ids, _)) if ids.contains(one))
        };
        !large.iter().any(is_of)
    });
    sought
}

/// Returns the keys of a URL in every scheme and usual spelling.
fn keys(url: &CanonicalUrl, seed: KeySeed) -> Vec<Key> {
    let host = url.host().as_bytes();
    let spellings = spelling::usual(url.path().as_bytes());
    let of = |path: &[u8]| [Scheme::Http, Scheme::Https].map(|it| Key::new(seed, it, host, path));
    spellings.iter().flat_map(|path| of(path)).collect()
}
