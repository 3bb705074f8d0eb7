//! `Page`: what it is called, how it may be cached, and what it says.

use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, VARY};

/// One page of the origin.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) number: usize,
    pub(crate) host: &'static str,
    pub(crate) section: &'static str,
    pub(crate) site: &'static str,
    pub(crate) group: &'static str,
    pub(crate) flavor: Flavor,
}

/// The freshness of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavor {
    /// Fresh for long.
    Lasting,
    /// The same, in several languages.
    Varying,
    /// Stale at once, and served while it is fetched in the background.
    Refreshed,
    /// Stale at once, and validated by an entity tag that changes with every version.
    Validated,
    /// Fresh for long, and asked for by several URLs that are equivalent (No-Vary-Search).
    Equivalent,
    /// The same, stale at once, and served while it is fetched in the background.
    EquivalentRefreshed,
    /// Stale at once, and the origin confirms whatever is stored: only a hard purge brings another
    /// version.
    Confirmed,
}

impl Flavor {
    pub(crate) const ALL: [Self; 5] =
        [Self::Lasting, Self::Varying, Self::Refreshed, Self::Validated, Self::Confirmed];

    const fn cache_control(self) -> &'static str {
        match self {
            Self::Lasting | Self::Varying | Self::Equivalent => "max-age=600",
            Self::Refreshed | Self::EquivalentRefreshed => "max-age=0, stale-while-revalidate=600",
            Self::Validated | Self::Confirmed => "max-age=0",
        }
    }

    const fn has_equivalent_urls(self) -> bool {
        matches!(self, Self::Equivalent | Self::EquivalentRefreshed)
    }

    /// Set where no old version is shown after a soft purge either.
    pub(crate) const fn is_renewed_by_soft_purges(self) -> bool {
        match self {
            Self::Lasting | Self::Varying | Self::Equivalent | Self::Validated => true,
            Self::Refreshed | Self::EquivalentRefreshed | Self::Confirmed => false,
        }
    }
}

impl Page {
    /// Makes the page of this number. Flavors, hosts, sections, sites and groups meet in all
    /// combinations.
    pub(crate) fn new(number: usize, flavors: &[Flavor]) -> Self {
        let place = number / flavors.len();
        Self {
            number,
            host: HOSTS[place % HOSTS.len()],
            section: SECTIONS[number % SECTIONS.len()],
            site: SITES[number / 2 % SITES.len()],
            group: GROUPS[number % GROUPS.len()],
            flavor: flavors[number % flavors.len()],
        }
    }

    /// One page in three is asked for with a query.
    pub(crate) fn path(&self) -> String {
        let query = if self.number % 3 == 1 { "?v=1" } else { "" };
        format!("/{}/{}{query}", self.section, self.number)
    }

    /// The path by which it is asked for in this turn: another one of those that are equivalent.
    pub(crate) fn asked_path(&self, turn: usize) -> String {
        let path = self.path();
        if !self.flavor.has_equivalent_urls() {
            return path;
        }
        let mark = if path.contains('?') { '&' } else { '?' };
        format!("{path}{mark}{IGNORED}={}", turn % EQUIVALENT)
    }

    /// Reads a path back.
    pub(crate) fn number_in(path: &str) -> usize {
        let path = path.split('?').next().unwrap_or_default();
        let (_, number) = path.rsplit_once('/').expect("a path has slashes");
        number.parse().expect("pages are numbered")
    }

    /// The entity tag: the site's, as the renderers have it that we serve, or the version's.
    pub(crate) fn entity_tag(&self, version: u64) -> String {
        match self.flavor {
            Flavor::Validated => format!("\"{}-{version}\"", self.number),
            _ => format!("\"{}\"", self.site),
        }
    }

    /// The fields of a response in this version.
    pub(crate) fn fields(&self, version: u64) -> HeaderMap {
        let keys = format!("page-{} {}", self.number, self.group);
        let lines = [
            (CONTENT_TYPE, "text/html".to_owned()),
            (CACHE_CONTROL, self.flavor.cache_control().to_owned()),
            (ETAG, self.entity_tag(version)),
            (HeaderName::from_static("surrogate-key"), keys),
        ];
        let value = |text: String| HeaderValue::try_from(text).expect("it is visible text");
        let mut fields: HeaderMap =
            lines.into_iter().map(|(name, text)| (name, value(text))).collect();
        if self.flavor == Flavor::Varying {
            fields.insert(VARY, HeaderValue::from_static("accept-language"));
        }
        if self.flavor.has_equivalent_urls() {
            let ignored = value(format!("params=(\"{IGNORED}\")"));
            fields.insert(HeaderName::from_static("no-vary-search"), ignored);
        }
        fields
    }

    /// Returns whether the origin confirms this entity tag.
    pub(crate) fn is_confirmed(&self, stored: &[u8], version: u64) -> bool {
        match self.flavor {
            Flavor::Validated | Flavor::Confirmed => stored == self.entity_tag(version).as_bytes(),
            _ => false,
        }
    }

    /// Returns the version that a visitor reads.
    pub(crate) fn content(&self, version: u64, language: &str, padding: usize) -> String {
        let language = if self.flavor == Flavor::Varying { language } else { "any" };
        format!("{} {version} {language} {:padding$}", self.number, "")
    }

    /// Reads the version back, from what was said to a visitor of this language.
    ///
    /// # Panics
    /// The page is another one, or another visitor's.
    pub(crate) fn version_in(&self, content: &str, language: &str) -> u64 {
        let mut words = content.split(' ');
        let mut next = || words.next().expect("a page has three words");
        let (number, version, spoken) = (next(), next(), next());
        assert_eq!(number, self.number.to_string(), "another page was shown");
        assert!(spoken == "any" || spoken == language, "a page for {spoken} was shown");
        version.parse().expect("versions are numbers")
    }
}

/// The parameter that makes no difference where URLs are equivalent, and the number of its values.
const IGNORED: &str = "x";
const EQUIVALENT: usize = 4;
pub(crate) const HOSTS: [&str; 4] = ["one.example", "two.example", "three.example", "four.example"];
pub(crate) const SECTIONS: [&str; 4] = ["a", "b", "c", "d"];
pub(crate) const SITES: [&str; 4] = ["site-1", "site-2", "site-3", "site-4"];
pub(crate) const GROUPS: [&str; 3] = ["group-1", "group-2", "group-3"];
pub(crate) const LANGUAGES: [&str; 3] = ["de", "en", "fr"];
