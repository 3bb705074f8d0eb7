//! `Unreadable`: the reason why a record became no purge, in words that its producer can act on.

use std::fmt;

use super::PurgeEvent;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub code: Code,
    /// The path of the field, its value (shortened), and what to write instead.
    pub detail: String,
    /// The soft purge of the key's site, where something has changed, or no event would have been
    /// sent.
    pub guess: Option<Box<PurgeEvent>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    TooLarge,
    /// The value, or a header, is not UTF-8.
    Utf8,
    /// The value is not JSON, is nested too deeply, or has a key twice.
    Json,
    /// The value is JSON of no known shape.
    Shape,
    /// The content type is not supported.
    Format,
    /// The event's type or specification has another major version.
    Version,
    Field,
    Type,
    Scope,
    Empty,
    Tag,
    Url,
    Site,
    Limit,
    /// Its source may not do this.
    Forbidden,
    Template,
}

impl Code {
    pub const ALL: [Self; 16] = [
        Self::TooLarge,
        Self::Utf8,
        Self::Json,
        Self::Shape,
        Self::Format,
        Self::Version,
        Self::Field,
        Self::Type,
        Self::Scope,
        Self::Empty,
        Self::Tag,
        Self::Url,
        Self::Site,
        Self::Limit,
        Self::Forbidden,
        Self::Template,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Utf8 => "utf8",
            Self::Json => "json",
            Self::Shape => "shape",
            Self::Format => "format",
            Self::Version => "version",
            Self::Field => "field",
            Self::Type => "type",
            Self::Scope => "scope",
            Self::Empty => "empty",
            Self::Tag => "tag",
            Self::Url => "url",
            Self::Site => "site",
            Self::Limit => "limit",
            Self::Forbidden => "forbidden",
            Self::Template => "template",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A fault that was found while an event was read.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) code: Code,
    pub(super) detail: String,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// Says in which object it is.
    pub(super) fn within(self, at: &str) -> Self {
        Self { code: self.code, detail: format!("{at}.{}", self.detail) }
    }
}

pub(super) const SHOWN: usize = 60;

/// Returns the value in quotes, control characters escaped, cut to what a log line bears.
pub(super) fn shown(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        None => format!("{value:?}"),
        Some((end, _)) => format!("{:?}…", value.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }

    #[test]
    fn a_value_is_shown_short_and_on_one_line() {
        assert_eq!(shown("a\r\nb"), r#""a\r\nb""#);
        assert_eq!(shown(&"é".repeat(61)), format!("\"{}\"…", "é".repeat(60)));
    }
}
