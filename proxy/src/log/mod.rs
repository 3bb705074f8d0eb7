//! What is said of each request: the access log, and the live log that `shellac log` reads.
//!
//! ```text
//! record ─► AccessLog ─► a buffer for each worker ─► writer thread ─► file, pipe, socket
//!        └► LiveLog ───► a bounded queue for each reader
//! ```
//! A worker never waits: a line that finds no room is dropped and counted.

mod access_log;
mod escaped;
mod filtered;
mod json_line;
mod line_queue;
mod live_log;
mod logged_request;
mod logs;
mod redaction;
mod target;
mod text_line;
mod wall_time;
mod writer;

pub use self::live_log::{LogBatch, LogQuery, LogReader};
pub use self::logs::Logs;
