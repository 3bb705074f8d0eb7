//! The matcher: the rules that a request matches.
//!
//! ```text
//! host ─► table of hosts ─► path index: one walk over the path ─► candidates ─► conditions left open
//! ```
//!
//! A rule is looked at only if its host and its path are those of the request, however many rules
//! there are.

mod automaton;
mod glob;
mod host_table;
pub mod naive;
mod path_index;
mod request_view;

use settings::{RuleMatch, RuleSettings};
use smallvec::SmallVec;

use self::host_table::HostTable;
pub use self::request_view::{RequestView, host_name, without_query};

/// The place of a rule in the list, from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleIndex(pub u16);

/// The rules that a request matches, by their places in the list, in its order.
pub type MatchedRules = SmallVec<[u16; 8]>;

/// Lists of rules that a request may match, each in ascending order.
type RuleLists<'i> = SmallVec<[&'i [RuleIndex]; 16]>;

/// Finds the rules of a list that a request matches.
#[derive(Debug)]
pub struct Matcher {
    table: HostTable,
    /// By rule.
    open: Box<[OpenConditions]>,
    asks_for_client: bool,
    asks_for_method: bool,
}

/// The conditions of one rule that its place in the index does not answer.
#[derive(Debug)]
struct OpenConditions {
    /// Those that have to hold, and of these whether host and path are still open.
    wanted: Box<[Open]>,
    /// Those that must not hold.
    unwanted: Box<[RuleMatch]>,
    /// Where it matches, no later rule is looked at.
    ends: bool,
}

#[derive(Debug)]
struct Open {
    conditions: RuleMatch,
    host: bool,
    path: bool,
}

impl Matcher {
    pub fn new(rules: &[RuleSettings]) -> Self {
        let (table, unindexed) = HostTable::new(rules);
        let open = (0..)
            .zip(rules)
            .map(|(place, rule)| OpenConditions::of(rule, !unindexed.contains(&RuleIndex(place))));
        let conditions =
            || rules.iter().flat_map(RuleSettings::conditions).map(|(conditions, _)| conditions);
        Self {
            table,
            open: open.collect(),
            asks_for_client: conditions().any(|conditions| !conditions.clients.is_empty()),
            asks_for_method: conditions().any(|conditions| !conditions.methods.is_empty()),
        }
    }

    /// Returns the rules that match, up to the first that is the `last` one for every response.
    pub fn matches(&self, request: &RequestView<'_>) -> MatchedRules {
        let mut lists = RuleLists::new();
        self.table.collect(request.host_name(), request.path.as_bytes(), &mut lists);
        let mut candidates: SmallVec<[RuleIndex; 32]> = SmallVec::new();
        for list in &lists {
            candidates.extend_from_slice(list);
        }
        if lists.len() > 1 {
            candidates.sort_unstable();
            candidates.dedup();
        }
        let mut matched = MatchedRules::new();
        for RuleIndex(place) in candidates {
            let Some(open) = self.open.get(usize::from(place)) else { continue };
            if open.hold(request) {
                matched.push(place);
                if open.ends {
                    break;
                }
            }
        }
        matched
    }

    /// Returns whether a rule tells methods apart.
    pub const fn asks_for_method(&self) -> bool {
        self.asks_for_method
    }

    /// Returns whether a rule asks for the client's address.
    pub const fn asks_for_client(&self) -> bool {
        self.asks_for_client
    }
}

impl OpenConditions {
    fn of(rule: &RuleSettings, is_path_indexed: bool) -> Self {
        let (host, path) = (host_table::hosts_of(rule), host_table::paths_of(rule));
        let mut wanted = Vec::new();
        let mut unwanted = Vec::new();
        for (conditions, is_wanted) in rule.conditions() {
            if !is_wanted {
                unwanted.push(conditions.clone());
                continue;
            }
            let is = |other: Option<&RuleMatch>| {
                other.is_some_and(|other| std::ptr::eq(other, conditions))
            };
            let asks_path = !conditions.paths.is_empty() || conditions.path_regex.is_some();
            let is_path_open = asks_path && !(is(path) && is_path_indexed)
                || !conditions.paths.is_empty() && conditions.path_regex.is_some();
            let open = Open {
                host: !conditions.hosts.is_empty() && !is(host),
                path: is_path_open,
                conditions: conditions.clone(),
            };
            if open.host || open.path || asks_more(conditions) {
                wanted.push(open);
            }
        }
        let ends = rule.last && rule.response.is_empty();
        Self { wanted: wanted.into(), unwanted: unwanted.into(), ends }
    }

    fn hold(&self, request: &RequestView<'_>) -> bool {
        let is_held = |open: &Open| {
            (!open.host || naive::has_host(&open.conditions, request))
                && (!open.path || naive::has_path(&open.conditions, request))
                && naive::has_more(&open.conditions, request)
        };
        self.wanted.iter().all(is_held)
            && !self.unwanted.iter().any(|conditions| naive::holds(conditions, request))
    }
}

/// Returns whether there are conditions but those on host and path.
fn asks_more(conditions: &RuleMatch) -> bool {
    let RuleMatch { methods, query, fields, cookies, clients, devices, .. } = conditions;
    !methods.is_empty()
        || !query.is_empty()
        || !fields.is_empty()
        || !cookies.is_empty()
        || !clients.is_empty()
        || !devices.is_empty()
}

#[cfg(test)]
mod tests;
