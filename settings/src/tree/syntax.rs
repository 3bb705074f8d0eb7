//! Reads TOML text into the tree, reports every syntax error, and reads the rest around them.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, Error};

use super::{KeyValue, Location, Node, Value};
use crate::report::{ProblemBuilder, Report, line_of};

/// Reads a whole file.
pub(crate) fn document(text: &str, source: usize, report: &mut Report) -> Vec<KeyValue> {
    let (table, errors) = DeTable::parse_recoverable(text);
    report_errors(text, source, &errors, report);
    entries(table.get_ref(), source, 0)
}

/// Reads a list that starts at this offset of its source; `None`: it is no list.
pub(crate) fn list(text: &str, source: usize, offset: usize) -> Option<Vec<Node>> {
    let value = DeValue::parse(text).ok()?;
    let items = value.get_ref().as_array()?;
    Some(items.iter().map(|item| node(item, source, offset)).collect())
}

/// Reads text in quotes; `None`: it is none.
pub(crate) fn quoted(text: &str) -> Option<String> {
    Some(DeValue::parse(text).ok()?.get_ref().as_str()?.to_owned())
}

fn node(value: &Spanned<DeValue<'_>>, source: usize, offset: usize) -> Node {
    let span = value.span();
    let place = Location::new(source, span.start + offset..span.end + offset);
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(number) => Value::Number(decimal(number.as_str(), number.radix())),
        DeValue::Float(number) => Value::Number(number.as_str().to_owned()),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| node(item, source, offset)).collect())
        }
        DeValue::Table(table) => Value::Table(entries(table, source, offset)),
    };
    Node { place, value }
}

/// Returns a table's entries in the order of the file.
fn entries(table: &DeTable<'_>, source: usize, offset: usize) -> Vec<KeyValue> {
    let mut entries: Vec<KeyValue> =
        table.iter().map(|(key, value)| entry(key, value, source, offset)).collect();
    entries.sort_by(|one, other| one.place.cmp(&other.place));
    entries
}

fn entry(
    key: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    source: usize,
    offset: usize,
) -> KeyValue {
    let span = key.span();
    KeyValue {
        key: key.get_ref().clone().into_owned(),
        place: Location::new(source, span.start + offset..span.end + offset),
        node: node(value, source, offset),
    }
}

/// Returns an integer in decimal notation; one that is too large for it stays as it is.
fn decimal(digits: &str, radix: u32) -> String {
    i64::from_str_radix(digits, radix)
        .map_or_else(|_| digits.to_owned(), |number| number.to_string())
}

/// Reports the first error of each line, and of a list that was never closed only its first.
fn report_errors(text: &str, source: usize, errors: &[Error], report: &mut Report) {
    let mut errors: Vec<&Error> = errors.iter().collect();
    errors.sort_by_key(|error| start(error));
    let mut last_line = None;
    for error in errors {
        let line = line_of(text, start(error));
        let repeats = last_line == Some(line);
        let cascades = last_line.is_some_and(|last| last + 1 == line) && is_missing_comma(error);
        if !repeats && !cascades {
            let draft = explain(source, error, report);
            report.add_syntax_error(draft);
        }
        report.add_broken_line(source, line);
        last_line = Some(line);
    }
}

/// Rewords an error for the writer of the file.
fn explain(source: usize, error: &Error, report: &Report) -> ProblemBuilder {
    let span = error.span().unwrap_or_default();
    let place = Location::new(source, span);
    let written = report.shown(&place);
    let draft = |message: &str, label: &str| ProblemBuilder::error(message, label).at(&place);
    if is_missing_comma(error) {
        return draft("`,` or `]` is missing in a list", "before this")
            .help("is the list above closed with `]`?");
    }
    match error.message() {
        UNQUOTED if written.is_empty() => draft("a value is missing", "here"),
        UNQUOTED => {
            draft("text must be in quotes", "here").help(format!("did you mean \"{written}\"?"))
        }
        "duplicate key" => draft("this key is set twice", "the second time"),
        message => draft(message, "here"),
    }
}

fn start(error: &Error) -> usize {
    error.span().unwrap_or_default().start
}

fn is_missing_comma(error: &Error) -> bool {
    error.message().starts_with("missing comma")
}

/// `toml`'s message.
const UNQUOTED: &str = "string values must be quoted, expected literal string";
