//! `ResponseMatch`: the responses that a rule is for.

use http::{HeaderName, StatusCode};

use super::expected::{Expected, expected_or_beginning};
use crate::table::Table;
use crate::tree::{Node, Value};
use crate::value::{Fault, StatusRange, parsed, status_range, text};

/// Conditions on the head of an origin's response, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseMatch {
    /// `status`: codes, ranges `"200-299"`, classes `"5xx"`.
    pub statuses: Vec<StatusRange>,
    /// `content_type`: media types without parameters, in small letters; `text/*` is all of a kind.
    pub content_types: Vec<String>,
    /// `response_header`: fields by their names, values also by how they begin. Of several lines,
    /// each counts.
    pub fields: Vec<(HeaderName, Vec<Expected>)>,
}

impl ResponseMatch {
    /// Returns whether it asks nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether a response is meant.
    pub fn matches(&self, status: StatusCode, fields: &http::HeaderMap) -> bool {
        let has_status = self.statuses.is_empty()
            || self.statuses.iter().any(|range| range.contains(status.as_u16()));
        has_status && self.has_content_type(fields) && self.has_fields(fields)
    }

    fn has_content_type(&self, fields: &http::HeaderMap) -> bool {
        if self.content_types.is_empty() {
            return true;
        }
        let Some(value) = fields.get(http::header::CONTENT_TYPE) else { return false };
        let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        let essence = essence.trim_ascii().to_ascii_lowercase();
        self.content_types.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some(kind) => essence.starts_with(kind.as_bytes()),
            None => essence == wanted.as_bytes(),
        })
    }

    fn has_fields(&self, fields: &http::HeaderMap) -> bool {
        self.fields.iter().all(|(name, expected)| {
            let is_there = fields.contains_key(name);
            expected.iter().any(|expected| {
                let mut lines = fields.get_all(name).iter();
                if is_there {
                    lines.any(|line| expected.accepts(Some(line.as_bytes().trim_ascii())))
                } else {
                    expected.accepts(None)
                }
            })
        })
    }

    pub(super) fn read(&mut self, table: &mut Table<'_>) {
        table.read_one_or_more("status", status, &mut self.statuses);
        table.read_one_or_more("content_type", parsed(content_type), &mut self.content_types);
        let mut fields = Vec::new();
        table.read_map("response_header", expected_or_beginning, &mut fields);
        for (name, expected) in fields {
            match name.parse() {
                Ok(name) => self.fields.push((name, expected)),
                Err(_malformed) => {
                    let wants = format!("must have field names as keys, and `{name}` is none");
                    table.fault_of("response_header", Fault::new(wants, "not a name"));
                }
            }
        }
    }
}

/// Reads `404`, `"404"`, `"200-299"` or `"5xx"`.
fn status(node: &Node) -> Result<StatusRange, Fault> {
    if let Value::Number(number) = &node.value {
        return status_range(number);
    }
    let text = text(node)?;
    let class = text.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok());
    match class.filter(|class| (1..=5).contains(class)) {
        Some(class) => Ok(StatusRange::new(class * 100..=class * 100 + 99)),
        None => status_range(text),
    }
}

fn content_type(text: &str) -> Result<String, Fault> {
    let fault = |label| Fault::new(format!("must be a media type, and `{text}` is none"), label);
    if text.contains(';') {
        return Err(fault("it has parameters").help("they do not matter: \"text/html\""));
    }
    match text.split_once('/') {
        Some((kind, rest))
            if !kind.is_empty() && !rest.is_empty() && !text.contains(char::is_whitespace) =>
        {
            Ok(text.to_ascii_lowercase())
        }
        _ => Err(fault("not a media type").help("\"text/html\" or \"image/*\"")),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn a_media_type_is_compared_without_its_parameters() {
        let conditions = ResponseMatch {
            content_types: vec!["text/html".to_owned(), "image/*".to_owned()],
            ..ResponseMatch::default()
        };
        for (value, expected) in [
            ("text/html", true),
            ("Text/HTML; charset=utf-8", true),
            ("image/avif", true),
            ("text/htmlx", false),
            ("application/json; text/html", false),
        ] {
            let fields = HeaderMap::from_iter([(
                http::header::CONTENT_TYPE,
                HeaderValue::from_static(value),
            )]);
            assert_eq!(conditions.matches(StatusCode::OK, &fields), expected, "{value}");
        }
        assert!(!conditions.matches(StatusCode::OK, &HeaderMap::new()));
    }

    #[test]
    fn a_field_may_be_asked_to_be_there_or_absent_or_to_have_a_value() {
        let name = HeaderName::from_static("x-kind");
        let asks = |expected| ResponseMatch {
            fields: vec![(name.clone(), vec![expected])],
            ..ResponseMatch::default()
        };
        let mut fields = HeaderMap::new();
        let matches = |expected, fields: &HeaderMap| asks(expected).matches(StatusCode::OK, fields);
        assert!(matches(Expected::Absent, &fields) && !matches(Expected::Present, &fields));
        fields.append(&name, HeaderValue::from_static("a"));
        fields.append(&name, HeaderValue::from_static("b"));
        assert!(matches(Expected::Value("b".to_owned()), &fields));
        fields.append(&name, HeaderValue::from_static("cde"));
        let begins = |text: &str| Expected::Beginning(text.to_owned());
        assert!(matches(begins("cd"), &fields) && !matches(begins("de"), &fields));
        assert!(matches(Expected::Present, &fields) && !matches(Expected::Absent, &fields));
    }
}
