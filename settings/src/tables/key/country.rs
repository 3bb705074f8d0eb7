//! `[key.country]`: the field in which a trusted peer names the client's country.

use http::HeaderName;

use super::key_field::{KeyField, field_name, read_values};
use crate::table::Table;
use crate::value::parsed;

/// Reads `country` over what is there: `{ header = "X-Country", values = ["DE", "FR"] }`. An empty
/// name switches it off.
pub(super) fn country(country: &mut Option<KeyField>, table: &mut Table<'_>) {
    let mut name: Option<Option<HeaderName>> = None;
    let read = |text: &str| match text {
        "" => Ok(Some(None)),
        text => field_name(text).map(Some).map(Some),
    };
    table.read("header", parsed(read), &mut name);
    let mut values = Vec::new();
    read_values(table, &mut values);
    match name {
        None => {
            if let (Some(country), false) = (country.as_mut(), values.is_empty()) {
                country.values = values;
            }
        }
        Some(None) => *country = None,
        Some(Some(name)) => {
            if values.is_empty() {
                values = country.take().map(|country| country.values).unwrap_or_default();
            }
            if values.is_empty() {
                table.add_missing("values");
            }
            *country = Some(KeyField { name, values });
        }
    }
}
