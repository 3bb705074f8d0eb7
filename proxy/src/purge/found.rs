//! Stored responses: those that meet a condition, and everything of one URL.

use std::collections::HashSet;
use std::sync::Arc;

use purge_protocol::CanonicalUrl;
use purge_protocol::request::Target;

use super::PurgeExecutor;
use super::target::ResolvedTarget;
use crate::invalidation::{PurgeCondition, Subject};
use crate::store::{Promote, Stored, cold};

/// Returns the responses that meet a condition: those of its rarest tag, or of all that a walk
/// has found where no tag tells.
pub(super) fn meeting(
    executor: &PurgeExecutor,
    condition: &PurgeCondition,
    walked: &[Arc<Stored>],
) -> Vec<Arc<Stored>> {
    let table = executor.invalidation.ids();
    let mut seen = HashSet::new();
    let mut found: Vec<_> = match condition.carried_by_all(|id| table.live(id)) {
        Some(ids) => ids.iter().flat_map(|id| executor.holders(*id)).collect(),
        None => walked.to_vec(),
    };
    found.retain(|stored| {
        let (key, tags) = (&stored.key, &stored.provenance);
        let subject = Subject { key, tags, table };
        condition.is_met(&subject) && seen.insert(Arc::as_ptr(stored))
    });
    found
}

/// Returns everything that is stored of a URL under its usual spellings, with its tier.
pub async fn stored_of(
    executor: &PurgeExecutor,
    url: &CanonicalUrl,
) -> Vec<(Arc<Stored>, &'static str)> {
    let mut all: Vec<(Arc<Stored>, &'static str)> = Vec::new();
    for target in &executor.stored_urls(&[Target::Url(url.clone())]).targets {
        let ResolvedTarget::Url(keys, ids) = executor.resolve(target) else { continue };
        all.extend(executor.under(&keys, &ids).into_iter().map(|stored| (stored, "memory")));
        for key in &keys {
            let loaded = cold::load(&*executor.store, key, Promote::IfHot).await;
            all.extend(loaded.into_iter().map(|stored| (stored, "file")));
        }
    }
    let mut seen = HashSet::new();
    all.retain(|(stored, _)| seen.insert(Arc::as_ptr(stored)));
    all
}
