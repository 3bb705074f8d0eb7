//! `[metrics]`: what is counted besides the totals.

use crate::pattern::{HostPattern, host_pattern};
use crate::table::Table;
use crate::value::{Fault, parsed};

/// The parts of the traffic that are counted apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Hosts with metrics of their own, without port, in lower case; 100 at most. Each costs some
    /// 60 lines on the page of metrics, and 33 KiB.
    pub sites: Vec<String>,
}

impl MetricsSettings {
    /// Reads `[metrics]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        table.read_each("sites", parsed(site), &mut self.sites);
        self.sites.sort();
        self.sites.dedup();
        if self.sites.len() > SITES_MAX {
            let fault = Fault::new(
                format!("must hold {SITES_MAX} hosts at most"),
                format!("these are {}", self.sites.len()),
            );
            table.fault_of("sites", fault.help("the others are in the totals, as all are"));
        }
    }
}

fn site(text: &str) -> Result<String, Fault> {
    match host_pattern(text)? {
        HostPattern::Exact(host) => Ok(host),
        HostPattern::Subdomains(_) => {
            let fault = Fault::new("must be one host", format!("`{text}` may be any number"));
            Err(fault.help("name each host that is to be counted"))
        }
    }
}

const SITES_MAX: usize = 100;
