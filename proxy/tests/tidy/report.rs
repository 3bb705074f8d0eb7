//! Violations, grouped by the top folder that they stand in.

use std::collections::BTreeMap;

/// The violations of one check.
#[derive(Debug)]
pub(super) struct Report {
    check: &'static str,
    groups: BTreeMap<String, Vec<String>>,
}

impl Report {
    pub(super) const fn new(check: &'static str) -> Self {
        Self { check, groups: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, group: impl Into<String>, violation: String) {
        self.groups.entry(group.into()).or_default().push(violation);
    }

    pub(super) fn len(&self) -> usize {
        self.groups.values().map(Vec::len).sum()
    }

    /// Prints every violation by group, then the number in each group.
    pub(super) fn print(&self) {
        println!("== {}: {} violations", self.check, self.len());
        for (group, violations) in &self.groups {
            println!("-- {group}: {}", violations.len());
            for violation in violations {
                println!("   {violation}");
            }
        }
    }

    /// Panics after printing, when there are more violations than `allowed`.
    pub(super) fn assert_at_most(&self, allowed: usize) {
        self.print();
        assert!(self.len() <= allowed, "{}: {} > {allowed}", self.check, self.len());
    }

    pub(super) fn assert_empty(&self) {
        self.assert_at_most(0);
    }
}
