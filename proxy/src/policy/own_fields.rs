//! `OwnFields`: the fields in which the proxy names itself.

use http::HeaderValue;

/// The proxy's pseudonym (RFC 9110 §7.6.3), and the fields that carry it.
#[derive(Clone, Debug)]
pub struct OwnFields {
    pub name: String,
    pub via: HeaderValue,
    pub adds_cache_status: bool,
    pub adds_server_timing: bool,
}

impl OwnFields {
    pub(super) fn new(settings: &settings::ResponseSettings) -> Self {
        let settings::ResponseSettings { via: name, cache_status, server_timing } = settings;
        let via = HeaderValue::try_from(format!("1.1 {name}"))
            .unwrap_or_else(|_| HeaderValue::from_static("1.1 shellac"));
        let (adds_cache_status, adds_server_timing) = (*cache_status, *server_timing);
        Self { name: name.clone(), via, adds_cache_status, adds_server_timing }
    }
}
