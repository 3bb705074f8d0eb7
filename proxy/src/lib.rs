//! Shellac, the proxy: an HTTP cache between a load balancer and server-side renderers.
//!
//! ```text
//!   LB ─► listener ─► request ─► key ─► cache ────────────────► response ─► LB      admin (own listener)
//!         accept,     normal            ├ lookup ► decision     conditional,        health, metrics,
//!         limits,     form              ├ freshness   pure      range, Age,         stats, purge
//!         drain                         ├ store       memory    Cache-Status
//!                                       └ fetch       one flight a key, detached from every client
//!                                         └ origins   pool, limits, retry ─► renderers
//!   purge ─► invalidation: one sequence; whatever was born before a purge of one of its tags is never used again
//! ```
//!
//! Arrows point right or down. `freshness` knows no clock, no socket and no store; `store` knows keys and bytes; `origins` does
//! not know that a cache exists; nothing uses `admin`.

pub mod server;
pub mod app;
pub mod cli;
pub mod listener;
pub mod transport;
pub mod client;
pub mod framing;
pub mod request;
pub mod field;
pub mod key;
pub mod front;
pub mod cache;
pub mod freshness;
pub mod invalidation;
pub mod store;
pub mod lookup;
pub mod fetch;
pub mod origins;
pub mod policy;
pub mod response;
pub mod purge;
pub mod admin;
mod metrics;
