//! `PathRegex`: paths by a regular expression, in linear time.

use std::fmt;

use regex_automata::meta::{Config, Regex};

use super::Captures;
use crate::value::Fault;

/// A regular expression that is looked for in a path without its query. `^` and `$` tie it to the
/// ends.
///
/// Takes time in proportion to the path, whatever the expression. A copy has caches of its own.
#[derive(Clone)]
pub struct PathRegex {
    text: String,
    compiled: Regex,
}

impl PathRegex {
    /// Returns whether the expression is found in a path without its query.
    pub fn matches(&self, path: &str) -> bool {
        self.compiled.is_match(path)
    }

    /// Returns the groups of the first place where it is found.
    pub fn captures<'p>(&self, path: &'p str) -> Option<Captures<'p>> {
        let mut found = self.compiled.create_captures();
        self.compiled.captures(path, &mut found);
        if !found.is_match() {
            return None;
        }
        let mut captures = Captures::whole(path);
        for group in found.iter().skip(1) {
            captures.push(group.and_then(|span| path.get(span.range())).unwrap_or_default());
        }
        Some(captures)
    }

    /// Returns the number of its groups.
    pub fn groups(&self) -> usize {
        self.compiled.captures_len().saturating_sub(1)
    }

    /// Returns the expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for PathRegex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PathRegex {}

impl fmt::Debug for PathRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PathRegex").field(&self.text).finish()
    }
}

impl fmt::Display for PathRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads an expression.
pub(crate) fn path_regex(text: &str) -> Result<PathRegex, Fault> {
    let fault = |label: String| {
        Fault::new(format!("must be a regular expression, and `{text}` is none"), label)
    };
    if text.len() > TEXT_BYTES_MAX {
        return Err(fault(format!("longer than {TEXT_BYTES_MAX} bytes")));
    }
    let config = Config::new().nfa_size_limit(Some(PROGRAM_BYTES_MAX)).utf8_empty(true);
    match Regex::builder().configure(config).build(text) {
        Ok(compiled) => Ok(PathRegex { text: text.to_owned(), compiled }),
        Err(error) if error.size_limit().is_some() => {
            Err(fault("too large when it is compiled".to_owned())
                .help("fewer or smaller repetitions, or globs in `path`"))
        }
        Err(error) => {
            let words = error.syntax_error().map_or_else(|| error.to_string(), last_line);
            Err(fault(words)
                .help("no backreferences, no look-around; `\\\\` in TOML's \"...\" is one `\\`"))
        }
    }
}

/// The reason stands in the last line of a syntax error.
fn last_line(error: &impl fmt::Display) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

const TEXT_BYTES_MAX: usize = 4096;
const PROGRAM_BYTES_MAX: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_found_anywhere_unless_it_is_tied_to_an_end() {
        let regex = path_regex(r"^/p/(\d+)(/edit)?$").unwrap();
        assert!(regex.matches("/p/42") && !regex.matches("/p/42/x") && !regex.matches("/a/p/42"));
        assert!(path_regex("42").unwrap().matches("/p/42/x"));
        let captures = regex.captures("/p/42").unwrap();
        assert_eq!((captures.get(0), captures.get(1), captures.get(2)), ("/p/42", "42", ""));
        assert_eq!((regex.groups(), captures.len()), (2, 2));
        assert_eq!(regex.captures("/"), None);
    }

    #[test]
    fn an_expression_that_cannot_be_bounded_is_refused() {
        for text in ["(", r"(a)\1", "(?=a)", "(a{1000}){1000}", &"a".repeat(5000)] {
            assert!(path_regex(text).is_err(), "{text:.20}");
        }
    }
}
