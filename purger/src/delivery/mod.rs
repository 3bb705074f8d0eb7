//! Delivery: every proxy gets every purge of every assigned partition, in order, whatever the others do.
//!
//! ```text
//! discovery ─► fleet ─┬─► target (one proxy: its connections, how it stands)
//!                     └─► delivery (one proxy × one partition): slice of the window, or records from Kafka ─► POST ─► position
//! ```

pub mod context;
pub mod discovery;
pub mod encoding;
pub mod fleet;
pub mod outcome;
pub mod fold;
pub mod parts;
pub mod route;
pub mod target;
pub mod catch_up;
pub mod locate;
pub mod refusal;
