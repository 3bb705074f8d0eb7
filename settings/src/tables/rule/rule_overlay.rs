//! `RuleOverlay`: the settings of a rule that stand for those of a table.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::report::Report;
use crate::table::{self, Table};
use crate::tables::EffectiveSettings;
use crate::tree::Node;
use crate::written;

/// The settings of a rule that stand for those of `[cache]`, `[key]`, `[cookies]` and so on, as
/// they were written. They were read once, and are right.
#[derive(Clone, Default)]
pub struct RuleOverlay {
    table: Option<Arc<Node>>,
    /// By the path of the setting, such as `cookies.otherwise`.
    written: BTreeMap<String, String>,
}

impl RuleOverlay {
    /// Reads the settings of a rule, and reports what is wrong with them.
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let node = table.part(|table| EffectiveSettings::defaults().read_overlay(table));
        let Some(node) = node else { return Self::default() };
        Self { written: written::leaves(&node), table: Some(Arc::new(node)) }
    }

    /// Writes these settings, and no others. A rule that counts more is applied later.
    pub fn apply(&self, settings: &mut EffectiveSettings) {
        if let Some(node) = &self.table {
            let mut report = Report::default();
            table::read_root(node, &mut report, |table| settings.read_overlay(table));
            debug_assert!(!report.has_errors(), "the settings were right before");
        }
    }

    /// Returns each setting: its path, such as `cookies.otherwise`, and its value as text.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.written.iter().map(|(path, value)| (path.as_str(), value.as_str()))
    }

    /// Returns whether it sets nothing.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }
}

impl PartialEq for RuleOverlay {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for RuleOverlay {}

impl fmt::Debug for RuleOverlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.written).finish()
    }
}
