//! `[origin.NAME.circuit]`: an origin, or one of its servers, that fails most requests gets none
//! for a while.

use std::time::Duration;

use crate::table::Table;
use crate::value::{StatusRange, TIMEOUT, duration, parsed, percent_or_off, status_range, whole};

/// The circuit breakers of an origin and of each of its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitSettings {
    /// Share of failures among the requests of `window` that opens a circuit, 1% to 100%. `None`
    /// opens none.
    pub failure_rate: Option<u32>,
    /// Requests within `window` without which it stays closed, 1 to 1000000.
    pub min_requests: u32,
    /// Time that the rate is of, 100ms to 1h.
    pub window: Duration,
    /// Time for which an open circuit lets no request pass, 1ms to 1d. Stale responses are served
    /// meanwhile, else 503.
    pub open_for: Duration,
    /// Requests that are let pass at once to try after that time, 1 to 1000. The circuit closes
    /// when as many have succeeded, and opens again when one fails.
    pub trials: u32,
    /// Responses that count as failures too. None by default: an error may be one URL's.
    pub failure_status: Vec<StatusRange>,
}

impl Default for CircuitSettings {
    fn default() -> Self {
        Self {
            failure_rate: None,
            min_requests: 20,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(10),
            trials: 3,
            failure_status: Vec::new(),
        }
    }
}

impl CircuitSettings {
    /// Reads `[origin.NAME.circuit]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        table.read("failure_rate", percent_or_off(1..=100), &mut self.failure_rate);
        table.read("min_requests", whole(1..=1_000_000), &mut self.min_requests);
        table.read("window", duration(WINDOW), &mut self.window);
        table.read("open_for", duration(TIMEOUT), &mut self.open_for);
        table.read("trials", whole(1..=1000), &mut self.trials);
        table.read_each("failure_status", parsed(status_range), &mut self.failure_status);
    }
}

const WINDOW: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_hours(1);
