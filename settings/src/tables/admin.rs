//! `[admin]`: health, readiness, metrics, stats and the purge API, apart from the traffic.

use std::net::{Ipv4Addr, SocketAddr};

use super::Secret;
use super::secret::secret;
use crate::table::Table;
use crate::value::{parsed, socket_address};

/// The admin listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// Addresses to listen on. An empty list switches the admin interface off.
    pub listen: Vec<SocketAddr>,
    /// Required for everything but health, readiness and metrics. Without a token only loopback
    /// peers may change anything.
    pub token: Option<Secret>,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self { listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8081))], token: None }
    }
}

impl AdminSettings {
    /// Reads `[admin]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        table.read_each("listen", parsed(socket_address), &mut self.listen);
        table.read("token", secret, &mut self.token);
    }
}
