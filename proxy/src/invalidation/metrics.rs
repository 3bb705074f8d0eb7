//! Metrics of tags, marks and revisions.

use super::Invalidation;
use crate::metrics::family::Family;

pub(crate) fn tags(invalidation: &Invalidation) -> Family {
    Family::gauge("shellac_tags", "Tags that are known", invalidation.tag_count())
}

/// Returns the families of purges, as running fetches are judged by them.
pub(crate) fn families(invalidation: &Invalidation) -> Vec<Family> {
    vec![
        Family::gauge(
            "shellac_purge_sequence",
            "The last purge's place in the order of all",
            invalidation.sequence().number(),
        ),
        Family::gauge(
            "shellac_purged_prefixes",
            "Purges by prefix that are remembered for running fetches",
            invalidation.prefix_count(),
        ),
        Family::gauge(
            "shellac_purged_expressions",
            "Purges by expression that are remembered for running fetches",
            invalidation.condition_count(),
        ),
        Family::gauge(
            "shellac_deployments_present",
            "Present deployments: of single hosts, and of all others",
            invalidation.deployments().current().len(),
        ),
        Family::gauge(
            "shellac_no_vary_search_declarations",
            "What responses of each host have declared about the queries of their URLs",
            invalidation.ids().searches().len(),
        ),
        Family::counter(
            "shellac_no_vary_search_declarations_refused",
            "Declarations for which there was no room",
            invalidation.ids().searches().refused.value(),
        ),
        Family::counter(
            "shellac_no_vary_search_hits",
            "Requests that a response of an equivalent URL has answered",
            invalidation.ids().searches().shared.value(),
        ),
        Family::counter(
            "shellac_purge_floor_raised",
            "Times that old fetches were given up because too many purges waited for them",
            invalidation.floor_raised.value(),
        ),
    ]
}

pub(crate) fn fence_families(invalidation: &Invalidation) -> Vec<Family> {
    let fence = invalidation.fence();
    vec![
        Family::gauge("shellac_revisions", "Tags and hosts with a lowest revision", fence.len()),
        Family::counter(
            "shellac_revisions_dropped",
            "Lowest revisions that made room",
            fence.dropped.value(),
        ),
    ]
}
