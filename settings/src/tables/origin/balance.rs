//! The choice of an origin's server for a request.

use crate::value::{Fault, is_token};

/// The choice of a server. Servers that are unusable, or have all the requests they may have, are
/// left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Of two servers that are drawn by weight, the one with fewer requests, or with the lower
    /// product of requests and latency where one is twice as slow.
    #[default]
    LeastRequests,
    /// Each in its turn, the heavier ones more often and spread out.
    RoundRobin,
    /// The same server for the same `hash_by`, as long as it has no more than its share and a
    /// quarter.
    Hash,
    /// The first of the list; the next one when it cannot be used.
    First,
}

/// The part of a request that chooses its server by `hash`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashBy {
    /// Host, path and query.
    #[default]
    Url,
    /// Host only.
    Host,
    /// The value of a field, as the origin gets it.
    Header(String),
    /// The value of a cookie, as the origin gets it.
    Cookie(String),
}

/// Reads `url`, `host`, `header:NAME` or `cookie:NAME`.
pub(super) fn hash_by(text: &str) -> Result<HashBy, Fault> {
    let fault = |label: &str| {
        Fault::new("must be \"url\", \"host\", \"header:NAME\" or \"cookie:NAME\"", label)
    };
    let name =
        |name: &str| is_token(name).then(|| name.to_owned()).ok_or_else(|| fault("not a name"));
    match text.split_once(':') {
        None if text == "url" => Ok(HashBy::Url),
        None if text == "host" => Ok(HashBy::Host),
        Some(("header", field)) => Ok(HashBy::Header(name(field)?.to_ascii_lowercase())),
        Some(("cookie", cookie)) => Ok(HashBy::Cookie(name(cookie)?)),
        _ => Err(fault("unknown value")),
    }
}

pub(super) const BALANCE: [(&str, Balance); 4] = [
    ("least-requests", Balance::LeastRequests),
    ("round-robin", Balance::RoundRobin),
    ("hash", Balance::Hash),
    ("first", Balance::First),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_hashed_by_its_url_host_or_a_field() {
        for (text, expected) in [
            ("url", HashBy::Url),
            ("host", HashBy::Host),
            ("header:X-Tenant", HashBy::Header("x-tenant".to_owned())),
            ("cookie:Shard", HashBy::Cookie("Shard".to_owned())),
        ] {
            assert_eq!(hash_by(text).unwrap(), expected);
        }
        for text in ["", "URL", "header", "header:", "header:a b", "cookie:a;b", "query:a"] {
            assert!(hash_by(text).is_err(), "{text}");
        }
    }
}
