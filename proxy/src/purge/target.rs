//! `ResolvedTarget`: what a purge names, as the marks and the keys that stand for it.

use purge_protocol::request::Target;
use purge_protocol::{CanonicalUrl, UrlPrefix, spelling};

use crate::invalidation::{Mark, PurgeMark, TagId, TagTable};
use crate::key::{Key, KeySeed, Scheme};

#[derive(Debug)]
pub(super) enum ResolvedTarget {
    Tag(TagId),
    /// A URL under both schemes and in its usual spellings, and its mark.
    Url(Vec<Key>, TagId),
    Prefix(UrlPrefix),
    All,
}

impl ResolvedTarget {
    pub(super) fn of(target: &Target, ids: &TagTable, seed: KeySeed) -> Self {
        match target {
            Target::Tag(tag) => Self::Tag(ids.tag(tag.as_str().as_bytes())),
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
            Self::Tag(_) | Self::Url(..) | Self::All => None,
        }
    }

    /// Returns the mark to be sought in the file. Purges of a URL or of everything take responses
    /// out of it at once.
    pub(super) fn sought(&self) -> Option<PurgeMark> {
        match self {
            Self::Tag(_) | Self::Prefix(_) => Some(PurgeMark::of(&self.mark())),
            Self::Url(..) | Self::All => None,
        }
    }

    pub(super) const fn mark(&self) -> Mark<'_> {
        match self {
            Self::Tag(id) | Self::Url(_, id) => Mark::Tag(*id),
            Self::Prefix(prefix) => Mark::Prefix(prefix),
            Self::All => Mark::All,
        }
    }
}
