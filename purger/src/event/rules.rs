//! `Rules`: the operator's decisions about events: formats, permissions and filters.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use purge_protocol::PurgeMode;
use purge_protocol::tag::Tag;
use purge_protocol::url::canonical_host;

use super::limits::{EventLimits, SITE_MAX};
use super::pattern::{Filter, Pattern, matches};
use super::template::{Template, TemplateError};
use super::unreadable::{Code, Problem, shown};

/// The rules of reading. The default reads every format, lets no source purge everything, and every
/// source purge hard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    pub format: Format,
    pub site: SiteRule,
    /// Rules for the rows of tables; the first that matches counts.
    pub tables: Vec<TableRule>,
    /// The mode of events that name none; hard when there is none here either.
    pub mode: Option<PurgeMode>,
    /// The meaning of a record without a value.
    pub tombstone: Tombstone,
    /// Soft purges of changes older than this are not delivered. Hard ones always are.
    pub max_age: Option<Duration>,
    /// URLs, hosts and prefixes of other hosts are left out. A host is compared in canonical form.
    pub hosts: Filter,
    pub sites: Filter,
    /// Sources that may purge everything: `*` in one stands for any characters, `*` alone also for
    /// events that name no source.
    pub may_purge_all: Vec<String>,
    /// Sources that may purge hard, in the same form.
    pub may_purge_hard: Vec<String>,
    pub limits: EventLimits,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            format: Format::default(),
            site: SiteRule::default(),
            tables: Vec::new(),
            mode: None,
            tombstone: Tombstone::default(),
            max_age: None,
            hosts: Filter::default(),
            sites: Filter::default(),
            may_purge_all: Vec::new(),
            may_purge_hard: vec!["*".to_owned()],
            limits: EventLimits::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Each is recognised by its shape, see [`super::reader`].
    #[default]
    Auto,
    /// `CloudEvents` 1.0, structured or binary.
    CloudEvents,
    /// `{"tags":["a"]}`: what `POST /api/v1/purge` takes, and more.
    Plain,
    ResourceChange,
    Debezium,
    /// `{"siteId":"7f3c2a","etag":"\"7f3c2a-12\""}`.
    Site,
}

impl Format {
    pub const ALL: [Self; 6] = [
        Self::Auto,
        Self::CloudEvents,
        Self::Plain,
        Self::ResourceChange,
        Self::Debezium,
        Self::Site,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::CloudEvents => "cloudevents",
            Self::Plain => "plain",
            Self::ResourceChange => "resource_change",
            Self::Debezium => "debezium",
            Self::Site => "site",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no format: write auto, cloudevents, plain, resource_change, debezium or site")]
pub struct FormatError(pub String);

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let named = Self::ALL.into_iter().find(|format| format.as_str() == text);
        named.ok_or_else(|| FormatError(text.to_owned()))
    }
}

/// The meaning of a record without a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tombstone {
    #[default]
    Ignore,
    /// The site that is its key is purged, if the key can be one.
    Site,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteRule {
    Tag(Template),
    Host,
}

impl Default for SiteRule {
    fn default() -> Self {
        Self::Tag(Template::of_name("site"))
    }
}

pub(super) enum SiteSelector {
    Tag(String),
    Host(String),
}

impl SiteRule {
    /// Reads a tag's template, in which the only name is `{site}`.
    pub fn tag(text: &str) -> Result<Self, SiteRuleError> {
        let template: Template = text.parse()?;
        let names: Vec<&str> = template.names().collect();
        if names.is_empty() || names.iter().any(|name| *name != "site") {
            return Err(SiteRuleError::Names(text.to_owned()));
        }
        Ok(Self::Tag(template))
    }

    /// Returns the selector of a site. `at` is where the site was named.
    pub(super) fn selector(&self, site: &str, at: &str) -> Result<SiteSelector, Problem> {
        check_site(site, at)?;
        match self {
            Self::Host => canonical_host(site).map(SiteSelector::Host).map_err(|error| {
                site_problem(at, site, &format!("is not a host ({error}): write the site's host"))
            }),
            Self::Tag(template) => {
                let value = |_name: &str| Ok::<_, Problem>(Some(site.into()));
                let tag = template.render(value)?.unwrap_or_default();
                match Tag::parse(&tag) {
                    Ok(_) => Ok(SiteSelector::Tag(tag)),
                    Err(error) => Err(site_problem(at, site, &format!("makes no tag: {error}"))),
                }
            }
        }
    }
}

/// An invalid rule for sites. The caller refuses the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteRuleError {
    /// The text is no template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The template lacks the name `site`, or has others.
    #[error("{0:?} must hold {{site}} and no other name, or every site would be the same")]
    Names(String),
}

/// Refuses an invalid site id. A valid one has 1 to 256 bytes, without white space, commas and
/// control characters.
pub(super) fn check_site(site: &str, at: &str) -> Result<(), Problem> {
    match Tag::parse(site) {
        Ok(_) if site.len() <= SITE_MAX => Ok(()),
        _ => Err(site_problem(
            at,
            site,
            "is not a site's id: write 1 to 256 bytes without white space, commas and control characters",
        )),
    }
}

fn site_problem(at: &str, site: &str, what: &str) -> Problem {
    Problem::new(Code::Site, format!("{at}: {} {what}", shown(site)))
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRule {
    pub table: Pattern,
    /// The tags of a row: `{table}:{id}`. Names are columns, or `table`, `schema`, `db`, `site`;
    /// `{row.table}` is surely a column.
    pub tags: Vec<Template>,
    /// The column that holds the row's site. Without `tags`, the site is purged.
    pub site: Option<String>,
    /// The tags of the table as a whole, which is what a truncation purges; none: `{table}`.
    pub truncate: Vec<Template>,
    /// The mode of these purges, if not that of the [`Rules`].
    pub mode: Option<PurgeMode>,
}

pub(super) fn is_listed(list: &[String], source: Option<&str>) -> bool {
    let mut patterns = list.iter().map(String::as_str);
    patterns.any(|pattern| pattern == "*" || source.is_some_and(|source| matches(pattern, source)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_read_by_its_name() {
        for format in Format::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
        assert!("avro".parse::<Format>().unwrap_err().to_string().contains("debezium or site"));
    }

    #[test]
    fn a_site_rule_must_tell_sites_apart() {
        assert!(SiteRule::tag("site-{site}").is_ok());
        for text in ["site", "{id}", "{site}{id}"] {
            assert_eq!(SiteRule::tag(text), Err(SiteRuleError::Names(text.to_owned())));
        }
        assert_eq!(SiteRule::default(), SiteRule::tag("{site}").unwrap());
    }

    #[test]
    fn an_event_without_source_is_matched_by_a_star_only() {
        let list = |text: &str| vec![text.to_owned()];
        assert!(is_listed(&list("*"), None) && is_listed(&list("*"), Some("a")));
        assert!(is_listed(&list("/ops/*"), Some("/ops/x")) && !is_listed(&list("/ops/*"), None));
        assert!(!is_listed(&list("**"), None) && !is_listed(&[], Some("a")));
    }
}
