//! `PrefixSet`: many prefixes, and whether one of them covers a URL.

use std::collections::HashMap;

use purge_protocol::UrlPrefix;

/// Beginnings of paths by host. None of a host begins with another one, so a path has to be
/// compared with the last one before it only.
#[derive(Debug, Default)]
pub(super) struct PrefixSet<'a> {
    of_every_host: Vec<&'a [u8]>,
    hosts: HashMap<&'a [u8], Vec<&'a [u8]>>,
}

impl<'a> PrefixSet<'a> {
    pub(super) fn of(prefixes: impl Iterator<Item = &'a UrlPrefix>) -> Self {
        let mut set = Self::default();
        for prefix in prefixes {
            let paths = match prefix.host() {
                Some(host) => set.hosts.entry(host.as_bytes()).or_default(),
                None => &mut set.of_every_host,
            };
            paths.push(prefix.path().as_bytes());
        }
        set.hosts.values_mut().chain([&mut set.of_every_host]).for_each(keep_shortest);
        set
    }

    /// Returns whether one covers the URL of this host and path, in its normal spelling.
    pub(super) fn covers(&self, host: &[u8], path: &[u8]) -> bool {
        is_begun(&self.of_every_host, path)
            || self.hosts.get(host).is_some_and(|paths| is_begun(paths, path))
    }
}

fn keep_shortest(paths: &mut Vec<&[u8]>) {
    paths.sort_unstable();
    paths.dedup_by(|later, kept| later.starts_with(kept));
}

fn is_begun(sorted: &[&[u8]], path: &[u8]) -> bool {
    let after = sorted.partition_point(|beginning| *beginning <= path);
    after.checked_sub(1).and_then(|at| sorted.get(at)).is_some_and(|last| path.starts_with(last))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, proptest};

    use super::*;

    proptest! {
        #[test]
        fn a_set_covers_what_one_of_its_prefixes_covers(
            prefixes in prop::collection::vec("(//[hi])?/([ab][ab/]{0,2})?", 0..8), path in "/[ab/]{0,5}",
        ) {
            let prefixes: Vec<_> =
                prefixes.iter().map(|text| UrlPrefix::parse(text).unwrap()).collect();
            let set = PrefixSet::of(prefixes.iter());
            for host in [&b"h"[..], b"i", b"j"] {
                let expected = prefixes.iter().any(|it| it.covers_normal(host, path.as_bytes()));
                assert_eq!(set.covers(host, path.as_bytes()), expected, "{prefixes:?} {path}");
            }
        }
    }
}
