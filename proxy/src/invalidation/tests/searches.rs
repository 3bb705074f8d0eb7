//! Responses of equivalent URLs (`No-Vary-Search`), and purges of any of these.

use super::*;
use crate::key::no_vary_search::SearchVariance;

fn only(name: &str) -> SearchVariance {
    SearchVariance::only([name.as_bytes()])
}

fn declare(invalidation: &Invalidation, path: &str, variance: &SearchVariance) -> TagId {
    declare_new(invalidation, path, variance).0
}

/// Declares, and returns what a journal would keep.
fn declare_new(
    invalidation: &Invalidation,
    path: &str,
    variance: &SearchVariance,
) -> (TagId, Option<HostDeclaration>) {
    let (sequence, mut kept) = (|| invalidation.sequence(), None);
    let keep = |new| kept = Some(new);
    let class = invalidation.ids().declare(&key(path), variance, sequence, keep).unwrap();
    (class, kept)
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

fn is_restored(to: &Invalidation, path: &str, born: u64, tags: &[TagId]) -> bool {
    to.restore(&key(path), Sequence(born), tags, |provenance| provenance.is_some())
}

#[test]
fn what_an_earlier_process_was_not_known_to_declare_is_not_restored() {
    let first = Invalidation::new(1);
    let class = declare(&first, "/p?id=1", &only("id"));
    let second = Invalidation::recovered(1, Sequence(9), PastPurges::default());
    assert!(!is_restored(&second, "/p?id=1", 8, &[class]));
    assert!(is_restored(&second, "/p?id=1", 8, &[]));
    assert!(is_restored(&second, "/p?id=1", 9, &[class]), "of this process, and read again");
    purge_url(&second, "/p?id=1&x=9"); // of which nobody knows that it means the class
    assert_eq!(class, declare(&second, "/p?id=1&x=2", &only("id")));
    assert!(!is_restored(&second, "/p?id=1", 8, &[class]), "known too late");
}

#[test]
fn what_an_earlier_process_stored_is_restored_with_its_declaration() {
    let first = Invalidation::new(1);
    purge_url(&first, "/q"); // the next sequence is 2
    let (class, kept) = declare_new(&first, "/p?id=1", &only("id"));
    assert_eq!(declare_new(&first, "/p?id=2", &only("id")).1, None, "it is kept once");
    let second = Arc::new(Invalidation::recovered(1, Sequence(9), PastPurges::default()));
    second.ids().restore_declarations(&[kept.unwrap()]);
    assert!(!is_restored(&second, "/p?id=1", 1, &[class]), "a purge may have missed it");
    assert!(is_restored(&second, "/p?id=1", 2, &[class]));
    let other = first.ids().search_class(b"shop.example", b"/p?id=1", &only("x"));
    assert!(!is_restored(&second, "/p?id=1", 2, &[class, other]), "of this, nothing was kept");
    purge_url(&second, "/p?id=1&x=9");
    assert!(!is_restored(&second, "/p?id=1", 2, &[class]), "purged by an equivalent URL");
    assert!(is_restored(&second, "/p?id=2", 2, &[class_of("/p?id=2", &second)]));
    assert!(declare_new(&second, "/p?id=3", &only("id")).1.is_none(), "it is known");
}

fn class_of(path: &str, invalidation: &Invalidation) -> TagId {
    invalidation.ids().search_class(b"shop.example", path.as_bytes(), &only("id"))
}
