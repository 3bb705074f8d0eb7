//! `PathAutomaton`: many patterns compared with a path in one pass over its bytes.
//!
//! `regex-automata` makes the automaton; here it is copied into a smaller table, whose rows end
//! with the rules that match a path that ends there. A step is two loads.

use std::collections::HashMap;

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};

use super::RuleIndex;

#[derive(Debug)]
pub(super) struct PathAutomaton {
    /// The column of each byte.
    columns: Box<[u8; 256]>,
    /// A row for each state: the beginning of the next row in each column, and behind them the
    /// place in `sets` for a path that ends here. The first row is that of no match.
    rows: Box<[u32]>,
    start: u32,
    end_column: usize,
    sets: Box<[Box<[RuleIndex]>]>,
}

impl PathAutomaton {
    /// Makes the automaton of patterns that each match a whole path. Returns `None` if it would
    /// exceed this size, or if a pattern is none.
    pub(super) fn new(patterns: &[(RuleIndex, String)], bytes_max: usize) -> Option<Self> {
        let dense = determinized(patterns, bytes_max)?;
        let anchored = start::Config::new().anchored(Anchored::Yes);
        let start = dense.start_state(&anchored).ok()?;
        let rules: Vec<RuleIndex> = patterns.iter().map(|(rule, _)| *rule).collect();
        let mut copy = TableCopy::new(&dense, rules);
        let start = copy.row_of(start)?;
        copy.fill()?;
        let automaton = Self { start, ..copy.finish() };
        (automaton.bytes() <= bytes_max).then_some(automaton)
    }

    /// Returns the rules whose patterns match, in ascending order.
    pub(super) fn matching(&self, path: &[u8]) -> &[RuleIndex] {
        let mut row = self.start;
        for byte in path {
            let column = self.columns.get(usize::from(*byte)).copied().map_or(0, usize::from);
            row = self.rows.get(row as usize + column).copied().unwrap_or(NO_MATCH);
            if row == NO_MATCH {
                return &[];
            }
        }
        let set = self.rows.get(row as usize + self.end_column).copied().unwrap_or_default();
        self.sets.get(set as usize).map_or(&[], |set| set)
    }

    pub(super) fn bytes(&self) -> usize {
        let sets: usize = self.sets.iter().map(|set| size_of_val(&**set) + 16).sum();
        size_of_val(&*self.columns) + size_of_val(&*self.rows) + sets
    }
}

fn determinized(
    patterns: &[(RuleIndex, String)],
    bytes_max: usize,
) -> Option<dense::DFA<Vec<u32>>> {
    let config = dense::Config::new()
        .match_kind(MatchKind::All)
        .start_kind(StartKind::Anchored)
        .accelerate(false)
        .dfa_size_limit(Some(bytes_max.saturating_mul(2)))
        .determinize_size_limit(Some(bytes_max.saturating_mul(4)));
    let nfa = thompson::Config::new().utf8(false).nfa_size_limit(Some(NFA_BYTES_MAX));
    let texts: Vec<&str> = patterns.iter().map(|(_, text)| text.as_str()).collect();
    let mut builder = dense::Builder::new();
    builder.configure(config).syntax(syntax::Config::new().utf8(false)).thompson(nfa);
    builder.build_many(&texts).ok()
}

/// The rows that were found so far, while an automaton is copied.
struct TableCopy<'d> {
    dense: &'d dense::DFA<Vec<u32>>,
    /// By pattern.
    rules: Vec<RuleIndex>,
    /// One byte of each column.
    bytes: Vec<u8>,
    numbers: HashMap<StateID, u32>,
    found: Vec<StateID>,
    rows: Vec<u32>,
    set_numbers: HashMap<Box<[RuleIndex]>, u32>,
    sets: Vec<Box<[RuleIndex]>>,
}

impl<'d> TableCopy<'d> {
    fn new(dense: &'d dense::DFA<Vec<u32>>, rules: Vec<RuleIndex>) -> Self {
        let bytes: Vec<u8> = dense
            .byte_classes()
            .representatives(0..=255)
            .filter_map(regex_automata::util::alphabet::Unit::as_u8)
            .collect();
        let none: Box<[RuleIndex]> = Box::default();
        Self {
            dense,
            rules,
            rows: vec![NO_MATCH; bytes.len() + 1],
            bytes,
            numbers: HashMap::new(),
            found: Vec::new(),
            set_numbers: HashMap::from([(none.clone(), 0)]),
            sets: vec![none],
        }
    }

    /// Returns the beginning of a state's row, which is filled later.
    fn row_of(&mut self, state: StateID) -> Option<u32> {
        if self.dense.is_dead_state(state) {
            return Some(NO_MATCH);
        }
        let next = (self.found.len() + 1) * (self.bytes.len() + 1);
        let next = u32::try_from(next).ok()?;
        let found = &mut self.found;
        Some(*self.numbers.entry(state).or_insert_with(|| {
            found.push(state);
            next
        }))
    }

    fn fill(&mut self) -> Option<()> {
        let mut at = 0;
        while let Some(state) = self.found.get(at).copied() {
            for place in 0..self.bytes.len() {
                let byte = self.bytes.get(place).copied()?;
                let next = self.dense.next_state(state, byte);
                let next = self.row_of(next)?;
                self.rows.push(next);
            }
            let set = self.set_of(state)?;
            self.rows.push(set);
            at += 1;
        }
        Some(())
    }

    /// Returns the place of the rules that match a path that ends in this state.
    fn set_of(&mut self, state: StateID) -> Option<u32> {
        let end = self.dense.next_eoi_state(state);
        let count = if self.dense.is_match_state(end) { self.dense.match_len(end) } else { 0 };
        let patterns = (0..count).map(|place| self.dense.match_pattern(end, place).as_usize());
        let mut rules: Vec<RuleIndex> =
            patterns.filter_map(|pattern| self.rules.get(pattern).copied()).collect();
        rules.sort_unstable();
        rules.dedup();
        let next = u32::try_from(self.sets.len()).ok()?;
        let sets = &mut self.sets;
        Some(*self.set_numbers.entry(rules.into()).or_insert_with_key(|rules| {
            sets.push(rules.clone());
            next
        }))
    }

    fn finish(self) -> PathAutomaton {
        let classes = self.dense.byte_classes();
        let mut columns = Box::new([0; 256]);
        for (column, byte) in columns.iter_mut().zip(0..=255) {
            *column = classes.get(byte);
        }
        PathAutomaton {
            columns,
            rows: self.rows.into(),
            start: NO_MATCH,
            end_column: self.bytes.len(),
            sets: self.sets.into(),
        }
    }
}

const NO_MATCH: u32 = 0;

/// The size that a single pattern may have before it becomes an automaton.
const NFA_BYTES_MAX: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn automaton(patterns: &[&str]) -> PathAutomaton {
        let numbered =
            (0..).zip(patterns).map(|(rule, text)| (RuleIndex(rule), (*text).to_owned()));
        PathAutomaton::new(&numbered.collect::<Vec<_>>(), 1 << 20).unwrap()
    }

    #[test]
    fn every_pattern_that_matches_the_whole_path_is_told() {
        let automaton = automaton(&[r"a[^/]*\z", r"(?s-u).*b\z", r"\z", r"(?:[^/]*/)*c\z", r"a\z"]);
        for (path, expected) in [
            ("", &[2][..]),
            ("a", &[0, 4]),
            ("ab", &[0, 1]),
            ("a/b", &[1]),
            ("c", &[3]),
            ("x/y/c", &[3]),
            ("x/yc", &[]),
            ("\u{e4}\n/c", &[3]),
        ] {
            let found: Vec<u16> =
                automaton.matching(path.as_bytes()).iter().map(|rule| rule.0).collect();
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn what_would_be_too_large_is_not_made() {
        let pattern = (RuleIndex(0), r".*a.{14}\z".to_owned());
        assert!(PathAutomaton::new(&[pattern], 64 << 10).is_none());
        let broken = (RuleIndex(0), "(".to_owned());
        assert!(PathAutomaton::new(&[broken], 64 << 10).is_none());
    }
}
