//! What the tests stand on: a scripted origin, a proxy in this process, a client that sees every
//! byte.

pub(crate) mod case;
pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod hostile;
pub(crate) mod hpack;
pub(crate) mod impostor;
pub(crate) mod message;
pub(crate) mod origin;
pub(crate) mod program;
pub(crate) mod reloading;
pub(crate) mod proxy;
pub(crate) mod secure;
pub(crate) mod tap;
pub(crate) mod windows;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{self as unix, UnixListener};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// What hangs is a failure, not a wait for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that takes time.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_elapsed| panic!("{what} takes for ever"))
}

/// Waits for something that shows nowhere but in a number of the proxy.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let poll = async {
        while !is_so() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    in_time(what, poll).await;
}

/// An address at which nobody listens for now. No other test takes its port meanwhile: it is below
/// the range that listeners on port 0 and outgoing connections are given, and a name in the
/// abstract namespace reserves it over all processes until this one ends.
pub(crate) fn free_address() -> SocketAddr {
    static RESERVED: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    const PORTS: std::ops::Range<u16> = 11_000..31_000;
    let mut reserved = RESERVED.lock().unwrap();
    let reserve = |port: &u16| {
        let name = format!("shellac-test-port-{port}");
        let name = unix::SocketAddr::from_abstract_name(name).unwrap();
        UnixListener::bind_addr(&name).ok()
    };
    for port in PORTS {
        let Some(reservation) = reserve(&port) else { continue };
        reserved.push(reservation);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("all ports are taken");
}

/// Runs all at once, each in a task of its own, and returns what they return in their order.
pub(crate) async fn join_all<F>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    all
}
