//! Reads one table of the tree: every key that is asked for is known, every other one is a problem.

use std::collections::BTreeMap;

use super::report::{ProblemBuilder, Report};
use super::tree::{KeyValue, Location, Node, Value};
use super::value::Fault;
use super::written;

/// A table while it is read.
#[derive(Debug)]
pub(crate) struct Table<'t> {
    /// Its path in problems; empty at the top.
    path: String,
    /// Its place, unless it is absent.
    place: Option<&'t Location>,
    entries: &'t [KeyValue],
    report: &'t mut Report,
    asked: Vec<&'static str>,
}

/// Reads a whole tree.
pub(crate) fn read_root<T>(
    root: &Node,
    report: &mut Report,
    read: impl FnOnce(&mut Table<'_>) -> T,
) -> T {
    read_node("", Some(root), report, read)
}

/// Reads a table, then reports the keys that `read` did not ask for.
fn read_node<T>(
    path: &str,
    node: Option<&Node>,
    report: &mut Report,
    read: impl FnOnce(&mut Table<'_>) -> T,
) -> T {
    let entries = node.map_or(&[][..], Node::entries);
    let place = node.filter(|node| node.is_table()).map(|node| &node.place);
    let mut table = Table { path: path.to_owned(), place, entries, report, asked: Vec::new() };
    let result = read(&mut table);
    table.report_unknown();
    result
}

impl<'t> Table<'t> {
    /// Reads a setting into `target`, which keeps its default when the setting is absent or wrong.
    pub(crate) fn read<T>(
        &mut self,
        key: &'static str,
        kind: impl Fn(&Node) -> Result<T, Fault>,
        target: &mut T,
    ) {
        let Some(node) = self.node(key) else { return };
        match kind(node) {
            Ok(value) => *target = value,
            Err(fault) => self.fault(key, fault, &node.place),
        }
    }

    /// Reads a list and reports each wrong item.
    pub(crate) fn read_each<T>(
        &mut self,
        key: &'static str,
        kind: impl Fn(&Node) -> Result<T, Fault>,
        target: &mut Vec<T>,
    ) {
        let Some(items) = self.list(key) else { return };
        target.clear();
        for (index, item) in items.iter().enumerate().filter(|(_, item)| !item.is_broken()) {
            match kind(item) {
                Ok(value) => target.push(value),
                Err(fault) => self.fault(&format!("{key}[{index}]"), fault, &item.place),
            }
        }
    }

    /// Reads one value or a list of some, and reports each wrong item.
    pub(crate) fn read_one_or_more<T>(
        &mut self,
        key: &'static str,
        kind: impl Fn(&Node) -> Result<T, Fault>,
        target: &mut Vec<T>,
    ) {
        if self.node(key).is_none_or(|node| node.items().is_none()) {
            return self.read(key, |node| kind(node).map(|value| vec![value]), target);
        }
        self.reject_empty(key);
        let mut all = Vec::new();
        self.read_each(key, kind, &mut all);
        if !all.is_empty() {
            *target = all;
        }
    }

    /// Reads a table whose keys the operator chooses, in their order, and reports each wrong value.
    pub(crate) fn read_map<T>(
        &mut self,
        key: &'static str,
        kind: impl Fn(&Node) -> Result<T, Fault>,
        target: &mut Vec<(String, T)>,
    ) {
        let Some(node) = self.node(key) else { return };
        if !node.is_table() {
            return self.fault(key, not_a_table(node), &node.place);
        }
        target.clear();
        for entry in node.entries().iter().filter(|entry| !entry.node.is_broken()) {
            match kind(&entry.node) {
                Ok(value) => target.push((entry.key.clone(), value)),
                Err(fault) => self.fault(&format!("{key}.{}", entry.key), fault, &entry.node.place),
            }
        }
    }

    /// Reads a list of tables and other values. It must be present and not empty if its table is
    /// present. `read` reports what keeps it from making a value of a table.
    pub(crate) fn read_some_tables<T>(
        &mut self,
        key: &'static str,
        kind: impl Fn(&Node) -> Result<T, Fault>,
        read: impl Fn(&mut Table<'_>) -> Option<T>,
        target: &mut Vec<T>,
    ) {
        self.require_some(key);
        self.read_tables_or(key, kind, read, target);
    }

    /// Reads a list of tables and other values, which may be absent or empty. `read` reports what
    /// keeps it from making a value of a table.
    pub(crate) fn read_tables_or<T>(
        &mut self,
        key: &'static str,
        kind: impl Fn(&Node) -> Result<T, Fault>,
        read: impl Fn(&mut Table<'_>) -> Option<T>,
        target: &mut Vec<T>,
    ) {
        let Some(items) = self.list(key) else { return };
        target.clear();
        for (index, item) in items.iter().enumerate().filter(|(_, item)| !item.is_broken()) {
            let key = format!("{key}[{index}]");
            if item.is_table() {
                let path = self.path_of(&key);
                target.extend(read_node(&path, Some(item), self.report, &read));
                continue;
            }
            match kind(item) {
                Ok(value) => target.push(value),
                Err(fault) => self.fault(&key, fault, &item.place),
            }
        }
    }

    /// Reports that a list is missing or empty in a table that is present.
    fn require_some(&mut self, key: &'static str) {
        self.require(key);
        self.reject_empty(key);
    }

    /// Returns whether a key is written here, whatever its value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Returns whether this word stands in the place of a table, and marks the key as known.
    pub(crate) fn says(&mut self, key: &'static str, word: &str) -> bool {
        self.node(key).is_some_and(|node| node.text() == Some(word))
    }

    /// Returns whether the value of this key is something else than a table.
    pub(crate) fn has_value(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key && !entry.node.is_table())
    }

    /// Reports a fault of a value that was read before.
    pub(crate) fn fault_of(&mut self, key: &'static str, fault: Fault) {
        if let Some(node) = self.node(key) {
            self.fault(key, fault, &node.place);
        }
    }

    /// Reports a fault of an entry of a table whose keys the operator chooses.
    pub(crate) fn fault_of_entry(&mut self, key: &'static str, entry: &str, fault: Fault) {
        if let Some(node) = self.node(key).and_then(|node| node.at(&[entry])) {
            self.fault(&format!("{key}.{entry}"), fault, &node.place);
        }
    }

    /// Reports a fault of the whole table.
    pub(crate) fn fault_of_table(&mut self, fault: Fault) {
        if let Some(place) = self.place {
            self.report.add_fault(&self.path, fault.draft(&self.path).at(place));
        }
    }

    /// Reports a key that is not written though its table is.
    pub(crate) fn require(&mut self, key: &'static str) {
        if self.place.is_some() && !self.has(key) {
            self.add_missing(key);
        }
    }

    /// Reports a key that the others of this table need.
    pub(crate) fn add_missing(&mut self, key: &'static str) {
        let message = format!("`{}` is missing", self.path_of(key));
        self.add_here(ProblemBuilder::error(message, "not in this table"));
    }

    /// Adds a problem of the whole table.
    pub(crate) fn add_here(&mut self, draft: ProblemBuilder) {
        self.report.add(match self.place {
            Some(place) => draft.at(place),
            None => draft,
        });
    }

    pub(crate) fn reject_empty(&mut self, key: &'static str) {
        let node = self.node(key).filter(|node| node.items().is_some_and(<[Node]>::is_empty));
        if let Some(node) = node {
            self.fault(key, Fault::new("must hold something", "an empty list"), &node.place);
        }
    }

    /// Reads a table in this one. An absent one is read as empty.
    pub(crate) fn table(&mut self, key: &'static str, read: impl FnOnce(&mut Table<'_>)) {
        let node = self.node(key);
        self.enter(&self.path_of(key), node, read);
    }

    /// Reads each table of a list of tables. An absent list is read as one empty table.
    pub(crate) fn tables(&mut self, key: &'static str, mut read: impl FnMut(&mut Table<'_>)) {
        let path = self.path_of(key);
        let Some(node) = self.node(key) else {
            return self.enter(&format!("{path}[0]"), None, read);
        };
        let Some(items) = node.items() else {
            let fault = Fault::wrong_type("a list of tables", node).help(format!("[[{key}]]"));
            return self.fault(key, fault, &node.place);
        };
        self.reject_empty(key);
        for (index, item) in items.iter().enumerate() {
            self.enter(&format!("{path}[{index}]"), Some(item), &mut read);
        }
    }

    /// Reads each table of a list that may be absent or empty.
    pub(crate) fn items(&mut self, key: &'static str, mut read: impl FnMut(&mut Table<'_>)) {
        let path = self.path_of(key);
        let Some(node) = self.node(key) else { return };
        let Some(items) = node.items() else {
            return self.fault(key, Fault::wrong_type("a list of tables", node), &node.place);
        };
        for (index, item) in items.iter().enumerate() {
            self.enter(&format!("{path}[{index}]"), Some(item), &mut read);
        }
    }

    /// Returns the names of the tables in the table of this key, or `None` if it is no table.
    pub(crate) fn names(&mut self, key: &'static str) -> Option<Vec<String>> {
        let node = self.node(key);
        if let Some(node) = node.filter(|node| !node.is_table()) {
            self.fault(key, not_a_table(node), &node.place);
            return None;
        }
        let entries = node.map_or(&[][..], Node::entries).iter();
        Some(entries.map(|entry| entry.key.clone()).collect())
    }

    /// Reads the table of this name in the table of this key. An absent one is read as empty.
    pub(crate) fn named(
        &mut self,
        key: &'static str,
        name: &str,
        read: impl FnOnce(&mut Table<'_>),
    ) {
        let path = format!("{}.{name}", self.path_of(key));
        let node = self.node(key).and_then(|node| node.at(&[name]));
        self.enter(&path, node, read);
    }

    /// Returns the entries that `read` asks for, as a table of their own; `None` where none is
    /// written.
    pub(crate) fn part(&mut self, read: impl FnOnce(&mut Self)) -> Option<Node> {
        let before = self.asked.len();
        read(self);
        let asked = self.asked.get(before..).unwrap_or_default();
        let is_asked = |entry: &&KeyValue| asked.contains(&entry.key.as_str());
        let entries: Vec<KeyValue> = self.entries.iter().filter(is_asked).cloned().collect();
        let place = self.place?.clone();
        (!entries.is_empty()).then_some(Node { place, value: Value::Table(entries) })
    }

    /// Returns all that is written here, by the paths of the settings, for people.
    pub(crate) fn written(&self) -> BTreeMap<String, String> {
        let entries = self.entries.to_vec();
        let node = |place: &Location| Node { place: place.clone(), value: Value::Table(entries) };
        self.place.map(node).map(|node| written::shown_leaves(&node)).unwrap_or_default()
    }

    /// Adds a problem that concerns more than one value.
    pub(crate) fn add(&mut self, draft: ProblemBuilder) {
        self.report.add(draft);
    }

    fn enter(&mut self, path: &str, node: Option<&Node>, read: impl FnOnce(&mut Table<'_>)) {
        if let Some(node) = node.filter(|node| !node.is_table() && !node.is_broken()) {
            self.report.add_fault(path, not_a_table(node).draft(path).at(&node.place));
        }
        read_node(path, node, self.report, read);
    }

    /// Returns the items of a list; `None`: it is absent, or no list, which is reported.
    fn list(&mut self, key: &'static str) -> Option<&'t [Node]> {
        let node = self.node(key)?;
        let items = node.items();
        if items.is_none() {
            self.fault(key, not_a_list(node), &node.place);
        }
        items
    }

    /// Returns the value of this key, and marks the key as known.
    fn node(&mut self, key: &'static str) -> Option<&'t Node> {
        if !self.asked.contains(&key) {
            self.report.know(&self.path, key);
            self.asked.push(key);
        }
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(&entry.node).filter(|node| !node.is_broken())
    }

    fn fault(&mut self, key: &str, fault: Fault, place: &Location) {
        let path = self.path_of(key);
        self.report.add_fault(&path, fault.draft(&path).at(place));
    }

    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn report_unknown(&mut self) {
        for entry in self.entries {
            if !self.asked.contains(&entry.key.as_str()) {
                self.report.add_unknown(&self.path, &entry.key, &entry.place);
            }
        }
    }
}

fn not_a_list(node: &Node) -> Fault {
    let fault = Fault::wrong_type("a list", node);
    match node.text() {
        Some(text) => fault.help(format!("did you mean [\"{text}\"]?")),
        None => fault,
    }
}

fn not_a_table(node: &Node) -> Fault {
    Fault::wrong_type("a table", node).help("name one of its settings")
}
