//! Changes of deployment: a state, and no purge of what was stored before.

use super::*;

fn deploy(invalidation: &Invalidation, name: &str, (from, until): (u64, u64)) -> DeployMark {
    DeployMark {
        host: None,
        deployment: invalidation.ids().deployment(name.as_bytes()),
        name: name.into(),
        at: at(from),
        stale_since: at(from),
        until: at(until),
        is_over: false,
        gone: Gone::default(),
    }
}

fn of(invalidation: &Arc<Invalidation>, name: &str) -> Provenance {
    let id = invalidation.deployment(name.as_bytes());
    let host = invalidation.ids().host(b"shop.example");
    invalidation.begin_fetch().provenance([id, host])
}

fn announce(invalidation: &Arc<Invalidation>, deploy: &DeployMark) {
    purge(invalidation, &[Mark::Deploy(deploy)], PurgeMode::Soft, deploy.at.as_secs());
}

#[test]
fn a_deploy_makes_others_stale_at_once_and_gone_when_its_grace_is_over() {
    let invalidation = Arc::new(Invalidation::new(1));
    let [old, new] = ["a", "b"].map(|name| of(&invalidation, name));
    let unnamed = invalidation.begin_fetch().provenance([]);
    announce(&invalidation, &deploy(&invalidation, "b", (7, 60)));
    let verdict = |it: &Provenance| invalidation.verdict(it, &key("/"));
    assert_eq!(
        [&old, &new, &unnamed].map(verdict),
        [Verdict::Soft(at(7)), Verdict::Valid, Verdict::Valid]
    );
    assert!(invalidation.deployments().due(at(59)).is_empty());
    let due = invalidation.deployments().due(at(60));
    purge(&invalidation, &[Mark::Deploy(&due[0])], PurgeMode::Hard, 60);
    assert_eq!(
        [&old, &new, &unnamed].map(verdict),
        [Verdict::Purged, Verdict::Valid, Verdict::Valid]
    );
    assert!(invalidation.deployments().due(at(1000)).is_empty());
}

#[test]
fn what_an_old_server_answers_later_is_of_the_old_deployment() {
    let invalidation = Arc::new(Invalidation::new(1));
    let in_flight = invalidation.begin_fetch();
    announce(&invalidation, &deploy(&invalidation, "b", (7, 60)));
    let id = invalidation.deployment(b"a");
    let early = in_flight.provenance([id]);
    let late = of(&invalidation, "a");
    for provenance in [&early, &late] {
        assert_eq!(invalidation.verdict(provenance, &key("/")), Verdict::Soft(at(7)));
        assert!(invalidation.may_store(provenance, &key("/")), "it is stale, and may be stored");
    }
    let over = invalidation.deployments().due(at(60)).remove(0);
    purge(&invalidation, &[Mark::Deploy(&over)], PurgeMode::Hard, 60);
    let latest = of(&invalidation, "a");
    assert!(!invalidation.may_store(&latest, &key("/")), "nobody could use it");
}

#[test]
fn a_validation_sent_after_a_deploy_may_confirm_what_an_old_one_made() {
    let invalidation = Arc::new(Invalidation::new(1));
    let stored = of(&invalidation, "a");
    let before = invalidation.begin_fetch();
    announce(&invalidation, &deploy(&invalidation, "b", (7, 60)));
    let after = invalidation.begin_fetch();
    assert!(!invalidation.may_confirm(&stored, before.born(), &key("/")));
    assert!(invalidation.may_confirm(&stored, after.born(), &key("/")));
}

#[test]
fn a_deploy_of_one_host_leaves_the_others_and_goes_before_that_of_all() {
    let invalidation = Arc::new(Invalidation::new(1));
    let host: Arc<str> = "shop.example".into();
    let shop = invalidation.ids().host(host.as_bytes());
    let here = of(&invalidation, "a");
    let elsewhere = invalidation.begin_fetch().provenance([invalidation.deployment(b"a")]);
    let one = DeployMark { host: Some((shop, host)), ..deploy(&invalidation, "b", (7, 60)) };
    announce(&invalidation, &one);
    let verdict = |it: &Provenance| invalidation.verdict(it, &key("/"));
    assert_eq!([&here, &elsewhere].map(verdict), [Verdict::Soft(at(7)), Verdict::Valid]);
    announce(&invalidation, &deploy(&invalidation, "c", (8, 60)));
    assert_eq!(
        invalidation.deployments().current().len(),
        1,
        "the later one of every host replaces it"
    );
    assert_eq!(verdict(&elsewhere), Verdict::Soft(at(8)));
}

#[test]
fn a_repeated_deploy_does_not_prolong_the_grace_and_one_back_is_a_deploy() {
    let invalidation = Arc::new(Invalidation::new(1));
    announce(&invalidation, &deploy(&invalidation, "b", (7, 60)));
    announce(&invalidation, &deploy(&invalidation, "b", (9, 90)));
    assert_eq!(invalidation.deployments().current()[0].until, at(60));
    announce(&invalidation, &deploy(&invalidation, "a", (10, 70)));
    let [old, new] = ["a", "b"].map(|name| of(&invalidation, name));
    assert_eq!(invalidation.verdict(&old, &key("/")), Verdict::Valid);
    assert_eq!(invalidation.verdict(&new, &key("/")), Verdict::Soft(at(10)));
}

#[test]
fn of_two_deploys_the_later_one_holds_in_whatever_order_they_arrive() {
    let shop: Arc<str> = "shop.example".into();
    let history = |invalidation: &Invalidation| {
        let host = Some((invalidation.ids().host(shop.as_bytes()), Arc::clone(&shop)));
        let of_host = |mark| DeployMark { host: host.clone(), ..mark };
        [
            deploy(invalidation, "a", (1, 60)),
            of_host(deploy(invalidation, "b", (2, 60))),
            deploy(invalidation, "c", (3, 60)),
            deploy(invalidation, "d", (5, 60)),
            of_host(deploy(invalidation, "a", (6, 60))),
            of_host(deploy(invalidation, "a", (8, 60))),
            of_host(deploy(invalidation, "b", (7, 60))),
        ]
    };
    let orders = [[0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0], [5, 3, 6, 0, 2, 1, 4]];
    for order in orders {
        let invalidation = Arc::new(Invalidation::new(1));
        let marks = history(&invalidation);
        for _ in 0..2 {
            for place in order {
                announce(&invalidation, &marks[place]);
            }
        }
        let names: Vec<_> =
            invalidation.deployments().current().iter().map(|it| it.name.to_string()).collect();
        assert_eq!(names, ["d", "a"], "{order:?}");
        assert_eq!(invalidation.verdict(&of(&invalidation, "a"), &key("/")), Verdict::Valid);
        let b = invalidation.verdict(&of(&invalidation, "b"), &key("/"));
        assert!(matches!(b, Verdict::Soft(_)), "{b:?}");
    }
}

#[test]
fn hosts_that_there_is_no_room_for_lose_what_is_stored() {
    let invalidation = Arc::new(Invalidation::new(1));
    let first = of(&invalidation, "a");
    for number in 0..=1000 {
        let name = if number == 0 { "shop.example".to_owned() } else { format!("h{number}") };
        let host = Some((invalidation.ids().host(name.as_bytes()), name.into()));
        let mark = deploy(&invalidation, "a", (number + 1, 9000));
        announce(&invalidation, &DeployMark { host, ..mark });
    }
    assert_eq!(invalidation.deployments().current().len(), 1000);
    assert_eq!(invalidation.verdict(&first, &key("/")), Verdict::Purged);
}

/// Deploys `name` at a time, and ends its grace.
fn carry_out(invalidation: &Arc<Invalidation>, name: &str, seconds: u64) {
    announce(invalidation, &deploy(invalidation, name, (seconds, seconds + 1)));
    for over in invalidation.deployments().due(at(seconds + 1)) {
        purge(invalidation, &[Mark::Deploy(&over)], PurgeMode::Hard, seconds + 1);
    }
}

#[test]
fn what_a_deploy_has_given_up_does_not_come_back_with_its_deployment() {
    let invalidation = Arc::new(Invalidation::new(1));
    invalidation.running.lock().past_purges = Some(PastPurges::default());
    let mut all = Vec::new();
    let mut born = |name: &'static str| all.push((name, of(&invalidation, name)));
    born("a");
    carry_out(&invalidation, "b", 10); // a1 is gone
    born("b");
    carry_out(&invalidation, "a", 20); // b2 is gone, a1 does not come back
    born("a");
    carry_out(&invalidation, "b", 30); // a3 is gone
    born("b");
    carry_out(&invalidation, "b", 40);
    born("b");
    let verdicts = |invalidation: &Invalidation| {
        let judge = |(_, it): &(&str, Provenance)| {
            let tags: Vec<_> = it.ids().collect();
            invalidation.has_purged(&key("/"), it.born(), &tags)
        };
        all.iter().map(judge).collect::<Vec<_>>()
    };
    let wanted = [true, true, true, false, false];
    for (number, (_, it)) in all.iter().enumerate() {
        let verdict = invalidation.verdict(it, &key("/"));
        assert_eq!(verdict == Verdict::Purged, wanted[number], "{number}");
    }
    assert_eq!(verdicts(&invalidation), wanted);
    let (mut copy, past) = (PastPurges::default(), invalidation.past_purges().unwrap());
    past.for_each(|mark, times| copy.note(&mark, times));
    let recovered = Invalidation::recovered(1, invalidation.sequence(), copy);
    assert_eq!(verdicts(&recovered), wanted, "nor after a restart");
    // Of one host, under one of all, and back.
    let host: Arc<str> = "shop.example".into();
    let shop = Some((invalidation.ids().host(host.as_bytes()), host));
    let mark = deploy(&invalidation, "c", (50, 50));
    let over = DeployMark { host: shop, is_over: true, ..mark };
    purge(&invalidation, &[Mark::Deploy(&over)], PurgeMode::Hard, 50);
    announce(&invalidation, &deploy(&invalidation, "b", (60, 90)));
    assert_eq!(verdicts(&invalidation), [true; 5]);
}

#[test]
fn the_past_remembers_deploys_for_good() {
    let invalidation = Arc::new(Invalidation::new(1));
    let first = deploy(&invalidation, "b", (7, 60));
    let mut past = PastPurges::default();
    let times = |sequence| PurgeTimes::of(PurgeMode::Soft, Sequence(sequence), at(7));
    past.note(&PurgeMark::Deploy(first.clone()), times(5));
    past.forget_before(Sequence(100));
    let mut copy = PastPurges::default();
    past.for_each(|mark, times| copy.note(&mark, times));
    let recovered = Arc::new(Invalidation::recovered(1, Sequence(200), copy));
    assert_eq!(recovered.deployments().current(), [first]);
    let late = of(&recovered, "a");
    assert_eq!(recovered.verdict(&late, &key("/")), Verdict::Soft(at(7)));
    let cold = recovered.ids().deployment(b"a");
    assert!(!recovered.has_purged(&key("/"), Sequence(4), &[cold]));
    let over = DeployMark { is_over: true, ..deploy(&recovered, "b", (7, 60)) };
    purge(&recovered, &[Mark::Deploy(&over)], PurgeMode::Hard, 60);
    assert!(recovered.has_purged(&key("/"), Sequence(300), &[cold]), "though it was born later");
}
