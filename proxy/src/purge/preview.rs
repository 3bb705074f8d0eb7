//! The count of what a purge would hit, without it.

use std::collections::HashSet;
use std::sync::Arc;

use purge_protocol::request::Target;
use purge_protocol::{Matched, PurgeMode, PurgeReport, Selector, SelectorReport};
use tokio::time::Instant;

use super::count::Count;
use super::target::ResolvedTarget;
use super::{PurgeExecutor, deploys};
use crate::invalidation::Verdict;
use crate::store::Stored;

/// Counts what the selectors name and what could still be used. Responses that only a file holds
/// are not counted.
pub(super) async fn preview(
    executor: &Arc<PurgeExecutor>,
    id: Option<String>,
    selectors: Vec<(Selector, Target)>,
    mode: PurgeMode,
) -> PurgeReport {
    let started = Instant::now();
    let (selectors, targets): (Vec<_>, Vec<_>) = selectors.into_iter().unzip();
    let counting = Arc::clone(executor);
    let counts = tokio::task::spawn_blocking(move || count(&counting, &targets)).await;
    let counts = counts.unwrap_or_default();
    let objects = counts.iter().map(|count| count.objects - count.already_counted).sum();
    let report = |(selector, count): (Selector, Count)| SelectorReport {
        selector,
        objects: count.objects,
        already_counted: count.already_counted,
        folded: count.folded,
    };
    PurgeReport {
        id: id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string()),
        mode,
        matched: Matched { objects },
        selectors: selectors.into_iter().zip(counts).map(report).collect(),
        sequence: executor.invalidation.sequence().number(),
        took_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        hint: None,
    }
}

fn count(executor: &PurgeExecutor, targets: &[Target]) -> Vec<Count> {
    let stored = executor.stored_urls(targets);
    // They are kept until all are counted: an address stands for one of them.
    let (mut kept, mut seen) = (Vec::new(), HashSet::new());
    let mut of = |target: &Target| {
        let resolved = executor.resolve(target);
        if let ResolvedTarget::Deploy(deploy) = &resolved {
            let objects = deploys::of_others(executor, deploy);
            return Count { objects, ..Count::default() };
        }
        let mut found = executor.search().hits(&resolved);
        found.retain(|stored| is_usable(executor, stored));
        let mut count = Count::default();
        for stored in &found {
            count.objects += 1;
            count.already_counted += u64::from(!seen.insert(Arc::as_ptr(stored)));
            count.folded += u64::from(is_folded(&resolved, stored));
        }
        kept.extend(found);
        count
    };
    let counts = stored.targets.iter().map(&mut of).collect();
    stored.add_up(counts)
}

fn is_usable(executor: &PurgeExecutor, stored: &Stored) -> bool {
    let verdict = || executor.invalidation.verdict(&stored.provenance, &stored.key);
    stored.response().is_some() && verdict() != Verdict::Purged
}

/// Returns whether something else than the tag itself stands for it.
fn is_folded(target: &ResolvedTarget, stored: &Stored) -> bool {
    matches!(target, ResolvedTarget::FoldedTag(id, _) if !stored.provenance.carries(*id))
}
