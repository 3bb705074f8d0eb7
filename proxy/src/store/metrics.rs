//! The metrics of every store, whichever engine it is.

use super::{Removal, Store};
use crate::metrics::family::{Family, Sample};

/// Returns the families of every store: what it holds in memory.
pub(crate) fn families(store: &dyn Store) -> Vec<Family> {
    let usage = store.usage();
    let tier = || ("tier", "memory".to_owned());
    let removals = Removal::ALL.into_iter().zip(usage.removals);
    let gauge = |name, help, value: u64| {
        let sample = Sample::labelled_gauge([tier()], value);
        Family::single(name, help, sample)
    };
    vec![
        gauge("shellac_cache_objects", "Stored responses", usage.objects),
        gauge(
            "shellac_cache_bytes",
            "Bytes that stored responses occupy, index and tags included",
            usage.bytes,
        ),
        gauge("shellac_cache_capacity_bytes", "Bytes that they may occupy", usage.capacity),
        Family::labelled(
            "shellac_cache_inserts",
            "Responses that were stored",
            std::iter::once(Sample::counter([tier()], usage.inserts)),
        ),
        Family::labelled(
            "shellac_cache_evictions",
            "Stored responses that left, by reason",
            removals.map(|(reason, count)| {
                Sample::counter([tier(), ("reason", reason.as_str().to_owned())], count)
            }),
        ),
    ]
}

/// Returns the family of content that outlives its place in the store.
pub(crate) fn pinned(bytes: u64) -> Family {
    Family::gauge(
        "shellac_cache_pinned_bytes",
        "Bytes of bodies that left the store while clients read them",
        bytes,
    )
}
