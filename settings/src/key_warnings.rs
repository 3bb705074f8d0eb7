//! Settings of `[key]` that have no effect.

use http::header::ACCEPT_LANGUAGE;

use super::report::ProblemBuilder;
use super::tree::Node;
use super::{Config, VaryMode};

/// A country is believed from trusted peers only.
pub(super) fn countries_that_nobody_may_name(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let is_trusting = config.listen.iter().any(|listen| !listen.trusted_proxies.is_empty());
    let Some(country) = config.key.country.as_ref().filter(|_| !is_trusting) else {
        return Vec::new();
    };
    let message = format!(
        "`key.country.header` is `{}`, and no listener has `trusted_proxies`",
        country.name
    );
    let draft = ProblemBuilder::warning(message, "every client would be without a country")
        .help("name the peers that set it: trusted_proxies = [\"10.0.0.0/8\"]");
    vec![at(root, &["key", "country", "header"], draft)]
}

/// A field that always selects a variant needs no mode.
pub(super) fn modes_without_effect(config: &Config, root: &Node) -> Vec<ProblemBuilder> {
    let key = &config.key;
    let mut drafts = Vec::new();
    for (name, mode) in &key.vary {
        let is_language = *name == ACCEPT_LANGUAGE && !key.languages.is_empty();
        let setting = if key.headers.iter().any(|field| field.name == *name) {
            "key.headers"
        } else if key.country.as_ref().is_some_and(|country| country.name == *name) {
            "key.country"
        } else if is_language && *mode != VaryMode::Normalize {
            "key.languages"
        } else {
            continue;
        };
        let message =
            format!("`key.vary` has no effect on `{name}`, which `{setting}` has in the key");
        let draft = ProblemBuilder::error(message, "it selects a variant of every response");
        let entries = root.at(&["key", "vary"]).map(Node::entries).unwrap_or_default();
        let written = entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(name.as_str()));
        let draft = draft.help("take it out of one of them");
        drafts.push(match written {
            Some(entry) => draft.at(&entry.place),
            None => draft,
        });
    }
    drafts
}

fn at(root: &Node, path: &[&str], draft: ProblemBuilder) -> ProblemBuilder {
    match root.at(path) {
        Some(node) => draft.at(&node.place),
        None => draft,
    }
}
