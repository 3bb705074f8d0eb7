//! Everything that is stored of one URL, in memory and in a file.

use std::collections::HashSet;
use std::sync::Arc;

use purge_protocol::CanonicalUrl;
use purge_protocol::request::Target;

use super::PurgeExecutor;
use super::target::ResolvedTarget;
use crate::store::{Promote, Stored, cold};

/// Returns everything that is stored of a URL under its usual spellings, with its tier.
pub async fn stored_of(
    executor: &PurgeExecutor,
    url: &CanonicalUrl,
) -> Vec<(Arc<Stored>, &'static str)> {
    let mut all: Vec<(Arc<Stored>, &'static str)> = Vec::new();
    for target in &executor.stored_urls(&[Target::Url(url.clone())]).targets {
        let ResolvedTarget::Url(keys, ids) = executor.resolve(target) else { continue };
        all.extend(
            executor.search().under(&keys, &ids).into_iter().map(|stored| (stored, "memory")),
        );
        for key in &keys {
            let loaded = cold::load(&*executor.store, key, Promote::Never).await;
            all.extend(loaded.into_iter().map(|stored| (stored, "file")));
        }
    }
    let mut seen = HashSet::new();
    all.retain(|(stored, _)| seen.insert(Arc::as_ptr(stored)));
    all
}
