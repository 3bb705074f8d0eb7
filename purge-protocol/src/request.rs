//! `PurgeRequest`: what to purge and how, read from JSON or from the fields of an HTTP `PURGE`
//! request.

use std::fmt;

use http::HeaderName;
use serde::{Deserialize, Serialize};

use crate::deploy::{Deploy, DeployError, Deployment};
use crate::expression::{Expression, ExpressionError, Terms};
use crate::foreign::Foreign;
use crate::tag::{Tag, TagError};
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
