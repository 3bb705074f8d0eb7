//! Responses of equivalent URLs (`No-Vary-Search`), and purges of any of these.

use super::*;
use crate::key::no_vary_search::SearchVariance;

fn only(name: &str) -> SearchVariance {
    SearchVariance::only([name.as_bytes()])
}

fn declare(invalidation: &Invalidation, path: &str, variance: &SearchVariance) -> TagId {
    let sequence = || invalidation.sequence();
    invalidation.ids().declare(&key(path), variance, sequence).unwrap()
}

/// Purges a URL as the purge executor does: its own mark, and the classes that are known.
fn purge_url(invalidation: &Invalidation, path: &str) {
    let ids = invalidation.ids();
    let mut marks = vec![Mark::Tag(ids.url(&key(path)))];
    marks.extend(ids.search_classes(b"shop.example", path.as_bytes()).into_iter().map(Mark::Tag));
    invalidation.mark(&marks, PurgeMode::Hard, at(1));
}

#[test]
fn a_purge_of_a_url_hits_all_that_are_equivalent_to_it() {
    let invalidation = Arc::new(Invalidation::new(1));
    let class = declare(&invalidation, "/p?id=1&x=1", &only("id"));
    assert_eq!(class, declare(&invalidation, "/p?x=2&id=1", &only("id")));
    let stored = invalidation.begin_fetch().provenance([class]);
    for (path, expected) in [
        ("/p?id=2", Verdict::Valid),
        ("/q?id=1", Verdict::Valid),
        ("/p", Verdict::Valid),
        ("/p?id=1&x=9", Verdict::Purged),
    ] {
        purge_url(&invalidation, path);
        assert_eq!(invalidation.verdict(&stored, &key("/p?id=1&x=1")), expected, "{path}");
    }
}

#[test]
fn a_purge_before_the_declaration_was_known_wins_against_the_fetch_in_flight() {
    let invalidation = Arc::new(Invalidation::new(1));
    let own = key("/p?id=1&x=1");
    let before = invalidation.begin_fetch();
    purge_url(&invalidation, "/p?id=1&x=9"); // that they are equivalent is not known
    let class = declare(&invalidation, "/p?id=1&x=1", &only("id"));
    let overtaken = before.provenance([class]);
    assert!(!invalidation.may_store(&overtaken, &own));
    assert!(!invalidation.may_follow(&overtaken, invalidation.sequence(), &own));
    let later = invalidation.begin_fetch();
    assert!(invalidation.may_store(&later.provenance([class]), &own));
    assert!(invalidation.may_store(&before.provenance([]), &own), "it declares nothing");
    purge_url(&invalidation, "/p?id=1&x=9");
    assert!(!invalidation.may_store(&later.provenance([class]), &own), "now it is known");
    let other = declare(&invalidation, "/p?id=2", &only("id"));
    assert!(invalidation.may_store(&later.provenance([other]), &key("/p?id=2")));
}

#[test]
fn what_an_earlier_process_stored_of_a_class_is_not_restored() {
    let first = Invalidation::new(1);
    let class = declare(&first, "/p?id=1", &only("id"));
    let second = Invalidation::recovered(1, Sequence(9), PastPurges::default());
    let is_restored = |born, tags: &[TagId]| {
        second.restore(&key("/p?id=1"), Sequence(born), tags, |provenance| provenance.is_some())
    };
    assert!(!is_restored(8, &[class]));
    assert!(is_restored(8, &[]));
    assert!(is_restored(9, &[class]), "of this process, and read again from the file");
}
