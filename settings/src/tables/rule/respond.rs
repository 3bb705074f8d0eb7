//! `Respond`: an answer that no origin gives.

use std::path::PathBuf;

use http::{HeaderName, HeaderValue, StatusCode};

use super::field_edits::{Edit, lines};
use crate::table::Table;
use crate::value::{Fault, parsed, text, whole};

/// `respond = { status, body | file, headers }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// 200 to 599; 200 if it is not given.
    pub status: StatusCode,
    /// The content.
    pub content: RespondContent,
    /// `headers`. Without a `Content-Type`, the text is plain text, and a file is told by its name.
    pub fields: Vec<(HeaderName, HeaderValue)>,
}

/// The content of an answer, at most 1 MiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RespondContent {
    /// `body`.
    Text(String),
    /// `file`, read at the start and by each reload.
    File(PathBuf),
}

impl Respond {
    /// The bytes of one content.
    pub const CONTENT_BYTES_MAX: u64 = 1 << 20;

    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let is_written = table.has("respond");
        let mut respond = None;
        table.table("respond", |table| respond = Self::read_table(table));
        respond.filter(|_| is_written)
    }

    fn read_table(table: &mut Table<'_>) -> Option<Self> {
        let (mut status, mut body, mut file) = (200_u16, None, None);
        table.read("status", whole(200..=599), &mut status);
        if matches!(status, 204 | 205 | 304) && (table.has("body") || table.has("file")) {
            table.fault_of("status", Fault::new("is of an answer without content", "has content"));
        }
        if matches!(status, 206 | 304) {
            table.fault_of("status", Fault::new("is of an answer to a condition", "never ours"));
        }
        table.read("body", |node| text(node).map(|text| Some(text.to_owned())), &mut body);
        table.read("file", |node| parsed(path)(node).map(Some), &mut file);
        if table.has("body") && table.has("file") {
            table.fault_of("file", Fault::new("stands beside `body`", "only one can be sent"));
        }
        let fields = lines("headers", table, refuse);
        let content = file
            .map_or_else(|| RespondContent::Text(body.unwrap_or_default()), RespondContent::File);
        Some(Self { status: StatusCode::from_u16(status).ok()?, content, fields })
    }
}

fn path(text: &str) -> Result<PathBuf, Fault> {
    if text.starts_with('/') {
        return Ok(PathBuf::from(text));
    }
    Err(Fault::new("must be the path of a file", "it begins with no slash"))
}

fn refuse(name: &HeaderName, edit: Edit) -> Option<&'static str> {
    match name.as_str() {
        "content-type" | "cache-control" | "expires" | "etag" | "last-modified" | "set-cookie"
        | "vary" | "content-encoding" => None,
        _ => super::field_edits::refuse_in_response(name, edit),
    }
}
