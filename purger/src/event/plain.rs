//! Plain JSON: `{"tags":["product-42"]}`. What `POST /api/v1/purge` takes is valid, and so is all
//! that a `CloudEvent`'s data may hold.

use super::body;
use super::draft::Draft;
use super::fields::Fields;
use super::json::Object;
use super::rules::Rules;
use super::unreadable::Problem;

pub(super) fn read(object: &Object<'_>, rules: &Rules) -> Result<Draft, Problem> {
    let fields = Fields { object, path: "" };
    let mut draft = body::read(fields, rules)?;
    draft.id = fields.id("id")?.map(std::borrow::Cow::into_owned);
    draft.source = fields.text("source")?.map(str::to_owned);
    draft.time = ["time", "event_time", "eventTime"].iter().find_map(|name| fields.time(name));
    Ok(draft)
}

pub(super) fn is_one(object: &Object<'_>) -> bool {
    SELECTORS.iter().any(|name| object.has(name))
}

const SELECTORS: [&str; 14] = [
    "tags",
    "urls",
    "hosts",
    "prefixes",
    "prefix",
    "pages",
    "paths",
    "expressions",
    "all_of",
    "any_of",
    "none_of",
    "deploys",
    "all",
    "scope",
];
