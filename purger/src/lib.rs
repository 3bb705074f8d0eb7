//! Shellac's purger: from a Kafka event to nothing stale anywhere.

pub mod event;
