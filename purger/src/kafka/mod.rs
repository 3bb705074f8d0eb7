//! Kafka through librdkafka: the group's consumer on a thread of its own, cursors for proxies that
//! catch up, and a producer.
//!
//! librdkafka calls back on the thread that polls, and several of its calls block. So every client
//! has a thread, and no client runs on the runtime that talks to proxies.

pub mod assignment;
pub mod cause;
pub mod client;
pub mod connection;
pub mod consumer;
pub mod context;
pub mod cursor;
pub mod group_consumer;
pub mod producer;
pub mod end_offsets;
pub mod following_cursor;
