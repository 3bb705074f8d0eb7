//! `PathIndex`: the rules that a path may be meant by, found in one walk over its bytes.
//!
//! Patterns stand in a tree by the characters before their first `*`. Those of one place in the
//! tree that go on after it share an automaton, so that patterns of one folder do not multiply
//! with those of all others.

use std::collections::BTreeMap;

use super::automaton::PathAutomaton;
use super::{RuleIndex, RuleLists, glob};

#[derive(Debug, Default)]
pub(super) struct PathIndex {
    /// The first one is the root; empty without patterns.
    nodes: Vec<PathNode>,
}

#[derive(Debug)]
struct PathNode {
    /// The characters after those of its parent.
    label: Box<[u8]>,
    /// By the first byte of their labels, sorted.
    children: Box<[(u8, u32)]>,
    patterns: Option<Box<NodePatterns>>,
}

/// The patterns that have the same characters before their first `*`.
#[derive(Debug)]
struct NodePatterns {
    /// Rules of patterns that end here.
    exact: Box<[RuleIndex]>,
    /// Rules of patterns that only `**` follows.
    below: Box<[RuleIndex]>,
    automata: Box<[PathAutomaton]>,
    /// Rules whose automaton would be too large: their own patterns have to be compared.
    unindexed: Box<[RuleIndex]>,
}

/// The patterns of an index before it is made, by the characters before their first `*`.
#[derive(Debug, Default)]
pub(super) struct PathPatterns {
    nodes: BTreeMap<Vec<u8>, UnbuiltNode>,
}

#[derive(Debug, Default)]
struct UnbuiltNode {
    exact: Vec<RuleIndex>,
    below: Vec<RuleIndex>,
    others: Vec<(RuleIndex, String)>,
}

impl PathPatterns {
    /// Adds a glob.
    pub(super) fn add_glob(&mut self, rule: RuleIndex, glob: &str) {
        let (literal, rest) = glob::split(glob);
        let node = self.nodes.entry(literal.as_bytes().to_vec()).or_default();
        match rest {
            "" => node.exact.push(rule),
            "**" => node.below.push(rule),
            rest => node.others.push((rule, glob::regex(rest))),
        }
    }

    /// Adds a regular expression, which may match anywhere.
    pub(super) fn add_regex(&mut self, rule: RuleIndex, regex: &str) {
        let node = self.nodes.entry(Vec::new()).or_default();
        node.others.push((rule, format!(r"(?s-u:.*)(?:{regex})(?s-u:.*)\z")));
    }

    /// Makes the index of these patterns, and takes the size of its automata from `bytes_left`.
    /// Rules that have to compare their own patterns are added to `unindexed`.
    pub(super) fn index(self, bytes_left: &mut usize, unindexed: &mut Vec<RuleIndex>) -> PathIndex {
        let mut built: Vec<(Vec<u8>, Option<Box<NodePatterns>>)> = Vec::new();
        for (literal, node) in self.nodes {
            let node = node.build(bytes_left);
            unindexed.extend_from_slice(&node.unindexed);
            built.push((literal, Some(Box::new(node))));
        }
        let mut index = PathIndex::default();
        if !built.is_empty() {
            index.insert(&mut built, 0);
        }
        index
    }
}

impl UnbuiltNode {
    fn build(self, bytes_left: &mut usize) -> NodePatterns {
        let (mut automata, mut unindexed) = (Vec::new(), Vec::new());
        build_automata(&self.others, bytes_left, &mut automata, &mut unindexed);
        NodePatterns {
            exact: sorted(self.exact),
            below: sorted(self.below),
            automata: automata.into(),
            unindexed: sorted(unindexed),
        }
    }
}

impl NodePatterns {
    /// Adds the rules of patterns that match a path of which this is left.
    fn collect<'i>(&'i self, rest: &[u8], found: &mut RuleLists<'i>) {
        let exact = if rest.is_empty() { &*self.exact } else { &[] };
        for rules in [exact, &*self.below, &*self.unindexed] {
            if !rules.is_empty() {
                found.push(rules);
            }
        }
        for automaton in &self.automata {
            let rules = automaton.matching(rest);
            if !rules.is_empty() {
                found.push(rules);
            }
        }
    }
}

impl PathIndex {
    /// Adds the rules of the patterns that match a path. A rule may be in several lists.
    pub(super) fn collect<'i>(&'i self, path: &[u8], found: &mut RuleLists<'i>) {
        let mut next = self.nodes.first();
        let mut rest = path;
        while let Some(node) = next {
            let Some(after) = rest.strip_prefix(&*node.label) else { return };
            rest = after;
            if let Some(patterns) = &node.patterns {
                patterns.collect(rest, found);
            }
            let Some(first) = rest.first() else { return };
            next = node.child(*first).and_then(|child| self.nodes.get(child as usize));
        }
    }

    /// Inserts sorted patterns that have `depth` characters in common with their parent, and
    /// returns the place of their node.
    fn insert(
        &mut self,
        sorted: &mut [(Vec<u8>, Option<Box<NodePatterns>>)],
        depth: usize,
    ) -> Option<u32> {
        let (first, last) = (&sorted.first()?.0, &sorted.last()?.0);
        let common = first.iter().zip(last).take_while(|(one, other)| one == other).count();
        let label = first.get(depth..common)?.into();
        let ends_here = first.len() == common;
        let place = self.nodes.len();
        let (mut own, mut sorted) = (None, sorted);
        if ends_here {
            let (here, below) = sorted.split_first_mut()?;
            (own, sorted) = (here.1.take(), below);
        }
        self.nodes.push(PathNode { label, children: Box::default(), patterns: own });
        let mut children = Vec::new();
        let next = |key: &(Vec<u8>, _)| key.0.get(common).copied();
        for group in sorted.chunk_by_mut(|one, other| next(one) == next(other)) {
            let byte = group.first().and_then(next)?;
            children.push((byte, self.insert(group, common)?));
        }
        self.nodes.get_mut(place)?.children = children.into();
        u32::try_from(place).ok()
    }
}

impl PathNode {
    fn child(&self, byte: u8) -> Option<u32> {
        if self.children.len() <= FEW {
            return self.children.iter().find(|(own, _)| *own == byte).map(|(_, child)| *child);
        }
        let place = self.children.binary_search_by_key(&byte, |(own, _)| *own).ok()?;
        self.children.get(place).map(|(_, child)| *child)
    }
}

/// Makes one automaton of all patterns; where it would be too large, one of each half.
fn build_automata(
    patterns: &[(RuleIndex, String)],
    bytes_left: &mut usize,
    automata: &mut Vec<PathAutomaton>,
    unindexed: &mut Vec<RuleIndex>,
) {
    if patterns.is_empty() {
        return;
    }
    let bytes_max = AUTOMATON_BYTES_MAX.min(*bytes_left);
    if let Some(automaton) = PathAutomaton::new(patterns, bytes_max) {
        *bytes_left -= automaton.bytes();
        automata.push(automaton);
    } else if patterns.len() > 1 && bytes_max >= AUTOMATON_BYTES_MIN {
        let (one, other) = patterns.split_at(patterns.len() / 2);
        build_automata(one, bytes_left, automata, unindexed);
        build_automata(other, bytes_left, automata, unindexed);
    } else {
        unindexed.extend(patterns.iter().map(|(rule, _)| *rule));
    }
}

fn sorted(mut rules: Vec<RuleIndex>) -> Box<[RuleIndex]> {
    rules.sort_unstable();
    rules.dedup();
    rules.into()
}

/// Children that are compared one after the other.
const FEW: usize = 8;

/// The size of one automaton; the patterns of a larger one are divided.
const AUTOMATON_BYTES_MAX: usize = 2 << 20;
/// Below this, dividing patterns further is not worth the attempts.
const AUTOMATON_BYTES_MIN: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn index(globs: &[&str]) -> PathIndex {
        let mut patterns = PathPatterns::default();
        for (rule, glob) in (0..).zip(globs) {
            patterns.add_glob(RuleIndex(rule), glob);
        }
        patterns.index(&mut (16 << 20), &mut Vec::new())
    }

    fn found(index: &PathIndex, path: &str) -> Vec<u16> {
        let mut lists = RuleLists::new();
        index.collect(path.as_bytes(), &mut lists);
        let mut rules: Vec<u16> = lists.iter().copied().flatten().map(|rule| rule.0).collect();
        rules.sort_unstable();
        rules
    }

    #[test]
    fn patterns_with_the_same_beginning_are_told_apart() {
        let index =
            index(&["/a", "/ab", "/a/**", "/a/*", "/abc/*.js", "/**", "/**/*.js", "/abd", "/"]);
        for (path, expected) in [
            ("/", &[5, 8][..]),
            ("/a", &[0, 5]),
            ("/ab", &[1, 5]),
            ("/a/", &[2, 3, 5]),
            ("/a/x.js", &[2, 3, 5, 6]),
            ("/a/x/y", &[2, 5]),
            ("/abc/x.js", &[4, 5, 6]),
            ("/abd", &[5, 7]),
            ("/abe", &[5]),
            ("*", &[]),
            ("", &[]),
        ] {
            assert_eq!(found(&index, path), expected, "{path}");
        }
    }

    #[test]
    fn patterns_that_would_need_a_large_automaton_are_divided_and_still_found() {
        let globs: Vec<String> =
            (0..40).map(|number| format!("/**/a{number}*b*c/**/*d{number}/**")).collect();
        let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
        let index = index(&globs);
        let automata: usize = index
            .nodes
            .iter()
            .filter_map(|node| node.patterns.as_ref())
            .map(|patterns| patterns.automata.len())
            .sum();
        assert!(automata > 1, "this tests nothing");
        assert_eq!(found(&index, "/x/a7bc/y/d7/z"), [7]);
        assert_eq!(found(&index, "/a1bc/a2bc/d1/d2/"), [1, 2]);
    }

    #[test]
    fn without_room_for_automata_every_rule_is_a_candidate() {
        let mut patterns = PathPatterns::default();
        patterns.add_glob(RuleIndex(0), "/*.js");
        patterns.add_regex(RuleIndex(1), "[ab]{2,}");
        patterns.add_glob(RuleIndex(2), "/a/**");
        let mut unindexed = Vec::new();
        let index = patterns.index(&mut 0, &mut unindexed);
        unindexed.sort_unstable();
        assert_eq!(unindexed, [RuleIndex(0), RuleIndex(1)]);
        assert_eq!(found(&index, "/x"), [0, 1]);
    }
}
