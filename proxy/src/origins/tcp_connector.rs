//! `TcpConnector`: connects to a host by its name or address. The addresses of a name race
//! (RFC 8305), so a dead one costs little.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::names::{NoAnswer, Records, ResolvedName};
use super::race::{SLOW_FOR, Speed, race};
use crate::transport::Transport;

pub(super) trait Network: Send + Sync {
    type Stream: Send + 'static;

    fn connect(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static;
}

#[derive(Debug)]
pub(super) struct System;

#[derive(Debug)]
pub(super) struct TcpConnector<N = System> {
    network: N,
    host: TcpHost,
    port: u16,
    /// Addresses that failed or were overtaken lately, with the time. They are tried last.
    slow: Mutex<Vec<(SocketAddr, Instant)>>,
}

#[derive(Clone, Debug)]
pub(super) enum TcpHost {
    Address(IpAddr),
    Name(Arc<ResolvedName>),
}

#[derive(Debug)]
pub(super) enum ConnectError {
    Resolve(NoAnswer),
    /// No address can be connected to. Holds the error of the last one.
    Connect(io::Error),
}

impl<N: Network> TcpConnector<N> {
    pub(super) fn new(network: N, host: TcpHost, port: u16) -> Self {
        Self { network, host, port, slow: Mutex::default() }
    }

    /// Connects to the address that answers first. Has no time-out: the caller drops the future.
    pub(super) async fn connect(&self) -> Result<N::Stream, ConnectError> {
        let addresses = self.in_order(self.addresses().await?);
        race(
            addresses,
            |address| Some(self.network.connect(*address)),
            |address, speed| self.note(*address, speed),
        )
        .await
        .map_err(|error: Option<io::Error>| {
            if let TcpHost::Name(name) = &self.host {
                name.doubt();
            }
            ConnectError::Connect(error.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
        })
    }

    /// Returns how often an address of the name has left its answer.
    pub(super) fn losses(&self) -> u64 {
        match &self.host {
            TcpHost::Address(_) => 0,
            TcpHost::Name(name) => name.losses(),
        }
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        let with_port = |address: &IpAddr| SocketAddr::new(*address, self.port);
        let name = match &self.host {
            TcpHost::Address(address) => return Ok(vec![with_port(address)]),
            TcpHost::Name(name) => name,
        };
        let records = name.records().await.map_err(ConnectError::Resolve)?;
        match &*records {
            Records::Addresses(addresses) => Ok(addresses.iter().map(with_port).collect()),
            Records::Services(_) => Ok(Vec::new()),
        }
    }

    /// Returns the addresses in the order of the attempts: the resolver's order with families in
    /// turn, and slow addresses last.
    fn in_order(&self, addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
        let mut distinct: Vec<SocketAddr> = Vec::new();
        for address in addresses {
            if distinct.len() < ADDRESSES_MAX && !distinct.contains(&address) {
                distinct.push(address);
            }
        }
        let mut slow = self.slow.lock();
        slow.retain(|(address, since)| since.elapsed() < SLOW_FOR && distinct.contains(address));
        let is_slow = |address: &SocketAddr| slow.iter().any(|(known, _)| known == address);
        let (last, first) = distinct.into_iter().partition(is_slow);
        families_in_turn(first).chain(families_in_turn(last)).collect()
    }

    fn note(&self, address: SocketAddr, speed: Speed) {
        let mut slow = self.slow.lock();
        slow.retain(|(known, _)| *known != address);
        if speed == Speed::Slow && slow.len() < ADDRESSES_MAX {
            slow.push((address, Instant::now()));
        }
    }
}

/// Takes an address of one family, then one of the other, beginning with the family of the first
/// (RFC 8305 §4).
fn families_in_turn(addresses: Vec<SocketAddr>) -> impl Iterator<Item = SocketAddr> {
    let begins_with_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut own, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == begins_with_ipv6);
    let mut is_own = false;
    std::iter::from_fn(move || {
        is_own = !is_own;
        let (first, second) = if is_own { (&mut own, &mut other) } else { (&mut other, &mut own) };
        first.pop_front().or_else(|| second.pop_front())
    })
}

impl Network for System {
    type Stream = Transport;

    fn connect(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Transport>> + Send + 'static {
        open(address)
    }
}

async fn open(address: SocketAddr) -> io::Result<Transport> {
    let stream = TcpStream::connect(address).await?;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    // A server that vanishes while a long response is awaited, or a tunnel is silent, is noticed.
    let probes = TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
    if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&probes) {
        tracing::debug!(%error, "cannot set SO_KEEPALIVE");
    }
    Ok(Transport::Tcp(stream))
}

const ADDRESSES_MAX: usize = 32;
/// Silence after which a connection is probed.
const KEEPALIVE_TIME: Duration = Duration::from_mins(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tokio::time::sleep;

    use super::*;
    use crate::origins::race::ATTEMPT_DELAY;

    #[derive(Clone, Copy, Debug)]
    enum Fate {
        Answers(Duration),
        Refuses,
        Swallows,
    }

    #[derive(Clone, Debug, Default)]
    struct Scripted {
        fates: Arc<Mutex<HashMap<SocketAddr, Fate>>>,
        tried: Arc<Mutex<Vec<(SocketAddr, Instant)>>>,
    }

    impl Network for Scripted {
        type Stream = SocketAddr;

        fn connect(
            &self,
            address: SocketAddr,
        ) -> impl Future<Output = io::Result<SocketAddr>> + Send + 'static {
            self.tried.lock().push((address, Instant::now()));
            let fate = self.fates.lock()[&address];
            async move {
                match fate {
                    Fate::Answers(after) => sleep(after).await,
                    Fate::Refuses => return Err(io::ErrorKind::ConnectionRefused.into()),
                    Fate::Swallows => std::future::pending().await,
                }
                Ok(address)
            }
        }
    }

    const AT_ONCE: Fate = Fate::Answers(Duration::from_millis(1));

    fn address(text: &str) -> SocketAddr {
        if text.contains(':') { format!("[{text}]:80") } else { format!("{text}:80") }
            .parse()
            .unwrap()
    }

    fn connector(fates: &[(&str, Fate)]) -> TcpConnector<Scripted> {
        let network = Scripted {
            fates: Arc::new(Mutex::new(
                fates.iter().map(|(text, fate)| (address(text), *fate)).collect(),
            )),
            tried: Arc::default(),
        };
        let addresses = fates.iter().map(|(text, _)| address(text).ip()).collect();
        let name = ResolvedName::known("app", Records::Addresses(addresses));
        TcpConnector::new(network, TcpHost::Name(Arc::new(name)), 80)
    }

    /// Connects. Returns the address and the milliseconds that it took.
    async fn connected(connector: &TcpConnector<Scripted>) -> (Option<SocketAddr>, u128) {
        let start = Instant::now();
        let stream = connector.connect().await.ok();
        (stream, start.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_swallows_connections_costs_one_delay_and_then_nothing() {
        let connector = connector(&[("10.0.0.1", Fate::Swallows), ("10.0.0.2", AT_ONCE)]);

        assert_eq!(connected(&connector).await, (Some(address("10.0.0.2")), 251));
        assert_eq!(connected(&connector).await, (Some(address("10.0.0.2")), 1));
        tokio::time::advance(SLOW_FOR).await;
        connector.network.fates.lock().insert(address("10.0.0.1"), AT_ONCE);
        assert_eq!(connected(&connector).await, (Some(address("10.0.0.1")), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_refuses_costs_no_delay() {
        let connector = connector(&[("10.0.0.1", Fate::Refuses), ("10.0.0.2", AT_ONCE)]);

        assert_eq!(connected(&connector).await, (Some(address("10.0.0.2")), 1));
        assert_eq!(connected(&connector).await.0, Some(address("10.0.0.2")));
        assert_eq!(connector.network.tried.lock().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_only_slow_may_still_win_and_is_first_again() {
        let late = Fate::Answers(Duration::from_millis(300));
        let connector = connector(&[("10.0.0.1", late), ("10.0.0.2", Fate::Swallows)]);

        assert_eq!(connected(&connector).await, (Some(address("10.0.0.1")), 300));
        assert_eq!(connected(&connector).await, (Some(address("10.0.0.1")), 300));
    }

    #[tokio::test(start_paused = true)]
    async fn families_take_turns_each_after_a_delay() {
        let all = ["fd00::1", "fd00::2", "fd00::3", "10.0.0.1", "10.0.0.2"];
        let connector = connector(&all.map(|address| (address, Fate::Swallows)));

        let race = tokio::time::timeout(Duration::from_secs(3), connector.connect());
        assert!(race.await.is_err());

        let tried = connector.network.tried.lock().clone();
        let order = ["fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2", "fd00::3"].map(address);
        assert_eq!(tried.iter().map(|(address, _)| *address).collect::<Vec<_>>(), order);
        let delays = tried.windows(2).map(|pair| pair[1].1 - pair[0].1);
        assert!(delays.into_iter().all(|delay| delay == ATTEMPT_DELAY));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_error_is_told_when_nobody_answers() {
        let refusing = connector(&[("10.0.0.1", Fate::Refuses), ("10.0.0.1", Fate::Refuses)]);

        let error = refusing.connect().await.unwrap_err();
        let is_refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        assert!(matches!(error, ConnectError::Connect(error) if is_refused(&error)));
        assert_eq!(refusing.network.tried.lock().len(), 1, "an address is tried once");
        assert!(connector(&[]).connect().await.is_err());
    }

    #[test]
    fn names_with_many_addresses_are_bounded() {
        let connector = connector(&[]);
        let many: Vec<_> = (0..100).map(|number| address(&format!("10.0.0.{number}"))).collect();

        assert_eq!(connector.in_order(many.clone()), &many[..ADDRESSES_MAX]);
    }
}
