//! `Resolver`: looks names up in the hosts file and over DNS.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::lookup::Lookup as HickoryLookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use parking_lot::Mutex;
use settings::{AddressFamily, DnsSettings};
use tokio::time::timeout_at;

use super::answer::{FoundRecords, Missing, NoAnswer, Question, Records, ServiceRecord};
use super::files::{FileStamp, HostsFile, system_servers};
use super::keeper::{KindPatience, NameLookup};

#[derive(Debug, Default)]
pub(super) struct Resolver {
    hosts: HostsFile,
    client: Mutex<Option<Arc<DnsClient>>>,
}

/// A client of the name servers, made for these settings.
#[derive(Debug)]
struct DnsClient {
    settings: DnsSettings,
    system: FileStamp,
    resolver: TokioResolver,
    search: Vec<Name>,
    /// Names with fewer dots are first tried with the domains of the search list.
    ndots: usize,
}

/// Addresses of one kind, with the TTL of their records.
type Addresses = Result<(Vec<IpAddr>, Duration), NoAnswer>;

impl NameLookup for Resolver {
    async fn look_up(
        &self,
        question: &Question,
        dns: &DnsSettings,
        patience: KindPatience,
    ) -> Result<FoundRecords, NoAnswer> {
        let name = Name::from_ascii(question.name())
            .map_err(|error| NoAnswer::Failed(format!("it is no name: {error}")))?;
        if let Question::Addresses(_) = question {
            let listed = self.hosts.addresses(&name);
            if !listed.is_empty() {
                let records = Records::Addresses(listed);
                return Ok(FoundRecords { records, ttl: HOSTS_TTL, missing: None });
            }
        }
        let client = self.client(dns)?;
        let mut failure = NoAnswer::NoRecords;
        for candidate in client.candidates(&name) {
            let found = match question {
                Question::Addresses(_) => client.addresses(&candidate, patience).await,
                Question::Services(_) => client.services(&candidate).await,
            };
            match found {
                Ok(found) => return Ok(found),
                Err(other) => failure = failure.max(other),
            }
        }
        Err(failure)
    }
}

impl Resolver {
    /// Returns the client for these settings: a new one if they, or those of the system, have
    /// changed.
    fn client(&self, dns: &DnsSettings) -> Result<Arc<DnsClient>, NoAnswer> {
        let system = if dns.servers.is_empty() {
            FileStamp::of_system_servers()
        } else {
            FileStamp::default()
        };
        let mut client = self.client.lock();
        match &*client {
            Some(client) if client.settings == *dns && client.system == system => {
                Ok(Arc::clone(client))
            }
            _ => Ok(Arc::clone(client.insert(Arc::new(DnsClient::new(dns, system)?)))),
        }
    }
}

impl DnsClient {
    fn new(dns: &DnsSettings, system: FileStamp) -> Result<Self, NoAnswer> {
        let (mut config, mut options) = if dns.servers.is_empty() {
            system_servers()
        } else {
            let servers = dns.servers.iter().map(name_server).collect();
            (ResolverConfig::from_parts(None, Vec::new(), servers), ResolverOpts::default())
        };
        let search = match (config.search.is_empty(), config.domain.take()) {
            (true, Some(domain)) => vec![domain],
            _ => std::mem::take(&mut config.search),
        };
        let ndots = options.ndots;
        options.timeout = dns.timeout / (RETRIES + 1);
        options.attempts = RETRIES as usize;
        options.cache_size = 0; // the names keep their answers themselves
        options.preserve_intermediates = true; // an alias has a TTL as well
        options.use_hosts_file = ResolveHosts::Never;
        options.server_ordering_strategy = ServerOrderingStrategy::QueryStatistics;
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        *builder.options_mut() = options;
        let resolver = builder.build().map_err(|error| NoAnswer::Failed(error.to_string()))?;
        Ok(Self { settings: dns.clone(), system, resolver, search, ndots })
    }

    /// Returns the full names to ask for, in the order of the C library: a name with enough dots is
    /// first tried as it is.
    fn candidates(&self, name: &Name) -> Vec<Name> {
        let mut own = name.clone();
        own.set_fqdn(true);
        if name.is_fqdn() {
            return vec![own];
        }
        let searched = self.search.iter();
        let mut all: Vec<Name> =
            searched.filter_map(|domain| name.clone().append_domain(domain).ok()).collect();
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let place = if dots >= self.ndots { 0 } else { all.len() };
        all.insert(place, own);
        all
    }

    async fn addresses(
        &self,
        name: &Name,
        patience: KindPatience,
    ) -> Result<FoundRecords, NoAnswer> {
        let ask = |kind| self.addresses_of(name, kind);
        let (ipv6, ipv4) = match self.settings.family {
            AddressFamily::Any => {
                together(ask(RecordType::AAAA), ask(RecordType::A), patience).await
            }
            AddressFamily::Ipv4 => (Some(Err(NoAnswer::NoRecords)), Some(ask(RecordType::A).await)),
            AddressFamily::Ipv6 => {
                (Some(ask(RecordType::AAAA).await), Some(Err(NoAnswer::NoRecords)))
            }
        };
        merged(ipv6, ipv4)
    }

    async fn addresses_of(&self, name: &Name, kind: RecordType) -> Addresses {
        let lookup = self.resolver.lookup(name.clone(), kind).await.map_err(no_answer)?;
        let records = lookup.answers().iter();
        let addresses: Vec<_> = records.filter_map(|record| record.data.ip_addr()).collect();
        if addresses.is_empty() {
            return Err(NoAnswer::NoRecords);
        }
        Ok((addresses, ttl_of(&lookup)))
    }

    async fn services(&self, name: &Name) -> Result<FoundRecords, NoAnswer> {
        let lookup = self.resolver.lookup(name.clone(), RecordType::SRV).await;
        let lookup = lookup.map_err(no_answer)?;
        let mut services = Vec::new();
        for record in lookup.answers() {
            let RData::SRV(srv) = &record.data else { continue };
            if srv.target.is_root() {
                continue; // "the service is decidedly not available at this domain"
            }
            let (priority, weight, port) = (srv.priority, srv.weight, srv.port);
            let mut target = srv.target.clone();
            target.set_fqdn(true);
            services.push(ServiceRecord { priority, weight, target: target.to_ascii(), port });
        }
        if services.is_empty() {
            return Err(NoAnswer::NoRecords);
        }
        Ok(FoundRecords {
            records: Records::Services(services),
            ttl: ttl_of(&lookup),
            missing: None,
        })
    }
}

/// Returns the shortest TTL of the records, aliases included.
fn ttl_of(lookup: &HickoryLookup) -> Duration {
    let ttl = lookup.answers().iter().map(|record| record.ttl).min();
    Duration::from_secs(ttl.unwrap_or_default().into())
}

/// Awaits both. Once one has addresses, waits for the other as long as the patience lasts.
async fn together(
    ipv6: impl Future<Output = Addresses>,
    ipv4: impl Future<Output = Addresses>,
    patience: KindPatience,
) -> (Option<Addresses>, Option<Addresses>) {
    let (mut ipv6, mut ipv4) = (pin!(ipv6), pin!(ipv4));
    tokio::select! {
        first = &mut ipv6 => {
            let second = if first.is_ok() {
                timeout_at(patience.due(), ipv4).await.ok()
            } else {
                Some(ipv4.await)
            };
            (Some(first), second)
        }
        first = &mut ipv4 => {
            let second = if first.is_ok() {
                timeout_at(patience.due(), ipv6).await.ok()
            } else {
                Some(ipv6.await)
            };
            (second, Some(first))
        }
    }
}

/// Returns the addresses of both kinds, IPv6 first. One kind suffices.
fn merged(ipv6: Option<Addresses>, ipv4: Option<Addresses>) -> Result<FoundRecords, NoAnswer> {
    let is_missing = |kind: &Option<Addresses>| match kind {
        Some(Ok(_)) => false,
        Some(Err(failure)) => !failure.is_negative(),
        None => true,
    };
    let missing = match (is_missing(&ipv6), is_missing(&ipv4)) {
        (true, _) => Some(Missing::Ipv6),
        (_, true) => Some(Missing::Ipv4),
        _ => None,
    };
    let (mut addresses, mut ttl, mut failure) = (Vec::new(), None, NoAnswer::NoRecords);
    for kind in [ipv6, ipv4].into_iter().flatten() {
        match kind {
            Ok((some, own)) => {
                addresses.extend(some);
                ttl = Some(ttl.map_or(own, |other: Duration| other.min(own)));
            }
            Err(other) => failure = failure.max(other),
        }
    }
    match ttl {
        Some(ttl) => Ok(FoundRecords { records: Records::Addresses(addresses), ttl, missing }),
        None => Err(failure),
    }
}

fn no_answer(error: NetError) -> NoAnswer {
    match error {
        error if error.is_nx_domain() => NoAnswer::NoName,
        error if error.is_no_records_found() => NoAnswer::NoRecords,
        NetError::Timeout => NoAnswer::TimedOut,
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => {
            NoAnswer::Failed("the name server failed (SERVFAIL)".to_owned())
        }
        error => NoAnswer::Failed(error.to_string()),
    }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

/// Further tries within the time-out of a look-up.
const RETRIES: u32 = 1;
/// When the hosts file is looked into again.
const HOSTS_TTL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_with_enough_dots_is_first_tried_as_it_is() {
        let name = |text| Name::from_ascii(text).unwrap();
        let dns = DnsSettings { servers: vec![([127, 0, 0, 1], 53).into()], ..Default::default() };
        let mut client = DnsClient::new(&dns, FileStamp::default()).unwrap();
        client.search = vec![name("web.svc.cluster.local"), name("cluster.local")];
        client.ndots = 2;
        let candidates = |client: &DnsClient, text| {
            let all = client.candidates(&name(text));
            all.iter().map(ToString::to_string).collect::<Vec<_>>()
        };

        assert_eq!(
            candidates(&client, "app.web"),
            ["app.web.web.svc.cluster.local.", "app.web.cluster.local.", "app.web."]
        );
        assert_eq!(candidates(&client, "a.b.c")[0], "a.b.c.");
        assert_eq!(candidates(&client, "a.b.c").len(), 3);
        assert_eq!(candidates(&client, "app.web."), ["app.web."], "it is whole");
    }
}
