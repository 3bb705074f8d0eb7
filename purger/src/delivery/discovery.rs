//! Discovery of proxies: a list, names whose addresses are looked up periodically, or both.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use settings::TargetSettings;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Looks proxies up periodically and publishes the URLs of their admin listeners.
#[derive(Debug)]
pub struct Discovery {
    settings: TargetSettings,
    /// URLs that a name resolved to, with the moment since when complete answers lack them.
    seen: BTreeMap<(NameKind, String), Option<Instant>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Discovered {
    pub url: String,
    /// False for a proxy that left the configuration or the name: another host may have its address
    /// by now.
    pub is_present: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum NameKind {
    Addresses,
    Services,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct LookupResult {
    urls: Vec<String>,
    /// Parts that could not be looked up, each with the reason. A URL that is absent may exist
    /// nevertheless.
    missing: Vec<String>,
}

/// A failed look-up. The proxies found before are kept meanwhile.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// It is not `host:port`.
    #[error("`{0}` is not host:port")]
    Name(String),
    /// The name servers gave no answer.
    #[error("{0}")]
    Dns(String),
}

impl Discovery {
    pub const fn new(settings: TargetSettings) -> Self {
        Self { settings, seen: BTreeMap::new() }
    }

    /// Looks up once. While a name cannot be looked up, that is logged and its proxies are kept.
    pub async fn look(&mut self) -> Vec<Discovered> {
        for (kind, name, found) in [
            (NameKind::Addresses, &self.settings.dns, self.addresses().await),
            (NameKind::Services, &self.settings.srv, self.services().await),
        ] {
            match found {
                Ok(answer) => {
                    for why in &answer.missing {
                        tracing::warn!(
                            why,
                            name,
                            "cannot look up some proxies: keeping the known ones"
                        );
                    }
                    self.seen = note(std::mem::take(&mut self.seen), kind, answer, Instant::now());
                }
                Err(error) => {
                    tracing::warn!(%error, name, "cannot look up proxies: keeping the known ones");
                }
            }
        }
        let forget_after = self.settings.forget_after;
        self.seen.retain(|_, absent| absent.is_none_or(|since| since.elapsed() <= forget_after));
        let mut all = BTreeMap::new();
        let seen = self.seen.iter().map(|((_, url), absent)| (url, absent.is_none()));
        for (url, is_present) in self.settings.urls.iter().map(|url| (url, true)).chain(seen) {
            *all.entry(url.clone()).or_default() |= is_present;
        }
        all.into_iter().map(|(url, is_present)| Discovered { url, is_present }).collect()
    }

    async fn addresses(&self) -> Result<LookupResult, LookupError> {
        let name = &self.settings.dns;
        if name.is_empty() {
            return Ok(LookupResult::default());
        }
        let not_a_name = || LookupError::Name(name.clone());
        let port = name.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) {
            return Err(not_a_name());
        }
        let found = tokio::net::lookup_host(name.as_str()).await;
        let found = found.map_err(|error| LookupError::Dns(error.to_string()))?;
        Ok(LookupResult { urls: found.map(url_of).collect(), missing: Vec::new() })
    }

    async fn services(&self) -> Result<LookupResult, LookupError> {
        let name = &self.settings.srv;
        if name.is_empty() {
            return Ok(LookupResult::default());
        }
        let failed = |error: &dyn std::fmt::Display| LookupError::Dns(error.to_string());
        let resolver = TokioResolver::builder_tokio()
            .and_then(hickory_resolver::ResolverBuilder::build)
            .map_err(|error| failed(&error))?;
        let records = resolver.srv_lookup(name.as_str()).await.map_err(|error| failed(&error))?;
        let mut answer = LookupResult::default();
        for record in records.answers() {
            let RData::SRV(service) = &record.data else { continue };
            let host = service.target.to_utf8();
            let host = host.trim_end_matches('.');
            let found = resolver.lookup_ip(host).await;
            let found =
                found.map(|found| found.iter().collect()).map_err(|error| error.to_string());
            answer.add(host, service.port, found);
        }
        Ok(answer)
    }

    /// Looks up periodically until the receiver is dropped.
    pub async fn run(mut self, found: watch::Sender<Vec<Discovered>>) {
        let is_static = self.settings.dns.is_empty() && self.settings.srv.is_empty();
        loop {
            let proxies = self.look().await;
            found.send_if_modified(|known| {
                let is_new = *known != proxies;
                *known = proxies;
                is_new
            });
            if is_static {
                return found.closed().await;
            }
            tokio::select! {
                () = sleep(self.settings.refresh.max(REFRESH_MIN)) => {}
                () = found.closed() => return,
            }
        }
    }
}

impl LookupResult {
    /// Adds a service's host. A host without address does not affect the others.
    fn add(&mut self, host: &str, port: u16, found: Result<Vec<IpAddr>, String>) {
        match found {
            Ok(addresses) => {
                let url = |address| url_of(SocketAddr::new(address, port));
                self.urls.extend(addresses.into_iter().map(url));
            }
            Err(error) => self.missing.push(format!("{host}: {error}")),
        }
    }
}

/// Merges the answer for a name. Only a complete answer marks URLs as absent.
fn note(
    mut seen: BTreeMap<(NameKind, String), Option<Instant>>,
    kind: NameKind,
    answer: LookupResult,
    now: Instant,
) -> BTreeMap<(NameKind, String), Option<Instant>> {
    if answer.missing.is_empty() {
        for ((_, url), absent) in seen.iter_mut().filter(|((of, _), _)| *of == kind) {
            if !answer.urls.contains(url) {
                absent.get_or_insert(now);
            }
        }
    }
    seen.extend(answer.urls.into_iter().map(|url| ((kind, url), None)));
    seen
}

fn url_of(address: SocketAddr) -> String {
    format!("http://{address}")
}

const REFRESH_MIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(dns: &str, urls: &[&str]) -> TargetSettings {
        TargetSettings {
            dns: dns.to_owned(),
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            ..TargetSettings::default()
        }
    }

    fn urls(found: &[Discovered]) -> Vec<&str> {
        found.iter().map(|proxy| proxy.url.as_str()).collect()
    }

    #[tokio::test]
    async fn a_name_and_a_list_are_joined() {
        let mut discovery =
            Discovery::new(settings("127.0.0.1:81", &["http://b:1", "http://127.0.0.1:81"]));
        let found = discovery.look().await;
        assert_eq!(urls(&found), ["http://127.0.0.1:81", "http://b:1"]);
        assert!(found.iter().all(|proxy| proxy.is_present));
    }

    #[tokio::test]
    async fn a_fleet_is_never_forgotten_because_its_name_cannot_be_looked_up() {
        let mut discovery = Discovery::new(settings("127.0.0.1:81", &[]));
        discovery.settings.forget_after = Duration::ZERO;
        let all = discovery.look().await;
        assert_eq!((all.len(), all[0].is_present), (1, true));
        discovery.settings.dns = "no-port".to_owned();
        assert_eq!(discovery.look().await, all, "however long that lasts");
        assert_eq!(discovery.look().await, all);
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_left_its_name_is_absent_and_then_forgotten() {
        let mut discovery = Discovery::new(settings("127.0.0.1:81", &[]));
        discovery.look().await;
        discovery.settings.dns = "127.0.0.1:82".to_owned();
        let found = discovery.look().await;
        assert_eq!(urls(&found), ["http://127.0.0.1:81", "http://127.0.0.1:82"]);
        assert_eq!((found[0].is_present, found[1].is_present), (false, true));
        tokio::time::advance(discovery.settings.forget_after + Duration::from_secs(1)).await;
        assert_eq!(urls(&discovery.look().await), ["http://127.0.0.1:82"]);
    }

    #[test]
    fn a_service_without_address_takes_no_other_with_it() {
        let address = |last| vec![IpAddr::from([10, 0, 0, last])];
        let now = Instant::now();
        let mut answer = LookupResult::default();
        answer.add("a", 81, Ok(address(1)));
        answer.add("b", 81, Ok(address(2)));
        let seen = note(BTreeMap::new(), NameKind::Services, answer, now);
        let mut answer = LookupResult::default();
        answer.add("a", 81, Err("no record".to_owned()));
        answer.add("b", 81, Ok(address(2)));
        answer.add("c", 81, Ok(address(3)));
        assert_eq!(answer.missing, ["a: no record"]);
        let seen = note(seen, NameKind::Services, answer, now);
        assert_eq!(seen.len(), 3);
        assert!(seen.values().all(Option::is_none), "a may be there: {seen:?}");
        let mut answer = LookupResult::default();
        answer.add("c", 81, Ok(address(3)));
        let seen = note(seen, NameKind::Services, answer, now);
        assert_eq!(seen.values().filter(|absent| absent.is_some()).count(), 2);
    }
}
