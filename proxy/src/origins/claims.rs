//! `OriginClaims`: the origin of each request, by host and path, from the settings of all origins.

use std::collections::HashMap;

use settings::{HostPattern, OriginSettings, PathPattern};

/// The place of an origin in the [`Origins`](super::Origins) that returned it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct OriginId(usize);

/// Finds the first origin that claims a request. The host is looked up in a table; only origins of
/// this host compare their paths.
#[derive(Debug)]
pub(super) struct OriginClaims {
    /// Set where the first origin claims everything.
    is_first_enough: bool,
    /// Origins by host, and by the domain that a host is below.
    hosts: HashMap<Box<str>, Vec<OriginId>>,
    domains: HashMap<Box<str>, Vec<OriginId>>,
    /// Origins that claim every host.
    all: Vec<OriginId>,
    /// By origin. Empty: every path.
    paths: Vec<Box<[PathPattern]>>,
}

impl OriginId {
    pub(super) const fn at(place: usize) -> Self {
        Self(place)
    }

    pub(super) const fn place(self) -> usize {
        self.0
    }
}

impl OriginClaims {
    pub(super) fn new(origins: &[OriginSettings]) -> Self {
        let claims_all =
            |origin: &OriginSettings| origin.hosts.is_empty() && origin.paths.is_empty();
        let mut claims = Self {
            is_first_enough: origins.first().is_some_and(claims_all),
            hosts: HashMap::new(),
            domains: HashMap::new(),
            all: Vec::new(),
            paths: origins.iter().map(|origin| origin.paths.as_slice().into()).collect(),
        };
        for (place, origin) in origins.iter().enumerate() {
            let id = OriginId(place);
            if origin.hosts.is_empty() {
                claims.all.push(id);
            }
            for host in &origin.hosts {
                let (table, host) = match host {
                    HostPattern::Exact(host) => (&mut claims.hosts, host),
                    HostPattern::Subdomains(domain) => (&mut claims.domains, domain),
                };
                table.entry(host.as_str().into()).or_default().push(id);
            }
        }
        claims
    }

    /// Chooses by a canonical host, whose port does not matter, and a path, whose query does not.
    pub(super) fn choose(&self, host: &str, path: &str) -> Option<OriginId> {
        if self.is_first_enough {
            return Some(OriginId::default());
        }
        let host = without_port(host);
        let path = path.split_once('?').map_or(path, |(path, _query)| path);
        let below = domains(host).filter_map(|domain| self.domains.get(domain));
        let candidates = self.hosts.get(host).into_iter().chain(below).chain([&self.all]);
        candidates.filter_map(|ids| ids.iter().copied().find(|id| self.has_path(*id, path))).min()
    }

    fn has_path(&self, id: OriginId, path: &str) -> bool {
        let paths = self.paths.get(id.place());
        paths.is_none_or(|paths| {
            paths.is_empty() || paths.iter().any(|pattern| pattern.matches(path))
        })
    }
}

/// Returns the domains that a host is below, the longest first.
fn domains(host: &str) -> impl Iterator<Item = &str> {
    host.match_indices('.').filter_map(|(place, _dot)| host.get(place + 1..))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use settings::{Config, Sources};

    use super::*;

    fn claims(text: &str) -> OriginClaims {
        let file = Some(("config.toml".to_owned(), text.to_owned()));
        let config = Config::load(&Sources { file, ..Sources::default() });
        OriginClaims::new(&config.unwrap().origins)
    }

    fn chosen(claims: &OriginClaims, host: &str, path: &str) -> Option<usize> {
        claims.choose(host, path).map(OriginId::place)
    }

    const SERVERS: &str = "servers = [\"127.0.0.1:1\"]\n";

    #[test]
    fn the_first_origin_that_matches_is_chosen() {
        let claims = claims(&format!(
            "[origin.api]\n{SERVERS}hosts = [\"www.example.com\"]\npaths = [\"/api/**\", \"/status\"]\n\
             [origin.shop]\n{SERVERS}hosts = [\"*.example.com\", \"example.com\"]\n\
             [origin.static]\n{SERVERS}paths = [\"/static/**\"]\n\
             [origin.local]\n{SERVERS}hosts = [\"localhost\", \"[::1]\"]\n\
             [origin.www]\n{SERVERS}hosts = [\"www.example.com\"]\n"
        ));
        for (host, path, expected) in [
            ("www.example.com", "/api/a", Some(0)),
            ("www.example.com:8080", "/status?x=/y", Some(0)),
            ("www.example.com", "/api", Some(1)),
            ("example.com", "/api/a", Some(1)),
            ("a.b.example.com", "/", Some(1)),
            ("badexample.com", "/", None),
            ("a.b.example.com", "/static/x", Some(1)),
            ("other.test", "/static/x?y", Some(2)),
            ("other.test", "/", None),
            ("localhost:8080", "/static/x", Some(2)),
            ("localhost:8080", "/", Some(3)),
            ("[::1]", "/", Some(3)),
            ("[::1]:8080", "/", Some(3)),
            ("localhost", "*", Some(3)),
            ("com", "/", None),
        ] {
            assert_eq!(chosen(&claims, host, path), expected, "{host} {path}");
        }
    }

    #[test]
    fn an_origin_without_claims_takes_what_is_left() {
        let claims = claims(&format!(
            "[origin.static]\n{SERVERS}paths = [\"/static/*\"]\n[origin.app]\n{SERVERS}"
        ));
        assert_eq!(chosen(&claims, "a", "/static/x"), Some(0));
        assert_eq!(chosen(&claims, "a", "/static/x/y"), Some(1));
        assert_eq!(chosen(&claims, "a", "*"), Some(1));
    }
}
