//! Shellac's purger: delivers purge events from Kafka to every proxy.
//!
//! ```text
//!  Kafka ─► consumer ─► intake ─► event ─► partition ─► Delivery, one per proxy ─► POST + position
//!           (thread)     │        (pure)   (window,      └► cursor: records that a proxy missed
//!                        │                  commits)
//!                        └► dead letters, delayed purges, receipts ─► Kafka
//! ```
//!
//! At least once: a record's offset is committed when every proxy that keeps up has confirmed it,
//! and when the purger has written its dead letter, repetitions and receipt. A proxy that does not
//! keep up owns its position: it is served from there by a cursor of its own, and delays no commit.
//! So no purge is lost whichever process dies, and no proxy delays another.
//!
//! Floors: a module uses those below its own line only; `proxy/tests/tidy/` checks it.
//!
//! ```text
//! cli
//! app          makes every part, starts the threads, owns the order of the end
//! admin        the purger's own listener: health, readiness, metrics, status
//! delivery     every purge to every proxy
//! intake       purges, dead letters and receipts from records
//! dead_letter  receipt  settle: records that the purger itself writes to Kafka
//! kafka        librdkafka behind threads of its own
//! partition    records held for proxies, offsets that may be committed
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
