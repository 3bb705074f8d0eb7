//! The engines with a file: what was purged comes back neither from memory nor from the file.

use crate::arena::Contest;
use crate::arena::purges::Kind;

#[test]
fn purges_of_all_kinds_win_against_responses_in_a_file() {
    let contest = Contest { storage: "file", ..Contest::default() };
    let outcome = contest.run();
    assert!(outcome.reported > contest.races as u64 / 20, "{outcome:?}");
}

#[test]
fn purges_win_while_responses_leave_memory_for_the_file_and_come_back() {
    for storage in ["file", "tiered"] {
        let contest = Contest {
            kinds: &[
                Kind::Url,
                Kind::Tag,
                Kind::Prefix,
                Kind::Page,
                Kind::Path,
                Kind::Both,
                Kind::Deploy,
            ],
            pages: 300,
            padding: 20_000,
            capacity: "1MiB",
            storage,
            ..Contest::default()
        };
        let outcome = contest.run();
        assert!(outcome.recalled > contest.races as u64 / 20, "{outcome:?}");
    }
}
