//! `EventLimits`: bounds on one event. An event that exceeds one is refused with a reason, never
//! cut.

use std::time::Duration;

use super::unreadable::{Code, Problem};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLimits {
    /// Bytes of the record's value.
    pub payload_bytes: usize,
    pub tags: usize,
    pub urls: usize,
    /// Delays after which it settles.
    pub settle: usize,
    pub settle_max: Duration,
    pub rewarm_urls: usize,
}

impl Default for EventLimits {
    fn default() -> Self {
        Self {
            payload_bytes: 64 * 1024,
            tags: 1000,
            urls: 1000,
            settle: 8,
            settle_max: Duration::from_mins(5),
            rewarm_urls: 100,
        }
    }
}

/// Bytes of an event's id and of its source.
pub(super) const NAME_MAX: usize = 512;

/// Bytes of a site's id.
pub(super) const SITE_MAX: usize = 256;

/// Bytes of a reason; a longer one is cut, as it is only for people.
pub(super) const REASON_MAX: usize = 256;

pub(super) fn check(count: usize, max: usize, what: &str) -> Result<(), Problem> {
    if count <= max {
        return Ok(());
    }
    let detail = format!("{what}: {count} exceed the limit of {max}; send several events");
    Err(Problem::new(Code::Limit, detail))
}
