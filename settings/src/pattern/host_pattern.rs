//! `HostPattern`: hosts, one or all below a domain.

use std::net::Ipv6Addr;

use http::uri::Authority;

use crate::value::Fault;

/// A host without its port, in lower case, or all hosts below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This host.
    Exact(String),
    /// Every host that ends with a dot and this one.
    Subdomains(String),
}

impl HostPattern {
    /// Returns whether a canonical host without its port is meant.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(own) => own == host,
            Self::Subdomains(domain) => {
                host.strip_suffix(domain.as_str()).is_some_and(|before| before.ends_with('.'))
            }
        }
    }

    /// Returns whether every host of the other pattern is one of this.
    pub fn covers(&self, other: &Self) -> bool {
        let is_below = |host: &str, domain: &str| {
            host.strip_suffix(domain).is_some_and(|before| before.ends_with('.'))
        };
        match (self, other) {
            (Self::Exact(one), Self::Exact(other)) => one == other,
            (Self::Exact(_), Self::Subdomains(_)) => false,
            (Self::Subdomains(domain), Self::Exact(host)) => is_below(host, domain),
            (Self::Subdomains(domain), Self::Subdomains(other)) => {
                other == domain || is_below(other, domain)
            }
        }
    }
}

/// Reads `example.com` or `*.example.com`.
pub(crate) fn host_pattern(text: &str) -> Result<HostPattern, Fault> {
    let fault = |label: &str| {
        let wants = format!("must be a host or *.DOMAIN, and `{text}` is none");
        Fault::new(wants, label)
    };
    if text == "*" {
        return Err(fault("not a host").help("without `hosts`, every host is meant"));
    }
    if text.contains("://") {
        return Err(fault("a URL").help("only the host of it: \"www.example.com\""));
    }
    let lower = text.to_ascii_lowercase();
    let (domain, name) = match lower.strip_prefix("*.") {
        Some(domain) => (true, domain),
        None => (false, lower.as_str()),
    };
    if !name.is_ascii() {
        return Err(fault("not ASCII").help("as it is sent: \"xn--...\""));
    }
    let is_name = |name: &str| {
        !name.is_empty()
            && name.split('.').all(|label| !label.is_empty())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if let Some(literal) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = literal.parse().map_err(|_malformed| fault("no IPv6 address"))?;
        return Ok(HostPattern::Exact(format!("[{address}]")));
    }
    if is_name(name) {
        let name = name.to_owned();
        return Ok(if domain { HostPattern::Subdomains(name) } else { HostPattern::Exact(name) });
    }
    let port = name.parse::<Authority>().ok().and_then(|host| host.port_u16());
    Err(match port {
        Some(_) => fault("a host with a port").help("the port of a request does not matter here"),
        None => fault("not a host").help("\"www.example.com\" or \"*.example.com\""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(host: &str) -> HostPattern {
        HostPattern::Exact(host.to_owned())
    }

    fn below(domain: &str) -> HostPattern {
        HostPattern::Subdomains(domain.to_owned())
    }

    #[test]
    fn a_pattern_is_a_host_or_all_below_one() {
        for (text, expected) in [
            ("www.Example.com", exact("www.example.com")),
            ("example.com.", exact("example.com")),
            ("localhost", exact("localhost")),
            ("10.0.0.1", exact("10.0.0.1")),
            ("[0::1]", exact("[::1]")),
            ("*.example.com", below("example.com")),
        ] {
            assert_eq!(host_pattern(text).unwrap(), expected, "{text}");
        }
        for text in [
            "", "*", "*.", "a.*.b", "*a.b", "a..b", ".a", "a:80", "http://a", "a/b", "ä.de",
            "[::g]", "u@a", "*.[::1]x",
        ] {
            assert!(host_pattern(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_covers_what_it_matches_and_narrower_ones() {
        for (one, other, expected) in [
            (exact("a.b"), exact("a.b"), true),
            (exact("a.b"), below("b"), false),
            (below("b"), exact("a.b"), true),
            (below("b"), exact("b"), false),
            (below("b"), exact("ab"), false),
            (below("b"), below("b"), true),
            (below("b"), below("a.b"), true),
            (below("a.b"), below("b"), false),
        ] {
            assert_eq!(one.covers(&other), expected, "{one:?} {other:?}");
        }
    }
}
