//! A second purger joins the group and leaves it again while events flow.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::kafka::Kafka;
use crate::support::purger::Purgers;
use crate::support::site::Site;
use crate::support::{Turn, eventually, pause, until};

const PAGES: Range<usize> = 0..300;
const TOPIC: &str = "handover";
const EVENTS: usize = 12_000;

#[test]
fn commits_never_pass_an_unapplied_purge_while_purgers_come_and_go() {
    let _turn = Turn::take();
    let kafka = Kafka::shared();
    kafka.make_topic(TOPIC, 4, &[]);
    let site = Site::start(PAGES.end, 2, "");
    let targets: Vec<_> = site.proxies.iter().map(|proxy| proxy.admin).collect();
    let more = "group = \"handover\"\nslow_after = \"1h\"";
    let purgers = Purgers::new(&kafka, &[TOPIC], &targets, more);
    let first = purgers.start("purger 1");
    site.wait_for_purger(TOPIC, 4);
    site.warm(PAGES);
    let visitors = site.visitors(PAGES);

    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let flow = scope.spawn(|| publish(&kafka, &site));
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                assert_no_unfinished_record_is_committed(&kafka, &site);
                pause();
            }
        });
        let mut second = purgers.start("purger 2");
        until("the second purger has a share", || !second.status().partitions.is_empty());
        until("the first one has the rest", || {
            first.status().partitions.len() + second.status().partitions.len() == 4
        });
        second.process.signal("TERM");
        assert!(second.process.wait().success(), "it leaves in good order");
        until("the first purger has all again", || first.status().partitions.len() == 4);
        flow.join().unwrap();
        is_over.store(true, Ordering::Relaxed);
    });

    let ends = kafka.ends(TOPIC);
    assert_eq!(ends.iter().sum::<i64>(), i64::try_from(EVENTS).unwrap());
    site.wait_for_positions(TOPIC, &ends);
    visitors.leave();
    site.assert_fresh(PAGES);
    eventually("the group has committed everything", || {
        let committed = kafka.committed("handover", TOPIC, 4);
        if committed == ends { Ok(()) } else { Err(format!("{committed:?} of {ends:?}")) }
    });
}

/// What was committed is read first: positions only grow.
fn assert_no_unfinished_record_is_committed(kafka: &Kafka, site: &Site) {
    let committed = kafka.committed("handover", TOPIC, 4);
    for proxy in &site.proxies {
        let positions = proxy.positions(TOPIC);
        for (partition, committed) in (0..).zip(&committed) {
            let position = positions[&partition];
            assert!(
                *committed <= position,
                "{committed} is committed, but a proxy stands at {position}"
            );
        }
    }
}

fn publish(kafka: &Kafka, site: &Site) {
    let publisher = kafka.publisher();
    for event in 0..EVENTS {
        let page = event.wrapping_mul(7919) % PAGES.len();
        site.origin.publish(page, event as u64 + 1);
        publisher.publish(
            TOPIC,
            &page.to_string(),
            format!("{{\"tags\":[\"page-{page}\"]}}").as_bytes(),
        );
        if event % 40 == 39 {
            pause(); // 2,000 a second at most: hand-over has to happen meanwhile
        }
    }
    publisher.flush();
}
