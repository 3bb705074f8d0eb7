//! `WrittenSettings`: every setting that was written, by its path, so that two configurations can
//! be compared.

use std::collections::BTreeMap;
use std::fmt;

use crate::report::Report;
use crate::secrets::{is_secret, without_userinfo};
use crate::tree::{Location, Node, Value, syntax};

/// The settings that file, environment and flags hold, after references were resolved.
///
/// A setting that nobody wrote is not here; it has its default.
#[derive(Clone, Default)]
pub struct WrittenSettings {
    values: BTreeMap<String, String>,
    /// The name of each one's place.
    places: BTreeMap<String, String>,
}

/// A setting that holds, written or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// The path of the setting.
    pub setting: String,
    /// The value; `***` for a secret, `(unset)` where there is none.
    pub value: String,
    /// `config.toml:12`, the name of a variable or of a flag, or `default`.
    pub source: String,
}

impl PartialEq for WrittenSettings {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl Eq for WrittenSettings {}

/// A setting that two configurations hold different values of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// The path of the setting, such as `limits.max_body` or `listen[0].address`.
    pub setting: String,
    /// The value before. `None`: the default.
    pub before: Option<String>,
    /// The value after. `None`: the default.
    pub after: Option<String>,
}

impl WrittenSettings {
    pub(crate) fn of(root: &Node) -> Self {
        Self { values: leaves(root), places: BTreeMap::new() }
    }

    pub(crate) fn with_places(self, places: BTreeMap<String, String>) -> Self {
        Self { places, ..self }
    }

    /// Returns all settings, in the order of their paths: those that were written, and of the
    /// others the defaults. What belongs to one listener, origin or rule is there only if it was
    /// written.
    pub fn effective(&self) -> Vec<EffectiveSetting> {
        let mut all = BTreeMap::new();
        for (path, value) in defaults() {
            all.insert(path, (value, "default".to_owned()));
        }
        for (path, value) in &self.values {
            let source = self.places.get(path).cloned().unwrap_or_default();
            all.insert(path.clone(), (value.clone(), source));
        }
        let one = |(setting, (value, source)): (String, (String, String))| EffectiveSetting {
            value: shown_or_unset(&setting, &value),
            setting,
            source,
        };
        all.into_iter().map(one).collect()
    }

    /// Returns the settings that differ in `after`, by their paths. Secrets are not shown.
    pub fn changes_to(&self, after: &Self) -> Vec<SettingChange> {
        let mut paths: Vec<&String> = self.values.keys().chain(after.values.keys()).collect();
        paths.sort_unstable();
        paths.dedup();
        let changed =
            paths.into_iter().filter(|path| self.values.get(*path) != after.values.get(*path));
        let change = |path: &String| {
            let shown = |all: &Self| all.values.get(path).map(|value| shown_or_unset(path, value));
            SettingChange { setting: path.clone(), before: shown(self), after: shown(after) }
        };
        changed.map(change).collect()
    }

    /// Returns a short hash of all settings but secrets. The same settings have the same hash in
    /// every process.
    pub fn hash(&self) -> String {
        let mut hash = FNV_OFFSET;
        for (path, value) in &self.values {
            for byte in path.bytes().chain([b'=']).chain(shown(path, value).bytes()).chain([b'\n'])
            {
                hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
            }
        }
        format!("{hash:016x}")
    }
}

/// Hides the values: some are secrets.
impl fmt::Debug for WrittenSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl fmt::Display for SettingChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value =
            |value: &Option<String>| value.clone().unwrap_or_else(|| "(default)".to_owned());
        write!(f, "{}: {} → {}", self.setting, value(&self.before), value(&self.after))
    }
}

/// Returns the settings of a table by their paths.
pub(crate) fn leaves(table: &Node) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    collect(table, String::new(), &mut all);
    all
}

/// Returns the settings of a table by their paths, for people.
pub(crate) fn shown_leaves(table: &Node) -> BTreeMap<String, String> {
    let mut all = leaves(table);
    for (path, value) in &mut all {
        *value = shown(path, value);
    }
    all
}

/// Returns the names of the places of all settings that were written.
pub(crate) fn places(root: &Node, report: &Report) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    visit(root, String::new(), &mut |path, node| {
        all.insert(path, report.place_name(&node.place));
    });
    all
}

/// Returns the defaults: the shipped file shows all of them, which a test holds.
fn defaults() -> BTreeMap<String, String> {
    let mut report = Report::default();
    let source = report.add_source("", SHIPPED);
    let entries = syntax::document(SHIPPED, source, &mut report);
    let root = Node { place: Location::new(source, 0..0), value: Value::Table(entries) };
    let mut all = leaves(&root);
    let is_example =
        |path: &String| ["listen[", "origin.", "rule["].iter().any(|start| path.starts_with(start));
    all.retain(|path, _| !is_example(path));
    all
}

fn collect(node: &Node, path: String, all: &mut BTreeMap<String, String>) {
    visit(node, path, &mut |path, node| {
        all.insert(path, text_of(node));
    });
}

/// Shows every setting below a node, with its path.
fn visit(node: &Node, path: String, show: &mut dyn FnMut(String, &Node)) {
    match &node.value {
        Value::Table(entries) => {
            for entry in entries {
                let dot = if path.is_empty() { "" } else { "." };
                visit(&entry.node, format!("{path}{dot}{}", entry.key), show);
            }
        }
        Value::List(items) if !items.is_empty() && items.iter().all(Node::is_table) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, format!("{path}[{index}]"), show);
            }
        }
        _ => show(path, node),
    }
}

fn text_of(node: &Node) -> String {
    match &node.value {
        Value::Text(text) | Value::Bare(text) | Value::Number(text) => text.clone(),
        Value::Boolean(value) => value.to_string(),
        Value::Date | Value::Broken => String::new(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(text_of).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(entries) => {
            let pair =
                |entry: &crate::tree::KeyValue| format!("{} = {}", entry.key, text_of(&entry.node));
            let pairs: Vec<_> = entries.iter().map(pair).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

fn shown(path: &str, value: &str) -> String {
    if is_secret(path) { "***".to_owned() } else { without_userinfo(value) }
}

/// The same for people, who want to know whether there is a secret.
fn shown_or_unset(path: &str, value: &str) -> String {
    if value.is_empty() && is_secret(path) { "(unset)".to_owned() } else { shown(path, value) }
}

/// The file that shows every setting with its default.
const SHIPPED: &str = include_str!("../../config.toml");
/// The parameters of FNV-1a with 64 bits.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;
