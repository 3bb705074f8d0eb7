//! `BanConditions`: what a `BAN`, or a `PURGE` with a pattern, asks for, as selectors.
//!
//! Varnish compares a ban with each response: its host, its URL and its tags all have to match.
//! Each of the three is a list here, and a response is selected if it is in all of them.

use http::HeaderMap;

use super::TAG_FIELDS;
use super::pattern::{self, NamedBy, UrlPattern};
use crate::expression::Expression;
use crate::foreign::{Foreign, TAG_PATTERN_FIELDS};
use crate::request::{PurgeRequest, Selector};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct BanConditions {
    hosts: NamedBy<String>,
    urls: NamedBy<UrlPattern>,
    tags: NamedBy<String>,
}

/// A place: of one host, or of all.
#[derive(Clone, Copy)]
struct BanPlace<'a> {
    host: Option<&'a str>,
    url: Option<&'a UrlPattern>,
}

impl BanConditions {
    /// Reads the fields of a `BAN`: `X-Host`, `X-Url`, `X-Content-Type` and tags, as
    /// `FOSHttpCache` sends them. Without any, the ban is for what begins like its URL.
    pub(super) fn of_ban(fields: &HeaderMap, (host, path): (&str, &str)) -> Result<Self, Foreign> {
        if let Some(value) = text_of(fields, "x-content-type") {
            require(pattern::hosts(value) == Some(NamedBy::Any), "x-content-type", CONTENT_TYPE)?;
        }
        if fields.contains_key("varnish-ban-all") {
            return Ok(Self::everything());
        }
        let tags = tags_of(fields, TAG_PATTERN_FIELDS.iter().chain(&TAG_FIELDS))?;
        let [hosts, urls] = ["x-host", "x-url"].map(|name| text_of(fields, name));
        if hosts.is_none() && urls.is_none() && tags.is_none() {
            let beginning = pattern::beginning(path).unwrap_or(path);
            let is_all = path == "/"; // of whatever host, as Shopware means it
            return Ok(if is_all {
                Self::everything()
            } else {
                Self::of_beginning(host, beginning)
            });
        }
        let hosts = hosts.map_or(Some(NamedBy::Any), pattern::hosts);
        let urls = urls.map_or(Some(NamedBy::Any), pattern::urls);
        Ok(Self {
            hosts: hosts.ok_or_else(|| refuse("x-host", HOST))?,
            urls: urls.ok_or_else(|| refuse("x-url", URL))?,
            tags: tags.unwrap_or(NamedBy::Any),
        })
    }

    /// Reads a `PURGE` with a pattern: in Magento's field, in its path, or `Clear-Cache: true`.
    /// `None`: it has none.
    pub(super) fn of_purge(
        fields: &HeaderMap,
        (host, path): (&str, &str),
    ) -> Result<Option<Self>, Foreign> {
        if fields.contains_key("clear-cache") {
            return Ok(Some(Self::everything()));
        }
        if let Some(tagged) = Self::of_tags(fields)? {
            return Ok(Some(tagged));
        }
        let is_regex = fields.get("x-purge-method").is_some_and(|it| it == "regex");
        let beginning = pattern::beginning(path).or_else(|| is_regex.then_some(path));
        Ok(beginning.map(|beginning| Self::of_beginning(host, beginning)))
    }

    /// Reads the fields that name tags by patterns. `None`: there are none.
    pub(super) fn of_tags(fields: &HeaderMap) -> Result<Option<Self>, Foreign> {
        let tags = tags_of(fields, &TAG_PATTERN_FIELDS)?;
        Ok(tags.map(|tags| Self { tags, ..Self::everything() }))
    }

    const fn everything() -> Self {
        Self { hosts: NamedBy::Any, urls: NamedBy::Any, tags: NamedBy::Any }
    }

    fn of_beginning(host: &str, beginning: &str) -> Self {
        let urls = NamedBy::OneOf(vec![UrlPattern::Prefix(beginning.to_owned())]);
        Self { hosts: NamedBy::OneOf(vec![host.to_owned()]), urls, ..Self::everything() }
    }

    pub(super) fn request(&self) -> Result<PurgeRequest, Foreign> {
        let mut request = PurgeRequest::default();
        for place in self.places() {
            match &self.tags {
                NamedBy::Any => request.push(place.selector()?),
                NamedBy::OneOf(tags) if place.is_everywhere() => {
                    request.tags.extend(tags.iter().cloned());
                }
                NamedBy::OneOf(tags) => {
                    for tags in tags.chunks(Expression::TERMS_MAX - 1) {
                        let any_of = tags.iter().map(|tag| format!("tag:{tag}")).collect();
                        let all_of = vec![place.term()?];
                        request.expressions.push(Expression {
                            all_of,
                            any_of,
                            ..Expression::default()
                        });
                    }
                }
            }
        }
        Ok(request)
    }

    fn places(&self) -> Vec<BanPlace<'_>> {
        let hosts = options(&self.hosts).into_iter();
        let pairs = hosts.flat_map(|host| {
            let urls = options(&self.urls).into_iter();
            urls.map(move |url| BanPlace { host: host.map(String::as_str), url })
        });
        pairs.collect()
    }
}

impl BanPlace<'_> {
    const fn is_everywhere(self) -> bool {
        self.host.is_none() && self.url.is_none()
    }

    fn selector(self) -> Result<Selector, Foreign> {
        Ok(match (self.host, self.url) {
            (None, None) => Selector::All(true),
            (Some(host), None) => Selector::Host(host.to_owned()),
            (Some(host), Some(UrlPattern::Prefix(path))) if path == "/" => {
                Selector::Host(host.to_owned())
            }
            (host, Some(UrlPattern::Prefix(path))) => Selector::Prefix(at(host, path)),
            (Some(host), Some(UrlPattern::Exact(path))) => Selector::Url(at(Some(host), path)),
            (None, Some(UrlPattern::Exact(_))) => return Err(refuse("x-url", URL_OF_HOST)),
        })
    }

    /// Returns the place as a term of an expression.
    fn term(self) -> Result<String, Foreign> {
        Ok(match self.selector()? {
            Selector::Host(host) => format!("host:{host}"),
            Selector::Url(url) => format!("url:{url}"),
            Selector::Prefix(prefix) => format!("prefix:{prefix}"),
            _ => return Err(refuse("x-url", URL)),
        })
    }
}

/// Returns the tags that the fields of other caches name, as lists or patterns; `None`: none does.
fn tags_of<'a>(
    fields: &HeaderMap,
    names: impl IntoIterator<Item = &'a &'static str>,
) -> Result<Option<NamedBy<String>>, Foreign> {
    let mut all = None;
    for name in names.into_iter().copied() {
        for value in fields.get_all(name) {
            let value = value.to_str().map_err(|_not_text| refuse(name, TAGS))?;
            let is_pattern =
                name == MAGENTO || value.contains(['(', '|', '^']) || value.contains(".*");
            let read = if is_pattern {
                pattern::tags(value).ok_or_else(|| refuse(name, TAGS))?
            } else {
                let tags = value.split([' ', '\t', ',']).filter(|tag| !tag.is_empty());
                NamedBy::OneOf(tags.map(str::to_owned).collect())
            };
            if read == NamedBy::OneOf(Vec::new()) {
                return Err(refuse(name, TAGS));
            }
            all = Some(match (all, read) {
                (Some(NamedBy::OneOf(mut tags)), NamedBy::OneOf(more)) => {
                    tags.extend(more);
                    NamedBy::OneOf(tags)
                }
                (None, read) => read,
                _ => NamedBy::Any,
            });
        }
    }
    Ok(all)
}

fn options<T>(matched: &NamedBy<T>) -> Vec<Option<&T>> {
    match matched {
        NamedBy::Any => vec![None],
        NamedBy::OneOf(all) => all.iter().map(Some).collect(),
    }
}

fn at(host: Option<&str>, path: &str) -> String {
    host.map_or_else(|| path.to_owned(), |host| format!("//{host}{path}"))
}

fn text_of<'a>(fields: &'a HeaderMap, name: &str) -> Option<&'a str> {
    fields.get(name).map(|value| value.to_str().unwrap_or("\\"))
}

fn require(is_so: bool, field: &str, instead: &'static str) -> Result<(), Foreign> {
    if is_so { Ok(()) } else { Err(refuse(field, instead)) }
}

fn refuse(field: &str, instead: &'static str) -> Foreign {
    Foreign::Value { field: field.to_owned(), instead }
}

const MAGENTO: &str = "x-magento-tags-pattern";

const CONTENT_TYPE: &str = "purges do not look at content types: send .*, or name tags";
const HOST: &str = "name hosts whole, as in ^(a\\.example|b\\.example)$, or send .*";
const URL: &str = "name a URL as in ^/path$ or a beginning as in ^/path, or send .*";
const URL_OF_HOST: &str = "name the host of a URL in X-Host, or a beginning as in ^/path";
const TAGS: &str = "name each tag, as in (^|,)(tag-1|tag-2)(,|$), or send .*";

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(line).collect()
    }

    fn ban(path: &str, lines: &[(&'static str, &'static str)]) -> Result<String, Foreign> {
        let request = BanConditions::of_ban(&fields(lines), ("h", path))?.request()?;
        Ok(serde_json::to_string(&request).unwrap())
    }

    #[test]
    fn a_ban_of_foshttpcache_becomes_selectors() {
        let any = [("x-host", ".*"), ("x-url", ".*"), ("x-content-type", ".*")];
        for (lines, expected) in [
            (any.to_vec(), r#"{"all":true}"#),
            (vec![any[0], ("x-url", "^/a/.*"), any[2]], r#"{"prefixes":["/a/"]}"#),
            (vec![("x-host", "^(a.b|c.d)$"), any[1]], r#"{"hosts":["a.b","c.d"]}"#),
            (
                vec![("x-host", "^a\\.b$"), ("x-url", "^/p$|^/q")],
                r#"{"urls":["//a.b/p"],"prefixes":["//a.b/q"]}"#,
            ),
            ([&any[..], &[("x-cache-tags", "(^|,)(t|u)(,|$)")]].concat(), r#"{"tags":["t","u"]}"#),
            (
                vec![("x-host", "^a\\.b$"), ("x-cache-tags", "(^|,)(t|u)(,|$)")],
                r#"{"expressions":[{"all_of":["host:a.b"],"any_of":["tag:t","tag:u"]}]}"#,
            ),
        ] {
            assert_eq!(ban("/", &lines).unwrap(), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_ban_without_fields_is_for_what_begins_like_its_url() {
        assert_eq!(ban("/", &[]).unwrap(), r#"{"all":true}"#);
        assert_eq!(ban("/a", &[]).unwrap(), r#"{"prefixes":["//h/a"]}"#);
        assert_eq!(ban("/a/.*", &[]).unwrap(), r#"{"prefixes":["//h/a/"]}"#);
        assert_eq!(ban("/.*", &[]).unwrap(), r#"{"hosts":["h"]}"#);
    }

    #[test]
    fn a_ban_that_cannot_be_exact_is_refused_with_what_to_write() {
        for (line, remedy) in [
            (("x-content-type", "text/.*"), "do not look at content types"),
            (("x-host", "shop"), "name hosts whole"),
            (("x-url", "\\.css$"), "name a URL"),
            (("x-url", "^/p$"), "name the host"),
            (("x-cache-tags", "(^|,)cat_.*(,|$)"), "name each tag"),
            (("x-cache-tags", ""), "name each tag"),
        ] {
            let error = ban("/", &[line]).unwrap_err().to_string();
            assert!(error.contains(line.0) && error.contains(remedy), "{line:?}: {error}");
        }
    }

    #[test]
    fn more_tags_than_an_expression_holds_become_several() {
        let tags: Vec<_> = (0..70).map(|number| format!("t{number}")).collect();
        let conditions = BanConditions {
            hosts: NamedBy::OneOf(vec!["h".to_owned()]),
            urls: NamedBy::Any,
            tags: NamedBy::OneOf(tags),
        };
        let request = conditions.request().unwrap();
        assert_eq!(request.expressions.len(), 3);
        assert_eq!(request.selectors(10).unwrap().len(), 3);
    }
}
