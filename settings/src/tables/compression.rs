//! `[compression]`: the content coding that responses get which the origin sends without one.

use crate::table::Table;
use crate::value::{Fault, choice, is_token, parsed, size, whole};

/// Compression of responses that the origin sends without a content coding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressionSettings {
    /// Whether responses are compressed.
    pub mode: CompressionMode,
    /// Content codings, the preferred one first: of those that a client accepts with the highest
    /// weight, the first is used. Each that is in use is one more stored form of a response.
    pub encodings: Vec<Coding>,
    /// Media types that are compressed; `@text` is written out.
    pub types: Vec<TypePattern>,
    /// Content that is known to be smaller is not compressed, 0 to 1GiB.
    pub min_bytes: u64,
    /// Content that is known to be larger is not compressed, 1KiB and more.
    pub max_bytes: u64,
    /// The level of each content coding.
    pub levels: CompressionLevels,
    /// Responses that are compressed at once, 1 to 65536; past it they are sent as they are. Each
    /// takes up to 3 MiB of memory (br), 0.3 MiB (gzip) or 4 MiB (zstd) while it is compressed.
    pub max_running: usize,
}

/// Whether responses are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionMode {
    /// Requests and responses are passed as they are.
    Off,
    /// What the origin sends without a content coding is compressed.
    On,
}

/// A content coding (RFC 9110 §8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Brotli (RFC 7932).
    Br,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// The level of each content coding: more is smaller, and slower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionLevels {
    /// 0 to 11.
    pub br: u32,
    /// 1 to 9.
    pub gzip: u32,
    /// 1 to 19.
    pub zstd: u32,
}

/// Media types: one, all of a type (`text/*`), or all with a suffix (`*+json`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypePattern {
    /// This one, in lower case.
    Exact(String),
    /// All that begin so: `text/`.
    Prefix(String),
    /// All that end so: `+json`.
    Suffix(String),
}

impl TypePattern {
    /// Returns the pattern that is written like this.
    fn new(text: &str) -> Self {
        match (text.strip_suffix('*'), text.strip_prefix('*')) {
            (Some(prefix), _) => Self::Prefix(prefix.to_owned()),
            (None, Some(suffix)) => Self::Suffix(suffix.to_owned()),
            (None, None) => Self::Exact(text.to_owned()),
        }
    }

    /// Returns whether a media type, in lower case and without parameters, is meant.
    pub fn matches(&self, essence: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => essence == exact.as_bytes(),
            Self::Prefix(prefix) => essence.starts_with(prefix.as_bytes()),
            Self::Suffix(suffix) => essence.ends_with(suffix.as_bytes()),
        }
    }
}

impl Default for CompressionLevels {
    fn default() -> Self {
        Self { br: 5, gzip: 6, zstd: 3 }
    }
}

impl Default for CompressionSettings {
    fn default() -> Self {
        Self {
            mode: CompressionMode::Off,
            encodings: vec![Coding::Br, Coding::Gzip],
            types: text(),
            min_bytes: 1 << 10,
            max_bytes: 64 << 20,
            levels: CompressionLevels::default(),
            max_running: 64,
        }
    }
}

impl CompressionSettings {
    /// Reads `[compression]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        table.read("mode", choice(&MODES), &mut self.mode);
        table.read_each("encodings", choice(&CODINGS), &mut self.encodings);
        self.check_encodings(table);
        let mut types = vec![self.types.clone()];
        table.read_each("types", parsed(patterns), &mut types);
        self.types = types.into_iter().flatten().collect();
        table.read("min_bytes", size(0..=1 << 30), &mut self.min_bytes);
        table.read("max_bytes", size(1 << 10..=u64::MAX), &mut self.max_bytes);
        table.table("levels", |table| {
            table.read("br", whole(0..=11), &mut self.levels.br);
            table.read("gzip", whole(1..=9), &mut self.levels.gzip);
            table.read("zstd", whole(1..=19), &mut self.levels.zstd);
        });
        table.read("max_running", whole(1..=65_536), &mut self.max_running);
    }

    fn check_encodings(&self, table: &mut Table<'_>) {
        if self.encodings.is_empty() {
            let fault = Fault::new("must name a content coding", "none");
            table.fault_of("encodings", fault.help("mode = \"off\" compresses nothing"));
        }
        let is_repeated = |(index, coding): (usize, &Coding)| {
            self.encodings.iter().take(index).any(|earlier| earlier == coding)
        };
        if self.encodings.iter().enumerate().any(is_repeated) {
            let fault = Fault::new("must name each content coding once", "repeated");
            table.fault_of("encodings", fault);
        }
    }
}

/// Reads one item of `types`: a built-in list, or media types.
fn patterns(text_of_item: &str) -> Result<Vec<TypePattern>, Fault> {
    if text_of_item == "@text" {
        return Ok(text());
    }
    let fault = |found: &str| {
        let wants = format!("must be a media type, and `{text_of_item}` is none");
        Err(Fault::new(wants, found).help("\"text/html\", \"text/*\", \"*+json\" or \"@text\""))
    };
    if text_of_item.starts_with('@') {
        return fault("there is no such list");
    }
    let lower = text_of_item.to_ascii_lowercase();
    if let Some(suffix) = lower.strip_prefix("*+") {
        return if is_name(suffix) {
            Ok(vec![TypePattern::new(&lower)])
        } else {
            fault("no suffix")
        };
    }
    match lower.split_once('/') {
        Some((kind, "*")) if is_name(kind) => Ok(vec![TypePattern::new(&lower)]),
        Some((kind, name)) if is_name(kind) && is_name(name) => Ok(vec![TypePattern::new(&lower)]),
        _ => fault("not a type and a subtype"),
    }
}

fn is_name(text: &str) -> bool {
    is_token(text) && !text.contains('*')
}

const MODES: [(&str, CompressionMode); 2] =
    [("off", CompressionMode::Off), ("on", CompressionMode::On)];

const CODINGS: [(&str, Coding); 3] =
    [("br", Coding::Br), ("gzip", Coding::Gzip), ("zstd", Coding::Zstd)];

/// Returns what `@text` stands for.
fn text() -> Vec<TypePattern> {
    TEXT.iter().map(|name| TypePattern::new(name)).collect()
}

/// Types whose content is text, or compresses as text does. Images, video, archives and WOFF fonts
/// are compressed already.
const TEXT: [&str; 15] = [
    "text/*",
    "application/javascript",
    "application/json",
    "application/manifest+json",
    "application/wasm",
    "application/x-javascript",
    "application/xml",
    "*+json",
    "*+xml",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/vnd.microsoft.icon",
    "image/x-icon",
];
