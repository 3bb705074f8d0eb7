//! `Connector`: connects to a server over the socket that its address names.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::sleep;

use super::names::{Question, ServerNames};
use super::tcp_connector::{ConnectError, System, TcpConnector, TcpHost};
use crate::transport::Transport;
use settings::ServerAddress;

#[derive(Debug)]
pub(super) enum Connector {
    Tcp(TcpConnector),
    Unix(PathBuf),
}

impl Connector {
    pub(super) fn of(address: &ServerAddress, names: &ServerNames) -> Self {
        match address {
            ServerAddress::Unix(path) => Self::Unix(path.clone()),
            ServerAddress::Host(authority) | ServerAddress::Dns(authority) => {
                Self::tcp(authority.host(), authority.port_u16().unwrap_or(80), names)
            }
            ServerAddress::Srv(name) => Self::tcp(name, 80, names),
        }
    }

    /// Connects to a host. A literal address is never looked up.
    fn tcp(host: &str, port: u16, names: &ServerNames) -> Self {
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        let host = match literal {
            Ok(address) => TcpHost::Address(address),
            Err(_) => TcpHost::Name(names.follow(Question::Addresses(host.to_ascii_lowercase()))),
        };
        Self::Tcp(TcpConnector::new(System, host, port))
    }

    /// Returns a number that changes when connections may lead to where the name no longer does.
    pub(super) fn losses(&self) -> u64 {
        match self {
            Self::Tcp(connector) => connector.losses(),
            Self::Unix(_) => 0,
        }
    }

    /// Connects. Has no time-out: the caller drops the future.
    pub(super) async fn connect(&self) -> Result<Transport, ConnectError> {
        match self {
            Self::Tcp(connector) => connector.connect().await,
            Self::Unix(path) => open(path).await.map_err(ConnectError::Connect),
        }
    }
}

/// Connects to a Unix socket. While its backlog is full, the kernel does not wait as it does for
/// TCP, so this does.
async fn open(path: &Path) -> io::Result<Transport> {
    let mut pause = PAUSE_FIRST;
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            result => return result.map(Transport::Unix),
        }
    }
}

const PAUSE_FIRST: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    use tokio::io::AsyncReadExt as _;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_server_may_listen_on_a_unix_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let connector = Connector::Unix(path.clone());

        let refused = connector.connect().await.unwrap_err();
        assert!(
            matches!(refused, ConnectError::Connect(error) if error.kind() == io::ErrorKind::NotFound)
        );
        let listener = UnixListener::bind(&path).unwrap();
        let mut stream = connector.connect().await.unwrap();
        drop(listener.accept().unwrap());
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_full_backlog_of_a_unix_socket_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&listener, 0).unwrap();
        let listener = UnixListener::from(listener);
        let connector = Connector::Unix(path);

        let _first = connector.connect().await.unwrap();
        let second = connector.connect();
        tokio::pin!(second);
        assert!(timeout(Duration::from_millis(20), &mut second).await.is_err());
        drop(listener.accept().unwrap());
        assert!(timeout(Duration::from_secs(5), second).await.unwrap().is_ok());
    }
}
