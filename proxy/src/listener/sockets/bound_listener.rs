//! `BoundListener`: a listener of the configuration with its sockets.

use super::{AvailableSockets, BindError, BindRules, BoundAddress};
use settings::ListenSettings;

/// A `[[listen]]` whose addresses are bound.
#[derive(Clone, Debug)]
pub struct BoundListener {
    pub settings: ListenSettings,
    pub addresses: Vec<BoundAddress>,
}

impl BoundListener {
    /// Binds each address, with a socket for each worker where there can be several.
    pub fn bind(
        settings: &ListenSettings,
        workers: usize,
        available: &mut AvailableSockets,
    ) -> Result<Self, BindError> {
        let (backlog, mode) = (settings.backlog, settings.socket_mode);
        let rules = BindRules { backlog, mode, workers, is_shared: false };
        let addresses = settings.addresses.iter();
        let addresses = addresses.map(|address| available.bind(address, rules, false));
        Ok(Self { settings: settings.clone(), addresses: addresses.collect::<Result<_, _>>()? })
    }
}
