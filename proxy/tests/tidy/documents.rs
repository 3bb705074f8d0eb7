//! The tests that documents name exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::report::Report;
use super::sources;

/// The documents whose claims each name a test.
const DOCUMENTS: [&str; 6] = [
    "docs/compression.md",
    "docs/conformance.md",
    "docs/dashboard.md",
    "docs/migrating.md",
    "docs/reliability.md",
    "docs/security.md",
];

/// Names with this many underscores are those of tests; settings and metrics have fewer.
const UNDERSCORES_MIN: usize = 5;

#[test]
fn a_test_that_a_document_names_exists() {
    let functions: BTreeSet<String> =
        sources::all().iter().flat_map(|source| functions(&source.text)).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut report = Report::new("tests that documents name");
    let mut found = 0;
    for document in DOCUMENTS {
        let text = fs::read_to_string(root.join(document)).unwrap();
        for (number, line) in text.lines().enumerate() {
            for name in tests_in(line) {
                found += 1;
                if !functions.contains(name) {
                    report.add(document, format!("{document}:{}: {name}", number + 1));
                }
            }
        }
    }
    assert!(found > 100, "the names were not found");
    report.assert_empty();
}

#[test]
fn a_row_stands_in_a_document_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut report = Report::new("rows that stand in a document twice");
    for document in DOCUMENTS {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let mut seen = BTreeSet::new();
        for (number, line) in text.lines().enumerate() {
            let first = line.strip_prefix("| ").and_then(|row| row.split(" | ").next());
            if let Some(first) = first.filter(|first| first.len() > ROW_MIN)
                && !seen.insert(first)
            {
                report.add(document, format!("{document}:{}: {first}", number + 1));
            }
        }
    }
    report.assert_empty();
}

fn functions(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter_map(|line| {
        let (_, rest) = line.split_once("fn ")?;
        let name = rest.split(['(', '<']).next()?;
        Some(name.to_owned())
    })
}

fn tests_in(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter_map(|quoted| {
        let name = quoted.rsplit("::").next()?;
        let is_word = name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        (is_word && name.matches('_').count() >= UNDERSCORES_MIN).then_some(name)
    })
}

/// Shorter cells, such as the number of a section, may be repeated.
const ROW_MIN: usize = 40;
