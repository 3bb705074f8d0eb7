//! The sockets that clients connect to: TCP, Unix, and those that a service manager passes.
//!
//! On a TCP address that is bound here each worker has a socket of its own (`SO_REUSEPORT`). A Unix
//! socket, or one that was passed, is a single queue: every worker waits at it, and whoever comes
//! first takes the connection.

mod acceptor;
mod available;
mod bound;
mod bound_listener;
mod holder;
mod inherited;
mod listener_set;
mod open_sockets;
mod socket;
mod tcp;
mod unix;

pub use self::acceptor::Acceptor;
pub(super) use self::acceptor::ends_of;
pub use self::available::{AvailableSockets, PassedAddress};
pub use self::bound::{BindError, BindRules, BoundAddress};
pub use self::bound_listener::BoundListener;
pub use self::inherited::InheritedSockets;
pub use self::listener_set::{ChangeError, Changed, Opening};
pub use self::open_sockets::{ADMIN_BACKLOG, DuplicateSockets, OpenSockets};
pub use self::socket::ListenSocket;
