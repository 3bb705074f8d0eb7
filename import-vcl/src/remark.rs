//! `Remark`: what became of a statement.

use std::fmt;

/// What became of one statement, setting or entry of the VCL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// From 1.
    pub line: usize,
    /// The first line of it as it was written.
    pub text: String,
    /// What became of it.
    pub fate: StatementFate,
}

/// What became of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementFate {
    /// The configuration does the same.
    Translated,
    /// The configuration does nearly the same.
    Differs(String),
    /// It needs no configuration.
    BuiltIn(String),
    /// Nothing in the configuration does it.
    NotTranslated(String),
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, text, fate } = self;
        match fate {
            StatementFate::Translated => write!(f, "line {line}: {text}"),
            StatementFate::Differs(how)
            | StatementFate::BuiltIn(how)
            | StatementFate::NotTranslated(how) => {
                write!(f, "line {line}: {text}  ({how})")
            }
        }
    }
}
