//! `[key.query]`: the parameters of a query that enter the key.

use super::name_pattern::{NamePattern, name_patterns};
use crate::table::Table;
use crate::value::{Fault, boolean, choice, parsed};

/// The part of a query that enters the key, and is forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuerySettings {
    /// `drop` and `keep`, or a word in the place of the table.
    pub parameters: QueryParameters,
    /// Sorts parameters by their names, those of one name in their order. Costs a copy of each
    /// target that is not sorted.
    pub sort: bool,
    /// Adds what was dropped to a `Location` on the same host, at delivery.
    pub reflect: bool,
}

/// The parameters that enter the key. Names are compared after percent-decoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryParameters {
    /// All but these. None of these: the query stays as it is.
    Drop(Vec<NamePattern>),
    /// Only these.
    Keep(Vec<NamePattern>),
    /// `"none"`: the query does not matter.
    Ignored,
}

impl Default for QuerySettings {
    fn default() -> Self {
        let parameters =
            QueryParameters::Drop(NamePattern::built_in("@tracking").unwrap_or_default());
        Self { parameters, sort: false, reflect: false }
    }
}

impl QuerySettings {
    /// Reads `query`, a word or a table, over what is here.
    pub(crate) fn read(&mut self, parent: &mut Table<'_>) {
        if parent.has_value("query") {
            let mut word = None;
            parent.read("query", |node| choice(&WORDS)(node).map(Some), &mut word);
            match word {
                Some(Word::All) => self.parameters = QueryParameters::Drop(Vec::new()),
                Some(Word::None) => self.parameters = QueryParameters::Ignored,
                None => {}
            }
        } else {
            parent.table("query", |table| self.read_table(table));
        }
    }

    fn read_table(&mut self, table: &mut Table<'_>) {
        let (mut drop, mut keep) = (Vec::new(), Vec::new());
        table.read_each("drop", parsed(parameter_names), &mut drop);
        table.read_each("keep", parsed(parameter_names), &mut keep);
        let keep: Vec<NamePattern> = keep.into_iter().flatten().collect();
        if !keep.is_empty() {
            self.parameters = QueryParameters::Keep(keep);
        } else if table.has("drop") {
            self.parameters = QueryParameters::Drop(drop.into_iter().flatten().collect());
        }
        table.read("sort", boolean, &mut self.sort);
        table.read("reflect", boolean, &mut self.reflect);
    }
}

/// Reads one item of a list. A name is written without percent-encoding.
fn parameter_names(text: &str) -> Result<Vec<NamePattern>, Fault> {
    let is_name = |name: &str| {
        let is_plain = |letter: char| !letter.is_control() && !"&=#%+ ".contains(letter);
        !name.is_empty() && name.chars().all(is_plain)
    };
    let names = name_patterns(text, ("parameter", &["@tracking"]), is_name);
    names.map_err(|fault| {
        if text.contains('%') {
            fault.help("names are compared after percent-decoding: write what it stands for")
        } else {
            fault
        }
    })
}

#[derive(Clone, Copy)]
enum Word {
    All,
    None,
}

const WORDS: [(&str, Word); 2] = [("all", Word::All), ("none", Word::None)];
