//! `[admin]`: health, readiness, metrics, stats and the purge API, apart from the traffic.

use std::net::{Ipv4Addr, SocketAddr};

use super::listen::SOCKET_MODE;
use super::secret::secret;
use super::{ListenAddress, Secret};
use crate::table::Table;
use crate::value::{choice, file_mode, listen_address, parsed};

/// The admin listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// Addresses to listen on. An empty list switches the admin interface off.
    pub listen: Vec<ListenAddress>,
    /// The mode of the files of Unix sockets. Who may write to the file may purge, if there is no
    /// token.
    pub socket_mode: u32,
    /// Required for everything but health, readiness and metrics. Without a token only loopback
    /// peers, and those of a Unix socket, may change anything.
    pub token: Option<Secret>,
    /// Pages for people at `/`.
    pub dashboard: DashboardMode,
}

/// Whether the admin listeners serve pages for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DashboardMode {
    /// There are none.
    Off,
    /// They are guarded like all that the token guards.
    On,
}

impl Default for AdminSettings {
    fn default() -> Self {
        let listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)).into()];
        Self { listen, socket_mode: SOCKET_MODE, token: None, dashboard: DashboardMode::On }
    }
}

impl AdminSettings {
    /// Reads `[admin]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        table.read_each("listen", parsed(listen_address), &mut self.listen);
        table.read("socket_mode", parsed(file_mode), &mut self.socket_mode);
        table.read("token", secret, &mut self.token);
        table.read("dashboard", choice(&DASHBOARD_MODES), &mut self.dashboard);
    }
}

const DASHBOARD_MODES: [(&str, DashboardMode); 2] =
    [("off", DashboardMode::Off), ("on", DashboardMode::On)];
