//! `key.vary`: the meaning of fields that responses name in `Vary`.

use http::HeaderName;

use crate::table::Table;
use crate::value::{Fault, choice};

/// The meaning of a field that a response names in `Vary`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaryMode {
    /// Values that mean the same select the same variant.
    Normalize,
    /// Values are compared as they were sent.
    Raw,
    /// It selects no variant where the response says `public`.
    IgnoreIfPublic,
    /// A response that varies on it is not stored.
    Bypass,
}

/// Reads `vary = { "User-Agent" = "normalize" }`.
pub(super) fn read(modes: &mut Vec<(HeaderName, VaryMode)>, table: &mut Table<'_>) {
    let is_written = table.has("vary");
    let mut written = Vec::new();
    table.read_map("vary", choice(&MODES), &mut written);
    if !is_written {
        return;
    }
    let mut read = Vec::new();
    for (text, mode) in written {
        match named(&text, mode) {
            Ok(name) => read.push((name, mode)),
            Err(fault) => table.fault_of_entry("vary", &text, fault),
        }
    }
    *modes = read;
}

/// Returns the field, if the mode can be meant for it.
fn named(text: &str, mode: VaryMode) -> Result<HeaderName, Fault> {
    let name: HeaderName = text.parse().map_err(|error: http::header::InvalidHeaderName| {
        Fault::new(format!("must be named after a field, and `{text}` is none"), error.to_string())
    })?;
    let refused = |wants: &str, label: &str, help: &str| Err(Fault::new(wants, label).help(help));
    match (name.as_str(), mode) {
        ("cookie" | "authorization" | "proxy-authorization", VaryMode::IgnoreIfPublic) => refused(
            "must not be \"ignore-if-public\"",
            "one user's page would be everybody's",
            "let the origin leave it out of `Vary` where pages do not depend on it, or drop cookies in [cookies]",
        ),
        ("accept-encoding", VaryMode::Raw | VaryMode::IgnoreIfPublic | VaryMode::Bypass) => {
            refused(
                "must be \"normalize\"",
                "clients would get codings that they cannot read",
                "leave it out: \"normalize\" is the default",
            )
        }
        (other, VaryMode::Normalize) if !NORMALIZED.contains(&other) => refused(
            "must not be \"normalize\"",
            "no normal form of it is known",
            "Accept, Accept-Language and User-Agent have one; else list the values in `key.headers`",
        ),
        _ => Ok(name),
    }
}

/// Fields that have a normal form.
const NORMALIZED: [&str; 4] = ["accept", "accept-encoding", "accept-language", "user-agent"];

const MODES: [(&str, VaryMode); 4] = [
    ("normalize", VaryMode::Normalize),
    ("raw", VaryMode::Raw),
    ("ignore-if-public", VaryMode::IgnoreIfPublic),
    ("bypass", VaryMode::Bypass),
];
