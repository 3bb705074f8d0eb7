//! `ListenSocket`: one listening socket, before a worker's runtime has it.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;

use rustix::net::{AddressFamily, SocketType, getsockname, sockopt};

use super::Acceptor;
use crate::client::end_address::EndAddress;

#[derive(Debug)]
pub enum ListenSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl ListenSocket {
    /// Takes a descriptor of which it is not known yet what it is.
    ///
    /// # Errors
    /// When it is no stream socket that listens.
    pub fn from_descriptor(descriptor: OwnedFd) -> io::Result<Self> {
        if sockopt::socket_type(&descriptor)? != SocketType::STREAM
            || !sockopt::socket_acceptconn(&descriptor)?
        {
            return Err(io::Error::other("it is no stream socket that listens"));
        }
        let family = getsockname(&descriptor)?.address_family();
        let socket = match family {
            AddressFamily::INET | AddressFamily::INET6 => Self::Tcp(descriptor.into()),
            AddressFamily::UNIX => Self::Unix(descriptor.into()),
            _ => return Err(io::Error::other("it is neither a TCP nor a Unix socket")),
        };
        match &socket {
            Self::Tcp(socket) => socket.set_nonblocking(true)?,
            Self::Unix(socket) => socket.set_nonblocking(true)?,
        }
        Ok(socket)
    }

    /// Another descriptor of the same socket.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
        }
    }

    pub fn local(&self) -> io::Result<EndAddress> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(EndAddress::Ip),
            Self::Unix(_) => Ok(EndAddress::Unix),
        }
    }

    /// Gives it to the runtime that is running.
    pub fn into_acceptor(self) -> io::Result<Acceptor> {
        match self {
            Self::Tcp(socket) => tokio::net::TcpListener::from_std(socket).map(Acceptor::Tcp),
            Self::Unix(socket) => tokio::net::UnixListener::from_std(socket).map(Acceptor::Unix),
        }
    }
}

impl AsFd for ListenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}
