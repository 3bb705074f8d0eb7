//! `SiteRequests`: what each site that is counted apart has been answered.

use std::sync::OnceLock;

use super::metrics::RequestMetrics;
use crate::policy::{SiteId, Sites};

/// The metrics of sites, by their ids; a site has some from its first request on.
#[derive(Debug)]
pub struct SiteRequests(Box<[OnceLock<Box<RequestMetrics>>]>);

impl Default for SiteRequests {
    fn default() -> Self {
        Self((0..SiteId::MAX).map(|_| OnceLock::new()).collect())
    }
}

impl SiteRequests {
    pub fn of(&self, id: SiteId) -> Option<&RequestMetrics> {
        id.of(&self.0).map(|place| &**place.get_or_init(Box::default))
    }

    /// Returns the sites that have been asked for, with their hosts.
    pub fn by_host<'a>(&'a self, sites: &'a Sites) -> Vec<(&'a str, &'a RequestMetrics)> {
        let asked = sites.iter().filter_map(|(host, id)| Some((host, &**id.of(&self.0)?.get()?)));
        asked.collect()
    }
}
