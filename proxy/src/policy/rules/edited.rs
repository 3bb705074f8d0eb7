//! Stored fields that rules have changed for clients, with a note of what they were: a later 304 is
//! judged by what the origin said.

use std::time::Duration;

use http::header::{CACHE_CONTROL, EXPIRES, PRAGMA};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::field_changes::FieldChanges;

/// Returns whether a stored field is such a note. Clients do not see it.
pub fn is_note(name: &HeaderName) -> bool {
    name.as_str().starts_with(NOTES)
}

/// Returns the fields as the origin sent them.
pub fn undone(mut fields: HeaderMap) -> HeaderMap {
    let Some(names) = fields.get(EDITED).and_then(|names| names.to_str().ok()) else {
        return fields;
    };
    let names: Vec<HeaderName> = names.split(',').filter_map(|name| name.parse().ok()).collect();
    for name in names {
        fields.remove(&name);
        let Some(original) = original(&name) else { continue };
        let lines: Vec<HeaderValue> = fields.get_all(&original).iter().cloned().collect();
        for line in lines {
            fields.append(&name, line);
        }
    }
    remove_notes(&mut fields);
    fields
}

/// Removes what looks like a note: an origin has none to give.
pub fn remove_notes(fields: &mut HeaderMap) {
    let notes: Vec<HeaderName> = fields.keys().filter(|name| is_note(name)).cloned().collect();
    for note in notes {
        fields.remove(note);
    }
}

/// Edits fields, and notes what they were. `browser_ttl` is the lifetime that clients are told, and
/// whether it goes before what forbids them to store.
pub(super) fn edit(
    fields: &mut HeaderMap,
    changes: &FieldChanges,
    browser_ttl: Option<(Duration, bool)>,
) {
    let control = browser_ttl.and_then(|(ttl, forces)| Some((ttl, control(fields, ttl, forces)?)));
    let mut names = changes.names(fields);
    if control.is_some() {
        names.extend([CACHE_CONTROL, EXPIRES, PRAGMA]);
    }
    if names.is_empty() {
        return;
    }
    for name in &names {
        let Some(original) = original(name) else { continue };
        let lines: Vec<HeaderValue> = fields.get_all(name).iter().cloned().collect();
        for line in lines {
            fields.append(&original, line);
        }
    }
    changes.apply(fields);
    if let Some((ttl, control)) = control {
        fields.remove(EXPIRES);
        fields.remove(PRAGMA);
        fields.insert(CACHE_CONTROL, control);
        fields.insert(BROWSER_TTL, HeaderValue::from(ttl.as_secs()));
    }
    let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    if let Ok(names) = HeaderValue::try_from(names.join(",")) {
        fields.insert(EDITED, names);
    }
}

/// Returns `Cache-Control` with this lifetime; `None` where clients are not to keep the response.
fn control(fields: &HeaderMap, ttl: Duration, forces: bool) -> Option<HeaderValue> {
    let lines = fields.get_all(CACHE_CONTROL).into_iter().map(HeaderValue::to_str);
    let lines: Vec<&str> = lines.filter_map(Result::ok).collect();
    let members = lines.iter().flat_map(|line| line.split(',')).map(str::trim);
    let mut kept: Vec<&str> = Vec::new();
    for member in members.filter(|member| !member.is_empty()) {
        let name = member.split('=').next().unwrap_or(member).trim().to_ascii_lowercase();
        match name.as_str() {
            "no-store" | "no-cache" if !forces => return None,
            "no-store" | "no-cache" | "max-age" => {}
            _ => kept.push(member),
        }
    }
    let max_age = format!("{MAX_AGE}{}", ttl.as_secs());
    kept.push(&max_age);
    HeaderValue::try_from(kept.join(", ")).ok()
}

/// Adds to the lifetime that clients are told the age of the response, from which they take it away
/// again (RFC 9111 §4.2.3).
pub fn add_age(shown: &mut HeaderMap, browser_ttl: u64, age: u64) {
    let Some(control) = shown.get(CACHE_CONTROL).and_then(|control| control.to_str().ok()) else {
        return;
    };
    let Some((before, _told)) = control.rsplit_once(MAX_AGE) else { return };
    let control = format!("{before}{MAX_AGE}{}", browser_ttl.saturating_add(age));
    if let Ok(control) = HeaderValue::try_from(control) {
        shown.insert(CACHE_CONTROL, control);
    }
}

fn original(name: &HeaderName) -> Option<HeaderName> {
    HeaderName::try_from(format!("{ORIGINAL}{name}")).ok()
}

/// The lifetime that clients are told, in seconds.
pub const BROWSER_TTL: &str = "shellac-edited-browser-ttl";

const NOTES: &str = "shellac-edited";
/// The names of fields that were changed.
const EDITED: &str = "shellac-edited";
/// Before the name of a field that was changed: a line that it had.
const ORIGINAL: &str = "shellac-edited-from-";
const MAX_AGE: &str = "max-age=";

#[cfg(test)]
mod tests {
    use settings::FieldEdits;

    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        fields
    }

    fn changes() -> FieldChanges {
        let line = |name, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let edits = FieldEdits {
            remove: vec![HeaderName::from_static("x-powered-by")],
            remove_all: vec!["x-debug-".to_owned()],
            set: vec![line("x-frame-options", "DENY")],
            add: vec![line("link", "</b>")],
        };
        FieldChanges::of(std::iter::once(&edits))
    }

    fn shown(fields: &HeaderMap) -> Vec<String> {
        let public = fields.iter().filter(|(name, _)| !is_note(name));
        let mut lines: Vec<_> =
            public.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_clients_see_is_edited_and_what_the_origin_said_comes_back() {
        let original = fields(&[
            ("x-powered-by", "php"),
            ("x-debug-time", "3"),
            ("link", "</a>"),
            ("cache-control", "public, max-age=3600"),
            ("expires", "0"),
        ]);
        let mut edited = original.clone();
        edit(&mut edited, &changes(), Some((Duration::from_mins(1), false)));
        assert_eq!(
            shown(&edited),
            [
                "cache-control: public, max-age=60",
                "link: </a>",
                "link: </b>",
                "x-frame-options: DENY"
            ]
        );
        assert_eq!(undone(edited.clone()), original);
        let mut again = undone(edited.clone());
        edit(&mut again, &changes(), Some((Duration::from_mins(1), false)));
        assert_eq!(again, edited);
    }

    #[test]
    fn clients_do_not_keep_what_they_may_not_unless_it_is_forced() {
        for (field, forces, expected) in [
            ("no-cache", false, "no-cache"),
            ("private, no-store", false, "private, no-store"),
            ("private, no-store", true, "private, max-age=60"),
            ("max-age=5, s-maxage=9", false, "s-maxage=9, max-age=60"),
        ] {
            let mut fields = fields(&[("cache-control", field)]);
            edit(&mut fields, &FieldChanges::default(), Some((Duration::from_mins(1), forces)));
            assert_eq!(fields.get(CACHE_CONTROL).unwrap(), expected, "{field}");
        }
    }

    #[test]
    fn the_age_is_added_to_what_clients_are_told() {
        let mut fields = fields(&[("cache-control", "s-maxage=9, max-age=60")]);
        add_age(&mut fields, 60, 100);
        assert_eq!(fields.get(CACHE_CONTROL).unwrap(), "s-maxage=9, max-age=160");
    }
}
