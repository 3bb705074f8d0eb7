//! `HostTable`: the rules that a host and a path may be meant by.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use settings::{HostPattern, RuleMatch, RuleSettings};

use super::path_index::{PathIndex, PathPatterns};
use super::{RuleIndex, RuleLists};

/// Rules by host, and those of one host by path.
#[derive(Debug, Default)]
pub(super) struct HostTable {
    /// Rules of one host, and of all below one.
    hosts: HashMap<Box<str>, HostRules>,
    domains: HashMap<Box<str>, HostRules>,
    /// Rules of every host.
    all: HostRules,
}

/// The rules of one host.
#[derive(Debug, Default)]
struct HostRules {
    paths: PathIndex,
    /// Rules of every path.
    all: Box<[RuleIndex]>,
}

/// The rules of one host before they are made.
#[derive(Debug, Default)]
struct UnbuiltRules {
    paths: PathPatterns,
    all: BTreeSet<RuleIndex>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum HostPlace {
    Host(String),
    Domain(String),
    All,
}

impl HostTable {
    /// Makes the table. Returns also the rules whose paths have to be compared one by one.
    pub(super) fn new(rules: &[RuleSettings]) -> (Self, Vec<RuleIndex>) {
        let mut unbuilt: BTreeMap<HostPlace, UnbuiltRules> = BTreeMap::new();
        for (place, rule) in (0..).map(RuleIndex).zip(rules) {
            for host in places_of(rule) {
                unbuilt.entry(host).or_default().add(place, rule);
            }
        }
        let (mut bytes_left, mut unindexed) = (AUTOMATA_BYTES_MAX, Vec::new());
        let mut table = Self::default();
        for (host, rules) in unbuilt {
            let rules = rules.build(&mut bytes_left, &mut unindexed);
            match host {
                HostPlace::Host(host) => drop(table.hosts.insert(host.into(), rules)),
                HostPlace::Domain(domain) => drop(table.domains.insert(domain.into(), rules)),
                HostPlace::All => table.all = rules,
            }
        }
        (table, unindexed)
    }

    /// Adds the rules that a host without its port, and a path, may be meant by.
    pub(super) fn collect<'i>(&'i self, host: &str, path: &[u8], found: &mut RuleLists<'i>) {
        if !self.hosts.is_empty()
            && let Some(rules) = self.hosts.get(host)
        {
            rules.collect(path, found);
        }
        if !self.domains.is_empty() {
            for (dot, _) in host.match_indices('.') {
                let domain = host.get(dot + 1..).unwrap_or_default();
                if let Some(rules) = self.domains.get(domain) {
                    rules.collect(path, found);
                }
            }
        }
        self.all.collect(path, found);
    }
}

impl HostRules {
    fn collect<'i>(&'i self, path: &[u8], found: &mut RuleLists<'i>) {
        if !self.all.is_empty() {
            found.push(&self.all);
        }
        self.paths.collect(path, found);
    }
}

impl UnbuiltRules {
    fn add(&mut self, place: RuleIndex, rule: &RuleSettings) {
        let Some(RuleMatch { paths, path_regex, .. }) = paths_of(rule) else {
            self.all.insert(place);
            return;
        };
        for glob in paths.iter().flat_map(settings::PathPattern::globs) {
            self.paths.add_glob(place, glob);
        }
        if let (Some(regex), true) = (path_regex, paths.is_empty()) {
            self.paths.add_regex(place, regex.as_str());
        }
    }

    fn build(self, bytes_left: &mut usize, unindexed: &mut Vec<RuleIndex>) -> HostRules {
        let paths = self.paths.index(bytes_left, unindexed);
        HostRules { paths, all: self.all.into_iter().collect() }
    }
}

/// Returns the conditions of a rule whose hosts are its place in the table.
pub(super) fn hosts_of(rule: &RuleSettings) -> Option<&RuleMatch> {
    wanted(rule).find(|conditions| !conditions.hosts.is_empty())
}

/// Returns the conditions of a rule whose paths are its place in the index.
pub(super) fn paths_of(rule: &RuleSettings) -> Option<&RuleMatch> {
    let asks =
        |conditions: &&RuleMatch| !conditions.paths.is_empty() || conditions.path_regex.is_some();
    wanted(rule).find(asks)
}

/// Returns the conditions that have to hold, those of the rule itself first.
fn wanted(rule: &RuleSettings) -> impl Iterator<Item = &RuleMatch> {
    std::iter::once(&rule.matches).chain(rule.within.as_deref().map(|(conditions, _)| conditions))
}

fn places_of(rule: &RuleSettings) -> Vec<HostPlace> {
    let Some(conditions) = hosts_of(rule) else { return vec![HostPlace::All] };
    let place = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(host) => HostPlace::Host(host.clone()),
        HostPattern::Subdomains(domain) => HostPlace::Domain(domain.clone()),
    };
    let places: BTreeSet<HostPlace> = conditions.hosts.iter().map(place).collect();
    places.into_iter().collect()
}

/// The automata of all rules together. Rules beyond it compare their own patterns.
const AUTOMATA_BYTES_MAX: usize = 32 << 20;
