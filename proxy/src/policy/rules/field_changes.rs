//! `FieldChanges`: the edits of several rules, as one.

use http::{HeaderMap, HeaderName, HeaderValue};
use settings::FieldEdits;

/// Edits of header fields. The first rule that names a field decides all of it.
#[derive(Clone, Debug, Default)]
pub struct FieldChanges {
    edits: Vec<FieldChange>,
}

#[derive(Clone, Debug)]
enum FieldChange {
    Remove(HeaderName),
    /// All that begin so, but for those that an earlier rule has decided.
    RemoveAll(String, Box<[HeaderName]>),
    Set(HeaderName, HeaderValue),
    Add(HeaderName, HeaderValue),
}

impl FieldChanges {
    /// Joins the edits of rules, the first of which counts most.
    pub(super) fn of<'r>(rules: impl Iterator<Item = &'r FieldEdits>) -> Self {
        let mut joined = Self::default();
        for rule in rules {
            joined.join(rule);
        }
        joined
    }

    pub const fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    pub fn apply(&self, fields: &mut HeaderMap) {
        for edit in &self.edits {
            match edit {
                FieldChange::Remove(name) => {
                    fields.remove(name);
                }
                FieldChange::RemoveAll(prefix, but) => {
                    for name in names_in(fields, prefix, but) {
                        fields.remove(name);
                    }
                }
                FieldChange::Set(name, value) => {
                    fields.insert(name, value.clone());
                }
                FieldChange::Add(name, value) => {
                    fields.append(name, value.clone());
                }
            }
        }
    }

    /// Returns the names among these fields, and of those that are added, that the edits are
    /// about.
    pub fn names(&self, fields: &HeaderMap) -> Vec<HeaderName> {
        let mut names: Vec<HeaderName> = Vec::new();
        for edit in &self.edits {
            match edit {
                FieldChange::Remove(name)
                | FieldChange::Set(name, _)
                | FieldChange::Add(name, _) => names.push(name.clone()),
                FieldChange::RemoveAll(prefix, but) => names.extend(names_in(fields, prefix, but)),
            }
        }
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        names
    }

    fn join(&mut self, rule: &FieldEdits) {
        let FieldEdits { remove, remove_all, set, add } = rule;
        let decided = self.decided();
        let prefixes = self.prefixes();
        let is_open = |name: &HeaderName| {
            !decided.contains(name)
                && !prefixes.iter().any(|prefix| name.as_str().starts_with(prefix))
        };
        let mut edits = Vec::new();
        edits.extend(remove.iter().filter(|name| is_open(name)).cloned().map(FieldChange::Remove));
        for prefix in remove_all {
            edits.push(FieldChange::RemoveAll(prefix.clone(), decided.as_slice().into()));
        }
        let lines = |lines: &[(HeaderName, HeaderValue)], make: fn(_, _) -> FieldChange| {
            let open = lines.iter().filter(|(name, _)| is_open(name)).cloned();
            open.map(|(name, value)| make(name, value)).collect::<Vec<_>>()
        };
        edits.extend(lines(set, FieldChange::Set));
        edits.extend(lines(add, FieldChange::Add));
        self.edits.extend(edits);
    }

    fn decided(&self) -> Vec<HeaderName> {
        let name = |edit: &FieldChange| match edit {
            FieldChange::Remove(name) | FieldChange::Set(name, _) | FieldChange::Add(name, _) => {
                Some(name.clone())
            }
            FieldChange::RemoveAll(..) => None,
        };
        self.edits.iter().filter_map(name).collect()
    }

    fn prefixes(&self) -> Vec<String> {
        let prefix = |edit: &FieldChange| match edit {
            FieldChange::RemoveAll(prefix, _) => Some(prefix.clone()),
            _ => None,
        };
        self.edits.iter().filter_map(prefix).collect()
    }
}

fn names_in(fields: &HeaderMap, prefix: &str, but: &[HeaderName]) -> Vec<HeaderName> {
    let begins = |name: &&HeaderName| name.as_str().starts_with(prefix) && !but.contains(name);
    fields.keys().filter(begins).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HeaderName {
        text.parse().unwrap()
    }

    fn line(field: &str, value: &str) -> (HeaderName, HeaderValue) {
        (name(field), HeaderValue::from_str(value).unwrap())
    }

    fn changed(rules: &[FieldEdits], fields: &[(&str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (field, value) in fields {
            map.append(name(field), HeaderValue::from_str(value).unwrap());
        }
        FieldChanges::of(rules.iter()).apply(&mut map);
        let mut lines: Vec<_> =
            map.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        lines.sort();
        lines.join(" ")
    }

    #[test]
    fn a_field_is_set_added_and_removed() {
        let edits = FieldEdits {
            remove: vec![name("x-a")],
            remove_all: vec!["x-middleware-".to_owned()],
            set: vec![line("x-b", "1")],
            add: vec![line("x-c", "2")],
        };
        let fields =
            [("x-a", "0"), ("x-b", "0"), ("x-b", "0"), ("x-c", "0"), ("x-middleware-next", "1")];
        assert_eq!(changed(&[edits], &fields), "x-b=1 x-c=0 x-c=2");
    }

    #[test]
    fn the_first_rule_that_names_a_field_decides_all_of_it() {
        let first = FieldEdits { set: vec![line("x-a", "first")], ..FieldEdits::default() };
        let second = FieldEdits {
            remove: vec![name("x-b")],
            remove_all: vec!["x-".to_owned()],
            set: vec![line("x-a", "second")],
            add: vec![line("x-a", "second")],
        };
        let third = FieldEdits {
            set: vec![line("x-z", "third"), line("y", "third")],
            ..FieldEdits::default()
        };
        let rules = [first, second, third];
        assert_eq!(changed(&rules, &[("x-b", "0"), ("x-q", "0")]), "x-a=first y=third");
    }
}
