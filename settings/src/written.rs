//! `WrittenSettings`: every setting that was written, by its path, so that two configurations can
//! be compared.

use std::collections::BTreeMap;
use std::fmt;

use crate::tree::{Node, Value};

/// The settings that file, environment and flags hold, after references were resolved.
///
/// A setting that nobody wrote is not here; it has its default.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WrittenSettings(BTreeMap<String, String>);

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
        let mut all = BTreeMap::new();
        collect(root, String::new(), &mut all);
        Self(all)
    }

    /// Returns the settings that differ in `after`, by their paths. Secrets are not shown.
    pub fn changes_to(&self, after: &Self) -> Vec<SettingChange> {
        let mut paths: Vec<&String> = self.0.keys().chain(after.0.keys()).collect();
        paths.sort_unstable();
        paths.dedup();
        let changed = paths.into_iter().filter(|path| self.0.get(*path) != after.0.get(*path));
        let change = |path: &String| {
            let shown = |all: &Self| all.0.get(path).map(|value| shown(path, value).to_owned());
            SettingChange { setting: path.clone(), before: shown(self), after: shown(after) }
        };
        changed.map(change).collect()
    }

    /// Returns a short hash of all settings but secrets. The same settings have the same hash in
    /// every process.
    pub fn hash(&self) -> String {
        let mut hash = FNV_OFFSET;
        for (path, value) in &self.0 {
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
        f.debug_set().entries(self.0.keys()).finish()
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

fn collect(node: &Node, path: String, all: &mut BTreeMap<String, String>) {
    match &node.value {
        Value::Table(entries) => {
            for entry in entries {
                let dot = if path.is_empty() { "" } else { "." };
                collect(&entry.node, format!("{path}{dot}{}", entry.key), all);
            }
        }
        Value::List(items) if !items.is_empty() && items.iter().all(Node::is_table) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, format!("{path}[{index}]"), all);
            }
        }
        _ => {
            all.insert(path, text_of(node));
        }
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

fn shown<'a>(path: &str, value: &'a str) -> &'a str {
    let name = path.rsplit('.').next().unwrap_or(path).to_ascii_lowercase();
    if SECRETS.iter().any(|secret| name.contains(secret)) { "***" } else { value }
}

/// Parts of the names of settings that are secrets.
const SECRETS: [&str; 3] = ["token", "password", "secret"];

/// The parameters of FNV-1a with 64 bits.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;
