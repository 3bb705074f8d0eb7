//! The three sentences of the proof, tried out: case by case, against a [`model`], and with
//! threads.

mod deploys;
mod model;
mod searches;

use std::sync::atomic::AtomicBool;
use std::thread;

use super::*;
use crate::key::{KeySeed, Scheme};

fn key(path: &str) -> Key {
    Key::new(KeySeed(1), Scheme::Https, b"shop.example", path.as_bytes())
}

fn prefix(path: &str) -> UrlPrefix {
    UrlPrefix::parse(&format!("shop.example{path}")).unwrap()
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_secs(second)
}

/// Marks as the purge executor does, with an empty store.
fn purge(invalidation: &Arc<Invalidation>, marks: &[Mark<'_>], mode: PurgeMode, second: u64) {
    let _at_work = invalidation.begin_purge();
    invalidation.mark(marks, mode, at(second));
}

fn tag(invalidation: &Invalidation, text: &str) -> TagId {
    invalidation.ids().tag(text.as_bytes())
}

#[test]
fn a_purge_of_a_tag_hits_what_was_born_before_it_and_nothing_else() {
    let invalidation = Arc::new(Invalidation::new(1));
    let [a, b] = ["a", "b"].map(|text| tag(&invalidation, text));
    let old = invalidation.begin_fetch().provenance([a, b]);
    let other = invalidation.begin_fetch().provenance([b]);
    invalidation.mark(&[Mark::Tag(a)], PurgeMode::Hard, at(1));
    let new = invalidation.begin_fetch().provenance([a]);
    let verdicts = [&old, &other, &new].map(|it| invalidation.verdict(it, &key("/")));
    assert_eq!(verdicts, [Verdict::Purged, Verdict::Valid, Verdict::Valid]);
}

#[test]
fn a_purge_wins_against_a_fetch_in_flight_though_nobody_held_its_tag() {
    let invalidation = Arc::new(Invalidation::new(1));
    let id = tag(&invalidation, "a");
    let url = invalidation.ids().url(&key("/"));
    for mark in [Mark::Tag(id), Mark::Tag(url), Mark::All, Mark::Prefix(&prefix("/"))] {
        let flight = invalidation.begin_fetch();
        invalidation.mark(&[mark], PurgeMode::Hard, at(1));
        let overtaken = flight.provenance([id]);
        assert!(!invalidation.may_keep(&overtaken, &key("/")));
        let later = invalidation.begin_fetch().provenance([id]);
        assert!(invalidation.may_keep(&later, &key("/")));
    }
}

#[test]
fn a_url_is_purged_under_every_scheme() {
    let invalidation = Arc::new(Invalidation::new(1));
    let flight = invalidation.begin_fetch();
    let plain = Key::new(KeySeed(1), Scheme::Http, b"shop.example", b"/a");
    let url = invalidation.ids().url(&key("/a"));
    invalidation.mark(&[Mark::Tag(url)], PurgeMode::Hard, at(1));
    assert_eq!(invalidation.verdict(&flight.provenance([]), &plain), Verdict::Purged);
    assert_eq!(invalidation.verdict(&flight.provenance([]), &key("/b")), Verdict::Valid);
}

#[test]
fn a_soft_purge_says_since_when_and_a_hard_one_outranks_it() {
    let invalidation = Arc::new(Invalidation::new(1));
    let id = tag(&invalidation, "a");
    let held = invalidation.begin_fetch().provenance([id]);
    invalidation.mark(&[Mark::Tag(id)], PurgeMode::Soft, at(10));
    assert_eq!(invalidation.verdict(&held, &key("/")), Verdict::Soft(at(10)));
    invalidation.mark(&[Mark::Tag(id)], PurgeMode::Soft, at(20));
    assert_eq!(invalidation.verdict(&held, &key("/")), Verdict::Soft(at(10)), "never later");
    assert!(invalidation.may_keep(&held, &key("/")));
    invalidation.mark(&[Mark::All], PurgeMode::Hard, at(30));
    assert_eq!(invalidation.verdict(&held, &key("/")), Verdict::Purged);
    invalidation.mark(&[Mark::Tag(id)], PurgeMode::Soft, at(40));
    assert_eq!(invalidation.verdict(&held, &key("/")), Verdict::Purged, "permanently");
}

#[test]
fn a_request_after_a_purge_does_not_join_a_flight_from_before_it() {
    let invalidation = Arc::new(Invalidation::new(1));
    let ids = invalidation.ids();
    let [url, host] = [ids.url(&key("/a")), ids.host(b"shop.example")];
    for mark in [Mark::Tag(url), Mark::Tag(host), Mark::All, Mark::Prefix(&prefix("/a"))] {
        let flight = invalidation.begin_fetch();
        assert!(invalidation.may_join(flight.born(), &key("/a")));
        invalidation.mark(&[mark], PurgeMode::Hard, at(1));
        assert!(!invalidation.may_join(flight.born(), &key("/a")));
        assert!(invalidation.may_join(invalidation.begin_fetch().born(), &key("/a")));
    }
}

#[test]
fn the_tags_of_the_head_tell_which_followers_came_too_late() {
    let invalidation = Arc::new(Invalidation::new(1));
    let [a, b] = ["a", "b"].map(|text| tag(&invalidation, text));
    let flight = invalidation.begin_fetch();
    let early = invalidation.sequence();
    invalidation.mark(&[Mark::Tag(a)], PurgeMode::Hard, at(1));
    let late = invalidation.sequence();
    let [purged, spared] = [flight.provenance([a]), flight.provenance([b])];
    assert!(invalidation.may_follow(&purged, early, &key("/")), "it asked before the purge");
    assert!(!invalidation.may_follow(&purged, late, &key("/")));
    assert!(invalidation.may_follow(&spared, late, &key("/")));
}

#[test]
fn responses_from_before_a_gap_are_proven_by_later_fetches_only() {
    let invalidation = Arc::new(Invalidation::new(1));
    let id = tag(&invalidation, "a");
    let old = invalidation.begin_fetch().provenance([id]);
    assert_eq!(invalidation.verdict(&old, &key("/")), Verdict::Valid, "and remembered so");
    let early = invalidation.begin_fetch();

    let gap = invalidation.mark_all_unproven();

    assert_eq!(invalidation.verdict(&old, &key("/")), Verdict::Unproven);
    assert_eq!(invalidation.verdict(&early.provenance([id]), &key("/")), Verdict::Unproven);
    assert!(invalidation.may_keep(&early.provenance([id]), &key("/")), "to be validated");
    assert!(!invalidation.may_confirm(&old, early.born(), &key("/")));
    assert!(!invalidation.may_join(early.born(), &key("/")));
    assert!(!invalidation.may_follow(&early.provenance([id]), gap, &key("/")));
    let later = invalidation.begin_fetch();
    assert!(invalidation.may_confirm(&old, later.born(), &key("/")));
    assert!(invalidation.may_join(later.born(), &key("/")));
    assert_eq!(invalidation.verdict(&later.provenance([id]), &key("/")), Verdict::Valid);
    invalidation.mark(&[Mark::Tag(id)], PurgeMode::Soft, at(1));
    assert_eq!(invalidation.verdict(&old, &key("/")), Verdict::Unproven, "worse than soft");
    invalidation.mark(&[Mark::Tag(id)], PurgeMode::Hard, at(1));
    assert_eq!(invalidation.verdict(&old, &key("/")), Verdict::Purged, "better than hard");
}

#[test]
fn a_catch_up_ends_with_the_verdict_of_purges_meanwhile() {
    let invalidation = Arc::new(Invalidation::new(1));
    let [a, b, c] = ["a", "b", "c"].map(|text| tag(&invalidation, text));
    let held = [a, b, c].map(|id| invalidation.begin_fetch().provenance([id]));
    let verdicts = || held.each_ref().map(|held| invalidation.verdict(held, &key("/")));
    invalidation.begin_catch_up();
    assert_eq!(verdicts(), [Verdict::Unproven; 3]);
    invalidation.mark(&[Mark::Tag(b)], PurgeMode::Soft, at(9));
    invalidation.mark(&[Mark::Tag(c)], PurgeMode::Hard, at(9));
    invalidation.end_catch_up();
    assert_eq!(verdicts(), [Verdict::Valid, Verdict::Soft(at(9)), Verdict::Purged]);
}

#[test]
fn the_end_of_a_catch_up_proves_no_gap_and_giving_up_spares_newer_ones() {
    let invalidation = Arc::new(Invalidation::new(1));
    let born = || invalidation.begin_fetch().provenance([]);
    let verdict = |provenance: &Provenance| invalidation.verdict(provenance, &key("/"));
    let oldest = born();
    invalidation.mark_all_unproven();
    let old = born();
    invalidation.begin_catch_up();
    let new = born();
    assert!(invalidation.is_catching_up());
    invalidation.end_catch_up();
    assert!(!invalidation.is_catching_up());
    assert_eq!([&oldest, &old].map(verdict), [Verdict::Unproven, Verdict::Valid]);

    invalidation.begin_catch_up();
    let newest = born();
    invalidation.abandon_catch_up();
    invalidation.end_catch_up();
    let unproven = [&oldest, &old, &new].map(verdict);
    assert_eq!(unproven, [Verdict::Unproven; 3]);
    assert_eq!(verdict(&newest), Verdict::Valid);
    invalidation.restore_unproven(old.born());
    assert_eq!(verdict(&newest), Verdict::Valid, "it never sinks, and spares what came later");
}

#[test]
fn a_purge_of_a_prefix_hits_the_fetches_that_it_covers_and_no_others() {
    let invalidation = Arc::new(Invalidation::new(1));
    for (mode, is_kept) in [(PurgeMode::Hard, false), (PurgeMode::Soft, true)] {
        let flight = invalidation.begin_fetch();
        purge(&invalidation, &[Mark::Prefix(&prefix("/a"))], mode, 1);
        for (path, is_hit) in [("/a/b", true), ("/b", false)] {
            let provenance = flight.provenance([]);
            assert_eq!(invalidation.may_join(flight.born(), &key(path)), !is_hit, "{path}");
            let arrived = invalidation.sequence();
            assert_eq!(invalidation.may_follow(&provenance, arrived, &key(path)), !is_hit);
            assert_eq!(invalidation.may_store(&provenance, &key(path)), is_kept || !is_hit);
            let verdict = invalidation.verdict(&provenance, &key(path));
            assert_eq!(verdict == Verdict::Valid, !is_hit, "{path}: {verdict:?}");
            assert_eq!(invalidation.may_keep(&provenance, &key(path)), is_kept || !is_hit);
        }
    }
    assert_eq!((invalidation.prefix_count(), invalidation.floor_raised.value()), (0, 0));
}

#[test]
fn a_prefix_mark_lasts_while_it_is_applied_or_an_older_fetch_runs() {
    let invalidation = Arc::new(Invalidation::new(1));
    let mark = || invalidation.mark(&[Mark::Prefix(&prefix("/a"))], PurgeMode::Hard, at(1));
    let at_work = invalidation.begin_purge();
    mark();
    assert_eq!(invalidation.prefix_count(), 1);
    drop(at_work);
    assert_eq!(invalidation.prefix_count(), 0);
    let flight = invalidation.begin_fetch();
    mark();
    let later = invalidation.begin_fetch();
    mark();
    assert_eq!(invalidation.prefix_count(), 2);
    drop(flight);
    assert_eq!(invalidation.prefix_count(), 1);
    drop(later);
    assert_eq!(invalidation.prefix_count(), 0);
}

#[test]
fn a_checked_response_is_hit_by_later_purges_of_prefixes() {
    let invalidation = Arc::new(Invalidation::new(1));
    let flight = invalidation.begin_fetch();
    let held = flight.provenance([]);
    for (path, verdict) in [("/b", Verdict::Valid), ("/a", Verdict::Soft(at(7)))] {
        invalidation.mark(&[Mark::Prefix(&prefix(path))], PurgeMode::Soft, at(7));
        assert_eq!(invalidation.verdict(&held, &key("/a/b")), verdict);
    }
    purge(&invalidation, &[Mark::Prefix(&prefix("/b"))], PurgeMode::Hard, 8);
    assert_eq!(invalidation.verdict(&held, &key("/a/b")), Verdict::Soft(at(7)));
    purge(&invalidation, &[Mark::Prefix(&prefix("/a/"))], PurgeMode::Hard, 9);
    assert_eq!(invalidation.verdict(&held, &key("/a/b")), Verdict::Purged);
}

#[test]
fn too_many_prefixes_cost_only_fetches_older_than_half_of_them() {
    let invalidation = Arc::new(Invalidation::new(1));
    let very_old = invalidation.begin_fetch();
    let held = invalidation.begin_fetch().provenance([]);
    assert!(invalidation.may_keep(&held, &key("/")));
    let mut young = None;
    for number in 0..=predicate_marks::TERMS_MAX {
        let foreign = UrlPrefix::parse(&format!("other.example/{number}")).unwrap();
        purge(&invalidation, &[Mark::Prefix(&foreign)], PurgeMode::Hard, 1);
        if number == predicate_marks::TERMS_MAX * 3 / 4 {
            young = Some(invalidation.begin_fetch());
        }
    }
    let young = young.unwrap();
    assert!(invalidation.prefix_count() <= predicate_marks::TERMS_MAX / 2 + 1);
    assert_eq!(invalidation.floor_raised.value(), 1);
    assert!(!invalidation.may_keep(&very_old.provenance([]), &key("/")), "too much, never less");
    assert!(!invalidation.may_join(very_old.born(), &key("/")));
    assert!(invalidation.may_keep(&young.provenance([]), &key("/")));
    assert_eq!(invalidation.verdict(&held, &key("/")), Verdict::Valid, "it was stored before");
}

#[test]
fn a_fetch_that_outlives_its_marks_costs_younger_ones_nothing() {
    let invalidation = Arc::new(Invalidation::new(1));
    let endless = invalidation.begin_fetch();
    for number in 0..predicate_marks::TERMS_MAX * 4 {
        let foreign = UrlPrefix::parse(&format!("other.example/{number}")).unwrap();
        purge(&invalidation, &[Mark::Prefix(&foreign)], PurgeMode::Hard, 1);
    }
    assert_eq!(invalidation.floor_raised.value(), 1);
    assert_eq!(invalidation.prefix_count(), 0, "no mark waits for it");
    assert!(!invalidation.may_store(&endless.provenance([]), &key("/")));
    let young = invalidation.begin_fetch();
    drop(endless);
    assert!(invalidation.may_keep(&young.provenance([]), &key("/")));
}

#[test]
fn a_running_purge_keeps_its_marks_though_there_are_too_many() {
    let invalidation = Arc::new(Invalidation::new(1));
    let _flight = invalidation.begin_fetch();
    let stored = invalidation.begin_fetch().provenance([]);
    assert!(invalidation.may_keep(&stored, &key("/a")));
    let _at_work = invalidation.begin_purge();
    invalidation.mark(&[Mark::Prefix(&prefix("/a"))], PurgeMode::Hard, at(1));
    for number in 0..=predicate_marks::TERMS_MAX {
        let foreign = UrlPrefix::parse(&format!("other.example/{number}")).unwrap();
        purge(&invalidation, &[Mark::Prefix(&foreign)], PurgeMode::Hard, 1);
    }
    assert_eq!(invalidation.verdict(&stored, &key("/a")), Verdict::Purged, "not invalidated yet");
}

#[test]
fn a_flight_whose_marks_were_forgotten_takes_no_followers() {
    let invalidation = Arc::new(Invalidation::new(1));
    let flight = invalidation.begin_fetch();
    let id = tag(&invalidation, "a");
    purge(&invalidation, &[Mark::Tag(id)], PurgeMode::Hard, 1);
    let arrived = invalidation.sequence();
    let crowd: Vec<_> = (0..=running_fetches::KEPT_MARKS_MAX * 2)
        .map(|n| tag(&invalidation, &n.to_string()))
        .collect();
    for tags in crowd.chunks(10_000) {
        let marks: Vec<_> = tags.iter().map(|id| Mark::Tag(*id)).collect();
        invalidation.mark(&marks, PurgeMode::Hard, at(1));
    }
    assert!(!invalidation.may_follow(&flight.provenance([id]), arrived, &key("/")));
}

#[test]
fn a_tag_is_known_while_it_is_held_or_an_older_fetch_runs_and_no_longer() {
    let invalidation = Arc::new(Invalidation::new(1));
    let id = tag(&invalidation, "a");
    invalidation.mark(&[Mark::Tag(id)], PurgeMode::Hard, at(1));
    assert_eq!(invalidation.tag_count(), 0, "there are no holders");
    let flight = invalidation.begin_fetch();
    invalidation.mark(&[Mark::Tag(id)], PurgeMode::Hard, at(2));
    assert_eq!(invalidation.tag_count(), 1, "the fetch may bring it");
    let held = flight.provenance([id]);
    drop(flight);
    assert_eq!(invalidation.tag_count(), 1, "it is held");
    drop(held);
    assert_eq!(invalidation.tag_count(), 0);
}

#[test]
fn looking_at_a_tag_does_not_keep_it() {
    let invalidation = Arc::new(Invalidation::new(1));
    let id = tag(&invalidation, "a");
    let held = invalidation.begin_fetch().provenance([id]);
    held.register(7);
    assert_eq!((invalidation.ids().live(id), invalidation.ids().key_hashes(id)), (1, vec![7]));
    held.unregister();
    held.unregister();
    assert_eq!((invalidation.ids().live(id), invalidation.ids().key_hashes(id)), (0, vec![]));
    drop(held);
    assert_eq!(invalidation.tag_count(), 0);
}

#[test]
fn places_among_the_holders_of_a_tag_are_used_again() {
    let invalidation = Arc::new(Invalidation::new(1));
    let id = tag(&invalidation, "a");
    let all: Vec<_> = (0..10).map(|_| invalidation.begin_fetch().provenance([id, id])).collect();
    for round in 0..3_u64 {
        all.iter().zip(0..).for_each(|(it, number)| it.register(round * 100 + number));
        all.iter().step_by(2).for_each(Provenance::unregister);
        all.iter().step_by(2).zip(50..).for_each(|(it, number)| it.register(round * 100 + number));
        let mut hashes = invalidation.ids().key_hashes(id);
        hashes.sort_unstable();
        let expected = [1, 3, 5, 7, 9, 50, 51, 52, 53, 54].map(|number| round * 100 + number);
        assert_eq!(hashes, expected);
        all.iter().for_each(Provenance::unregister);
        assert_eq!(invalidation.ids().live(id), 0);
    }
}

#[test]
fn the_floor_rises_when_a_fetch_runs_for_very_long() {
    let invalidation = Arc::new(Invalidation::new(1));
    let first = tag(&invalidation, "0");
    let held = invalidation.begin_fetch().provenance([tag(&invalidation, "held")]);
    assert!(invalidation.may_keep(&held, &key("/")));
    let flight = invalidation.begin_fetch();
    let crowd: Vec<_> =
        (0..=running_fetches::KEPT_MARKS_MAX).map(|n| tag(&invalidation, &n.to_string())).collect();
    let mut young = None;
    for tags in crowd.chunks(10_000) {
        young = Some(invalidation.begin_fetch());
        let marks: Vec<_> = tags.iter().map(|id| Mark::Tag(*id)).collect();
        invalidation.mark(&marks, PurgeMode::Hard, at(1));
    }
    let young = young.unwrap().provenance([first]);
    assert!(invalidation.may_keep(&young, &key("/")), "it began when half of them were there");
    assert!(
        invalidation.tag_count() <= running_fetches::KEPT_MARKS_MAX / 2 + 10_000,
        "half are forgotten"
    );
    assert_eq!(invalidation.floor_raised.value(), 1);
    assert!(!invalidation.may_keep(&flight.provenance([first]), &key("/")));
    assert!(
        !invalidation.may_keep(&flight.provenance([]), &key("/")),
        "too much, never too little"
    );
    assert!(!invalidation.may_join(flight.born(), &key("/")));
    assert_eq!(invalidation.verdict(&held, &key("/")), Verdict::Valid, "it was stored before");
    assert!(invalidation.may_keep(&invalidation.begin_fetch().provenance([first]), &key("/")));
}

/// Sentence 1 of the proof: whoever reads a sequence sees all marks up to it.
#[test]
fn a_reader_that_sees_a_sequence_sees_its_marks() {
    let invalidation = Arc::new(Invalidation::new(1));
    let tags: Vec<_> = (0..4).map(|n| tag(&invalidation, &n.to_string())).collect();
    // Held, so that their marks are never forgotten; born before all purges.
    let held: Vec<_> = tags.iter().map(|id| invalidation.begin_fetch().provenance([*id])).collect();
    let (log, is_over) = (Mutex::new(BTreeMap::new()), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let seen = invalidation.sequence();
                    for (tag, provenance) in held.iter().enumerate() {
                        let latest = provenance.tags().map(|tag| tag.marks().latest()).max();
                        let published = log
                            .lock()
                            .range(..=seen.0)
                            .rev()
                            .find_map(|(n, marked)| (*marked == tag).then_some(*n));
                        assert!(latest.unwrap().0 >= published.unwrap_or(0));
                    }
                }
            });
        }
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (invalidation, tags, log) = (&invalidation, &tags, &log);
                scope.spawn(move || {
                    for round in 0..2000 {
                        let number = (round + writer) % tags.len();
                        let marks = [Mark::Tag(tags[number])];
                        let sequence = invalidation.mark(&marks, PurgeMode::Hard, at(1));
                        log.lock().insert(sequence.0, number);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(log.lock().len(), 4000, "every purge has its own sequence");
}

/// The race that the whole design is about: fetches store while purges run; nothing stored from
/// before a purge is valid.
#[test]
fn a_purge_between_fetch_and_store_is_never_missed() {
    let invalidation = Arc::new(Invalidation::new(1));
    thread::scope(|scope| {
        for worker in 0..3 {
            let invalidation = &invalidation;
            scope.spawn(move || {
                for round in 0..3000 {
                    let text = format!("{}", (round + worker) % 5);
                    let flight = invalidation.begin_fetch();
                    if round % 3 == 0 {
                        thread::yield_now();
                    }
                    let id = tag(invalidation, &text);
                    // Purged by ourselves, while others come and go: it must be seen, whatever they
                    // do.
                    invalidation.mark(&[Mark::Tag(id)], PurgeMode::Hard, at(1));
                    let provenance = flight.provenance([id]);
                    assert!(!invalidation.may_keep(&provenance, &key("/")));
                    drop(flight);
                    assert_eq!(invalidation.verdict(&provenance, &key("/")), Verdict::Purged);
                }
            });
        }
    });
    assert_eq!(invalidation.tag_count(), 0);
}
