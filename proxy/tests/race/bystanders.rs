//! Pages that purges do not name, and responses that requests hold while they are purged.

use crate::arena::Contest;
use crate::arena::page::Flavor;
use crate::arena::purges::Kind;

/// Fetches all the time, beside purges of prefixes that cover none of them, which end none. Counted
/// alike is a fetch that is slower than one that was sent after it, which a busy machine may bring.
#[test]
fn purges_of_foreign_prefixes_overtake_no_fetch() {
    for storage in ["memory", "file"] {
        let flavors = &[Flavor::Validated, Flavor::Refreshed];
        let contest =
            Contest { kinds: &[Kind::Foreign], flavors, storage, races: 600, ..Contest::default() };
        let outcome = contest.run();
        assert!(outcome.refreshed > 0 && outcome.followed > 0, "{outcome:?}");
        assert!(outcome.overtaken <= outcome.refreshed / 100, "{outcome:?}");
    }
}

#[test]
fn purges_of_prefixes_win_beside_purges_of_foreign_ones() {
    let contest = Contest { kinds: &[Kind::Prefix, Kind::Foreign], ..Contest::default() };
    let outcome = contest.run();
    assert!(outcome.overtaken > contest.races as u64 / 50, "{outcome:?}");
}

/// Stale pages are served on error all the time, but not those that were hard-purged, even after
/// these have left a store that is too small for all.
#[test]
fn a_hard_purged_response_is_never_served_on_an_error() {
    for (storage, capacity) in [("memory", "64MiB"), ("memory", "1MiB"), ("file", "1MiB")] {
        let contest = Contest {
            flavors: &[Flavor::Validated, Flavor::Confirmed, Flavor::Lasting],
            pages: 60,
            padding: 20_000,
            capacity,
            storage,
            is_failing: true,
            races: 600,
            ..Contest::default()
        };
        let outcome = contest.run();
        assert!(outcome.validated > 0, "{outcome:?}");
    }
}
