//! `PurgeReport`: what a purge did, as the proxy answers it.

use serde::{Deserialize, Serialize};

use crate::request::{PurgeMode, Selector};

/// The answer to a purge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeReport {
    /// The request's own id, or one made by the proxy.
    pub id: String,
    /// The mode in which the matched responses were purged.
    pub mode: PurgeMode,
    /// All selectors together, each stored response counted once.
    pub matched: Matched,
    /// Each selector by itself, in the order of the request.
    pub selectors: Vec<SelectorReport>,
    /// The proxy's purge sequence after this purge.
    pub sequence: u64,
    /// Microseconds it took.
    pub took_us: u64,
    /// Advice about a selector that has matched nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The number of responses that a purge matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matched {
    /// Stored responses, each variant of a URL counted.
    pub objects: u64,
}

/// The matches of one selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectorReport {
    /// The selector as it was asked.
    #[serde(flatten)]
    pub selector: Selector,
    /// Stored responses that it matched.
    pub objects: u64,
    /// Of these, how many an earlier selector of the same request had matched already.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub already_counted: u64,
    /// Of these, how many have more tags than the proxy keeps for one, and are hit by every purge
    /// of a tag that begins like one of theirs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub folded: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}
