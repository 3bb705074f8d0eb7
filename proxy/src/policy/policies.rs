//! `Policies`: the policies of a configuration, one for each set of rules that requests match.

use std::sync::Arc;

use settings::{Config, EffectiveSettings, RuleSettings};

use super::Policy;
use super::matcher::{MatchedRules, RequestView};
use super::rules::CompiledRules;

/// The policies of a configuration. A request that no rule matches has the default one, at no cost
/// where there are no rules.
#[derive(Clone, Debug)]
pub struct Policies {
    default: Policy,
    rules: Option<Box<CompiledRules>>,
}

impl Policies {
    /// Makes the policies. Reads the files that rules answer with. What `before` has counted of
    /// rules goes on.
    pub fn new(config: &Config, before: Option<&Self>) -> Self {
        let tables = EffectiveSettings::of(config);
        let default = Policy::new(&tables);
        let rules = (!config.rules.is_empty()).then(|| {
            let before = before.and_then(Self::rules);
            Box::new(CompiledRules::new(config, (tables, default.clone()), before))
        });
        Self { default, rules }
    }

    /// Resolves a request. `None`: no rule matches it.
    pub fn resolve(&self, request: &RequestView<'_>) -> Option<Arc<Policy>> {
        self.rules.as_ref()?.resolve(request)
    }

    /// The policy of requests that no rule matches.
    pub const fn default(&self) -> &Policy {
        &self.default
    }

    /// The rules; `None` where there are none.
    pub fn rules(&self) -> Option<&CompiledRules> {
        self.rules.as_deref()
    }

    /// The rules in their order, with those of presets.
    pub fn list(&self) -> &[RuleSettings] {
        self.rules().map_or(&[], CompiledRules::list)
    }

    /// Returns the rules that a request matches, by their places.
    pub fn matches(&self, request: &RequestView<'_>) -> MatchedRules {
        self.rules().map_or_else(MatchedRules::new, |rules| rules.matches(request))
    }

    /// Returns whether a rule asks the origin for another path than the client did.
    pub fn rewrite(&self) -> bool {
        self.rules().is_some_and(CompiledRules::rewrite)
    }

    /// Returns the other paths, with their queries, under which responses to requests for this one
    /// may be stored: what rules rewrite it to, and what the filters leave of its query.
    pub fn stored_paths(&self, host: &str, path: &str) -> Vec<String> {
        match self.rules() {
            Some(rules) => rules.stored_paths(host, path, &self.default),
            None => self.default.query.apply(path).map(|it| it.target).into_iter().collect(),
        }
    }
}
