//! All kinds of purges and all flavors of pages at once, with room for all pages and without.

use crate::arena::Contest;
use crate::arena::purges::Kind;

#[test]
fn purges_of_all_kinds_at_once_each_win() {
    let contest = Contest::default();
    let outcome = contest.run();
    assert!(outcome.reported > contest.races as u64 / 20, "{outcome:?}");
    assert!(outcome.followed > contest.races as u64 / 20, "{outcome:?}");
}

#[test]
fn purges_win_while_responses_are_evicted() {
    let contest = Contest {
        kinds: &[Kind::Url, Kind::Tag],
        pages: 300,
        padding: 20_000,
        capacity: "1MiB",
        ..Contest::default()
    };
    let outcome = contest.run();
    assert!(outcome.evicted > contest.races as u64 / 20, "{outcome:?}");
}
