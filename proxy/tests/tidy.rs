//! The style that a machine can check: file heads, sizes, and the direction in which modules use each other.

use std::fs;
use std::path::Path;

#[cfg(test)]
use self::sources::{production_code, rust_files};

/// Which modules a module of `src/` may not use: arrows point right or down in the drawing of `lib.rs`, never back.
const FORBIDDEN: [(&str, &[&str]); 9] = [
    ("framing", &["tokio", "hyper::", "crate::listener", "crate::origins", "settings::"]),
    (
        "freshness",
        &[
            "tokio",
            "hyper::",
            "crate::store",
            "process::clock",
            "settings::",
            "crate::fetch",
            "crate::cache",
        ],
    ),
    (
        "store",
        &[
            "crate::fetch",
            "crate::cache",
            "crate::origins",
            "crate::listener",
            "crate::admin",
            "settings::",
            "hyper::",
        ],
    ),
    ("key", &["crate::store", "crate::fetch", "crate::cache", "settings::", "hyper::"]),
    (
        "invalidation",
        &[
            "crate::store",
            "crate::fetch",
            "crate::cache",
            "crate::origins",
            "crate::purge",
            "settings::",
        ],
    ),
    (
        "origins",
        &[
            "crate::store",
            "crate::cache",
            "crate::fetch",
            "crate::invalidation",
            "crate::freshness",
        ],
    ),
    ("fetch", &["crate::cache", "crate::admin", "crate::purge"]),
    ("purge", &["crate::cache", "crate::fetch", "crate::admin", "crate::origins"]),
    ("", &["crate::admin"]),
];

/// The only modules that may know the admin listener.
const USERS_OF_ADMIN: [&str; 2] = ["admin", "app.rs"];

const LINES_MAX: usize = 600;

#[test]
fn every_file_says_what_it_is_and_is_short_enough_to_read() {
    let mut problems = Vec::new();
    for path in rust_files() {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("//!") {
            problems.push(format!("{}: does not begin with `//!`", path.display()));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            problems.push(format!("{}: {lines} lines", path.display()));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn no_module_uses_one_that_is_upstream_of_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut problems = Vec::new();
    for path in rust_files().into_iter().filter(|path| path.starts_with(&source)) {
        let inner = path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
        let code: String = production_code(&fs::read_to_string(&path).unwrap());
        for (module, forbidden) in FORBIDDEN {
            let is_meant = if module.is_empty() {
                !USERS_OF_ADMIN.iter().any(|user| inner.starts_with(user))
            } else {
                inner.starts_with(&format!("{module}/"))
            };
            for word in forbidden.iter().filter(|word| is_meant && code.contains(**word)) {
                problems.push(format!("{inner}: uses {word}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[cfg(test)]
mod sources {
    //! The files that are looked at.

    use std::fs;
    use std::path::{Path, PathBuf};

    /// The text without comments and without the tests at its end.
    pub(super) fn production_code(text: &str) -> String {
        let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        text.get(..end)
            .unwrap()
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    pub(super) fn rust_files() -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut files = Vec::new();
        for part in
            ["settings", "process", "proxy", "purger", "purge-protocol", "benches", "loadtest/src"]
        {
            collect(&root.join(part), &mut files);
        }
        assert!(files.len() > 50, "the sources were not found");
        files
    }

    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
}
