//! `/api/v1/version`: what was built.

use serde_json::Value;

pub fn document() -> Value {
    process::version::document("shellac")
}

pub(super) const PATH: &str = "/api/v1/version";
