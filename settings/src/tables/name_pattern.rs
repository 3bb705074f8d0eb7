//! `NamePattern`: names of cookies or parameters, one or all that begin alike.

use std::fmt;

use super::built_in_names::{BUILT_IN, built_in};
use crate::value::Fault;

/// A name, or the beginning of one: `_ga`, `_ga_*`. Names are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    name: String,
    is_prefix: bool,
    is_built_in: bool,
}

impl NamePattern {
    /// Returns the pattern that is written like this: `*` at the end stands for anything.
    pub fn new(text: &str) -> Self {
        let prefix = text.strip_suffix('*');
        let name = prefix.unwrap_or(text).to_owned();
        Self { name, is_prefix: prefix.is_some(), is_built_in: false }
    }

    /// Returns the patterns of a built-in list, such as `@session`.
    pub fn built_in(list: &str) -> Option<Vec<Self>> {
        let of = |text: &&str| Self { is_built_in: true, ..Self::new(text) };
        Some(built_in(list)?.iter().map(of).collect())
    }

    /// The name, or the beginning of the names.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether every name is meant that begins so.
    pub const fn is_prefix(&self) -> bool {
        self.is_prefix
    }

    /// Returns whether it is from a built-in list.
    pub const fn is_built_in(&self) -> bool {
        self.is_built_in
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, if self.is_prefix { "*" } else { "" })
    }
}

/// Reads one item of a list: a built-in list, or a name that may end in `*`. `lists` are those that
/// make sense, `noun` is what has the names.
pub(super) fn name_patterns(
    text: &str,
    (noun, lists): (&str, &[&str]),
    is_name: impl Fn(&str) -> bool,
) -> Result<Vec<NamePattern>, Fault> {
    if text.starts_with('@') {
        let found = lists.contains(&text).then(|| NamePattern::built_in(text)).flatten();
        return found.ok_or_else(|| {
            let wants = format!("must be the name of a {noun} or a built-in list");
            let label = if BUILT_IN.iter().any(|(name, _)| *name == text) {
                format!("`{text}` is a list of something else")
            } else {
                format!("there is no list `{text}`")
            };
            Fault::new(wants, label).help(format!("the built-in lists are {}", lists.join(", ")))
        });
    }
    let name = text.strip_suffix('*').unwrap_or(text);
    if text == "*" || is_name(name) && !name.contains('*') {
        return Ok(vec![NamePattern::new(text)]);
    }
    let fault =
        Fault::new(format!("must be the name of a {noun}, and `{text}` is none"), "no name");
    Err(if name.contains('*') { fault.help("`*` may stand at the end only") } else { fault })
}
