//! A site event: `{"siteId":"7f3c2a","etag":"\"7f3c2a-12\""}`. It becomes the purge by entity tag:
//! the tag's opaque value, as renderers use it to name what a page was made of, and the site
//! itself.

use super::body;
use super::draft::Draft;
use super::fields::Fields;
use super::json::Object;
use super::plain;
use super::rules::Rules;
use super::unreadable::{Code, Problem};

pub(super) fn read(object: &Object<'_>, rules: &Rules) -> Result<Draft, Problem> {
    if !object.has("siteId") && !object.has("site") && !object.has("etag") {
        let detail = "siteId: is not there, nor is etag; write the id of the site that changed";
        return Err(Problem::new(Code::Field, detail));
    }
    let mut draft = plain::read(object, rules)?;
    if let Some(site) = body::site(Fields { object, path: "" })? {
        draft.add_site(&site, rules, "siteId")?;
    }
    Ok(draft)
}

pub(super) fn is_one(object: &Object<'_>) -> bool {
    ["siteId", "site", "etag"].iter().any(|name| object.has(name))
}
