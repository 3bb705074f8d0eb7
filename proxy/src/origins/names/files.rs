//! The files that name resolution reads: the hosts, and the name servers of the system. Each is
//! read again when it has changed.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use hickory_resolver::Hosts;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use parking_lot::Mutex;

/// The hosts file, as it was when it was read.
#[derive(Debug, Default)]
pub(super) struct HostsFile(Mutex<Option<(FileStamp, Arc<Hosts>)>>);

/// The mark of a file's version, which changes when the file does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileStamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl HostsFile {
    /// Returns the addresses of a name in the file, IPv6 first.
    pub(super) fn addresses(&self, name: &Name) -> Vec<IpAddr> {
        let hosts = self.read(Path::new(HOSTS));
        let of = |kind| hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let found = [RecordType::AAAA, RecordType::A].into_iter().filter_map(of);
        let addresses = found.map(|lookup| {
            lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>()
        });
        addresses.flatten().collect()
    }

    fn read(&self, path: &Path) -> Arc<Hosts> {
        let stamp = FileStamp::of(path);
        let mut read = self.0.lock();
        match &*read {
            Some((last, hosts)) if *last == stamp => Arc::clone(hosts),
            _ => {
                let hosts = Arc::new(parse(path).unwrap_or_else(|error| {
                    tracing::debug!(%error, "there is no hosts file to read");
                    Hosts::default()
                }));
                *read = Some((stamp, Arc::clone(&hosts)));
                hosts
            }
        }
    }
}

fn parse(path: &Path) -> io::Result<Hosts> {
    let mut hosts = Hosts::default();
    hosts.read_hosts_conf(File::open(path)?)?;
    Ok(hosts)
}

impl FileStamp {
    fn of(path: &Path) -> Self {
        let metadata = fs::metadata(path).ok();
        metadata.map_or_else(Self::default, |metadata| Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
        })
    }

    pub(super) fn of_system_servers() -> Self {
        Self::of(Path::new(RESOLV_CONF))
    }
}

/// Returns the name servers of the system. Without any, one on this machine is asked, as the C
/// library does.
pub(super) fn system_servers() -> (ResolverConfig, ResolverOpts) {
    read_system_conf().unwrap_or_else(|error| {
        tracing::warn!(%error, "no name servers in {RESOLV_CONF}: asking 127.0.0.1");
        let local = NameServerConfig::udp_and_tcp(IpAddr::from(Ipv4Addr::LOCALHOST));
        (ResolverConfig::from_parts(None, Vec::new(), vec![local]), ResolverOpts::default())
    })
}

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_hosts_file_is_read_again_when_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let hosts = HostsFile::default();
        let app = Name::from_ascii("app").unwrap();
        let addresses = || {
            let found = hosts.read(&path);
            let lookup = found.lookup_static_host(&Query::query(app.clone(), RecordType::A));
            let lookup = lookup.map(|lookup| lookup.answers().to_vec()).unwrap_or_default();
            lookup.iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>()
        };

        assert_eq!(addresses(), [] as [IpAddr; 0]);
        fs::write(&path, "10.0.0.1 web app # ours\n").unwrap();
        assert_eq!(addresses(), [IpAddr::from([10, 0, 0, 1])]);
        fs::write(&path, "10.0.0.2 app\n").unwrap();
        let later = fs::metadata(&path).unwrap().modified().unwrap() + Duration::from_secs(1);
        File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        assert_eq!(addresses(), [IpAddr::from([10, 0, 0, 2])]);
    }
}
