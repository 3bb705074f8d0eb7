//! `Sites`: the hosts that are counted apart.

use std::sync::Arc;

use super::matcher::host_name;

/// The hosts of the settings, and their ids. An id belongs to one host as long as the process runs.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    /// In the order of the hosts.
    counted: Box<[(Box<str>, SiteId)]>,
    /// All hosts that ever had an id, by it.
    known: Arc<[Box<str>]>,
}

/// A host's place among those that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteId(u16);

impl SiteId {
    /// The number of hosts that can have an id while the process runs, whatever is reloaded.
    pub const MAX: usize = 1000;

    /// Returns the site's item of a slice that holds one for each.
    pub fn of<T>(self, all: &[T]) -> Option<&T> {
        all.get(usize::from(self.0))
    }
}

impl Sites {
    /// Returns the sites of these settings. Hosts that had an id keep it.
    pub(super) fn new(hosts: &[String], before: Option<&Self>) -> Self {
        let mut known: Vec<Box<str>> = before.map(|sites| sites.known.to_vec()).unwrap_or_default();
        let mut counted = Vec::with_capacity(hosts.len());
        for host in hosts {
            let host: Box<str> = host.as_str().into();
            let place = known.iter().position(|known| *known == host).unwrap_or_else(|| {
                known.push(host.clone());
                known.len() - 1
            });
            if place < SiteId::MAX {
                counted.extend(u16::try_from(place).map(|place| (host, SiteId(place))));
            } else {
                known.truncate(SiteId::MAX);
                tracing::warn!(
                    %host,
                    limit = SiteId::MAX,
                    "a site is not counted: too many others were since the start"
                );
            }
        }
        counted.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self { counted: counted.into(), known: known.into() }
    }

    /// Returns the site of a canonical host, if it is counted.
    pub fn of(&self, host: &str) -> Option<SiteId> {
        if self.counted.is_empty() { None } else { self.find(host_name(host)) }
    }

    fn find(&self, host: &str) -> Option<SiteId> {
        let place = self.counted.binary_search_by(|(own, _)| (**own).cmp(host)).ok()?;
        self.counted.get(place).map(|(_, id)| *id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, SiteId)> {
        self.counted.iter().map(|(host, id)| (&**host, *id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(hosts: &[&str], before: Option<&Sites>) -> Sites {
        let hosts: Vec<_> = hosts.iter().copied().map(str::to_owned).collect();
        Sites::new(&hosts, before)
    }

    #[test]
    fn a_host_is_found_with_and_without_its_port_and_no_other_is() {
        let sites = sites(&["b.example", "[::1]", "a.example"], None);
        assert_eq!(sites.of("b.example"), Some(SiteId(0)));
        assert_eq!(sites.of("b.example:8080"), Some(SiteId(0)));
        assert_eq!(sites.of("[::1]:80"), Some(SiteId(1)));
        assert_eq!(sites.of("a.example"), Some(SiteId(2)));
        for other in ["c.example", "x.a.example", ""] {
            assert_eq!(sites.of(other), None, "{other}");
        }
    }

    #[test]
    fn an_id_belongs_to_one_host_whatever_is_reloaded() {
        let first = sites(&["a", "b"], None);
        let second = sites(&["c"], Some(&first));
        let third = sites(&["b", "c", "a"], Some(&second));
        assert_eq!((second.of("c"), second.of("a")), (Some(SiteId(2)), None));
        let ids = ["a", "b", "c"].map(|host| third.of(host));
        assert_eq!(ids, [Some(SiteId(0)), Some(SiteId(1)), Some(SiteId(2))]);
    }

    #[test]
    fn there_is_a_limit_of_hosts_since_the_start() {
        let hosts = |range: std::ops::Range<usize>| -> Vec<_> {
            range.map(|number| format!("h{number}")).collect()
        };
        let full = Sites::new(&hosts(0..SiteId::MAX), None);
        let next = Sites::new(&["late".to_owned(), "h7".to_owned()], Some(&full));
        assert_eq!((next.of("late"), next.of("h7")), (None, Some(SiteId(7))));
        assert_eq!(next.known.len(), SiteId::MAX);
    }
}
