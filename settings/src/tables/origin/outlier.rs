//! `[origin.NAME.outlier]`: servers that fail requests are left out for a while.

use std::time::Duration;

use crate::table::Table;
use crate::value::{StatusRange, TIMEOUT, duration, parsed, percent, status_range, whole_or_off};

/// The ejection of servers by what their exchanges come to. It concerns origins with more than one
/// server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierSettings {
    /// Exchanges of a server that fail one after another, 1 to 1000, before it is ejected: no
    /// connection, no response in time, or none that can be read. `None` ejects none for that.
    pub consecutive_failures: Option<u32>,
    /// Responses that count as failures too. None by default: an error may be one URL's.
    pub failure_status: Vec<StatusRange>,
    /// A server whose responses take this many times as long as those of the other servers is
    /// ejected, 2 to 100. `None` ejects none for that.
    pub latency_factor: Option<u32>,
    /// Time of the first ejection, 1ms to 1d. Each further one takes this much longer.
    pub base_ejection: Duration,
    /// Time of the longest ejection; 1ms to 1d.
    pub max_ejection: Duration,
    /// Share of the servers that are ejected at once, 1% to 50%; of two or three servers one. The
    /// last one that can be used is never ejected.
    pub max_ejected: u32,
}

impl Default for OutlierSettings {
    fn default() -> Self {
        Self {
            consecutive_failures: Some(5),
            failure_status: Vec::new(),
            latency_factor: None,
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_mins(5),
            max_ejected: 50,
        }
    }
}

impl OutlierSettings {
    /// Reads `[origin.NAME.outlier]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        let failures = whole_or_off(1..=1000);
        table.read("consecutive_failures", failures, &mut self.consecutive_failures);
        table.read_each("failure_status", parsed(status_range), &mut self.failure_status);
        table.read("latency_factor", whole_or_off(2..=100), &mut self.latency_factor);
        table.read("base_ejection", duration(TIMEOUT), &mut self.base_ejection);
        table.read("max_ejection", duration(TIMEOUT), &mut self.max_ejection);
        table.read("max_ejected", percent(1..=50), &mut self.max_ejected);
    }
}
