//! The rules of a configuration, and the policies that are made of those that match.

pub mod edited;
pub mod next_rsc;
mod counters;
mod effects;
mod field_changes;
mod identity;
mod inspection;
mod own_answer;
mod rendered;
mod response_terms;
mod stored_paths;

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use parking_lot::Mutex;
use process::metrics::Counter;
use serde_json::Value;
use settings::{Config, EffectiveSettings, RuleSettings};

use self::counters::RuleCounters;
pub use self::counters::RuleUse;
pub use self::effects::RuleEffects;
pub use self::inspection::inspect;
pub use self::own_answer::OwnAnswer;
use self::own_answer::OwnContent;
pub use self::response_terms::ResponseTerms;
use super::Policy;
use super::matcher::{MatchedRules, Matcher, RequestView};
use crate::key::KeyRules;
use crate::metrics::family::Family;

/// The rules, and the policies that were made of them. A copy begins without any.
#[derive(Debug)]
pub struct CompiledRules {
    shared: Arc<SharedRules>,
    tables: Arc<EffectiveSettings>,
    /// The policy of the tables alone.
    default: Policy,
    merged: Mutex<HashMap<MatchedRules, Arc<Policy>>>,
}

/// The parts that all copies share, and only read.
#[derive(Debug)]
pub(super) struct SharedRules {
    list: Box<[RuleSettings]>,
    matcher: Matcher,
    asks_for_client: bool,
    asks_for_method: bool,
    rewrites: bool,
    /// By rule: a hash of all that it sets.
    identities: Box<[u64]>,
    /// By rule: what it answers by itself.
    contents: Box<[Option<OwnContent>]>,
    /// By rule; those of a rule with the same name before the last reload go on.
    counters: Box<[Arc<RuleCounters>]>,
    /// Policies that workers dropped because there were too many; goes on after a reload.
    dropped: Arc<Counter>,
}

impl CompiledRules {
    /// Compiles the rules of a configuration with these tables, whose policy is `default`.
    pub(super) fn new(
        config: &Config,
        (tables, default): (EffectiveSettings, Policy),
        before: Option<&Self>,
    ) -> Self {
        let counters = |rule: &RuleSettings| {
            before.and_then(|before| before.counters_of(&rule.name)).unwrap_or_default()
        };
        let matcher = Matcher::new(&config.rules);
        let shared = SharedRules {
            list: config.rules.as_slice().into(),
            asks_for_client: matcher.asks_for_client(),
            asks_for_method: matcher.asks_for_method(),
            rewrites: config.rules.iter().any(|rule| rule.actions.request.rewrite.is_some()),
            matcher,
            identities: config.rules.iter().map(identity::of).collect(),
            contents: config.rules.iter().map(OwnContent::of).collect(),
            counters: config.rules.iter().map(counters).collect(),
            dropped: before.map(|before| Arc::clone(&before.shared.dropped)).unwrap_or_default(),
        };
        let (shared, tables) = (Arc::new(shared), Arc::new(tables));
        Self { shared, tables, default, merged: Mutex::default() }
    }

    /// The rules in their order, with those of presets.
    pub fn list(&self) -> &[RuleSettings] {
        &self.shared.list
    }

    pub fn asks_for_client(&self) -> bool {
        self.shared.asks_for_client
    }

    /// Returns whether a rule tells methods apart.
    pub fn asks_for_method(&self) -> bool {
        self.shared.asks_for_method
    }

    /// Returns whether a rule asks the origin for another path than the client did.
    pub(super) fn rewrite(&self) -> bool {
        self.shared.rewrites
    }

    /// Returns the rules that a request matches, by their places.
    pub fn matches(&self, request: &RequestView<'_>) -> MatchedRules {
        self.shared.matcher.matches(request)
    }

    /// Returns the policy of a request; `None`: no rule matches it.
    pub(super) fn resolve(&self, request: &RequestView<'_>) -> Option<Arc<Policy>> {
        let matched = self.matches(request);
        (!matched.is_empty()).then(|| self.policy(matched))
    }

    /// Returns the rules that keep the response to a rewritten request apart: those of the
    /// request, and those for which only one of the two paths is meant.
    pub(super) fn apart_when_rewritten(
        &self,
        effects: &RuleEffects,
        rewritten: &RequestView<'_>,
    ) -> Option<KeyRules> {
        let direct = self.matches(rewritten);
        let own = effects.matched();
        let one_sided =
            own.iter().filter(|place| !direct.contains(place)).map(|place| (*place, true)).chain(
                direct.iter().filter(|place| !own.contains(place)).map(|place| (*place, false)),
            );
        let hash = one_sided
            .filter(|(place, _)| self.rule(*place).is_some_and(identity::shapes_or_ends))
            .fold(effects.apart().map_or(0, |rules| rules.0.get()), |hash, (place, is_own)| {
                let own = self.shared.identities.get(usize::from(place)).copied();
                identity::join(hash, own.unwrap_or_default() ^ u64::from(is_own))
            });
        NonZeroU64::new(hash).map(KeyRules)
    }

    /// Returns the other paths under which responses to requests for this one may be stored.
    pub(super) fn stored_paths(&self, host: &str, path: &str, default: &Policy) -> Vec<String> {
        stored_paths::of(self.list(), &self.tables, host, path, default)
    }

    /// Returns what was counted of all rules, as JSON.
    pub fn document(&self) -> Vec<Value> {
        self.counted().map(|(rule, counters)| counters.document(rule)).collect()
    }

    pub(crate) fn families(&self) -> Vec<Family> {
        let mut families = counters::families(self.counted());
        families.push(Family::counter(
            "shellac_rule_policies_dropped",
            "Policies of sets of rules that a worker dropped because it had too many",
            self.shared.dropped.value(),
        ));
        families
    }

    fn counted(&self) -> impl Iterator<Item = (&RuleSettings, &Arc<RuleCounters>)> {
        self.list().iter().zip(&self.shared.counters)
    }

    fn counters_of(&self, name: &str) -> Option<Arc<RuleCounters>> {
        let found = self.counted().find(|(rule, _)| rule.name == name);
        found.map(|(_, counters)| Arc::clone(counters))
    }

    fn rule(&self, place: u16) -> Option<&RuleSettings> {
        self.shared.list.get(usize::from(place))
    }

    fn policy(&self, matched: MatchedRules) -> Arc<Policy> {
        let mut merged = self.merged.lock();
        if let Some(policy) = merged.get(&matched) {
            return Arc::clone(policy);
        }
        if merged.len() >= MERGED_MAX {
            let mut is_kept = false;
            merged.retain(|_, _| {
                is_kept = !is_kept;
                is_kept
            });
            self.shared.dropped.add((MERGED_MAX - merged.len()) as u64);
        }
        let policy = Arc::new(self.merge(&matched));
        merged.insert(matched, Arc::clone(&policy));
        policy
    }

    /// The last rule is applied first, so that the first one decides.
    #[cold]
    fn merge(&self, matched: &MatchedRules) -> Policy {
        let mut settings = EffectiveSettings::clone(&self.tables);
        for rule in matched.iter().rev().filter_map(|place| self.rule(*place)) {
            rule.actions.settings.apply(&mut settings);
        }
        let effects = RuleEffects::new(&self.shared, matched.clone());
        let policy = self.default.changed(&self.tables, &settings);
        Policy { effects: Some(Box::new(effects)), ..policy }
    }
}

impl Clone for CompiledRules {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            tables: Arc::clone(&self.tables),
            default: self.default.clone(),
            merged: Mutex::default(),
        }
    }
}

/// The policies that a worker keeps, each of less than 2 KiB beside what its rules change: one for
/// each rule where each is of one host. Clients choose which rules match: past it, half of them are
/// dropped.
const MERGED_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use http::{HeaderMap, HeaderValue, Method};
    use settings::Sources;

    use super::super::Policies;
    use super::*;

    fn policies(rules: &str) -> Policies {
        let text = format!("[origin.app]\nservers = [\"127.0.0.1:1\"]\n{rules}");
        let file = Some(("test.toml".to_owned(), text));
        Policies::new(&Config::load(&Sources { file, ..Sources::default() }).unwrap(), None)
    }

    #[test]
    fn more_sets_of_rules_than_are_kept_are_right_and_dropped_ones_are_counted() {
        const FIELDS: usize = 13;
        const SETS: usize = MERGED_MAX + 1;
        let mut text = String::new();
        for field in 0..FIELDS {
            write!(text, "[[rule]]\nheader = {{ x-{field} = \"1\" }}\nttl = \"1s\"\n").unwrap();
        }
        let policies = policies(&text);
        for set in 1..=SETS {
            let places: Vec<_> = (0..FIELDS).filter(|field| set >> field & 1 == 1).collect();
            let fields: HeaderMap = places
                .iter()
                .map(|field| (format!("x-{field}").parse().unwrap(), HeaderValue::from_static("1")))
                .collect();
            let request = RequestView::new(&Method::GET, "h", "/", &fields);
            let policy = policies.resolve(&request).unwrap();
            let matched = policy.effects.as_ref().unwrap().matched();
            assert!(matched.iter().map(|place| usize::from(*place)).eq(places), "{set}");
        }
        let rules = policies.rules().unwrap();
        assert_eq!(rules.shared.dropped.value(), MERGED_MAX as u64 / 2);
        assert_eq!(rules.merged.lock().len(), MERGED_MAX / 2 + 1);
    }

    #[test]
    fn the_policy_of_each_of_many_hosts_is_kept() {
        const HOSTS: usize = 1500;
        let mut text = String::new();
        for host in 0..HOSTS {
            write!(text, "[[rule]]\nhost = \"h{host}.example\"\nttl = \"{host}s\"\n").unwrap();
        }
        let policies = policies(&text);
        let fields = HeaderMap::new();
        let all = || -> Vec<Arc<Policy>> {
            let host = |host: usize| {
                let host = format!("h{host}.example");
                policies.resolve(&RequestView::new(&Method::GET, &host, "/", &fields)).unwrap()
            };
            (0..HOSTS).map(host).collect()
        };
        let (first, again) = (all(), all());
        assert!(first.iter().zip(&again).all(|(first, again)| Arc::ptr_eq(first, again)));
        let own = size_of::<Policy>() + size_of::<RuleEffects>();
        assert!(own < 2 << 10, "{own} bytes");
        let shares = |policy: &Arc<Policy>| Arc::ptr_eq(&policy.cookies, &first[0].cookies);
        assert!(first.iter().all(shares));
    }
}
