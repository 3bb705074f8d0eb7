//! `${NAME}`, `${NAME:-default}` and `${file:PATH}` in text.
//!
//! A missing value is an error, never empty text: a missing token would leave an interface open.

use std::fs::File;
use std::io::{self, Read as _};

use super::{Node, Value};
use crate::report::{ProblemBuilder, Report};

/// Replaces the references in all text of this tree.
pub(crate) fn resolve(node: &mut Node, environment: &[(String, String)], report: &mut Report) {
    match &mut node.value {
        Value::Text(text) | Value::Bare(text) => match expand(text, environment) {
            Ok(expanded) => *text = expanded,
            Err(draft) => {
                report.add(draft.at(&node.place));
                node.value = Value::Broken;
            }
        },
        Value::List(nodes) => {
            for node in nodes {
                resolve(node, environment, report);
            }
        }
        Value::Table(entries) => {
            for entry in entries {
                resolve(&mut entry.node, environment, report);
            }
        }
        Value::Number(_) | Value::Boolean(_) | Value::Date | Value::Broken => {}
    }
}

fn expand(text: &str, environment: &[(String, String)]) -> Result<String, ProblemBuilder> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (reference, after) = after.split_once('}').ok_or_else(unclosed)?;
        expanded.push_str(before);
        expanded.push_str(&referent(reference, environment)?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Returns the value of one reference, given without its braces.
fn referent(reference: &str, environment: &[(String, String)]) -> Result<String, ProblemBuilder> {
    if let Some(path) = reference.strip_prefix("file:") {
        return read(path).map_err(|error| unreadable(path, &error));
    }
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let value =
        environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let value = value.filter(|value| !value.is_empty());
    value.or(default).map(str::to_owned).ok_or_else(|| unset(name))
}

/// Reads a small file, without the line end it closes with.
fn read(path: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is empty"));
    }
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 64KiB"));
    }
    Ok(text.to_owned())
}

fn unclosed() -> ProblemBuilder {
    ProblemBuilder::error("`${` is never closed", "`}` is missing")
        .help("${NAME}, ${NAME:-default} or ${file:PATH}")
}

fn unreadable(path: &str, error: &io::Error) -> ProblemBuilder {
    ProblemBuilder::error(format!("cannot read the file `{path}`: {error}"), "needed here")
}

fn unset(name: &str) -> ProblemBuilder {
    ProblemBuilder::error(
        format!("the environment variable `{name}` is not set, or empty"),
        "needed here",
    )
    .help(format!("set it, or write a default: ${{{name}:-...}}"))
}

/// Tokens are short; this keeps `${file:/dev/zero}` from taking all memory.
const FILE_BYTES_MAX: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::expand;

    fn expanded(text: &str) -> Option<String> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        expand(text, &[pair("PORT", "3000"), pair("EMPTY", "")]).ok()
    }

    #[test]
    fn a_reference_becomes_its_value() {
        for (text, expected) in [
            ("plain $ {text}", Some("plain $ {text}")),
            ("127.0.0.1:${PORT}", Some("127.0.0.1:3000")),
            ("${PORT}${PORT}", Some("30003000")),
            ("${PORT:-80}", Some("3000")),
            ("${UNSET:-80}", Some("80")),
            ("${UNSET:-}", Some("")),
            ("${EMPTY:-80}", Some("80")),
            ("${EMPTY}", None),
            ("${UNSET}", None),
            ("${PORT", None),
            ("${file:/nowhere/at/all}", None),
        ] {
            assert_eq!(expanded(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_file_loses_its_last_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "hunter2\r\n").unwrap();
        assert_eq!(expanded(&format!("${{file:{}}}", file.path().display())).unwrap(), "hunter2");
    }

    #[test]
    fn an_empty_or_endless_file_is_an_error() {
        assert_eq!(expanded("${file:/dev/null}"), None);
        assert_eq!(expanded("${file:/dev/zero}"), None);
    }
}
