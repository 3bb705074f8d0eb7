//! Wikimedia's `resource_change`: the URL in `meta.uri` has changed.
//!
//! Its `tags` are remarks on the event (`purge`, `null_edit`), not tags of responses: they become
//! the reason.

use super::draft::Draft;
use super::fields::Fields;
use super::json::Object;
use super::unreadable::{Code, Problem};

pub(super) fn read(object: &Object<'_>) -> Result<Draft, Problem> {
    let fields = Fields { object, path: "" };
    let missing = |what: &str| {
        let detail = format!("{what}: is not there; write the URL that changed in meta.uri");
        Problem::new(Code::Field, detail)
    };
    let meta = fields.object("meta")?.ok_or_else(|| missing("meta"))?;
    let meta = Fields { object: meta, path: "meta." };
    let uri = meta.text("uri")?.ok_or_else(|| missing("meta.uri"))?;
    let mut draft = Draft::default();
    draft.add_url(uri, || "meta.uri".to_owned())?;
    if let Some(domain) = meta.text("domain")? {
        draft.note_site(domain, "meta.domain")?;
    }
    draft.id = meta.text("id")?.map(str::to_owned);
    draft.source = meta.text("stream")?.map(str::to_owned);
    draft.time = meta.time("dt");
    let root = object.object("root_event").map(|object| Fields { object, path: "root_event." });
    draft.root_time = root.and_then(|root| root.time("dt"));
    let remarks = fields.texts("tags")?.join(" ");
    draft.reason = Some(if remarks.is_empty() { "resource_change".to_owned() } else { remarks });
    Ok(draft)
}

pub(super) fn is_one(object: &Object<'_>) -> bool {
    object.object("meta").is_some_and(|meta| meta.has("uri"))
}
