//! Shellac's purger: from a Kafka event to nothing stale anywhere.
//!
//! ```text
//!  Kafka ─► consumer ─► intake ─► event ─► partition: window, commits ─► delivery: a route for each proxy ─► PURGE + position
//!           (thread)              pure     what is held, what is done    └► cursor: proxies that missed something
//!                          └► dead letters, delayed purges, receipts ─► Kafka
//! ```
//!
//! At least once: a record's offset is committed when every proxy that keeps up has confirmed it, and when what the purger
//! itself owes for it is written. A proxy that does not keep up owns its position; it is delivered to from there, by a cursor
//! of its own, and nobody waits for it. So no purge is lost whoever dies, and no proxy delays another.
//!
//! Floors: a module uses those below its own line only; `proxy/tests/tidy/` checks it.
//!
//! ```text
//! cli
//! app          makes every part, starts the threads, owns the order of the end
//! admin        the purger's own listener: health, readiness, metrics, status
//! delivery     every purge to every proxy
//! intake       what becomes of a record
//! dead_letter  receipt  settle: what the purger itself writes to Kafka
//! kafka        librdkafka behind threads of its own
//! partition    what is held for proxies, what may be committed
//! event        from a record to a purge
//! backoff  instance  memory  metrics
//! ```

pub mod cli;
pub mod app;
pub mod admin;
pub mod delivery;
pub mod intake;
pub mod dead_letter;
pub mod receipt;
pub mod settle;
pub mod kafka;
pub mod partition;
pub mod event;
pub mod backoff;
mod instance;
pub mod memory;
pub mod metrics;
