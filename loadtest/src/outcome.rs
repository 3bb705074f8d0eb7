//! What a cache says it did with a request, read from the response's fields.
//!
//! `Cache-Status` (RFC 9211) comes first. `X-Cache-Status` (nginx), `X-Cache` (everybody) and
//! `X-Varnish` are read so that the peers can be measured with the same tool.

use std::fmt;

use http::HeaderMap;
use serde::Serialize;
use sfv::{BareItem, List, ListEntry, Parameters, Parser};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Hit,
    /// A stored response, stale (RFC 5861, or past its freshness lifetime in `ttl`).
    StaleHit,
    Collapsed,
    Forwarded(ForwardReason),
    /// No field says anything.
    Unknown,
}

/// Why a request was forwarded (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ForwardReason {
    Bypass,
    Method,
    UriMiss,
    VaryMiss,
    Miss,
    Request,
    Stale,
    Partial,
}

impl ForwardReason {
    pub(crate) fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }

    fn from_token(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.token() == token)
    }

    const ALL: [Self; 8] = [
        Self::Bypass,
        Self::Method,
        Self::UriMiss,
        Self::VaryMiss,
        Self::Miss,
        Self::Request,
        Self::Stale,
        Self::Partial,
    ];
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hit => out.write_str("hit"),
            Self::StaleHit => out.write_str("stale hit"),
            Self::Collapsed => out.write_str("collapsed"),
            Self::Forwarded(reason) => write!(out, "fwd={}", reason.token()),
            Self::Unknown => out.write_str("unknown"),
        }
    }
}

impl Outcome {
    /// Returns whether no request to the origin was waited for.
    pub(crate) fn is_hit(self) -> bool {
        matches!(self, Self::Hit | Self::StaleHit)
    }

    pub(crate) fn of(fields: &HeaderMap) -> Self {
        from_cache_status(fields)
            .or_else(|| from_word(&text(fields, "x-cache-status")?))
            .or_else(|| from_word(&text(fields, "x-cache")?))
            .or_else(|| from_varnish_ids(&text(fields, "x-varnish")?))
            .unwrap_or(Self::Unknown)
    }
}

/// Joins the lines of a field (RFC 9110 §5.3).
fn text(fields: &HeaderMap, name: &str) -> Option<String> {
    let lines: Vec<&str> =
        fields.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

/// Reads our own member, or the last one: the cache nearest to the client (RFC 9211 §2).
fn from_cache_status(fields: &HeaderMap) -> Option<Outcome> {
    let members: List = Parser::new(&text(fields, "cache-status")?).parse().ok()?;
    let items: Vec<_> = members.iter().filter_map(named).collect();
    let ours = items.iter().rfind(|(name, _)| *name == OUR_NAME);
    let (_, parameters) = ours.or_else(|| items.last())?;
    from_parameters(parameters)
}

/// Our name in `Cache-Status`, unless `[response] via` changes it.
const OUR_NAME: &str = "shellac";

fn named(member: &ListEntry) -> Option<(&str, &Parameters)> {
    let ListEntry::Item(item) = member else { return None };
    match &item.bare_item {
        BareItem::Token(name) => Some((name.as_str(), &item.params)),
        BareItem::String(name) => Some((name.as_str(), &item.params)),
        _ => None,
    }
}

fn from_parameters(parameters: &Parameters) -> Option<Outcome> {
    let is_true = |name| parameters.get(name).and_then(BareItem::as_boolean).unwrap_or(false);
    if is_true("hit") {
        let ttl = parameters.get("ttl").and_then(BareItem::as_integer).map_or(0, i64::from);
        return Some(if ttl < 0 { Outcome::StaleHit } else { Outcome::Hit });
    }
    let reason = ForwardReason::from_token(parameters.get("fwd")?.as_token()?.as_str())?;
    Some(if is_true("collapsed") { Outcome::Collapsed } else { Outcome::Forwarded(reason) })
}

/// Reads `HIT`, `MISS, HIT`, `TCP_HIT from x` or one of nginx's words; of several caches, the last
/// one.
fn from_word(value: &str) -> Option<Outcome> {
    let last = value.rsplit(',').next()?.trim().to_ascii_lowercase();
    let word = last.split_ascii_whitespace().next()?;
    match word {
        "updating" | "stale" => Some(Outcome::StaleHit),
        "expired" | "revalidated" => Some(Outcome::Forwarded(ForwardReason::Stale)),
        "bypass" | "pass" | "dynamic" => Some(Outcome::Forwarded(ForwardReason::Bypass)),
        _ if word.contains("hit") => Some(Outcome::Hit),
        _ if word.contains("miss") => Some(Outcome::Forwarded(ForwardReason::Miss)),
        _ => None,
    }
}

/// Varnish names its own transaction and, on a hit, the one that fetched the object.
fn from_varnish_ids(value: &str) -> Option<Outcome> {
    match value.split_ascii_whitespace().count() {
        0 => None,
        1 => Some(Outcome::Forwarded(ForwardReason::Miss)),
        _ => Some(Outcome::Hit),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn outcome(lines: &[(&'static str, &'static str)]) -> Outcome {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Outcome::of(&fields)
    }

    #[test]
    fn cache_status_is_understood() {
        let table = [
            ("shellac; hit; ttl=30", Outcome::Hit),
            ("shellac;hit;ttl=-4", Outcome::StaleHit),
            ("shellac; fwd=uri-miss; stored", Outcome::Forwarded(ForwardReason::UriMiss)),
            ("shellac; fwd=vary-miss", Outcome::Forwarded(ForwardReason::VaryMiss)),
            (
                "shellac; fwd=stale; fwd-status=304; stored",
                Outcome::Forwarded(ForwardReason::Stale),
            ),
            ("shellac; fwd=uri-miss; collapsed", Outcome::Collapsed),
            ("shellac; fwd=uri-miss; collapsed=?0", Outcome::Forwarded(ForwardReason::UriMiss)),
            ("shellac; fwd=bypass; detail=\"cookie\"", Outcome::Forwarded(ForwardReason::Bypass)),
            ("\"shellac\"; hit", Outcome::Hit),
            ("shellac; fwd=tomorrow", Outcome::Unknown),
            ("shellac", Outcome::Unknown),
            ("shellac; hit; ttl=", Outcome::Unknown),
        ];
        for (value, expected) in table {
            assert_eq!(outcome(&[("cache-status", value)]), expected, "{value}");
        }
    }

    #[test]
    fn our_member_counts_and_without_it_the_last_one() {
        let miss = Outcome::Forwarded(ForwardReason::Miss);

        assert_eq!(outcome(&[("cache-status", "shellac; hit, cdn; fwd=miss")]), Outcome::Hit);
        assert_eq!(
            outcome(&[("cache-status", "origin; hit"), ("cache-status", "shellac; fwd=miss")]),
            miss
        );
        assert_eq!(outcome(&[("cache-status", "origin; hit, cdn; fwd=miss")]), miss);
    }

    #[test]
    fn peers_are_understood() {
        let table = [
            ("x-cache-status", "HIT", Outcome::Hit),
            ("x-cache-status", "UPDATING", Outcome::StaleHit),
            ("x-cache-status", "EXPIRED", Outcome::Forwarded(ForwardReason::Stale)),
            ("x-cache-status", "BYPASS", Outcome::Forwarded(ForwardReason::Bypass)),
            ("x-cache", "MISS, HIT", Outcome::Hit),
            ("x-cache", "TCP_MISS from squid", Outcome::Forwarded(ForwardReason::Miss)),
            ("x-cache", "Hit from cloudfront", Outcome::Hit),
            ("x-varnish", "32770 3", Outcome::Hit),
            ("x-varnish", "32770", Outcome::Forwarded(ForwardReason::Miss)),
        ];
        for (name, value, expected) in table {
            assert_eq!(outcome(&[(name, value)]), expected, "{name}: {value}");
        }
    }

    #[test]
    fn cache_status_goes_before_the_other_fields() {
        assert_eq!(outcome(&[("x-cache", "MISS"), ("cache-status", "shellac; hit")]), Outcome::Hit);
        assert_eq!(outcome(&[("content-type", "text/html")]), Outcome::Unknown);
    }
}
