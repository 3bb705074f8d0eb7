//! `ServerOrder`: an operator's order to a server, as it passes to the process that takes over.

use serde::{Deserialize, Serialize};

use super::health::AdminState;

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct ServerOrder {
    pub origin: String,
    /// The address as it was written, or as the name resolved.
    pub server: String,
    pub state: AdminState,
}
