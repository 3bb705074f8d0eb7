//! `ServerReport`: a server at one moment, for people.

use super::health::HealthReport;

#[derive(Clone, Debug)]
pub struct ServerReport {
    /// The address as it was written.
    pub name: String,
    pub weight: u32,
    pub health: HealthReport,
    /// Requests that it is sent, or that connect to it.
    pub in_flight: usize,
    pub idle_connections: usize,
    /// Requests that it was given.
    pub requests: u64,
}
