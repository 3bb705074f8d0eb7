//! `[response]`: fields added to responses.

use crate::table::Table;
use crate::value::{Fault, boolean, is_token, parsed};

/// Fields that the proxy adds to responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseSettings {
    /// Adds `Cache-Status` (RFC 9211).
    pub cache_status: bool,
    /// Adds `Server-Timing`: the outcome, and the time that the origin took. It tells every client
    /// which URLs are cached.
    pub server_timing: bool,
    /// The proxy's pseudonym in `Via` and `Cache-Status`, a token (RFC 9110 §7.6.3).
    pub via: String,
}

impl Default for ResponseSettings {
    fn default() -> Self {
        Self { cache_status: true, server_timing: false, via: "shellac".to_owned() }
    }
}

impl ResponseSettings {
    /// Reads `[response]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        table.read("cache_status", boolean, &mut self.cache_status);
        table.read("server_timing", boolean, &mut self.server_timing);
        table.read("via", parsed(pseudonym), &mut self.via);
    }
}

fn pseudonym(text: &str) -> Result<String, Fault> {
    if is_token(text) {
        return Ok(text.to_owned());
    }
    let fault =
        Fault::new("must be a token (RFC 9110 §5.6.2)", "letters, digits and !#$%&'*+-.^_`|~");
    Err(fault.help("a bare name such as \"shellac\"; the version is added"))
}
