//! The files that are looked at, and the rules for a file as such.

use std::fs;
use std::path::{Path, PathBuf};

use super::report::Report;

/// The crates whose production code is looked at. A folder that does not exist is left out.
pub(super) const CRATES: [&str; 8] =
    ["proxy", "purger", "purge-protocol", "settings", "process", "dashboard", "import-vcl", "demo"];

const OTHER_FOLDERS: [&str; 2] = ["benches", "loadtest/src"];

const LINES_MAX: usize = 600;

/// A Rust file of the workspace.
#[derive(Debug)]
pub(super) struct Source {
    /// Relative to the workspace, with slashes.
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    /// The crate of a file of its `src/`, and the path below that.
    pub(super) fn in_crate(&self) -> Option<(&'static str, &str)> {
        CRATES.into_iter().find_map(|krate| {
            let inner = self.path.strip_prefix(krate)?.strip_prefix("/src/")?;
            Some((krate, inner))
        })
    }

    /// The folder or file at the top of a crate's `src/`, for reports.
    pub(super) fn group(&self) -> String {
        let parts: Vec<&str> = self.path.split('/').collect();
        let depth = if parts.get(1) == Some(&"src") { 3 } else { 2 };
        parts[..depth.min(parts.len())].join("/")
    }
}

pub(super) fn all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for part in CRATES.into_iter().chain(OTHER_FOLDERS) {
        collect(&root.join(part), &mut files);
    }
    assert!(files.len() > 50, "the sources were not found");
    files.sort();
    files
        .into_iter()
        .map(|path| Source {
            text: fs::read_to_string(&path).unwrap(),
            path: path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/"),
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_is_short_enough_to_read() {
    let mut report = Report::new("file heads and sizes");
    for source in all() {
        if !source.text.starts_with("//!") {
            report.add(source.group(), format!("{}: does not begin with `//!`", source.path));
        }
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            report.add(source.group(), format!("{}: {lines} lines", source.path));
        }
    }
    report.assert_empty();
}
