//! TCP sockets: one for each worker on every address.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Binds an address once for each worker. Port 0 becomes the same free port for all of them.
///
/// # Errors
/// When the address is in use, or not ours.
pub(super) fn bind(
    address: SocketAddr,
    backlog: u32,
    count: usize,
) -> io::Result<Vec<TcpListener>> {
    let first = bind_one(address, backlog)?;
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(bind_one(bound, backlog)?);
    }
    Ok(sockets)
}

/// Binds one more socket at an address that this user listens at, perhaps.
pub(super) fn bind_one(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Returns whether another process listens there: with `SO_REUSEPORT` a second proxy of the same
/// user would silently share the port.
pub(super) fn is_taken(address: SocketAddr) -> bool {
    let attempt = || -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(1)
    };
    address.port() != 0 && attempt().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

/// Returns a port near a taken one at which nobody listens.
pub(super) fn free_near(taken: SocketAddr) -> Option<SocketAddr> {
    (1..=NEAR).find_map(|distance| {
        let port = taken.port().checked_add(distance)?;
        let address = SocketAddr::new(taken.ip(), port);
        TcpListener::bind(address).is_ok().then_some(address)
    })
}

const NEAR: u16 = 16;
