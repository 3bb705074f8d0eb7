//! HTTP/2 to a server (RFC 9113): a connection that many requests share, and the exchange on one of
//! its streams.
//!
//! ```text
//! pool ─► connection   one driver for each: PINGs, GOAWAY, the end
//!           │
//!         exchange ─► upload   the request's content, as far as the server grants windows
//!           │
//!         content              the response's, as fast as it is read
//!         wire                 the socket: what of each request was written
//! ```
//!
//! The library below keeps the windows. It does not say when a request was written to the socket,
//! which time-outs need: [`wire`] reads that from the frames.

mod connection;
mod content;
mod driver;
mod exchange;
mod fault;
mod open_request;
mod pool;
mod progress;
mod shared;
mod stream_fault;
#[cfg(test)]
mod tests;
mod upload;
mod wire;

pub(super) use self::connection::{Http2Connection, StreamClaim};
pub use self::content::Http2Content;
pub(super) use self::exchange::{Ask, answer};
pub(super) use self::pool::{Claim, Connecting, Http2Pool, Negotiated};
pub(super) use self::shared::Http2Limits;
pub use self::stream_fault::StreamFault;
