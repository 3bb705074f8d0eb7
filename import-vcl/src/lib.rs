//! Reads the VCL of Varnish, and writes Shellac's configuration for what it can say. Everything
//! else is reported, statement by statement.
//!
//! ```text
//! text ─► tokens ─► VclFile ─► backends, networks, requests, responses ─► ConfigDraft ─► text, checked
//!                     └──────────────────────┴────────────────────────────┴──► remarks
//! ```

#![warn(missing_docs)]

mod token;
mod syntax;
mod parser;
mod texts;
mod toml;
mod statuses;
mod conditions;
mod guard;
mod remark;
mod draft;
mod backends;
mod networks;
mod query;
mod cookies;
mod purges;
mod answers;
mod receive;
mod protected;
mod fetched;
mod render;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::draft::ConfigDraft;
pub use crate::remark::{Remark, StatementFate};
use crate::syntax::{VclAction, VclStatement};

/// A configuration, and what became of each statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// `config.toml`. It passes `shellac check`.
    pub config: String,
    /// In the order of the VCL's lines.
    pub remarks: Vec<Remark>,
}

/// Why there is no configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportError {
    /// More than [`VCL_BYTES_MAX`].
    TooLarge,
    /// A mistake of this program: what it wrote is no configuration.
    Unsound(String),
}

/// Bytes of a file that are read; longer ones are refused.
pub const VCL_BYTES_MAX: usize = 1 << 20;

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "it has more than {VCL_BYTES_MAX} bytes"),
            Self::Unsound(errors) => {
                write!(f, "what would be written is no configuration: {errors}")
            }
        }
    }
}

impl std::error::Error for ImportError {}

/// Translates a file. `name` is for the head of the configuration.
pub fn import(name: &str, text: &str) -> Result<Imported, ImportError> {
    if text.len() > VCL_BYTES_MAX {
        return Err(ImportError::TooLarge);
    }
    let file = parser::parse(text);
    let mut draft = ConfigDraft::default();
    for (line, text) in &file.unread {
        draft.not_translated(*line, text, "not read: no VCL, or too deep");
    }
    for (line, text) in &file.other {
        if text.starts_with("import") {
            draft.built_in(*line, text, "what its functions do is reported where they are called");
        } else {
            draft.not_translated(*line, text, "not read: import that file, too");
        }
    }
    for subroutine in file.subroutines.iter().filter(|it| !it.name.starts_with("vcl_")) {
        let mut leaves = file.subroutines.iter().flat_map(|it| &it.body).flat_map(|it| it.leaves());
        let calls = |leaf: &VclStatement| matches!(&leaf.action, VclAction::Call(name) if *name == subroutine.name);
        if !leaves.any(calls) {
            let text = format!("sub {}", subroutine.name);
            draft.not_translated(subroutine.line, &text, "nothing in this file calls it");
        }
    }
    networks::read(&file, &mut draft);
    backends::origins(&file, &mut draft);
    receive::read(&file, &mut draft);
    fetched::read(&file, &mut draft);
    let config = render::render(name, &mut draft)
        .map_err(|errors| ImportError::Unsound(errors.rendered()))?;
    Ok(Imported { config, remarks: draft.remarks })
}
