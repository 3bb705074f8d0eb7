//! Shellac's purger: from a Kafka event to nothing stale anywhere.
//!
//! ```text
//!  Kafka ─► consumer ─► intake ─► event ─► partition: window, ledger ─► delivery: a route for each proxy ─► PURGE + position
//!           (thread)              pure     what is held, what is done    └► cursor: proxies that missed something
//!                          └► dead letters, delayed purges, receipts ─► Kafka
//! ```
//!
//! At least once: a record's offset is committed when every proxy that keeps up has confirmed it, and when what the purger
//! itself owes for it is written. A proxy that does not keep up owns its position; it is delivered to from there, by a cursor
//! of its own, and nobody waits for it. So no purge is lost whoever dies, and no proxy delays another.

pub mod app;
mod instance;
pub mod cli;
pub mod kafka;
pub mod memory;
pub mod backoff;
pub mod intake;
pub mod event;
pub mod partition;
pub mod delivery;
pub mod dead_letter;
pub mod settle;
pub mod receipt;
pub mod admin;
pub mod metrics;
