//! All kinds of purges against pages of one flavor: validations and background refreshes are
//! fetches, too.

use crate::arena::Contest;
use crate::arena::page::Flavor;
use crate::arena::purges::Kind;

/// Wide purges are few, so that there is something to validate.
const MOSTLY_NARROW: &[Kind] = &[
    Kind::Url,
    Kind::Url,
    Kind::Url,
    Kind::Url,
    Kind::Tag,
    Kind::Tag,
    Kind::EntityTag,
    Kind::Page,
    Kind::Path,
    Kind::Both,
    Kind::Prefix,
    Kind::Host,
    Kind::All,
];

#[test]
fn a_background_refresh_brings_nothing_back_from_before_a_purge() {
    let contest =
        Contest { kinds: MOSTLY_NARROW, flavors: &[Flavor::Refreshed], ..Contest::default() };
    let outcome = contest.run();
    assert!(outcome.refreshed > contest.races as u64 / 20, "{outcome:?}");
    assert!(outcome.overtaken > contest.races as u64 / 20, "{outcome:?}");
}

#[test]
fn a_304_brings_nothing_back_from_before_a_purge() {
    let flavors = &[Flavor::Confirmed, Flavor::Validated];
    let contest = Contest { kinds: MOSTLY_NARROW, flavors, ..Contest::default() };
    let outcome = contest.run();
    assert!(outcome.validated > contest.races as u64 / 20, "{outcome:?}");
    assert!(outcome.overtaken > contest.races as u64 / 20, "{outcome:?}");
}

/// The purge names one of the URLs, and what is stored may have come by another.
#[test]
fn no_response_for_an_equivalent_url_escapes_a_purge() {
    let flavors = &[Flavor::Equivalent, Flavor::EquivalentRefreshed];
    let contest = Contest { kinds: MOSTLY_NARROW, flavors, ..Contest::default() };
    let outcome = contest.run();
    assert!(outcome.refreshed > contest.races as u64 / 20, "{outcome:?}");
    assert!(outcome.overtaken > contest.races as u64 / 20, "{outcome:?}");
}

#[test]
fn no_variant_escapes_a_purge() {
    let contest = Contest { flavors: &[Flavor::Varying], ..Contest::default() };
    assert!(contest.run().overtaken > contest.races as u64 / 20);
}
