//! The effect of a rule, as a number that is the same in every process.

use settings::RuleSettings;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Returns a hash of all that a rule sets; its conditions and its place do not matter.
pub(super) fn of(rule: &RuleSettings) -> u64 {
    let RuleSettings { response, actions, last, force, .. } = rule;
    xxh3_64(format!("{response:?}{actions:?}{last}{force}").as_bytes())
}

/// Returns whether responses may depend on whether this rule matches.
pub(super) fn shapes_or_ends(rule: &RuleSettings) -> bool {
    rule.shapes_what_is_stored() || rule.last
}

/// Adds a rule to the hash of those before it. Never zero.
pub(super) fn join(hash: u64, identity: u64) -> u64 {
    xxh3_64_with_seed(&identity.to_le_bytes(), hash).max(1)
}
