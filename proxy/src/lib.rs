//! Shellac, the proxy: an HTTP cache between a load balancer and server-side renderers.
//!
//! The floors of the house, the highest first. A file names only modules that stand lower than its
//! own; `tests/tidy` checks it.
//!
//! ```text
//! cli           commands
//! upgrade       replaces the running binary: the sockets, then the store
//! server        binds, workers, reloads, housekeeping, drain
//! admin         health, metrics, stats and purges, on a listener of its own
//! app           makes every part; opens the configured store
//! log           the access log, the live log           explain  why a request is answered so
//! spans         spans of requests over OTLP, with the feature `otlp`
//! front         one request: read it, have it answered or purged, record it once
//! cache         look up, decide, answer; or forward; rewarm
//! purge         mark, count, remove; the purge log
//! response      the response that a client gets; errors as statuses
//! fetch         one fetch for all requests of a key: exchange, transfer, freshen, parts
//! lookup        the stored response that may answer
//! store         memory and file       listener  sockets, connections       request  normal form
//! policy        the settings that hold for one request
//! freshness     RFC 9111, pure        origins   pools, limits, retries, health
//! invalidation  one sequence of purges: nothing older than a purge of its tags is used
//! client        the parts of a connection that those who answer it know
//! key           framing               of requests and messages       compression  pure
//! tls           certificates, handshakes   live  what happened in the last quarter of an hour
//! field   metrics   transport   limit   one field, one page, one socket, one number of permits
//! ```
//!
//! `settings`, `process` and `purge-protocol` are the ground.
//!
//! Programs use `cli`, `server` and `app`. [`testing`] names what tests, benches, fuzz targets and
//! the demonstration need besides.

#![expect(
    unreachable_pub,
    unnameable_types,
    reason = "`pub` lets other modules use an item; this file decides what leaves the crate"
)]

#[doc(hidden)]
pub mod testing;
pub mod cli;
mod upgrade;
pub mod server;
mod admin;
pub mod app;
mod log;
mod explain;
#[cfg(feature = "otlp")]
mod spans;
mod front;
mod cache;
mod purge;
mod response;
mod fetch;
mod lookup;
mod store;
mod listener;
mod request;
mod policy;
mod freshness;
mod origins;
mod invalidation;
pub mod client;
mod compression;
mod key;
mod framing;
mod field;
mod metrics;
mod tls;
mod live;
mod transport;
mod limit;
mod reason;
