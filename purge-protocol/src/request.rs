//! `PurgeRequest`: what to purge and how, read from JSON or from the fields of an HTTP `PURGE`
//! request.

use std::fmt;

use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};

use crate::deploy::{Deploy, DeployError, Deployment};
use crate::expression::{Expression, ExpressionError, Terms};
use crate::foreign::{self, Foreign};
use crate::tag::{self, Tag, TagError};
use crate::url::{CanonicalUrl, UrlError, UrlPrefix, written_host};

/// The effect of a purge on the stored responses that it matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PurgeMode {
    /// Never used again, not for validation and not when the origin fails.
    #[default]
    Hard,
    /// Stale from now on: may be validated, and served where stale responses may be.
    Soft,
}

/// A part of a purge, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Selector {
    /// Responses that carry this tag.
    Tag(String),
    /// All variants of one URL.
    Url(String),
    /// All URLs of one host.
    Host(String),
    /// All URLs that begin so.
    Prefix(String),
    /// The page at a URL, with its data and under every query.
    Page(String),
    /// A path under every query.
    Path(String),
    /// Responses that meet a combination of conditions.
    Expression(Expression),
    /// Responses of all deployments but this one, whenever they come.
    Deploy(Deploy),
    /// Everything.
    All(bool),
}

/// A purge as JSON: `{"tags":["product-42"],"mode":"soft"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, from = "WrittenRequest")]
pub struct PurgeRequest {
    /// Tags, see [`Tag`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// URLs, see [`CanonicalUrl::parse`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Hosts, with a port unless it is the default one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Beginnings of URLs, see [`UrlPrefix::parse`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// URLs of pages: each with its data and under every query.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<String>,
    /// URLs whose paths are purged under every query.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Combinations of conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expressions: Vec<Expression>,
    /// Changes of deployment. They have a mode of their own: stale first, then gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deploys: Vec<Deploy>,
    /// Everything.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// Hard or soft; the proxy's configured mode when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<PurgeMode>,
    /// The reason, for the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// An id that the answer repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The time of the change (RFC 3339), for the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_time: Option<String>,
}

/// A request as it is written: the conditions of one expression may stand in it by themselves.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenRequest {
    tags: Vec<String>,
    urls: Vec<String>,
    hosts: Vec<String>,
    prefixes: Vec<String>,
    pages: Vec<String>,
    paths: Vec<String>,
    expressions: Vec<Expression>,
    all_of: Vec<String>,
    any_of: Vec<String>,
    none_of: Vec<String>,
    deploys: Vec<Deploy>,
    all: bool,
    mode: Option<PurgeMode>,
    reason: Option<String>,
    id: Option<String>,
    event_time: Option<String>,
}

impl From<WrittenRequest> for PurgeRequest {
    fn from(written: WrittenRequest) -> Self {
        let WrittenRequest { tags, urls, hosts, prefixes, pages, paths, mut expressions, .. } =
            written;
        let WrittenRequest { all_of, any_of, none_of, deploys, .. } = written;
        let WrittenRequest { all, mode, reason, id, event_time, .. } = written;
        let alone = Expression { all_of, any_of, none_of };
        if !alone.is_empty() {
            expressions.push(alone);
        }
        Self {
            tags,
            urls,
            hosts,
            prefixes,
            pages,
            paths,
            expressions,
            deploys,
            all,
            mode,
            reason,
            id,
            event_time,
        }
    }
}

/// The reason why a purge request is refused. The caller answers 400 with the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No selector is given.
    #[error(
        "the purge selects nothing: give tags, urls, pages, paths, hosts, prefixes, \
        all_of, any_of or \"all\": true"
    )]
    Empty,
    /// Too many selectors for one purge. The caller sends several.
    #[error("{count} selectors exceed the limit of {max}: send several purges")]
    TooMany {
        /// Selectors in the request.
        count: usize,
        /// Selectors allowed.
        max: usize,
    },
    /// One of its tags is none.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// One of its URLs, hosts or prefixes is none.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// One of its expressions is none.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    /// One of its changes of deployment is none.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// A `PURGE` request asks for what only other caches do. The caller sends what the text says.
    #[error(transparent)]
    Foreign(#[from] Foreign),
    /// A field of a `PURGE` request that lists tags lists none. The caller leaves it out, or names
    /// some.
    #[error("the field {0} names no tag: name one, or leave the field out to purge the URL")]
    NoTags(&'static str),
    /// A field of a `PURGE` request is not text.
    #[error("the field {0} holds bytes that are not visible text")]
    Field(HeaderName),
}

/// A selector that was read and found sound.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Responses that carry this tag.
    Tag(Tag),
    /// All variants of one URL.
    Url(CanonicalUrl),
    /// All URLs of one host, in canonical form.
    Host(String),
    /// All URLs that begin so.
    Prefix(UrlPrefix),
    /// The page at a URL without a query.
    Page(CanonicalUrl),
    /// All URLs that differ from this one, which has no query, by theirs.
    Path(CanonicalUrl),
    /// Responses that meet these.
    Expression(Terms),
    /// Responses of all deployments but this one.
    Deploy(Deployment),
    /// Everything.
    All,
}

/// The responses that a `PURGE` of a URL is meant for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UrlScope {
    /// All variants of the URL.
    #[default]
    Url,
    /// The page at the URL, with its data and under every query.
    Page,
    /// The path under every query.
    Path,
}

impl UrlScope {
    /// Returns the selector of a URL in this scope.
    pub const fn selector(self, url: String) -> Selector {
        match self {
            Self::Url => Selector::Url(url),
            Self::Page => Selector::Page(url),
            Self::Path => Selector::Path(url),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::Url(url) => write!(f, "url {url}"),
            Self::Host(host) => write!(f, "host {host}"),
            Self::Prefix(prefix) => write!(f, "prefix {prefix}"),
            Self::Page(page) => write!(f, "page {page}"),
            Self::Path(path) => write!(f, "path {path}"),
            Self::Expression(expression) => write!(f, "{expression}"),
            Self::Deploy(deploy) => write!(f, "{deploy}"),
            Self::All(_) => f.write_str("everything"),
        }
    }
}

impl Selector {
    /// Reads the selector.
    pub fn target(&self) -> Result<Target, RequestError> {
        Ok(match self {
            Self::Tag(text) => Target::Tag(Tag::parse(text)?),
            Self::Url(text) => Target::Url(CanonicalUrl::parse(text)?),
            Self::Host(text) => Target::Host(written_host(text)?),
            Self::Prefix(text) => Target::Prefix(UrlPrefix::parse(text)?),
            Self::Page(text) => Target::Page(CanonicalUrl::parse(text)?.without_query()),
            Self::Path(text) => Target::Path(CanonicalUrl::parse(text)?.without_query()),
            Self::Expression(expression) => Target::Expression(expression.read()?),
            Self::Deploy(deploy) => Target::Deploy(deploy.read()?),
            Self::All(_) => Target::All,
        })
    }
}

impl PurgeRequest {
    /// Selectors of all lists, and one more for `all`.
    pub const fn selector_count(&self) -> usize {
        let lists = self.tags.len() + self.urls.len() + self.hosts.len() + self.prefixes.len();
        let others = self.pages.len() + self.paths.len() + self.expressions.len();
        lists + others + self.deploys.len() + self.all as usize
    }

    /// Adds a selector.
    pub fn push(&mut self, selector: Selector) {
        match selector {
            Selector::Tag(text) => self.tags.push(text),
            Selector::Url(text) => self.urls.push(text),
            Selector::Host(text) => self.hosts.push(text),
            Selector::Prefix(text) => self.prefixes.push(text),
            Selector::Page(text) => self.pages.push(text),
            Selector::Path(text) => self.paths.push(text),
            Selector::Expression(expression) => self.expressions.push(expression),
            Selector::Deploy(deploy) => self.deploys.push(deploy),
            Selector::All(all) => self.all |= all,
        }
    }

    /// Moves all selectors but `all` out of the request: tags, URLs, hosts, prefixes, pages, paths,
    /// expressions and deploys, in this order.
    pub fn take_selectors(&mut self) -> Vec<Selector> {
        let tags = self.tags.drain(..).map(Selector::Tag);
        let urls = self.urls.drain(..).map(Selector::Url);
        let hosts = self.hosts.drain(..).map(Selector::Host);
        let prefixes = self.prefixes.drain(..).map(Selector::Prefix);
        let pages = self.pages.drain(..).map(Selector::Page);
        let paths = self.paths.drain(..).map(Selector::Path);
        let expressions = self.expressions.drain(..).map(Selector::Expression);
        let deploys = self.deploys.drain(..).map(Selector::Deploy);
        let named = tags.chain(urls).chain(hosts).chain(prefixes);
        named.chain(pages).chain(paths).chain(expressions).chain(deploys).collect()
    }

    /// Returns the selectors in the order of [`Self::take_selectors`], `all` last, each with its
    /// target.
    ///
    /// # Errors
    /// The first selector that cannot be read; none or more than `max` selectors.
    pub fn selectors(&self, max: usize) -> Result<Vec<(Selector, Target)>, RequestError> {
        let mut selectors = self.clone().take_selectors();
        selectors.extend(self.all.then_some(Selector::All(true)));
        match selectors.len() {
            0 => Err(RequestError::Empty),
            count if count > max => Err(RequestError::TooMany { count, max }),
            _ => selectors
                .into_iter()
                .map(|selector| {
                    let target = selector.target()?;
                    Ok((selector, target))
                })
                .collect(),
        }
    }

    /// Reads an HTTP `PURGE` request: the tags its fields name or, when they name none, the URL it
    /// is for.
    ///
    /// Tags come from `Surrogate-Key`, `Cache-Tag`, `xkey`, `xkey-purge`, `xkey-softpurge`,
    /// `X-Cache-Tags` and `ETag`; soft is asked for by `xkey-softpurge`, `Fastly-Soft-Purge: 1` or
    /// `Shellac-Purge: soft`, hard by `Shellac-Purge: hard`. A field that names no tag is refused:
    /// whoever sends it does not mean the URL. `Shellac-Purge` says with `url`, `page` or `path`
    /// whether the URL alone is meant, its page, or its path under every query; `scope` holds
    /// otherwise.
    pub fn from_fields(
        fields: &HeaderMap,
        (host, path): (&str, &str),
        scope: UrlScope,
    ) -> Result<Self, RequestError> {
        foreign::check(fields, path)?;
        let mut request = Self { mode: mode_of(fields), ..Self::default() };
        for name in TAG_FIELDS {
            for value in fields.get_all(name) {
                for tag in tag::split(value.as_bytes()) {
                    request.tags.push(text(tag, name)?);
                }
            }
        }
        for value in fields.get_all(http::header::ETAG) {
            for member in tag::split_etags(value.as_bytes()) {
                request.tags.push(text(tag::written_etag(member), "etag")?);
            }
        }
        let names_tags = |name: &&&str| fields.contains_key(**name);
        match TAG_FIELDS.iter().chain(&["etag"]).find(names_tags) {
            Some(name) if request.tags.is_empty() => Err(RequestError::NoTags(name)),
            Some(_) => Ok(request),
            None => {
                let url = format!("//{host}{path}");
                request.push(scope_of(fields).unwrap_or(scope).selector(url));
                Ok(request)
            }
        }
    }
}

fn text(bytes: &[u8], field: &'static str) -> Result<String, RequestError> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_not_utf8| RequestError::Field(HeaderName::from_static(field)))
}

fn mode_of(fields: &HeaderMap) -> Option<PurgeMode> {
    let is_fastly_soft = fields.get("fastly-soft-purge").is_some_and(|value| value == "1");
    if foreign::has_word(fields, "soft") || is_fastly_soft || fields.contains_key("xkey-softpurge")
    {
        Some(PurgeMode::Soft)
    } else if foreign::has_word(fields, "hard") {
        Some(PurgeMode::Hard)
    } else {
        None
    }
}

fn scope_of(fields: &HeaderMap) -> Option<UrlScope> {
    let scopes = [("url", UrlScope::Url), ("page", UrlScope::Page), ("path", UrlScope::Path)];
    scopes.into_iter().find(|(word, _)| foreign::has_word(fields, word)).map(|(_, scope)| scope)
}

/// The fields of a `PURGE` request that name tags.
const TAG_FIELDS: [&str; 6] =
    ["surrogate-key", "cache-tag", "xkey", "xkey-purge", "xkey-softpurge", "x-cache-tags"];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn read(lines: &[(&'static str, &'static str)]) -> Result<PurgeRequest, RequestError> {
        PurgeRequest::from_fields(&fields(lines), ("h", "/p?x=1"), UrlScope::Url)
    }

    #[test]
    fn a_purge_says_whether_it_means_the_url_the_page_or_the_path() {
        let asked = |value, scope| {
            let fields = fields(&[("shellac-purge", value)]);
            PurgeRequest::from_fields(&fields, ("h", "/p?x=1"), scope).unwrap()
        };
        let url = || vec!["//h/p?x=1".to_owned()];
        assert_eq!(asked("page", UrlScope::Url).pages, url());
        assert_eq!(asked("Path, soft", UrlScope::Page).paths, url());
        assert_eq!(asked("soft path", UrlScope::Page).mode, Some(PurgeMode::Soft));
        assert_eq!(asked("url", UrlScope::Page).urls, url());
        assert_eq!(asked("hard", UrlScope::Page).pages, url());
        let target = asked("page", UrlScope::Url).selectors(1).unwrap().remove(0).1;
        assert_eq!(target, Target::Page(CanonicalUrl::parse("//h/p").unwrap()));
    }

    #[test]
    fn a_purge_without_tag_fields_is_for_its_url() {
        let request =
            PurgeRequest::from_fields(&fields(&[]), ("shop.example", "/p/42?x=1"), UrlScope::Url);
        let request = request.unwrap();
        let selectors = request.selectors(10).unwrap();
        assert_eq!(selectors.len(), 1);
        assert_eq!(
            selectors[0].1,
            Target::Url(CanonicalUrl::parse("http://shop.example/p/42?x=1").unwrap())
        );
    }

    #[test]
    fn tag_fields_of_all_brands_are_read() {
        let lines = [
            ("surrogate-key", "a b"),
            ("cache-tag", "c, d"),
            ("xkey-purge", "e"),
            ("etag", "\"site-7\", W/\"site-8\""),
        ];
        let request = read(&lines).unwrap();
        assert_eq!(request.tags, ["a", "b", "c", "d", "e", "site-7", "site-8"]);
        assert!(request.urls.is_empty() && request.mode.is_none());
    }

    #[test]
    fn a_field_that_names_no_tag_does_not_purge_the_url() {
        for line in [("surrogate-key", ""), ("cache-tag", " , "), ("etag", "")] {
            let request = read(&[line]);
            assert_eq!(request, Err(RequestError::NoTags(line.0)));
        }
    }

    #[test]
    fn three_ways_ask_for_a_soft_purge() {
        for line in [("xkey-softpurge", "a"), ("fastly-soft-purge", "1"), ("shellac-purge", "Soft")]
        {
            let request = read(&[line]).unwrap();
            assert_eq!(request.mode, Some(PurgeMode::Soft), "{line:?}");
        }
    }

    #[test]
    fn no_selector_and_too_many_are_refused() {
        assert_eq!(PurgeRequest::default().selectors(10), Err(RequestError::Empty));
        let many = PurgeRequest { tags: vec!["a".into(); 11], ..PurgeRequest::default() };
        assert_eq!(many.selectors(10), Err(RequestError::TooMany { count: 11, max: 10 }));
    }

    #[test]
    fn unknown_keys_are_refused_and_json_round_trips() {
        assert!(serde_json::from_str::<PurgeRequest>(r#"{"tag":["a"]}"#).is_err());
        let text = r#"{"tags":["a"],"all":true,"mode":"soft"}"#;
        let request: PurgeRequest = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
    }
}
