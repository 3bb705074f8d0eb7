//! `HealthMetrics`: counters of decisions that concern an origin as a whole.

use process::metrics::Counter;

#[derive(Debug, Default)]
pub struct HealthMetrics {
    /// Failing servers that were not ejected, as too few others are left.
    pub(super) kept: Counter,
    /// Requests that found no server.
    pub(super) unavailable: Counter,
    /// Requests that went to a server that is left out, as no other one was left.
    pub(super) last_resorts: Counter,
}
