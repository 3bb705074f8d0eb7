//! `Acceptor`: a listening socket in a worker's runtime.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use tokio::net::{TcpListener, UnixListener};

use crate::client::end_address::EndAddress;
use crate::transport::Transport;

#[derive(Debug)]
pub enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    pub async fn accept(&self) -> io::Result<Transport> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Transport>> {
        match self {
            Self::Tcp(socket) => {
                socket.poll_accept(cx).map_ok(|(stream, _)| Transport::Tcp(stream))
            }
            Self::Unix(socket) => {
                socket.poll_accept(cx).map_ok(|(stream, _)| Transport::Unix(stream))
            }
        }
    }
}

/// Returns the addresses of the client and of our end.
pub(in crate::listener) fn ends_of(stream: &Transport) -> io::Result<(EndAddress, EndAddress)> {
    match stream {
        Transport::Tcp(stream) => {
            stream.set_nodelay(true)?;
            Ok((stream.peer_addr()?.into(), stream.local_addr()?.into()))
        }
        Transport::Unix(_) | Transport::Tls(_) => Ok((EndAddress::Unix, EndAddress::Unix)),
    }
}
