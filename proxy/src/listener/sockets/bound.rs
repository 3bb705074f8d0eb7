//! `BoundAddress`: the sockets of one address, shared out to the workers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::unix::{self, SocketFile};
use super::{InheritedSockets, ListenSocket, holder, tcp};
use crate::client::end_address::EndAddress;
use settings::ListenAddress;

#[derive(Clone, Copy, Debug)]
pub struct BindRules {
    pub backlog: u32,
    /// The mode of a Unix socket's file.
    pub mode: u32,
    /// The number of sockets, where there can be several.
    pub workers: usize,
    /// This process has sockets at the same TCP port already.
    pub is_shared: bool,
}

/// The sockets of one address. Clones are the same sockets: they are closed, and the file of a Unix
/// socket is removed, with the last one.
#[derive(Clone, Debug)]
pub struct BoundAddress {
    /// As it is configured: port 0 is still 0.
    pub configured: ListenAddress,
    shared: Arc<SharedSockets>,
}

#[derive(Debug)]
struct SharedSockets {
    sockets: Vec<ListenSocket>,
    file: Mutex<Option<SocketFile>>,
}

/// An address that cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}{}", held(holder.as_deref(), *free))]
pub struct BindError {
    pub address: ListenAddress,
    pub source: io::Error,
    /// The process that listens there.
    pub holder: Option<String>,
    /// An address near it at which nobody listens.
    pub free: Option<SocketAddr>,
}

fn held(holder: Option<&str>, free: Option<SocketAddr>) -> String {
    let by = holder.map_or_else(String::new, |holder| format!(", by {holder}"));
    match free {
        Some(free) => format!("{by}; stop it, or choose another address, such as {free}"),
        None => format!("{by}; free it, or choose another address"),
    }
}

impl BoundAddress {
    fn new(
        configured: &ListenAddress,
        sockets: Vec<ListenSocket>,
        file: Option<SocketFile>,
    ) -> Self {
        let shared = Arc::new(SharedSockets { sockets, file: Mutex::new(file) });
        Self { configured: configured.clone(), shared }
    }

    /// Takes the sockets at which another process listens. More workers than sockets share them:
    /// the kernel would give connections to a further socket before this process may serve. The
    /// file of a Unix socket stays the other one's until [`Self::take_file`].
    pub fn passed(
        configured: &ListenAddress,
        sockets: Vec<ListenSocket>,
        rules: BindRules,
    ) -> io::Result<Self> {
        let backlog = i32::try_from(rules.backlog).unwrap_or(i32::MAX);
        if matches!(configured, ListenAddress::Tcp(_) | ListenAddress::Unix(_)) {
            for socket in &sockets {
                rustix::net::listen(socket, backlog)?;
            }
        }
        Ok(Self::new(configured, sockets, None))
    }

    /// Other descriptors of the same sockets, without the file.
    pub fn duplicate(&self) -> io::Result<Self> {
        let sockets = self.shared.sockets.iter().map(ListenSocket::try_clone);
        Ok(Self::new(&self.configured, sockets.collect::<io::Result<_>>()?, None))
    }

    /// Takes responsibility for the file of a Unix socket: it goes with the socket.
    pub fn take_file(&self) {
        if let ListenAddress::Unix(path) = &self.configured {
            *self.shared.file.lock() = Some(SocketFile::at(path));
        }
    }

    pub fn bind(
        address: &ListenAddress,
        rules: BindRules,
        inherited: &mut InheritedSockets,
    ) -> Result<Self, BindError> {
        let BindRules { backlog, mode, workers, is_shared } = rules;
        let bound = match address {
            ListenAddress::Tcp(address) if !is_shared && tcp::is_taken(*address) => {
                Err(io::ErrorKind::AddrInUse.into())
            }
            ListenAddress::Tcp(address) => tcp::bind(*address, backlog, workers)
                .map(|sockets| (sockets.into_iter().map(ListenSocket::Tcp).collect(), None)),
            ListenAddress::Unix(path) => unix::make(path, mode, backlog)
                .map(|(socket, file)| (vec![ListenSocket::Unix(socket)], Some(file))),
            ListenAddress::Inherited(name) => inherited.take(name).map(|sockets| (sockets, None)),
        };
        match bound {
            Ok((sockets, file)) => Ok(Self::new(address, sockets, file)),
            Err(source) => {
                let is_taken = source.kind() == io::ErrorKind::AddrInUse;
                let taken = address.tcp().filter(|_| is_taken);
                let holder = taken.and_then(holder::holder_of);
                let free = taken.and_then(tcp::free_near);
                Err(BindError { address: address.clone(), source, holder, free })
            }
        }
    }

    /// Returns the sockets at which one of the workers accepts: those that are its own, or a
    /// descriptor of one that others have as well. No socket is left out, however many workers
    /// there are.
    pub fn of_worker(&self, number: usize, workers: usize) -> io::Result<Vec<ListenSocket>> {
        let count = self.shared.sockets.len();
        let shares_out = |place: usize| {
            if count >= workers { place % workers == number } else { number % count == place }
        };
        let own = self.shared.sockets.iter().enumerate().filter(|(place, _)| shares_out(*place));
        own.map(|(_, socket)| socket.try_clone()).collect()
    }

    pub fn sockets(&self) -> &[ListenSocket] {
        &self.shared.sockets
    }

    /// Returns the IP address and port at which it listens, if it is such a socket.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self.shared.sockets.first()?.local().ok()? {
            EndAddress::Ip(address) => Some(address),
            EndAddress::Unix | EndAddress::Unknown => None,
        }
    }

    /// Returns where clients find it: a port 0 has become a number.
    pub fn shown(&self, scheme: &str) -> String {
        match (self.tcp(), &self.configured) {
            (Some(bound), ListenAddress::Inherited(name)) => {
                format!("{scheme}://{bound} (fd:{name})")
            }
            (Some(bound), _) => format!("{scheme}://{bound}"),
            (None, configured) => configured.to_string(),
        }
    }

    /// Leaves the file of a Unix socket to the process that has the socket from now on.
    pub fn leave_file(&self) {
        if let Some(file) = &mut *self.shared.file.lock() {
            file.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::TcpListener;

    use rustix::fs::fstat;

    use super::*;

    fn address(count: usize) -> BoundAddress {
        let socket = || ListenSocket::Tcp(TcpListener::bind("127.0.0.1:0").unwrap());
        let sockets = (0..count).map(|_| socket()).collect();
        let configured = ListenAddress::Inherited("http".to_owned());
        BoundAddress::new(&configured, sockets, None)
    }

    #[test]
    fn no_socket_is_without_a_worker_and_no_worker_without_a_socket() {
        for count in 1..6 {
            let address = address(count);
            for workers in 1..6 {
                let mut seen = BTreeSet::new();
                for number in 0..workers {
                    let own = address.of_worker(number, workers).unwrap();
                    assert!(!own.is_empty(), "worker {number} of {workers}, {count} sockets");
                    seen.extend(own.iter().map(|socket| fstat(socket).unwrap().st_ino));
                }
                assert_eq!(seen.len(), count, "{workers} workers");
            }
        }
    }

    #[test]
    fn a_taken_port_is_told_with_its_holder_and_another_one() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = ListenAddress::from(holder.local_addr().unwrap());
        let rules = BindRules { backlog: 8, mode: 0, workers: 1, is_shared: false };
        let error =
            BoundAddress::bind(&taken, rules, &mut InheritedSockets::default()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
        assert!(text.contains("such as 127.0.0.1:"), "{text}");
    }
}
