//! `RecordFilter`: the requests that a log shows, in words that read like English.
//!
//! ```text
//! status>=500 or slower than 1s
//! cache=miss host=shop.example path=/p/*
//! not method=GET and client=10.0.0.0/8
//! ```

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::value::{duration_of, size_of};

/// Requests by what became of them: one of these lists of terms holds, all its terms at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFilter {
    text: String,
    any: Vec<Vec<FilterTerm>>,
}

/// What is said about one property of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterTerm {
    /// `not`, or `!=`: it holds where the test does not.
    pub is_negated: bool,
    /// The property, and its values.
    pub test: FilterTest,
}

/// A test of one property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterTest {
    /// `status>=500`.
    Status(Comparison, u64),
    /// `bytes>1MiB`, of the response's content.
    Bytes(Comparison, u64),
    /// `duration>1s`, from the request to the last byte.
    Duration(Comparison, Duration),
    /// `ttfb>200ms`, from the request to the response's head.
    FirstByte(Comparison, Duration),
    /// `host=shop.example`: one of these patterns, in which `*` stands for anything.
    Text(FilterField, Vec<String>),
    /// `client=10.0.0.0/8`.
    Client(Vec<IpNet>),
    /// `errors`: a status of 500 and above, or a response that broke off.
    Failed,
    /// `incomplete`: the client did not get the whole response.
    Incomplete,
}

/// A property that is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterField {
    /// The outcome: `hit`, `miss`, ...
    Cache,
    /// A reason code.
    Reason,
    /// The request's method.
    Method,
    /// The host, with a port unless it is the default one.
    Host,
    /// The path, without its query.
    Path,
    /// The origin's name.
    Origin,
    /// The name of a rule that matched.
    Rule,
    /// The listener's name.
    Listener,
    /// The request's id.
    RequestId,
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

impl Comparison {
    /// Returns whether it holds of two values in this order.
    pub fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::More => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

impl RecordFilter {
    /// Reads a filter, or says what is wrong. An empty one is met by every request.
    pub fn parse(filter: &str) -> Result<Self, String> {
        let mut any = vec![Vec::new()];
        let mut words = filter.split_whitespace();
        let mut is_negated = false;
        while let Some(word) = words.next() {
            let test = match word {
                "and" => continue,
                "not" => {
                    is_negated = !is_negated;
                    continue;
                }
                "or" => {
                    if is_negated || any.last().is_none_or(Vec::is_empty) {
                        return Err("a term is missing before `or`".to_owned());
                    }
                    any.push(Vec::new());
                    continue;
                }
                "slower" => FilterTest::Duration(Comparison::More, than(&mut words, span)?),
                "faster" => FilterTest::Duration(Comparison::Less, than(&mut words, span)?),
                "larger" => FilterTest::Bytes(Comparison::More, than(&mut words, bytes)?),
                "smaller" => FilterTest::Bytes(Comparison::Less, than(&mut words, bytes)?),
                "errors" => FilterTest::Failed,
                "incomplete" => FilterTest::Incomplete,
                "hits" => FilterTest::Text(FilterField::Cache, vec!["hit".to_owned()]),
                "misses" => FilterTest::Text(FilterField::Cache, vec!["miss".to_owned()]),
                _ => {
                    let (test, is_unequal) = comparison(word)?;
                    is_negated ^= is_unequal;
                    test
                }
            };
            if let Some(all) = any.last_mut() {
                all.push(FilterTerm { is_negated: std::mem::take(&mut is_negated), test });
            }
        }
        let is_open = any.len() > 1 && any.last().is_some_and(Vec::is_empty);
        if is_negated || is_open {
            return Err("a term is missing at the end".to_owned());
        }
        Ok(Self { text: filter.to_owned(), any })
    }

    /// The filter as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether a request is meant, given what says whether a test holds of it.
    pub fn holds(&self, holds: impl Fn(&FilterTest) -> bool) -> bool {
        let is_met = |term: &FilterTerm| holds(&term.test) != term.is_negated;
        self.any.is_empty() || self.any.iter().any(|all| all.iter().all(is_met))
    }
}

impl FilterTest {
    /// Returns whether one of the patterns is met: `*` stands for anything.
    pub fn is_met(patterns: &[String], text: &str) -> bool {
        patterns.iter().any(|pattern| wildcard(pattern, text))
    }

    /// Returns whether an address lies in one of the networks.
    pub fn contains(networks: &[IpNet], address: IpAddr) -> bool {
        networks.iter().any(|network| network.contains(&address))
    }
}

fn wildcard(pattern: &str, text: &str) -> bool {
    let Some((first, mut rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    while let Some((part, next)) = rest.split_once('*') {
        let Some((_, after)) = text.split_once(part) else { return false };
        (text, rest) = (after, next);
    }
    text.ends_with(rest)
}

/// Reads `than VALUE` after `slower` and its like.
fn than<'a, T>(
    words: &mut impl Iterator<Item = &'a str>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, String> {
    let mut value = words.next();
    if value == Some("than") {
        value = words.next();
    }
    read(value.ok_or("a value is missing at the end, as in `slower than 200ms`")?)
}

/// Reads a term such as `status>=500`, and whether it is one of inequality.
fn comparison(word: &str) -> Result<(FilterTest, bool), String> {
    let at = word.find(['=', '<', '>', '!', '~']);
    let Some((name, rest)) = at.and_then(|at| word.split_at_checked(at)) else {
        return Err(format!("`{word}` is no filter: {EXAMPLES}"));
    };
    let signs = [
        (">=", Comparison::AtLeast),
        ("<=", Comparison::AtMost),
        ("!=", Comparison::Equal),
        (">", Comparison::More),
        ("<", Comparison::Less),
        ("=", Comparison::Equal),
    ];
    let found = signs
        .iter()
        .find_map(|(sign, comparison)| Some((*sign, *comparison, rest.strip_prefix(sign)?)));
    let Some((sign, compare, value)) = found.filter(|(.., value)| !value.is_empty()) else {
        return Err(format!("`{word}` compares with nothing: {EXAMPLES}"));
    };
    let test = match name {
        "status" => FilterTest::Status(compare, status(value)?),
        "bytes" => FilterTest::Bytes(compare, bytes(value)?),
        "duration" => FilterTest::Duration(compare, span(value)?),
        "ttfb" => FilterTest::FirstByte(compare, span(value)?),
        "client" if compare == Comparison::Equal => FilterTest::Client(networks(value)?),
        _ => {
            let field = FIELDS.iter().find(|(own, _)| *own == name);
            let (_, field) = field.ok_or_else(|| {
                let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
                let names = names.join(", ");
                format!("there is no `{name}`: status, bytes, duration, ttfb, client, {names}")
            })?;
            if compare != Comparison::Equal {
                return Err(format!("`{name}` is text: it is compared by `=` or `!=` only"));
            }
            FilterTest::Text(*field, value.split(',').map(str::to_owned).collect())
        }
    };
    Ok((test, sign == "!="))
}

fn status(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|code| (100..=999).contains(code))
        .ok_or_else(|| format!("`{text}` is no status code: 100 to 999, as in `status>=500`"))
}

fn bytes(text: &str) -> Result<u64, String> {
    size_of(text).map_err(|_fault| format!("`{text}` is no size, such as \"10KiB\""))
}

fn span(text: &str) -> Result<Duration, String> {
    duration_of(text).ok_or_else(|| format!("`{text}` is no time, such as \"200ms\" or \"1s\""))
}

fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let network = |text: &str| {
        let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
        let network = text.parse().ok().or_else(address);
        network.ok_or_else(|| format!("`{text}` is no address or network, such as 10.0.0.0/8"))
    };
    text.split(',').map(network).collect()
}

const FIELDS: [(&str, FilterField); 9] = [
    ("cache", FilterField::Cache),
    ("reason", FilterField::Reason),
    ("method", FilterField::Method),
    ("host", FilterField::Host),
    ("path", FilterField::Path),
    ("origin", FilterField::Origin),
    ("rule", FilterField::Rule),
    ("listener", FilterField::Listener),
    ("request_id", FilterField::RequestId),
];

const EXAMPLES: &str = "write `status>=500`, `cache=miss`, `path=/p/*`, `slower than 200ms`, \
    `errors`, joined by `and`, `or`, `not`";

#[cfg(test)]
mod tests {
    use super::*;

    fn met(filter: &str) -> bool {
        RecordFilter::parse(filter).unwrap().holds(|test| match test {
            FilterTest::Status(compare, status) => compare.holds(&503, status),
            FilterTest::Bytes(compare, bytes) => compare.holds(&2048, bytes),
            FilterTest::Duration(compare, span) | FilterTest::FirstByte(compare, span) => {
                compare.holds(&Duration::from_millis(250), span)
            }
            FilterTest::Text(FilterField::Cache, patterns) => FilterTest::is_met(patterns, "miss"),
            FilterTest::Text(_, patterns) => FilterTest::is_met(patterns, "/p/a/b"),
            FilterTest::Client(networks) => {
                FilterTest::contains(networks, IpAddr::from([10, 1, 2, 3]))
            }
            FilterTest::Failed => true,
            FilterTest::Incomplete => false,
        })
    }

    #[test]
    fn a_filter_holds_as_its_words_say() {
        for filter in [
            "",
            "status>=500",
            "status=503 cache=miss",
            "misses and slower than 200ms",
            "slower 200ms",
            "faster than 300ms",
            "larger than 1KiB",
            "bytes<=2KiB",
            "not cache=hit,stale",
            "cache!=hit",
            "cache=hit,miss",
            "path=/p/*",
            "path=*/b path=/*/a/*",
            "client=10.0.0.0/8",
            "client=192.0.2.1,10.1.2.3",
            "incomplete or errors",
            "status=200 or duration>0.2s and not hits",
        ] {
            assert!(met(filter), "{filter}");
        }
        for filter in [
            "status<500",
            "status!=503",
            "misses faster than 250ms",
            "hits or incomplete",
            "path=/p",
            "path=/p/*/c",
            "not errors",
            "client!=10.0.0.0/8",
            "cache!=miss or smaller than 2KiB",
        ] {
            assert!(!met(filter), "{filter}");
        }
    }

    #[test]
    fn a_wrong_filter_is_told_what_would_be_right() {
        for (filter, told) in [
            ("slow", "`slow` is no filter: write `status>=500`"),
            ("status>=", "`status>=` compares with nothing"),
            ("status=5xx", "`5xx` is no status code"),
            ("duration>fast", "`fast` is no time"),
            ("slower than", "a value is missing"),
            ("larger than many", "`many` is no size"),
            ("cache>miss", "`cache` is text"),
            ("colour=red", "there is no `colour`: status, bytes, duration, ttfb, client, cache"),
            ("client=nobody", "`nobody` is no address"),
            ("or status=1", "a term is missing before `or`"),
            ("errors or", "a term is missing at the end"),
            ("errors not", "a term is missing at the end"),
        ] {
            let error = RecordFilter::parse(filter).unwrap_err();
            assert!(error.starts_with(told), "{filter}: {error}");
        }
    }
}
