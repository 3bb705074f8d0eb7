//! Patterns of hosts and paths, which origins and rules are chosen by.

mod captures;
mod glob;
mod host_pattern;
mod path_pattern;
mod path_regex;

pub use self::captures::Captures;
pub use self::host_pattern::HostPattern;
pub(crate) use self::host_pattern::host_pattern;
pub use self::path_pattern::PathPattern;
pub(crate) use self::path_pattern::path_pattern;
pub use self::path_regex::PathRegex;
pub(crate) use self::path_regex::path_regex;
