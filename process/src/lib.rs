//! What each of Shellac's programs is made of: clock, counters, exit codes, logs, signals,
//! messages to the service manager, and the commands that both have.

pub mod clock;
pub mod timestamp;
pub mod metrics;
pub mod metrics_page;
pub mod exit;
pub mod stderr;
pub mod terminal;
pub mod configuration;
pub mod logging;
pub mod recurring;
pub mod threads;
pub mod usage;
pub mod signals;
pub mod notify;
pub mod descriptors;
pub mod sibling;
pub mod manuals;
pub mod selectors;
pub mod version;
