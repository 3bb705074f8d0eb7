//! Which server of an origin gets a request.
//!
//! A server has a weight: its own, times the share that its health allows. Candidates are usable
//! servers with a free slot.

mod least_requests;
mod rendezvous;
mod round_robin;

use std::hash::Hasher as _;

use http::header::{COOKIE, HOST};
use http::{HeaderMap, Uri};
use settings::{Balance, HashBy};
use xxhash_rust::xxh3::Xxh3Default;

use self::least_requests::LeastRequests;
use self::rendezvous::rank;
use self::round_robin::RoundRobin;
use super::load::ServerLoad;

#[derive(Debug)]
pub(super) enum Balancer {
    RoundRobin(RoundRobin),
    LeastRequests(LeastRequests),
    Hash(HashBy),
    First,
}

/// A server that may be chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) name: &'a str,
    /// Greater than zero.
    pub(super) weight: u64,
    pub(super) load: &'a ServerLoad,
    pub(super) in_flight: usize,
    /// In seconds; 0 is unknown.
    pub(super) latency: f64,
}

impl Balancer {
    pub(super) fn new(balance: Balance, hash_by: &HashBy) -> Self {
        match balance {
            Balance::RoundRobin => Self::RoundRobin(RoundRobin::default()),
            Balance::LeastRequests => Self::LeastRequests(LeastRequests::default()),
            Balance::Hash => Self::Hash(hash_by.clone()),
            Balance::First => Self::First,
        }
    }

    /// Returns the hash of what chooses a server for this request. 0 where nothing of it does.
    pub(super) fn key(&self, uri: &Uri, fields: &HeaderMap) -> u64 {
        let Self::Hash(hash_by) = self else { return 0 };
        let mut hash = Xxh3Default::new();
        let mut add = |name| {
            let value = fields.get(name).map(http::HeaderValue::as_bytes);
            hash.write(value.unwrap_or_default());
        };
        match hash_by {
            HashBy::Host => add(HOST.as_str()),
            HashBy::Header(name) => add(name.as_str()),
            HashBy::Url => {
                add(HOST.as_str());
                hash.write(uri.path_and_query().map_or("/", |path| path.as_str()).as_bytes());
            }
            HashBy::Cookie(name) => hash.write(cookie(fields, name).unwrap_or_default()),
        }
        hash.finish()
    }

    /// Returns the place of the server that gets a request with this key. `others` are in flight at
    /// servers that are no candidates.
    pub(super) fn choose(
        &self,
        candidates: &[Candidate<'_>],
        key: u64,
        others: usize,
    ) -> Option<usize> {
        match self {
            Self::RoundRobin(turns) => turns.choose(candidates),
            Self::LeastRequests(draw) => draw.choose(candidates),
            Self::Hash(_) => rendezvous::choose(candidates, key, others),
            Self::First => (!candidates.is_empty()).then_some(0),
        }
    }

    /// Puts servers in the order in which they are tried when the one at `chosen` cannot be
    /// connected to.
    pub(super) fn order<T>(
        &self,
        servers: &mut [T],
        chosen: usize,
        key: u64,
        candidate: impl for<'c> Fn(&'c T) -> Candidate<'c>,
    ) {
        match self {
            Self::Hash(_) => servers.sort_by(|one, other| {
                let rank = |server| rank(&candidate(server), key);
                rank(other).total_cmp(&rank(one))
            }),
            Self::First => {}
            Self::RoundRobin(_) | Self::LeastRequests(_) => {
                servers.rotate_left(chosen.min(servers.len()));
            }
        }
    }
}

fn cookie<'f>(fields: &'f HeaderMap, name: &str) -> Option<&'f [u8]> {
    let lines = fields.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(key, _)| key.trim() == name);
    values.next().map(|(_, value)| value.trim().as_bytes())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// Servers with these weights and nothing to do.
    pub(super) struct Servers(pub(super) Vec<(String, u64, ServerLoad)>);

    impl Servers {
        pub(super) fn new(weights: &[u64]) -> Self {
            let server = |(place, weight): (usize, &u64)| {
                (format!("10.0.0.{place}:80"), *weight, ServerLoad::default())
            };
            Self(weights.iter().enumerate().map(server).collect())
        }

        pub(super) fn candidates(&self) -> Vec<Candidate<'_>> {
            let each = self.0.iter().map(|(name, weight, load)| Candidate {
                name,
                weight: *weight,
                load,
                in_flight: load.in_flight(),
                latency: 0.0,
            });
            each.collect()
        }
    }

    #[test]
    fn the_key_is_what_the_settings_say() {
        let mut fields = HeaderMap::new();
        fields.insert(HOST, HeaderValue::from_static("a.example"));
        fields.insert("x-tenant", HeaderValue::from_static("t1"));
        fields.insert(COOKIE, HeaderValue::from_static("a=1; shard=7; b=2"));
        let mut others = HeaderMap::new();
        others.insert(HOST, HeaderValue::from_static("b.example"));
        let (one, two) = (Uri::from_static("/1?x"), Uri::from_static("/2?x"));
        for (hash_by, differs_by_path) in [
            (HashBy::Url, true),
            (HashBy::Host, false),
            (HashBy::Header("x-tenant".to_owned()), false),
            (HashBy::Cookie("shard".to_owned()), false),
        ] {
            let balancer = Balancer::new(Balance::Hash, &hash_by);
            let key = balancer.key(&one, &fields);
            assert_eq!(key, balancer.key(&one, &fields));
            assert_eq!(key != balancer.key(&two, &fields), differs_by_path, "{hash_by:?}");
            assert_ne!(key, balancer.key(&one, &others), "{hash_by:?}");
        }
        assert_eq!(cookie(&fields, "shard"), Some(&b"7"[..]));
        assert_eq!(cookie(&fields, "hard"), None);
        let first = Balancer::new(Balance::First, &HashBy::Url);
        assert_eq!(first.key(&one, &fields), 0);
    }

    #[test]
    fn the_first_server_gets_everything_it_can_take() {
        let servers = Servers::new(&[1, 1]);
        let balancer = Balancer::new(Balance::First, &HashBy::Url);
        assert_eq!(balancer.choose(&servers.candidates(), 0, 0), Some(0));
        assert_eq!(balancer.choose(&[], 0, 0), None);
    }
}
