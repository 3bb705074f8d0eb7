//! Each kind of purge against pages of all flavors.

use crate::arena::Contest;
use crate::arena::purges::Kind;

#[test]
fn a_purge_by_tag_hides_every_older_response() {
    race(&[Kind::Tag]);
}

#[test]
fn a_purge_by_etag_hides_every_older_response() {
    race(&[Kind::EntityTag]);
}

#[test]
fn a_purge_by_url_hides_every_older_response() {
    race(&[Kind::Url]);
}

#[test]
fn a_purge_by_host_hides_every_older_response() {
    race(&[Kind::Host]);
}

#[test]
fn a_purge_by_prefix_hides_every_older_response() {
    race(&[Kind::Prefix]);
}

#[test]
fn a_purge_by_page_hides_every_older_response() {
    race(&[Kind::Page]);
}

#[test]
fn a_purge_by_path_hides_every_older_response() {
    race(&[Kind::Path]);
}

#[test]
fn a_purge_by_expression_hides_every_older_response_that_meets_it() {
    race(&[Kind::Both, Kind::EitherBut]);
}

#[test]
fn a_deploy_hides_every_older_response_in_whatever_order_deploys_arrive() {
    race(&[Kind::Deploy, Kind::Tag, Kind::Url]);
}

#[test]
fn a_purge_of_everything_hides_every_older_response() {
    race(&[Kind::All]);
}

/// Purges must have overtaken many fetches: otherwise there was no race.
fn race(kinds: &'static [Kind]) {
    let contest = Contest { kinds, races: 2000, ..Contest::default() };
    let outcome = contest.run();
    assert!(outcome.overtaken > contest.races as u64 / 20, "{outcome:?}");
}
