//! `[key.deployment]`: how a response says which deployment of the site has made it.

use http::HeaderName;
use http::header::InvalidHeaderName;

use crate::table::Table;
use crate::value::{Fault, parsed};

/// Reads `deployment` over what is there: `{ header = "X-Deployment-Id" }`. Costs a handle to a tag
/// in each response that has the field.
pub(crate) fn read(deployment: &mut Option<HeaderName>, parent: &mut Table<'_>) {
    parent.table("deployment", |table| table.read("header", parsed(field_name), deployment));
}

/// Reads a field name; an empty one is none.
fn field_name(text: &str) -> Result<Option<HeaderName>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error: InvalidHeaderName| {
        Fault::new(format!("must be a field name, and `{text}` is none"), error.to_string())
    })
}
