//! `[key]`: the parts of a request that tell responses apart.

use http::HeaderName;

use super::deployment;
use super::query::QuerySettings;
use crate::table::Table;

/// The parts of a request that enter the key, beside scheme, host and path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySettings {
    /// `query`.
    pub query: QuerySettings,
    /// `deployment.header`: the response field that names the deployment which made a response.
    pub deployment: Option<HeaderName>,
}

impl KeySettings {
    /// Reads `[key]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        self.query.read(table);
        deployment::read(&mut self.deployment, table);
    }
}
