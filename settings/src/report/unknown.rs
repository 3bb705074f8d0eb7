//! Unknown keys, and the settings that were probably meant.

use super::foreign::foreign;
use super::{ProblemBuilder, nearest};
use crate::tree::Location;

/// An unknown key.
#[derive(Debug)]
pub(super) struct UnknownKey {
    /// The path of its table, empty at the top.
    pub(super) table: String,
    pub(super) key: String,
    pub(super) place: Location,
}

/// Settings that exist: their table's path and their key.
type KnownKeys = [(String, &'static str)];

impl UnknownKey {
    /// Adds the name of the setting here, or the list of settings.
    pub(super) fn explain(&self, known: &KnownKeys) -> ProblemBuilder {
        if let Some(new) = self.new_name() {
            let message = format!("`{}` is called `{new}` now", self.path());
            return ProblemBuilder::error(message, "its old name")
                .help(format!("write `{new}` in its place"))
                .at(&self.place);
        }
        if let Some(foreign) = foreign(&self.key) {
            let message = format!("`{}` is {}'s name", self.path(), foreign.whose);
            return ProblemBuilder::error(message, "not a setting")
                .help(foreign.help)
                .at(&self.place);
        }
        let label =
            if self.table.is_empty() { "not a setting" } else { "not a setting of this table" };
        let draft =
            ProblemBuilder::error(format!("unknown key `{}`", self.path()), label).at(&self.place);
        draft.help(self.suggest(known))
    }

    fn new_name(&self) -> Option<&'static str> {
        let table = self.table.rsplit('.').next().unwrap_or_default();
        let is_own = |(of, old, _): &&(&str, &str, _)| *of == table && *old == self.key;
        RENAMED.iter().find(is_own).map(|(_, _, new)| *new)
    }

    fn suggest(&self, known: &KnownKeys) -> String {
        let mut here: Vec<&str> = keys_of(&self.table, known).collect();
        here.sort_unstable();
        if let Some(near) = nearest(&self.key, here.iter().copied()) {
            return format!("did you mean `{near}`?");
        }
        if let Some((table, key)) = elsewhere(&self.key, known) {
            return format!("`{key}` belongs to {}", header(table));
        }
        format!("there is: {}", here.join(", "))
    }

    fn path(&self) -> String {
        if self.table.is_empty() {
            self.key.clone()
        } else {
            format!("{}.{}", self.table, self.key)
        }
    }
}

/// Tables, and the old and new names of keys in them.
const RENAMED: [(&str, &str, &str); 1] = [("cookies", "ignore", "drop")];

/// Writes a table's path as the file would.
fn header(path: &str) -> String {
    match path.split_once('[') {
        Some((list, _index)) => format!("[[{list}]]"),
        None => format!("[{path}]"),
    }
}

fn keys_of<'k>(table: &str, known: &'k KnownKeys) -> impl Iterator<Item = &'k str> {
    known.iter().filter(move |(known, _)| known == table).map(|(_, key)| *key)
}

/// Returns the setting of this very name in another table.
fn elsewhere<'k>(key: &str, known: &'k KnownKeys) -> Option<&'k (String, &'static str)> {
    known.iter().find(|(table, known)| !table.is_empty() && *known == key)
}
