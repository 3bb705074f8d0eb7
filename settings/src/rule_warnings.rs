//! Rules that have no effect, and rules that are dangerous.

use super::report::ProblemBuilder;
use super::tree::Node;
use super::{Config, RuleSettings, SetCookie};

/// A rule that no request reaches, or all of whose settings earlier rules have decided.
pub(super) fn rules_without_effect(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let mut drafts = Vec::new();
    for (place, rule) in config.rules.iter().enumerate() {
        let earlier: Vec<&RuleSettings> = config.rules.iter().take(place).collect();
        let covering = || earlier.iter().filter(|earlier| earlier.covers(rule));
        if let Some(end) = covering().find(|earlier| earlier.ends()) {
            let message = format!(
                "the rule `{}` never matches: `{}` is for all its requests, and is the last one for them",
                rule.name, end.name
            );
            let help = format!("write it before `{}`, or take it out", end.name);
            drafts.push(at(
                root,
                rule,
                ProblemBuilder::warning(message, "never reached").help(help),
            ));
            continue;
        }
        let things = rule.things();
        // Without a status, a lifetime is not for errors.
        let is_for_more = !rule.response.statuses.is_empty();
        let decides = |earlier: &&&RuleSettings| {
            !is_for_more || earlier.response.statuses == rule.response.statuses
        };
        let is_decided = |thing: &String| {
            covering().filter(decides).any(|earlier| earlier.things().contains(thing))
        };
        let has_effect = things.is_empty() || rule.last || rule.preset.is_some();
        if !has_effect && things.iter().all(is_decided) {
            let has_one = |earlier: &&&RuleSettings| {
                earlier.things().iter().any(|thing| things.contains(thing))
            };
            let names: Vec<String> =
                covering().filter(has_one).map(|earlier| format!("`{}`", earlier.name)).collect();
            let message = format!(
                "the rule `{}` has no effect: {} decided all that it sets",
                rule.name,
                names.join(", ")
            );
            let draft =
                ProblemBuilder::warning(message, "the first rule that sets a thing decides it")
                    .help("write the narrower rule first");
            drafts.push(at(root, rule, draft));
        }
    }
    drafts
}

/// Rules by which clients share what the origin, or RFC 9111, keeps apart.
pub(super) fn rules_that_share(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let mut drafts = Vec::new();
    for rule in &config.rules {
        if rule.force {
            let message = format!(
                "the rule `{}` forces: what is stored by it may be one client's own",
                rule.name
            );
            let draft = ProblemBuilder::warning(
                message,
                "`private`, `no-store`, `no-cache` and `Authorization` are ignored",
            );
            let help = "be sure that these responses are the same for everybody";
            drafts.push(at(root, rule, draft.help(help)));
        }
        if rule.actions.response.set_cookie == Some(SetCookie::Store) {
            let message = format!("the rule `{}` gives every client the cookie of one", rule.name);
            let draft = ProblemBuilder::warning(message, "a session would be everybody's")
                .help("`set_cookie = \"strip\"` gives it to nobody");
            drafts.push(at(root, rule, draft));
        }
    }
    drafts
}

/// A parameter that a preset needs in the key, and an earlier rule has decided about.
pub(super) fn queries_that_presets_need(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let sets_query =
        |rule: &RuleSettings| rule.things().into_iter().any(|thing| thing.starts_with("key.query"));
    let mut drafts = Vec::new();
    for (place, rule) in config.rules.iter().enumerate() {
        if rule.within.is_none() || !sets_query(rule) {
            continue;
        }
        let mut earlier = config.rules.iter().take(place);
        let decides = |earlier: &&RuleSettings| {
            earlier.index != rule.index && sets_query(earlier) && earlier.covers(rule)
        };
        if let Some(earlier) = earlier.find(decides) {
            let message = format!(
                "the rule `{}` decides `key.query` before `{}`, whose preset needs its parameters",
                earlier.name, rule.name
            );
            let draft = ProblemBuilder::warning(message, "the first rule decides")
                .help(format!("write it after `{}`", preset_of(config, rule)));
            drafts.push(at(root, earlier, draft));
        }
    }
    drafts
}

/// The name of the rule that names the preset.
fn preset_of<'c>(config: &'c Config, rule: &RuleSettings) -> &'c str {
    let own = config.rules.iter().find(|it| it.index == rule.index && it.within.is_none());
    own.map_or("", |own| own.name.as_str())
}

fn at(root: &Node, rule: &RuleSettings, draft: ProblemBuilder) -> ProblemBuilder {
    let rules = root.at(&["rule"]).and_then(Node::items).unwrap_or_default();
    match rules.get(rule.index) {
        Some(node) => draft.at(&node.place),
        None => draft,
    }
}
