//! The configuration as a tree of values, each with its place, before any is interpreted.
//!
//! File, environment and flags all end up in one tree, so one reader and one kind of problem serve
//! all three.

mod environment;
mod flags;
mod overlay;
pub(crate) mod layers;
pub(crate) mod references;
pub(crate) mod syntax;

use std::ops::Range;

/// A span of bytes in the source of this index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location {
    pub(crate) source: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Location,
    pub(crate) value: Value,
}

/// A value as it was written.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Text in quotes.
    Text(String),
    /// Text from environment or flags: it becomes whatever type its setting needs.
    Bare(String),
    /// A number, in decimal notation.
    Number(String),
    /// A boolean.
    Boolean(bool),
    /// A date or time, which no setting is.
    Date,
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(Vec<KeyValue>),
    /// A value whose problem was reported already; readers skip it.
    Broken,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct KeyValue {
    pub(crate) key: String,
    /// The key's place.
    pub(crate) place: Location,
    pub(crate) node: Node,
}

/// A key below a value that is no table. The caller reports it.
#[derive(Debug)]
pub(crate) struct NotATable {
    /// The value's key.
    pub(crate) key: String,
}

impl Location {
    /// Returns the place of this span.
    pub(crate) const fn new(source: usize, span: Range<usize>) -> Self {
        Self { source, start: span.start, end: span.end }
    }
}

impl Node {
    /// Returns the node at a path of keys and list indices, such as `["listen", "0", "address"]`.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        let next = match self.items() {
            Some(items) => items.get(first.parse::<usize>().ok()?)?,
            None => &self.entries().iter().find(|entry| entry.key == *first)?.node,
        };
        next.at(rest)
    }

    /// Returns a table's entries; nothing else has any.
    pub(crate) const fn entries(&self) -> &[KeyValue] {
        if let Value::Table(entries) = &self.value { entries.as_slice() } else { &[] }
    }

    /// Returns a list's items.
    pub(crate) const fn items(&self) -> Option<&[Self]> {
        if let Value::List(items) = &self.value { Some(items.as_slice()) } else { None }
    }

    /// Returns text, with or without quotes.
    pub(crate) const fn text(&self) -> Option<&str> {
        let (Value::Text(text) | Value::Bare(text)) = &self.value else { return None };
        Some(text.as_str())
    }

    /// Returns whether this is a table.
    pub(crate) const fn is_table(&self) -> bool {
        matches!(self.value, Value::Table(_))
    }

    /// Returns whether its problem was reported already.
    pub(crate) const fn is_broken(&self) -> bool {
        matches!(self.value, Value::Broken)
    }

    /// Returns the kind of value as a noun phrase.
    pub(crate) const fn noun(&self) -> &'static str {
        match self.value {
            Value::Text(_) | Value::Bare(_) => "text",
            Value::Number(_) => "a number",
            Value::Boolean(_) => "a boolean",
            Value::Date => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Broken => "broken",
        }
    }
}

/// Puts a node at the end of a path of keys, makes tables on the way, and replaces a value there.
pub(crate) fn insert(
    entries: &mut Vec<KeyValue>,
    path: &[&str],
    place: &Location,
    node: Node,
) -> Result<(), NotATable> {
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    // Environment variables have no case, so it does not matter here.
    let is_it = |entry: &KeyValue| entry.key.eq_ignore_ascii_case(first);
    if !entries.iter().any(is_it) {
        entries.push(empty_table(first, place));
    }
    let Some(entry) = entries.iter_mut().find(|entry| is_it(entry)) else { return Ok(()) };
    if rest.is_empty() {
        (entry.place, entry.node) = (place.clone(), node);
        return Ok(());
    }
    let Value::Table(children) = &mut entry.node.value else {
        return Err(NotATable { key: entry.key.clone() });
    };
    insert(children, rest, place, node)
}

fn empty_table(key: &str, place: &Location) -> KeyValue {
    let node = Node { place: place.clone(), value: Value::Table(Vec::new()) };
    KeyValue { key: key.to_owned(), place: place.clone(), node }
}
