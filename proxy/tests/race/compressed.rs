//! Pages that are compressed: a purge hits every form, also one that is being made.

use crate::arena::Contest;
use crate::arena::page::Flavor;

#[test]
fn no_compressed_form_escapes_a_purge() {
    for storage in ["memory", "file"] {
        let contest = Contest { compression: "on", storage, ..Contest::default() };
        let outcome = contest.run();
        assert!(outcome.compressed > contest.races as u64 / 5, "{outcome:?}");
        assert!(outcome.reported > contest.races as u64 / 20, "{outcome:?}");
    }
}

#[test]
fn forms_of_large_pages_are_purged_while_they_are_made() {
    let flavors = &[Flavor::Lasting, Flavor::Varying];
    let contest = Contest { compression: "on", padding: 40_000, flavors, ..Contest::default() };
    let outcome = contest.run();
    assert!(outcome.compressed > contest.races as u64 / 5, "{outcome:?}");
    assert!(outcome.overtaken > contest.races as u64 / 20, "{outcome:?}");
}
