//! `PurgeCondition`: what a boolean selector asks of a response, and how it is judged.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::hash::{Hash, Hasher};

use purge_protocol::{CanonicalUrl, Term, Terms, UrlPrefix, spelling};
use smallvec::{SmallVec, smallvec};

use super::Provenance;
use super::tag_table::{PathIds, TagId, TagTable};
use crate::key::Key;

/// The conditions of a boolean selector, as identities.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_field_names, reason = "the names are those of the protocol")]
pub struct PurgeCondition {
    pub all_of: Box<[ConditionTerm]>,
    pub any_of: Box<[ConditionTerm]>,
    pub none_of: Box<[ConditionTerm]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConditionTerm {
    /// A host: every response that it holds for carries it.
    Carried(TagId),
    /// A tag that the origin gave, and what stands for it in responses that do not list all of
    /// theirs.
    Tag(TagId, [TagId; 2]),
    Url(UrlTerm),
    Page(PathIds),
    Path(PathIds),
    Prefix(UrlPrefix),
}

/// A URL with those that are equivalent to it: what responses declare later counts, too.
#[derive(Clone, Debug)]
pub struct UrlTerm {
    id: TagId,
    url: CanonicalUrl,
    /// The classes of equivalent URLs that were known when it was purged.
    classes: SmallVec<[TagId; 2]>,
}

/// The tags of a response, in memory or on disk.
pub trait Carrier: std::fmt::Debug {
    fn carries(&self, id: TagId) -> bool;

    /// Returns whether it is of another page than that of its own path.
    fn is_of_other_page(&self) -> bool;
}

/// A response as a condition sees it. What follows from its URL is computed once, however many
/// terms ask for it.
#[derive(Debug)]
pub struct Subject<'a> {
    pub key: &'a Key,
    pub tags: &'a dyn Carrier,
    pub table: &'a TagTable,
    path: OnceCell<Cow<'a, [u8]>>,
    own_place: OnceCell<TagId>,
    url: OnceCell<TagId>,
}

impl<'a> Subject<'a> {
    pub const fn new(key: &'a Key, tags: &'a dyn Carrier, table: &'a TagTable) -> Self {
        Self {
            key,
            tags,
            table,
            path: OnceCell::new(),
            own_place: OnceCell::new(),
            url: OnceCell::new(),
        }
    }

    pub fn is_under(&self, prefix: &UrlPrefix) -> bool {
        prefix.covers_normal(self.key.host(), self.path())
    }

    /// The path in its normal spelling, with the query.
    pub fn path(&self) -> &[u8] {
        self.path.get_or_init(|| spelling::normal(self.key.path()))
    }

    fn own_place(&self) -> TagId {
        *self.own_place.get_or_init(|| self.table.place(self.key, false))
    }

    fn url(&self) -> TagId {
        *self.url.get_or_init(|| self.table.url(self.key))
    }
}

impl Carrier for Provenance {
    fn carries(&self, id: TagId) -> bool {
        Self::carries(self, id)
    }

    fn is_of_other_page(&self) -> bool {
        self.ids().any(TagId::is_other_page)
    }
}

impl Carrier for &[TagId] {
    fn carries(&self, id: TagId) -> bool {
        self.contains(&id)
    }

    fn is_of_other_page(&self) -> bool {
        self.iter().any(|id| id.is_other_page())
    }
}

impl PurgeCondition {
    pub fn of(terms: &Terms, table: &TagTable) -> Self {
        let ids =
            |terms: &[Term]| terms.iter().map(|term| ConditionTerm::of(term, table)).collect();
        let Terms { all_of, any_of, none_of } = terms;
        Self { all_of: ids(all_of), any_of: ids(any_of), none_of: ids(none_of) }
    }

    pub fn is_met(&self, subject: &Subject<'_>) -> bool {
        let may_hold = |term: &ConditionTerm| term.may_hold(subject);
        self.all_of.iter().all(may_hold)
            && (self.any_of.is_empty() || self.any_of.iter().any(may_hold))
            && !self.none_of.iter().any(|term| term.holds(subject))
    }

    pub const fn terms(&self) -> usize {
        self.all_of.len() + self.any_of.len() + self.none_of.len()
    }

    /// Bytes of it, written or in memory.
    pub fn bytes(&self) -> usize {
        let all = self.all_of.iter().chain(&self.any_of).chain(&self.none_of);
        all.map(|term| match term {
            ConditionTerm::Prefix(prefix) => prefix.text_bytes() + TERM_BYTES,
            ConditionTerm::Url(url) => url.bytes(),
            _ => TERM_BYTES,
        })
        .sum()
    }

    /// Returns tags of which every response that meets it carries one, the fewest responses of
    /// those that there are; `None` where no tag tells.
    pub fn carried_by_all(&self, live: impl Fn(TagId) -> u64) -> Option<SmallVec<[TagId; 4]>> {
        let tags = |term: &ConditionTerm| -> Option<SmallVec<[TagId; 4]>> {
            match term {
                ConditionTerm::Carried(id) => Some(smallvec![*id]),
                ConditionTerm::Tag(id, [alike, any]) => Some(smallvec![*id, *alike, *any]),
                ConditionTerm::Url(_)
                | ConditionTerm::Page(_)
                | ConditionTerm::Path(_)
                | ConditionTerm::Prefix(_) => None,
            }
        };
        let all_live = |ids: &SmallVec<[TagId; 4]>| ids.iter().map(|id| live(*id)).sum::<u64>();
        let fewest = self.all_of.iter().filter_map(tags).min_by_key(all_live);
        match fewest {
            Some(ids) => Some(ids),
            None if self.any_of.is_empty() => None,
            None => {
                let each: Option<Vec<_>> = self.any_of.iter().map(tags).collect();
                each.map(|each| each.into_iter().flatten().collect())
            }
        }
    }
}

impl ConditionTerm {
    fn of(term: &Term, table: &TagTable) -> Self {
        let ids = |url: &CanonicalUrl| table.path_ids(url.host().as_bytes(), url.path().as_bytes());
        match term {
            Term::Tag(tag) => {
                let text = tag.as_str().as_bytes();
                Self::Tag(table.tag(text), table.folds(text))
            }
            Term::Host(host) => Self::Carried(table.host(host.as_bytes())),
            Term::Url(url) => Self::Url(UrlTerm::of(url, table)),
            Term::Prefix(prefix) => Self::Prefix(prefix.clone()),
            Term::Page(url) => Self::Page(ids(url)),
            Term::Path(url) => Self::Path(ids(url)),
        }
    }

    /// Returns whether it holds, as far as can be told of folded tags: too much is purged, never
    /// too little.
    fn may_hold(&self, subject: &Subject<'_>) -> bool {
        let carries = |id: &TagId| subject.tags.carries(*id);
        self.holds(subject) || matches!(self, Self::Tag(_, folds) if folds.iter().any(carries))
    }

    /// Returns whether it holds beyond doubt.
    fn holds(&self, subject: &Subject<'_>) -> bool {
        let tags = subject.tags;
        let is_path = |ids: &PathIds| subject.own_place() == ids.own;
        match self {
            Self::Carried(id) | Self::Tag(id, _) => tags.carries(*id),
            Self::Url(url) => url.holds(subject),
            Self::Page(ids) => tags.carries(ids.page) || !tags.is_of_other_page() && is_path(ids),
            Self::Path(ids) => is_path(ids),
            Self::Prefix(prefix) => subject.is_under(prefix),
        }
    }

    /// The rank of what it covers, by experience: the lowest covers least.
    pub(super) const fn breadth(&self) -> u8 {
        match self {
            Self::Url(_) => 0,
            Self::Page(_) => 1,
            Self::Path(_) => 2,
            Self::Tag(..) => 3,
            Self::Prefix(_) => 4,
            Self::Carried(_) => 5,
        }
    }
}

impl UrlTerm {
    fn of(url: &CanonicalUrl, table: &TagTable) -> Self {
        let (host, path) = (url.host().as_bytes(), url.path().as_bytes());
        let classes = table.search_classes(host, path);
        Self { id: table.url_of(host, path), url: url.clone(), classes }
    }

    /// Makes the term again from what was kept of it.
    pub fn read_back(url: CanonicalUrl, mut ids: impl Iterator<Item = TagId>) -> Option<Self> {
        Some(Self { id: ids.next()?, url, classes: ids.collect() })
    }

    pub const fn url(&self) -> &CanonicalUrl {
        &self.url
    }

    /// Tags of which every response that it holds for carries one, or is under the first.
    pub fn ids(&self) -> impl Iterator<Item = TagId> + '_ {
        std::iter::once(self.id).chain(self.classes.iter().copied())
    }

    fn bytes(&self) -> usize {
        let text = self.url.host().len() + self.url.path().len();
        TERM_BYTES + text + self.classes.len() * size_of::<TagId>()
    }

    fn holds(&self, subject: &Subject<'_>) -> bool {
        let Subject { tags, table, .. } = subject;
        let (host, path) = (self.url.host().as_bytes(), self.url.path().as_bytes());
        let carries_class =
            || table.search_classes(host, path).iter().any(|class| tags.carries(*class));
        subject.url() == self.id || carries_class()
    }
}

impl PartialEq for UrlTerm {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for UrlTerm {}

impl Hash for UrlTerm {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Hash::hash(&self.id, state);
    }
}

/// Bytes of a term in memory, or written.
const TERM_BYTES: usize = 56;

#[cfg(test)]
mod tests {
    use purge_protocol::Expression;

    use super::*;
    use crate::invalidation::Invalidation;
    use crate::key::{KeySeed, Scheme};

    #[test]
    fn a_folded_tag_may_be_the_one_that_is_wanted_and_never_the_one_that_is_left_out() {
        let invalidation = Invalidation::new(1);
        let table = invalidation.ids();
        let key = Key::new(KeySeed(1), Scheme::Http, b"h", b"/");
        let is_met = |all_of: &str, none_of: &str, tags: &[TagId]| {
            let expression = Expression {
                all_of: vec![format!("tag:{all_of}")],
                none_of: vec![format!("tag:{none_of}")],
                ..Expression::default()
            };
            let condition = PurgeCondition::of(&expression.read().unwrap(), table);
            condition.is_met(&Subject::new(&key, &tags, table))
        };
        let [alike, any] = table.folds(b"node:5");
        for folded in [alike, any] {
            assert!(is_met("node:5", "eu", &[folded]), "it may be among them");
            assert!(is_met("a", "node:5", &[table.tag(b"a"), folded]), "it need not be");
        }
        assert!(!is_met("a", "node:5", &[table.tag(b"a"), table.tag(b"node:5")]));
        assert!(!is_met("a", "eu", &[table.tag(b"b")]));
    }
}
