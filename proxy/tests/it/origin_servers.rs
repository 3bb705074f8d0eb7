//! Several servers: one that swallows connections delays no request.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use process::clock::Clock;
use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

use crate::support::origin::{Origin, ok};
use crate::support::proxy::{Proxy, START};

const SOON: Duration = Duration::from_millis(300);

/// A server that accepts no connection and whose backlog is full: further attempts stay unanswered.
#[derive(Debug)]
struct BlackHole {
    address: SocketAddr,
    _listener: Socket,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    fn open() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([0; 4], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let port = listener.local_addr().unwrap().as_socket().unwrap().port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            waiting.push(stream);
            assert!(waiting.len() < 100, "the backlog never fills up");
        }
        Self { address, _listener: listener, _waiting: waiting }
    }
}

#[tokio::test]
async fn a_server_that_swallows_connections_holds_nobody_up() {
    let origin = Origin::start().await;
    origin.on("/a", ok("a").field("cache-control", "no-store"));
    let hole = BlackHole::open();
    let proxy = Proxy::start_at(hole.address, Clock::manual(START), |config| {
        config.origins[0].servers.push(origin.address.into());
        config.origins[0].keepalive = 0; // each request needs a connection
        config.origins[0].connect_timeout = Duration::from_mins(1);
    });

    for _ in 0..4 {
        assert_eq!(proxy.get("/a").await.text(), "a");
    }
    assert_eq!(origin.count("/a"), 4);
}

#[tokio::test]
async fn connecting_to_many_servers_is_bounded_and_the_whole_exchange_is() {
    let hole = BlackHole::open();
    let port = hole.address.port();
    for (total, reason) in [(None, "connect_timeout"), (Some(SOON), "total_timeout")] {
        let proxy = Proxy::start_at(hole.address, Clock::manual(START), |config| {
            let origin = &mut config.origins[0];
            let more = (2..=40).map(|last| SocketAddr::from(([127, 0, 0, last], port)).into());
            origin.servers.extend(more);
            origin.connect_timeout = if total.is_some() { 10 * SOON } else { SOON };
            origin.total_timeout = total;
        });

        let begun = Instant::now();
        let answer = proxy.get("/a").await;
        let status = answer.field("proxy-status").unwrap();
        assert!(answer.status() == 504 && status.contains(reason), "{status}");
        // Each further server begins 250 ms later: all of them are ten seconds.
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
