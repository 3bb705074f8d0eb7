//! `Expected`: the value that a rule wants of a parameter, a field or a cookie.

use crate::tree::Node;
use crate::value::{Fault, text};

/// One of the values that a rule accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This value, byte by byte.
    Value(String),
    /// `"*"`: any value, the empty one too.
    Present,
    /// `""`: it is not there.
    Absent,
    /// Any value that begins so: `"a*"`, of fields of responses only.
    Beginning(String),
}

impl Expected {
    /// Returns whether a value, or its absence, is what is wanted.
    pub fn accepts(&self, value: Option<&[u8]>) -> bool {
        match self {
            Self::Value(wanted) => value == Some(wanted.as_bytes()),
            Self::Present => value.is_some(),
            Self::Absent => value.is_none(),
            Self::Beginning(wanted) => value.is_some_and(|it| it.starts_with(wanted.as_bytes())),
        }
    }

    fn of(text: &str) -> Self {
        match text {
            "*" => Self::Present,
            "" => Self::Absent,
            text => Self::Value(text.to_owned()),
        }
    }
}

/// Reads one value, or a list of alternatives, of which those with a star at the end stand for all
/// that begin so.
pub(super) fn expected_or_beginning(node: &Node) -> Result<Vec<Expected>, Fault> {
    let widened = |one: Expected| match one {
        Expected::Value(text) => match text.strip_suffix('*') {
            Some(beginning) => Expected::Beginning(beginning.to_owned()),
            None => Expected::Value(text),
        },
        other => other,
    };
    Ok(expected(node)?.into_iter().map(widened).collect())
}

/// Reads one value, or a list of alternatives.
pub(super) fn expected(node: &Node) -> Result<Vec<Expected>, Fault> {
    let wants = "must be text or a list of texts";
    let one = |node: &Node| match text(node) {
        Ok(text) => Ok(Expected::of(text)),
        Err(_other) => Err(Fault::new(wants, format!("this is {}", node.noun()))
            .help("\"*\" where it is there, \"\" where it is not")),
    };
    match node.items() {
        Some([]) => Err(Fault::new(wants, "an empty list")),
        Some(items) => items.iter().map(one).collect(),
        None => one(node).map(|expected| vec![expected]),
    }
}
