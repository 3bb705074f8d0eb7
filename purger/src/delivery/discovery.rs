//! Who is to be purged: a list, names whose addresses are looked up again and again, or both.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use shellac::config::Targets;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Looks proxies up, forever, and publishes the URLs of their admin listeners.
#[derive(Debug)]
pub struct Discovery {
    settings: Targets,
    /// When each proxy that a name had was last seen there.
    seen: BTreeMap<String, Instant>,
}

/// Why a name has no addresses. The last ones are kept meanwhile.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// It is not `host:port`.
    #[error("`{0}` is not host:port")]
    Name(String),
    /// The name servers do not say.
    #[error("{0}")]
    Dns(String),
}

impl Discovery {
    /// Makes one for these settings.
    pub const fn new(settings: Targets) -> Self {
        Self { settings, seen: BTreeMap::new() }
    }

    /// Looks up once; what cannot be looked up is reported, and what was there stays.
    pub async fn look(&mut self) -> Vec<String> {
        for (name, found) in [
            (&self.settings.dns, self.addresses().await),
            (&self.settings.srv, self.services().await),
        ] {
            match found {
                Ok(urls) => {
                    let now = Instant::now();
                    self.seen.extend(urls.into_iter().map(|url| (url, now)));
                }
                Err(error) => {
                    tracing::warn!(%error, name, "cannot look up proxies: keeping those there are");
                }
            }
        }
        let forget_after = self.settings.forget_after;
        self.seen.retain(|_, seen| seen.elapsed() <= forget_after);
        let mut all: Vec<String> =
            self.settings.urls.iter().chain(self.seen.keys()).cloned().collect();
        all.sort();
        all.dedup();
        all
    }

    async fn addresses(&self) -> Result<Vec<String>, LookupError> {
        let name = &self.settings.dns;
        if name.is_empty() {
            return Ok(Vec::new());
        }
        let not_a_name = || LookupError::Name(name.clone());
        let port = name.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) {
            return Err(not_a_name());
        }
        let found = tokio::net::lookup_host(name.as_str()).await;
        let found = found.map_err(|error| LookupError::Dns(error.to_string()))?;
        Ok(found.map(url_of).collect())
    }

    async fn services(&self) -> Result<Vec<String>, LookupError> {
        let name = &self.settings.srv;
        if name.is_empty() {
            return Ok(Vec::new());
        }
        let failed = |error: &dyn std::fmt::Display| LookupError::Dns(error.to_string());
        let resolver = TokioResolver::builder_tokio()
            .and_then(hickory_resolver::ResolverBuilder::build)
            .map_err(|error| failed(&error))?;
        let records = resolver.srv_lookup(name.as_str()).await.map_err(|error| failed(&error))?;
        let mut urls = Vec::new();
        for record in records.answers() {
            let RData::SRV(service) = &record.data else { continue };
            let host = service.target.to_utf8();
            let host = host.trim_end_matches('.');
            let found = resolver.lookup_ip(host).await.map_err(|error| failed(&error))?;
            urls.extend(found.iter().map(|address| url_of(SocketAddr::new(address, service.port))));
        }
        Ok(urls)
    }

    /// Looks up again and again; ends when nobody listens.
    pub async fn run(mut self, found: watch::Sender<Vec<String>>) {
        let is_static = self.settings.dns.is_empty() && self.settings.srv.is_empty();
        loop {
            let urls = self.look().await;
            found.send_if_modified(|known| {
                let is_new = *known != urls;
                *known = urls;
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

fn url_of(address: SocketAddr) -> String {
    format!("http://{address}")
}

const REFRESH_MIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(dns: &str, urls: &[&str]) -> Targets {
        Targets {
            dns: dns.to_owned(),
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            ..Targets::default()
        }
    }

    #[tokio::test]
    async fn a_name_and_a_list_are_joined() {
        let mut discovery =
            Discovery::new(settings("127.0.0.1:81", &["http://b:1", "http://127.0.0.1:81"]));
        assert_eq!(discovery.look().await, ["http://127.0.0.1:81", "http://b:1"]);
    }

    #[tokio::test]
    async fn what_a_name_had_stays_when_it_cannot_be_looked_up() {
        let mut discovery = Discovery::new(settings("127.0.0.1:81", &[]));
        assert_eq!(discovery.look().await.len(), 1);
        discovery.settings.dns = "no-port".to_owned();
        assert_eq!(discovery.look().await.len(), 1);
        discovery.settings.forget_after = Duration::ZERO;
        assert_eq!(discovery.look().await.len(), 0, "but not for ever");
    }
}
