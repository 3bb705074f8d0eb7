//! Each kind of purge against pages of all flavors.

use crate::arena::Contest;
use crate::arena::purges::Kind;

#[test]
fn nothing_from_before_a_purge_by_tag_is_shown_after_it() {
    race(&[Kind::Tag]);
}

#[test]
fn nothing_from_before_a_purge_by_etag_is_shown_after_it() {
    race(&[Kind::EntityTag]);
}

#[test]
fn nothing_from_before_a_purge_by_url_is_shown_after_it() {
    race(&[Kind::Url]);
}

#[test]
fn nothing_from_before_a_purge_by_host_is_shown_after_it() {
    race(&[Kind::Host]);
}

#[test]
fn nothing_from_before_a_purge_by_prefix_is_shown_after_it() {
    race(&[Kind::Prefix]);
}

#[test]
fn nothing_from_before_a_purge_of_everything_is_shown_after_it() {
    race(&[Kind::All]);
}

/// Purges must have overtaken many fetches: otherwise there was no race.
fn race(kinds: &'static [Kind]) {
    let contest = Contest { kinds, races: 2000, ..Contest::default() };
    let outcome = contest.run();
    assert!(outcome.overtaken > contest.races as u64 / 20, "{outcome:?}");
}
