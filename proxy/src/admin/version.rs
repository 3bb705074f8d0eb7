//! `/api/v1/version`: what was built. The revision is known where the build was told of it.

use serde_json::{Value, json};

pub fn document() -> Value {
    json!({
        "name": "shellac",
        "version": env!("CARGO_PKG_VERSION"),
        "revision": option_env!("SHELLAC_REVISION"),
        "minimum_rust": env!("CARGO_PKG_RUST_VERSION"),
        "architecture": std::env::consts::ARCH,
        "system": std::env::consts::OS,
        "debug": cfg!(debug_assertions),
    })
}

pub(super) const PATH: &str = "/api/v1/version";
