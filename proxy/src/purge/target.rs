//! `ResolvedTarget`: what a purge names, as the marks and the keys that stand for it.

use purge_protocol::request::Target;
use purge_protocol::{CanonicalUrl, UrlPrefix, spelling};

use crate::invalidation::{Mark, PurgeMark, TagId, TagTable};
use crate::key::{Key, KeySeed, Scheme};

#[derive(Debug)]
pub(super) enum ResolvedTarget {
    Tag(TagId),
    /// A tag, and what stands for it in responses that do not list all of theirs.
    FoldedTag(TagId, [TagId; 2]),
    /// A URL under both schemes and in its usual spellings, and its mark.
    Url(Vec<Key>, TagId),
    Prefix(UrlPrefix),
    All,
}

impl ResolvedTarget {
    pub(super) fn of(target: &Target, ids: &TagTable, seed: KeySeed) -> Self {
        match target {
            Target::Tag(tag) => {
                let text = tag.as_str().as_bytes();
                Self::FoldedTag(ids.tag(text), ids.folds(text))
            }
            Target::Host(host) => Self::Tag(ids.host(host.as_bytes())),
            Target::Url(url) => Self::of_url(url, ids, seed),
            Target::Prefix(prefix) => Self::Prefix(prefix.clone()),
            Target::All => Self::All,
        }
    }

    /// Resolves a URL in every scheme and usual spelling.
    pub(super) fn of_url(url: &CanonicalUrl, ids: &TagTable, seed: KeySeed) -> Self {
        let host = url.host().as_bytes();
        let spellings = spelling::usual(url.path().as_bytes());
        let key = |scheme, path: &[u8]| Key::new(seed, scheme, host, path);
        let of = |path| [Scheme::Http, Scheme::Https].map(|scheme| key(scheme, path));
        let keys = spellings.iter().flat_map(|path| of(path)).collect();
        let mark = ids.url(&key(Scheme::Http, url.path().as_bytes()));
        Self::Url(keys, mark)
    }

    pub(super) const fn prefix(&self) -> Option<&UrlPrefix> {
        match self {
            Self::Prefix(prefix) => Some(prefix),
            Self::Tag(_) | Self::FoldedTag(..) | Self::Url(..) | Self::All => None,
        }
    }

    /// Returns the mark to be sought in the file. Purges of a URL or of everything take responses
    /// out of it at once.
    pub(super) fn sought(&self) -> impl Iterator<Item = PurgeMark> {
        let is_sought = !matches!(self, Self::Url(..) | Self::All);
        self.marks().filter(move |_| is_sought).map(|mark| PurgeMark::of(&mark))
    }

    pub(super) fn marks(&self) -> impl Iterator<Item = Mark<'_>> {
        let mark = match self {
            Self::Tag(id) | Self::FoldedTag(id, _) | Self::Url(_, id) => Mark::Tag(*id),
            Self::Prefix(prefix) => Mark::Prefix(prefix),
            Self::All => Mark::All,
        };
        std::iter::once(mark).chain(self.folds().iter().map(|id| Mark::Fold(*id)))
    }

    /// The identities that stand for a tag where tags are folded.
    pub(super) const fn folds(&self) -> &[TagId] {
        match self {
            Self::FoldedTag(_, folds) => folds,
            Self::Tag(_) | Self::Url(..) | Self::Prefix(_) | Self::All => &[],
        }
    }
}
