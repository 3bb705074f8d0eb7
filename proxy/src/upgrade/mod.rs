//! Replacing the running binary: a new process gets the very sockets of the old one, so that nobody
//! who is connected or queued is lost, then its store.
//!
//! The old process listens at an abstract Unix socket whose name holds its PID. Both sides check
//! who the other one is. Whoever speaks first says what for: a successor, or an operator.
//!
//! ```text
//! successor                        predecessor
//! hello         ─────────────►
//!               ◄─────────────     welcome, each address with its descriptors, complete
//! (binds what is new, checks what can be checked)
//! take          ─────────────►     (lets nobody in, ends changes, closes its store)
//!               ◄─────────────     released
//! (opens the store, accepts)
//! serving       ─────────────►     (drains and ends)
//!               ◄──────────────    purge: what a request changed that was still at the origin
//! ```
//!
//! Until `take` a successor that fails has changed nothing. After that the predecessor opens its
//! store again and goes on at its own descriptors of the sockets.

mod channel;
mod control;
mod identity;
mod launch;
mod launcher;
mod message;
mod reopened_store;
mod operator;
mod predecessor;
mod successor;

pub use self::control::{UpgradeControl, Upgrades};
pub use self::launch::Program;
pub use self::launcher::launch;
pub use self::operator::{OperatorError, upgrade};
pub use self::successor::Succession;
