//! `Members`: the servers of an origin, as they are listed and as their names resolve at present.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use http::uri::Authority;
use settings::{ServerAddress, ServerSettings};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::names::{NoAnswer, Question, Records, ResolvedName, ServerNames};

#[derive(Debug)]
pub(super) struct Members {
    entries: Vec<MemberEntry>,
    names: Arc<ServerNames>,
    gone: CancellationToken,
    _end: DropGuard,
}

/// One entry of `servers`.
#[derive(Debug)]
struct MemberEntry {
    weight: u32,
    source: MemberSource,
}

#[derive(Debug)]
enum MemberSource {
    Listed(ServerAddress),
    /// Each address is a server, on this port.
    Addresses(Arc<ResolvedName>, u16),
    /// Each SRV record is a server.
    Services(Arc<ResolvedName>),
}

/// A server that belongs to the origin at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OriginMember {
    pub(super) settings: ServerSettings,
    /// Those with the lowest number are used as long as one of them is usable (RFC 2782).
    pub(super) priority: u16,
    /// The name that it is an address of: the one in its certificate.
    pub(super) host: Option<String>,
}

impl Members {
    pub(super) fn new(servers: &[ServerSettings], names: &Arc<ServerNames>) -> Self {
        let entries = servers.iter().map(|server| {
            let source = match &server.address {
                ServerAddress::Dns(authority) => {
                    let host = authority.host().to_ascii_lowercase();
                    let port = authority.port_u16().unwrap_or(80);
                    MemberSource::Addresses(names.follow(Question::Addresses(host)), port)
                }
                ServerAddress::Srv(name) => {
                    MemberSource::Services(names.follow(Question::Services(name.clone())))
                }
                listed => MemberSource::Listed(listed.clone()),
            };
            MemberEntry { weight: server.weight, source }
        });
        let gone = CancellationToken::new();
        let end = gone.clone().drop_guard();
        Self { entries: entries.collect(), names: Arc::clone(names), gone, _end: end }
    }

    pub(super) const fn names(&self) -> &Arc<ServerNames> {
        &self.names
    }

    /// Returns the servers, each once. Further ones than the bound are left out, always the same.
    pub(super) fn current(&self) -> Vec<OriginMember> {
        let mut all: Vec<OriginMember> = Vec::new();
        for entry in &self.entries {
            let mut found = entry.members();
            found.dedup_by(|new, old| new.settings.address == old.settings.address);
            found.retain(|new| all.iter().all(|old| old.settings.address != new.settings.address));
            if let Some(name) = entry.name()
                && found.len() > SERVERS_MAX
            {
                let (name, records) = (name.question().name(), found.len());
                tracing::warn!(name, records, used = SERVERS_MAX, "a name has too many servers");
                found.truncate(SERVERS_MAX);
            }
            all.append(&mut found);
        }
        all
    }

    /// Waits until each name has been looked up once. Returns the reason and the name if one has no
    /// answer.
    pub(super) async fn first_answers(&self) -> Result<(), (String, NoAnswer)> {
        let mut failure = Ok(());
        for name in self.resolved_names() {
            if let Err(reason) = name.records().await {
                failure = Err((name.question().name().to_owned(), reason));
            }
        }
        failure
    }

    /// Returns the names that servers come from.
    pub(super) fn resolved_names(&self) -> impl Iterator<Item = &Arc<ResolvedName>> {
        self.entries.iter().filter_map(MemberEntry::name)
    }

    /// Ends when the members are dropped.
    pub(super) fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }
}

impl MemberEntry {
    const fn name(&self) -> Option<&Arc<ResolvedName>> {
        match &self.source {
            MemberSource::Listed(_) => None,
            MemberSource::Addresses(name, _) | MemberSource::Services(name) => Some(name),
        }
    }

    /// Returns the servers of the entry in an order that no rotation of records changes.
    fn members(&self) -> Vec<OriginMember> {
        let member = |address, weight, priority| OriginMember {
            settings: ServerSettings { address, weight },
            priority,
            host: None,
        };
        let (name, port) = match &self.source {
            MemberSource::Listed(address) => return vec![member(address.clone(), self.weight, 0)],
            MemberSource::Addresses(name, port) => (name, *port),
            MemberSource::Services(name) => (name, 0),
        };
        match name.last_answer().as_deref() {
            Some(Records::Addresses(addresses)) => {
                let mut addresses = addresses.clone();
                addresses.sort_unstable();
                addresses.dedup(); // an answer may name one twice
                let servers = addresses.into_iter().map(|address| SocketAddr::new(address, port));
                let servers = servers.filter_map(host);
                let host = Some(name.question().name().to_owned());
                let of_name = |address| OriginMember {
                    host: host.clone(),
                    ..member(address, self.weight, 0)
                };
                servers.map(of_name).collect()
            }
            Some(Records::Services(records)) => {
                let mut records = records.clone();
                records.sort_unstable();
                let most = records.iter().map(|record| record.weight).max().unwrap_or_default();
                let servers = records.into_iter().filter_map(|record| {
                    let weight = scaled(record.weight, most) * self.weight;
                    let address = host(format_args!("{}:{}", record.target, record.port))?;
                    Some(member(address, weight.min(WEIGHT_MAX), record.priority))
                });
                servers.collect()
            }
            None => Vec::new(),
        }
    }
}

/// Returns the weight of an SRV record, where the highest one is this. A weight of 0 means a very
/// small chance, not none (RFC 2782).
fn scaled(weight: u16, most: u16) -> u32 {
    let (weight, most) = (u32::from(weight), u32::from(most));
    let scaled = if most > WEIGHT_MAX { weight * WEIGHT_MAX / most } else { weight };
    scaled.max(1)
}

/// Returns the address of one server. A record whose host cannot be one is left out.
fn host(text: impl fmt::Display) -> Option<ServerAddress> {
    Authority::try_from(text.to_string()).ok().map(ServerAddress::Host)
}

/// Servers that one name brings.
const SERVERS_MAX: usize = 256;
const WEIGHT_MAX: u32 = 256;

#[cfg(test)]
mod tests {
    use settings::DnsSettings;

    use super::*;
    use crate::origins::background::Background;
    use crate::origins::names::ServiceRecord;

    fn members(source: MemberSource, weight: u32) -> Members {
        let names = ServerNames::new(DnsSettings::default(), Background::default());
        let mut members = Members::new(&[], &Arc::new(names));
        members.entries.push(MemberEntry { weight, source });
        members
    }

    fn shown(members: &Members) -> Vec<(String, u32, u16)> {
        let all = members.current().into_iter();
        all.map(|one| (one.settings.address.to_string(), one.settings.weight, one.priority))
            .collect()
    }

    fn known(records: Records) -> Arc<ResolvedName> {
        Arc::new(ResolvedName::known("app", records))
    }

    #[test]
    fn each_address_of_a_name_is_a_server_in_a_stable_order() {
        let addresses = |texts: [&str; 3]| {
            let addresses = texts.map(|text| text.parse().unwrap());
            known(Records::Addresses(addresses.to_vec()))
        };
        let expected = [("10.0.0.1:80", 3, 0), ("10.0.0.2:80", 3, 0), ("[fd00::1]:80", 3, 0)];
        let expected = expected.map(|(name, weight, priority)| (name.to_owned(), weight, priority));
        for order in [["10.0.0.2", "fd00::1", "10.0.0.1"], ["fd00::1", "10.0.0.1", "10.0.0.2"]] {
            let members = members(MemberSource::Addresses(addresses(order), 80), 3);
            assert_eq!(shown(&members), expected);
        }
    }

    #[test]
    fn each_srv_record_is_a_server_with_a_weight_that_is_one_of_ours() {
        let record = |priority, weight, target: &str| ServiceRecord {
            priority,
            weight,
            target: target.to_owned(),
            port: 80,
        };
        let of = |records: &[ServiceRecord], weight| {
            shown(&members(
                MemberSource::Services(known(Records::Services(records.into()))),
                weight,
            ))
            .into_iter()
            .map(|(_, weight, priority)| (weight, priority))
            .collect::<Vec<_>>()
        };

        let small = [record(1, 10, "a."), record(1, 0, "b."), record(2, 5, "c.")];
        assert_eq!(of(&small, 1), [(1, 1), (10, 1), (5, 2)]);
        assert_eq!(of(&small, 2), [(2, 1), (20, 1), (10, 2)]);
        let large = [record(0, 65_535, "a."), record(0, 32_768, "b."), record(0, 1, "c.")];
        assert_eq!(of(&large, 1), [(1, 0), (128, 0), (256, 0)]);
        let none = [record(0, 0, "a."), record(0, 0, "b.")];
        assert_eq!(of(&none, 1), [(1, 0), (1, 0)]);
        let odd = [record(0, 1, "a b."), record(0, 2, "c.")];
        assert_eq!(of(&odd, 1), [(2, 0)], "a host that can be none is left out");
    }

    #[test]
    fn a_name_brings_a_bounded_number_of_servers_and_each_once() {
        let many = (0..200_u8).flat_map(|number| [[10, 0, 0, number], [10, 0, 1, number]]);
        let many: Vec<std::net::IpAddr> = many.map(Into::into).collect();
        let source = || MemberSource::Addresses(known(Records::Addresses(many.clone())), 80);
        let mut members = members(source(), 1);
        members.entries.push(MemberEntry { weight: 1, source: source() });

        let all = shown(&members);
        assert_eq!(all.len(), 400, "the second entry brings what the first one left out");
    }
}
