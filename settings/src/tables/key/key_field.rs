//! `KeyField`: a request field that enters the key.

use http::HeaderName;

use crate::table::Table;
use crate::value::{Fault, parsed};

/// A request field that enters the key, and is forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyField {
    /// Its name.
    pub name: HeaderName,
    /// The values that count, at most 300; every other one is forwarded as `other`. Empty: all do.
    pub values: Vec<String>,
}

/// Reads the name of a field, any value of which counts.
pub(super) fn key_field_of(text: &str) -> Result<KeyField, Fault> {
    field_name(text).map(|name| KeyField { name, values: Vec::new() })
}

/// Reads `{ name = "X-Plan", values = ["free", "pro"] }`.
pub(super) fn key_field(table: &mut Table<'_>) -> Option<KeyField> {
    let mut name = None;
    table.require("name");
    table.read("name", |node| parsed(field_name)(node).map(Some), &mut name);
    let mut values = Vec::new();
    table.require("values");
    table.reject_empty("values");
    read_values(table, &mut values);
    name.map(|name| KeyField { name, values })
}

/// Reads the values that count.
pub(super) fn read_values(table: &mut Table<'_>, values: &mut Vec<String>) {
    table.read_each("values", parsed(field_value), values);
    if values.len() > VALUES_MAX {
        let fault = Fault::new(format!("may hold {VALUES_MAX} values"), "too many");
        table.fault_of("values", fault.help("each is another stored response"));
    }
}

/// Reads the name of a field that may tell responses apart.
pub(super) fn field_name(text: &str) -> Result<HeaderName, Fault> {
    let name: HeaderName = text.parse().map_err(|error: http::header::InvalidHeaderName| {
        Fault::new(format!("must be a field name, and `{text}` is none"), error.to_string())
    })?;
    let refused = REFUSED.iter().find(|(names, ..)| names.contains(&name.as_str()));
    if let Some((_, label, help)) = refused {
        let fault = Fault::new(format!("must not name `{text}`"), *label);
        return Err(fault.help(*help));
    }
    if name.as_str().starts_with("x-forwarded-") {
        let fault = Fault::new(format!("must not name `{text}`"), "the proxy writes it itself");
        return Err(fault.help("host and scheme are in the key"));
    }
    Ok(name)
}

fn field_value(text: &str) -> Result<String, Fault> {
    if text == "other" {
        let fault = Fault::new("must not hold `other`", "every value that is not listed");
        return Err(fault.help("leave it out"));
    }
    let is_plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if !text.is_empty() && text.trim() == text && text.bytes().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(format!("must be a field's value, and `{text}` is none"), "as it is sent"))
}

/// Fields that cannot tell responses apart, with the reason and the remedy.
const REFUSED: [(&[&str], &str, &str); 7] = [
    (&["cookie"], "cookies have lists of their own", "name the cookie in `cookies.vary_on`"),
    (
        &["authorization", "proxy-authorization"],
        "a page for each password is one user's own",
        "such requests are not answered from the cache unless the response allows it",
    ),
    (&["accept-encoding"], "it is in the key where a response varies on it", "leave it out"),
    (&["accept-language"], "it differs from browser to browser", "use `key.languages`"),
    (&["user-agent"], "nearly every client has its own", "use `key.device`"),
    (&["accept"], "it differs from browser to browser", "use `key.images`, or let the origin vary"),
    (
        &[
            "host",
            "connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "keep-alive",
            "expect",
            "via",
            "forwarded",
            "x-real-ip",
            "x-request-id",
            "content-length",
            "cache-control",
            "pragma",
            "range",
            "if-range",
            "if-match",
            "if-none-match",
            "if-modified-since",
            "if-unmodified-since",
            "max-forwards",
            "x-min-site-revision",
        ],
        "it is about this one request, or the proxy's own",
        "leave it out",
    ),
];

const VALUES_MAX: usize = 300;
