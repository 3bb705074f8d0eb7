//! Discovery of proxies: a list, names whose addresses are looked up periodically, or both.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::RData;
use settings::TargetSettings;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::kafka::cause::LOG_LIMITER;

/// Looks proxies up periodically and publishes the URLs of their admin listeners.
#[derive(Debug)]
pub struct Discovery {
    settings: TargetSettings,
    /// URLs that a name resolved to.
    seen: BTreeMap<(NameKind, String), Presence>,
}

/// Whether a URL belongs to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Listed,
    /// Complete answers lack it.
    Left(Instant),
    /// The name does not exist, and the proxy does not answer either.
    Silent(Instant),
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
    /// The name servers answered that the name does not exist, or has no address.
    #[error("{0}")]
    NoSuchName(String),
}

impl Discovery {
    pub const fn new(settings: TargetSettings) -> Self {
        Self { settings, seen: BTreeMap::new() }
    }

    /// Looks up once. While a name cannot be looked up, its proxies are kept. While it does not
    /// exist, those are kept that answer: a fleet without ready members has no name in Kubernetes,
    /// and neither has one whose name server has lost its data. `silence` tells how long a URL has
    /// not answered.
    pub async fn look(&mut self, silence: impl Fn(&str) -> Option<Duration>) -> Vec<Discovered> {
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
                Err(LookupError::NoSuchName(why)) => {
                    if let Some(repeated) = LOG_LIMITER.admit(&why) {
                        tracing::warn!(
                            why,
                            name,
                            repeated,
                            "there is no such name: keeping the known proxies that answer"
                        );
                    }
                    note_no_name(&mut self.seen, kind, &silence, Instant::now());
                }
                Err(error) => {
                    let error = error.to_string();
                    if let Some(repeated) = LOG_LIMITER.admit(&error) {
                        tracing::warn!(
                            error,
                            name,
                            repeated,
                            "cannot look up proxies: keeping the known ones"
                        );
                    }
                }
            }
        }
        let forget_after = self.settings.forget_after;
        self.seen.retain(|_, presence| match presence {
            Presence::Listed => true,
            Presence::Left(since) | Presence::Silent(since) => since.elapsed() <= forget_after,
        });
        let mut all = BTreeMap::new();
        let is_listed = |presence: &Presence| *presence == Presence::Listed;
        let seen = self.seen.iter().map(|((_, url), presence)| (url, is_listed(presence)));
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
        let found = match tokio::net::lookup_host(name.as_str()).await {
            Ok(found) => found,
            Err(error) => return Err(cause_of(name, &error).await),
        };
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
        let records =
            resolver.srv_lookup(name.as_str()).await.map_err(|error| lookup_error(&error))?;
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
    pub async fn run(
        mut self,
        found: watch::Sender<Vec<Discovered>>,
        silence: impl Fn(&str) -> Option<Duration>,
    ) {
        let is_static = self.settings.dns.is_empty() && self.settings.srv.is_empty();
        loop {
            let proxies = self.look(&silence).await;
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
    mut seen: BTreeMap<(NameKind, String), Presence>,
    kind: NameKind,
    answer: LookupResult,
    now: Instant,
) -> BTreeMap<(NameKind, String), Presence> {
    if answer.missing.is_empty() {
        for ((_, url), presence) in seen.iter_mut().filter(|((of, _), _)| *of == kind) {
            if !answer.urls.contains(url) {
                *presence = match *presence {
                    Presence::Listed => Presence::Left(now),
                    Presence::Left(since) | Presence::Silent(since) => Presence::Left(since),
                };
            }
        }
    }
    seen.extend(answer.urls.into_iter().map(|url| ((kind, url), Presence::Listed)));
    seen
}

/// Notes that a name does not exist: its proxies count as absent only while they do not answer.
fn note_no_name(
    seen: &mut BTreeMap<(NameKind, String), Presence>,
    kind: NameKind,
    silence: impl Fn(&str) -> Option<Duration>,
    now: Instant,
) {
    for ((_, url), presence) in seen.iter_mut().filter(|((of, _), _)| *of == kind) {
        let is_silent = silence(url).is_some_and(|since| since >= SILENCE);
        *presence = match *presence {
            Presence::Listed if is_silent => Presence::Silent(now),
            Presence::Silent(_) if !is_silent => Presence::Listed,
            same => same,
        };
    }
}

/// Returns why the system's resolver did not find a name, of which it does not tell whether it does
/// not exist or could not be asked for.
async fn cause_of(name: &str, error: &std::io::Error) -> LookupError {
    let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
    let asked = TokioResolver::builder_tokio().and_then(hickory_resolver::ResolverBuilder::build);
    if let Ok(resolver) = asked
        && let Err(no_records) = resolver.lookup_ip(host).await
        && no_records.is_no_records_found()
    {
        return LookupError::NoSuchName(error.to_string());
    }
    LookupError::Dns(error.to_string())
}

fn lookup_error(error: &NetError) -> LookupError {
    if error.is_no_records_found() {
        LookupError::NoSuchName(error.to_string())
    } else {
        LookupError::Dns(error.to_string())
    }
}

fn url_of(address: SocketAddr) -> String {
    format!("http://{address}")
}

const REFRESH_MIN: Duration = Duration::from_millis(100);
/// A proxy of a name that does not exist is kept until it has not answered for so long.
const SILENCE: Duration = Duration::from_secs(30);

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
        let found = discovery.look(|_| None).await;
        assert_eq!(urls(&found), ["http://127.0.0.1:81", "http://b:1"]);
        assert!(found.iter().all(|proxy| proxy.is_present));
    }

    #[tokio::test]
    async fn a_fleet_is_never_forgotten_because_its_name_cannot_be_looked_up() {
        let mut discovery = Discovery::new(settings("127.0.0.1:81", &[]));
        discovery.settings.forget_after = Duration::ZERO;
        let all = discovery.look(|_| None).await;
        assert_eq!((all.len(), all[0].is_present), (1, true));
        discovery.settings.dns = "no-port".to_owned();
        assert_eq!(discovery.look(|_| None).await, all, "however long that lasts");
        assert_eq!(discovery.look(|_| None).await, all);
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_left_its_name_is_absent_and_then_forgotten() {
        let mut discovery = Discovery::new(settings("127.0.0.1:81", &[]));
        discovery.look(|_| None).await;
        discovery.settings.dns = "127.0.0.1:82".to_owned();
        let found = discovery.look(|_| None).await;
        assert_eq!(urls(&found), ["http://127.0.0.1:81", "http://127.0.0.1:82"]);
        assert_eq!((found[0].is_present, found[1].is_present), (false, true));
        tokio::time::advance(discovery.settings.forget_after + Duration::from_secs(1)).await;
        assert_eq!(urls(&discovery.look(|_| None).await), ["http://127.0.0.1:82"]);
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
        assert!(seen.values().all(is_listed), "a may be there: {seen:?}");
        let mut answer = LookupResult::default();
        answer.add("c", 81, Ok(address(3)));
        let seen = note(seen, NameKind::Services, answer, now);
        assert_eq!(seen.values().filter(|presence| !is_listed(presence)).count(), 2);
    }

    fn is_listed(presence: &Presence) -> bool {
        *presence == Presence::Listed
    }

    /// In Kubernetes, a headless service without ready pods has no name.
    #[tokio::test(start_paused = true)]
    async fn proxies_whose_name_does_not_exist_are_kept_as_long_as_they_answer() {
        let url = |last: u8| format!("http://10.0.0.{last}:81");
        let key = |last| (NameKind::Addresses, url(last));
        let begin = Instant::now();
        let mut seen = BTreeMap::from([
            (key(1), Presence::Listed),
            (key(2), Presence::Listed),
            (key(3), Presence::Left(begin)),
        ]);
        let is_silent = |name: &str| (name == url(2)).then_some(SILENCE);
        note_no_name(&mut seen, NameKind::Addresses, is_silent, begin);
        assert_eq!(seen[&key(1)], Presence::Listed);
        assert_eq!(seen[&key(2)], Presence::Silent(begin), "it gets no token from now on");
        assert_eq!(seen[&key(3)], Presence::Left(begin), "another may have its address");
        tokio::time::advance(Duration::from_mins(1)).await;
        note_no_name(&mut seen, NameKind::Addresses, is_silent, Instant::now());
        assert_eq!(seen[&key(2)], Presence::Silent(begin), "its time goes on");
        note_no_name(&mut seen, NameKind::Addresses, |_| None, Instant::now());
        assert_eq!(seen[&key(2)], Presence::Listed, "it answers again");
        note_no_name(&mut seen, NameKind::Addresses, is_silent, begin);
        let answer = LookupResult { urls: vec![url(3)], missing: Vec::new() };
        let seen = note(seen, NameKind::Addresses, answer, Instant::now());
        assert_eq!(seen[&key(1)], Presence::Left(Instant::now()));
        assert_eq!(seen[&key(2)], Presence::Left(begin));
        assert_eq!(seen[&key(3)], Presence::Listed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_proxy_whose_name_does_not_exist_is_forgotten_in_the_end() {
        let mut discovery = Discovery::new(settings("no-port", &[]));
        let since = Presence::Silent(Instant::now());
        discovery.seen.insert((NameKind::Addresses, "http://10.0.0.1:81".to_owned()), since);
        let found = discovery.look(|_| None).await;
        assert_eq!((found.len(), found[0].is_present), (1, false));
        tokio::time::advance(discovery.settings.forget_after + Duration::from_secs(1)).await;
        assert_eq!(discovery.look(|_| None).await, []);
    }

    #[test]
    fn only_an_answer_says_that_a_name_does_not_exist() {
        use hickory_resolver::net::{DnsError, NoRecords};
        use hickory_resolver::proto::op::{Query, ResponseCode};
        let is_no_name =
            |error: NetError| matches!(lookup_error(&error), LookupError::NoSuchName(_));
        for code in [ResponseCode::NXDomain, ResponseCode::NoError] {
            let no_records = NoRecords::new(Query::default(), code);
            assert!(is_no_name(DnsError::NoRecordsFound(no_records).into()), "{code}");
        }
        assert!(!is_no_name(DnsError::ResponseCode(ResponseCode::ServFail).into()));
        assert!(!is_no_name(NetError::Timeout));
    }
}
