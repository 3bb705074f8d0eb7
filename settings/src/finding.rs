//! `Finding`: a problem of what a setting names, found by somebody who can look there.

use crate::report::ProblemBuilder;
use crate::tree::Node;

/// A problem of a file that a setting names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The setting: keys and list indices, such as `listen`, `0`, `tls`, `certificate`. The first
    /// of these that is written is shown as the place.
    pub settings: Vec<Vec<String>>,
    /// It can be lived with.
    pub is_warning: bool,
    /// The problem as a sentence without a full stop.
    pub message: String,
    /// A few words for the place.
    pub label: String,
    /// Advice.
    pub help: Option<String>,
}

impl Finding {
    /// Returns the problem, at the place of the setting.
    pub(crate) fn draft(self, root: &Node) -> ProblemBuilder {
        let draft = if self.is_warning {
            ProblemBuilder::warning(self.message, self.label)
        } else {
            ProblemBuilder::error(self.message, self.label)
        };
        let draft = match self.help {
            Some(help) => draft.help(help),
            None => draft,
        };
        let written = self.settings.iter().find_map(|path| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            root.at(&path)
        });
        match written {
            Some(node) => draft.at(&node.place),
            None => draft,
        }
    }
}
