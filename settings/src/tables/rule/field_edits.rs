//! `FieldEdits`: header fields that a rule sets, adds and removes.

use http::{HeaderName, HeaderValue};

use crate::table::Table;
use crate::value::{Fault, is_token, parsed};

/// Edits of header fields, by name. A rule that counts more decides all of a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldEdits {
    /// `remove`: all lines of these.
    pub remove: Vec<HeaderName>,
    /// Items of `remove` with `*` at the end: all lines of fields whose names begin so.
    pub remove_all: Vec<String>,
    /// `set`: one line in place of all others.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// `add`: one more line.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

impl FieldEdits {
    /// Returns whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.remove_all.is_empty()
            && self.set.is_empty()
            && self.add.is_empty()
    }

    /// Returns the names of the fields, after that of the table.
    pub(super) fn things(&self, table: &str) -> Vec<String> {
        let Self { remove, remove_all, set, add } = self;
        let written = set.iter().chain(add).map(|(name, _)| name);
        let names = remove.iter().chain(written).map(|name| format!("{table}.{name}"));
        names.chain(remove_all.iter().map(|prefix| format!("{table}.{prefix}*"))).collect()
    }

    /// Reads `set`, `add` and `remove`. `refuse` says why a field is not to be set or added, or
    /// removed.
    pub(super) fn read(
        &mut self,
        table: &mut Table<'_>,
        refuse: fn(&HeaderName, Edit) -> Option<&'static str>,
    ) {
        let mut remove = Vec::new();
        table.read_one_or_more("remove", parsed(|text| removed(text, refuse)), &mut remove);
        for removed in remove {
            match removed {
                Removed::Field(name) => self.remove.push(name),
                Removed::BeginningWith(prefix) => self.remove_all.push(prefix),
            }
        }
        self.set = lines("set", table, refuse);
        self.add = lines("add", table, refuse);
    }
}

/// Reads a table of fields and their values.
pub(super) fn lines(
    key: &'static str,
    table: &mut Table<'_>,
    refuse: fn(&HeaderName, Edit) -> Option<&'static str>,
) -> Vec<(HeaderName, HeaderValue)> {
    let (mut lines, mut read) = (Vec::new(), Vec::new());
    table.read_map(key, parsed(value), &mut read);
    for (name, value) in read {
        match named(&name, Edit::Write, refuse) {
            Ok(name) => lines.push((name, value)),
            Err(fault) => table.fault_of(key, fault),
        }
    }
    lines
}

/// The kinds of edits, as far as some are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    Write,
    Remove,
}

/// One item of `remove`.
enum Removed {
    Field(HeaderName),
    BeginningWith(String),
}

/// Reads a name, or the beginning of names with `*` after it. A beginning is at least three
/// characters, so that it is of one vendor's fields.
fn removed(
    text: &str,
    refuse: fn(&HeaderName, Edit) -> Option<&'static str>,
) -> Result<Removed, Fault> {
    let Some(prefix) = text.strip_suffix('*') else {
        return named(text, Edit::Remove, refuse).map(Removed::Field);
    };
    let prefix = prefix.to_ascii_lowercase();
    let wants = format!("must name fields, and `{text}` names none");
    if prefix.contains('*') || !is_token(&prefix) {
        return Err(Fault::new(wants, "not a name").help("`*` may stand at the end only"));
    }
    let is_protected = |name: &&str| name.starts_with(prefix.as_str());
    if prefix.len() < PREFIX_BYTES_MIN || PROTECTED.iter().any(is_protected) {
        return Err(Fault::new(wants, "fields of others begin so, too")
            .help("\"x-middleware-*\": more of the name"));
    }
    named(&prefix, Edit::Remove, refuse)?;
    Ok(Removed::BeginningWith(prefix))
}

/// Fields that are not to be removed by the beginnings of their names.
const PROTECTED: [&str; 26] = [
    "accept-ranges",
    "age",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "forwarded",
    "host",
    "if-range",
    "keep-alive",
    "last-modified",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// The beginning of names that may be removed together.
const PREFIX_BYTES_MIN: usize = 3;

fn named(
    text: &str,
    edit: Edit,
    refuse: fn(&HeaderName, Edit) -> Option<&'static str>,
) -> Result<HeaderName, Fault> {
    let name: HeaderName = text.parse().map_err(|_malformed| {
        Fault::new(format!("must name fields, and `{text}` is no name"), "not a name")
    })?;
    match refuse(&name, edit) {
        Some(why) => Err(Fault::new(format!("cannot change `{name}`"), why)),
        None => Ok(name),
    }
}

/// Reads a field's value: no control characters, which could begin another field.
fn value(text: &str) -> Result<HeaderValue, Fault> {
    let is_sound =
        text.bytes().all(|byte| byte == b' ' || byte == b'\t' || byte > 0x20 && byte != 0x7f);
    let value = HeaderValue::from_str(text).ok().filter(|_| is_sound && text.trim() == text);
    value.ok_or_else(|| {
        Fault::new("must be the value of a field", "control characters, or spaces at its ends")
    })
}

/// Says why a request field is not a rule's to change.
pub(super) fn refuse_in_request(name: &HeaderName, edit: Edit) -> Option<&'static str> {
    let text = name.as_str();
    if is_framing(text) {
        return Some("it belongs to one connection");
    }
    if matches!(text, "host" | "via" | "forwarded" | "x-forwarded-host" | "x-forwarded-proto")
        || matches!(text, "x-forwarded-for" | "x-min-site-revision")
    {
        return Some("it is written from the request's URL and its client");
    }
    let is_condition = matches!(text, "range" | "if-range") || text.starts_with("if-");
    if is_condition && edit == Edit::Write {
        return Some("a condition or a range is the client's");
    }
    None
}

/// Says why a response field is not a rule's to change.
pub(super) fn refuse_in_response(name: &HeaderName, _edit: Edit) -> Option<&'static str> {
    let text = name.as_str();
    if is_framing(text) {
        return Some("it belongs to one connection");
    }
    if matches!(text, "content-encoding" | "content-range" | "content-type" | "etag" | "vary")
        || matches!(text, "last-modified" | "accept-ranges" | "age" | "date" | "via")
    {
        return Some("it says what the content is, or when it was made");
    }
    match text {
        "set-cookie" => Some("every client would get it: `set_cookie` says what becomes of it"),
        "cache-control" | "expires" => Some("`ttl` and `browser_ttl` say how long"),
        _ => None,
    }
}

fn is_framing(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding")
        || matches!(name, "upgrade" | "content-length" | "expect" | "proxy-connection")
}
