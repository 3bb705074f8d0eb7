//! Presets: rules in the binary, for a framework or a CMS.

use super::{RuleActions, RuleSettings};
use crate::report::{Report, nearest};
use crate::table;
use crate::tree::{Location, Node, Value, syntax};
use crate::value::{Fault, text};

/// The presets' names and rules, as TOML.
pub const PRESETS: &[(&str, &str)] = &[
    ("nextjs", include_str!("../../presets/nextjs.toml")),
    ("nuxt", include_str!("../../presets/nuxt.toml")),
    ("sveltekit", include_str!("../../presets/sveltekit.toml")),
    ("react-router", include_str!("../../presets/react-router.toml")),
    ("astro", include_str!("../../presets/astro.toml")),
    ("rails", include_str!("../../presets/rails.toml")),
    ("django", include_str!("../../presets/django.toml")),
    ("drupal", include_str!("../../presets/drupal.toml")),
    ("magento", include_str!("../../presets/magento.toml")),
    ("wordpress", include_str!("../../presets/wordpress.toml")),
];

/// Returns the rules of a preset, as TOML.
pub fn preset(name: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(known, _)| *known == name).map(|(_, rules)| *rules)
}

/// Reads the name of a preset.
pub(super) fn known(node: &Node) -> Result<String, Fault> {
    let name = text(node)?;
    if preset(name).is_some() {
        return Ok(name.to_owned());
    }
    let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
    let fault = Fault::new(format!("must be a preset, and `{name}` is none"), "unknown value");
    Err(match nearest(name, names.iter().copied()) {
        Some(near) => fault.help(format!("did you mean \"{near}\"?")),
        None => fault.help(format!("there is: {}", names.join(", "))),
    })
}

/// Adds the rules of a preset after the rule that names it, which is the last of `rules`. Where
/// that rule `ends` the search, one that does nothing else follows.
pub(super) fn expand(name: &str, parent: usize, ends: bool, rules: &mut Vec<RuleSettings>) {
    let Some(own) = preset(name) else { return };
    let Some(parent) = rules.get(parent).cloned() else { return };
    rules.extend(rules_of(own, &parent));
    if ends {
        rules.push(RuleSettings {
            name: format!("{}/last", parent.name),
            preset: None,
            actions: RuleActions::default(),
            force: false,
            last: true,
            ..parent
        });
    }
}

/// Reads the rules of a preset under the conditions of the rule that names it.
fn rules_of(text: &str, parent: &RuleSettings) -> Vec<RuleSettings> {
    let mut report = Report::default();
    let source = report.add_source("preset", text);
    let entries = syntax::document(text, source, &mut report);
    let root = Node { place: Location::new(source, 0..0), value: Value::Table(entries) };
    let rules = table::read_root(&root, &mut report, RuleSettings::read_all);
    debug_assert!(!report.has_errors(), "a preset is wrong: {:?}", report.finish().0);
    let within = Box::new((parent.matches.clone(), parent.not.clone()));
    let under = |rule: RuleSettings| RuleSettings {
        name: format!("{}/{}", parent.name, rule.name),
        index: parent.index,
        within: Some(within.clone()),
        ..rule
    };
    rules.into_iter().map(under).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Expected;

    #[test]
    fn the_rules_of_a_preset_hold_where_the_rule_that_names_it_does() {
        let host = crate::pattern::host_pattern("shop.example").unwrap();
        let mut parent = RuleSettings { name: "shop".to_owned(), index: 3, ..Default::default() };
        parent.matches.hosts.push(host);
        let text = "[[rule]]\nname = \"data\"\npath = \"/_next/data/**\"\nheader = { rsc = \"*\" }\nttl = \"1m\"\n";
        let rules = rules_of(text, &parent);
        let [rule] = rules.as_slice() else { panic!("{rules:?}") };
        assert_eq!((rule.name.as_str(), rule.index), ("shop/data", 3));
        let conditions: Vec<_> = rule.conditions().collect();
        assert_eq!(conditions.len(), 2);
        assert_eq!(conditions[0], (&parent.matches, true));
        assert_eq!(conditions[1].0.fields[0].1, [Expected::Present]);
        assert!(rule.looks_beyond_the_path());
    }

    #[test]
    fn every_preset_is_right() {
        for (name, text) in PRESETS {
            let (config, _) = crate::Config::load_written(&in_a_file(text), |_| Vec::new())
                .unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
            assert!(!config.rules.is_empty(), "{name}");
        }
    }

    fn in_a_file(text: &str) -> crate::Sources {
        let origin = "[origin.app]\nservers = [\"127.0.0.1:3000\"]\n";
        let file = Some(("preset.toml".to_owned(), format!("{origin}{text}")));
        crate::Sources { file, ..crate::Sources::default() }
    }
}
