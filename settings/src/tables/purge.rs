//! `[purge]`: who may purge, and how much at once.

use purge_protocol::PurgeMode;

use super::secret::secret;
use super::{PeerNetwork, PurgeLogSettings, Secret};
use crate::table::Table;
use crate::value::{choice, parsed, peer_network, percent_or_off, size, whole};

/// The rules for purges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeSettings {
    /// Peers that may `PURGE` on the traffic listeners. An empty list refuses all with 405.
    pub allow: Vec<PeerNetwork>,
    /// Required from these peers as well.
    pub token: Option<Secret>,
    /// The mode of a purge that names none.
    pub default_mode: PurgeMode,
    /// Tags, URLs, hosts and prefixes in one purge, 1 to 100000. Each costs one pass over its
    /// matches.
    pub max_selectors: usize,
    /// Bytes of a purge request's body, 1KiB to 64MiB; held in memory while it is read.
    pub max_body: u64,
    /// Share of the stored responses, 1% to 100%, of which a tag that purges more is written about.
    /// `None` is off.
    pub warn_share: Option<u32>,
    /// `[purge.log]`.
    pub log: PurgeLogSettings,
}

impl Default for PurgeSettings {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            token: None,
            default_mode: PurgeMode::Hard,
            max_selectors: 1000,
            max_body: 1 << 20,
            warn_share: Some(20),
            log: PurgeLogSettings::default(),
        }
    }
}

impl PurgeSettings {
    /// Reads `[purge]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        table.read_each("allow", parsed(peer_network), &mut self.allow);
        table.read("token", secret, &mut self.token);
        table.read("default_mode", choice(&MODES), &mut self.default_mode);
        table.read("max_selectors", whole(1..=100_000), &mut self.max_selectors);
        table.read("max_body", size(1 << 10..=64 << 20), &mut self.max_body);
        table.read("warn_share", percent_or_off(1..=100), &mut self.warn_share);
        table.table("log", |table| self.log.read(table));
    }
}

const MODES: [(&str, PurgeMode); 2] = [("hard", PurgeMode::Hard), ("soft", PurgeMode::Soft)];
