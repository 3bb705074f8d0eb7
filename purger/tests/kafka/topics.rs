//! Logs that are not what they were: records that expired, topics that came late, topics that were
//! replaced.

use std::ops::Range;

use purge_protocol::log::LogState;

use crate::support::kafka::Kafka;
use crate::support::purger::Purgers;
use crate::support::site::Site;
use crate::support::{Turn, eventually, until};

const PURGED: Range<usize> = 0..50;
const PAGES: usize = 100;

/// Publishes a change of each of these pages with its event.
fn change(kafka: &Kafka, site: &Site, topic: &str, pages: Range<usize>, version: u64) {
    let publisher = kafka.publisher();
    for page in pages {
        site.origin.publish(page, version);
        publisher.publish(topic, "site", format!("{{\"tags\":[\"page-{page}\"]}}").as_bytes());
    }
    publisher.flush();
}

fn targets(site: &Site) -> Vec<std::net::SocketAddr> {
    site.proxies.iter().map(|proxy| proxy.admin).collect()
}

#[test]
fn a_proxy_behind_retention_validates_everything_stored_before() {
    let _turn = Turn::take();
    let kafka = Kafka::shared();
    kafka.make_topic("short", 1, &["retention.ms=2000", "segment.bytes=20480"]);
    let site = Site::start(PAGES, 2, "lease = \"1s\"\non_expiry = \"validate\"");
    // A small window: what the stopped proxy misses has to come from Kafka.
    let more = "group = \"short\"\nwindow = 100\ntimeout = \"1s\"";
    let purgers = Purgers::new(&kafka, &["short"], &targets(&site), more);
    let _purger = purgers.start("purger");
    site.wait_for_purger("short", 1);
    site.warm(0..PAGES);

    let stopped = &site.proxies[1];
    let position = stopped.positions("short")[&0];
    stopped.process.signal("STOP");
    change(&kafka, &site, "short", PURGED, 1);
    let publisher = kafka.publisher();
    until("retention deletes what the stopped proxy has not seen", || {
        for _ in 0..100 {
            publisher.publish("short", "site", br#"{"tags":["filler-of-segments-in-the-log"]}"#);
        }
        publisher.flush();
        kafka.extents("short")[0].0 > position + 100
    });
    stopped.process.signal("CONT");

    site.assert_fresh(0..PAGES);
    until("the proxy is told that it missed something", || {
        let said = stopped.process.said("the position in the purge log is set");
        said.iter().any(|line| line.contains("Expired"))
    });
    site.assert_fresh(0..PAGES);
    site.wait_for_positions("short", &kafka.ends("short"));
    until("the proxy is current again", || stopped.log_status().state == LogState::Current);
}

#[test]
fn a_purger_behind_retention_never_passes_over_unread_records() {
    let _turn = Turn::take();
    let kafka = Kafka::shared();
    kafka.make_topic("full", 1, &["retention.ms=2000", "segment.bytes=20480"]);
    let site = Site::start(PAGES, 1, "lease = \"1s\"\non_expiry = \"validate\"");
    let more = "group = \"full\"\nwindow = 100\ntimeout = \"1s\"";
    let purgers = Purgers::new(&kafka, &["full"], &targets(&site), more);
    let purger = purgers.start("purger");
    site.wait_for_purger("full", 1);
    site.warm(0..PAGES);

    // No proxy is there, so reading pauses; what comes then expires before anybody has read it.
    let stopped = &site.proxies[0];
    stopped.process.signal("STOP");
    let publisher = kafka.publisher();
    let fill = || {
        for _ in 0..100 {
            publisher.publish("full", "site", br#"{"tags":["filler-of-segments-in-the-log"]}"#);
        }
        publisher.flush();
    };
    until("reading pauses", || {
        fill();
        purger.status().partitions.iter().any(|partition| partition.full)
    });
    // librdkafka holds what it fetched before the pause.
    let held = purger.status().partitions[0].read_to + 11_000;
    until("much is written", || {
        fill();
        kafka.ends("full")[0] > held
    });
    change(&kafka, &site, "full", PURGED, 1);
    let changed = kafka.ends("full")[0];
    until("retention deletes what the purger has not read", || {
        fill();
        kafka.extents("full")[0].0 > changed
    });
    stopped.process.signal("CONT");

    site.assert_fresh(0..PAGES);
    until("the proxy is told that it missed something", || {
        let said = stopped.process.said("the position in the purge log is set");
        said.iter().any(|line| line.contains("Expired"))
    });
    site.wait_for_positions("full", &kafka.ends("full"));
    until("the proxy is current again", || stopped.log_status().state == LogState::Current);
    site.assert_fresh(0..PAGES);
}

#[test]
fn a_topic_that_comes_late_never_loses_its_first_purges() {
    let _turn = Turn::take();
    let kafka = Kafka::start();
    let site = Site::start(PAGES, 1, "");
    let purgers = Purgers::new(&kafka, &["late"], &targets(&site), "group = \"late\"");
    let purger = purgers.start("purger");
    until("the purger has reached the broker", || purger.readiness() == 200);
    site.warm(0..PAGES);

    kafka.make_topic("late", 3, &[]);
    change(&kafka, &site, "late", PURGED, 1);

    let ends = kafka.ends("late");
    assert_eq!(ends.iter().sum::<i64>(), 50);
    site.wait_for_positions("late", &ends);
    site.assert_fresh(0..PAGES);
    eventually("the group has committed everything", || {
        // What a partition without records has committed makes no difference.
        let committed = kafka.committed("late", "late", 3);
        let is_done = committed.iter().zip(&ends).all(|(at, end)| at == end || *end == 0);
        if is_done { Ok(()) } else { Err(format!("{committed:?} of {ends:?}")) }
    });
}

#[test]
fn a_topic_replaced_while_the_purger_was_away_is_recognised() {
    let _turn = Turn::take();
    let kafka = Kafka::shared();
    replaced(&kafka, "replaced-longer", Way::Away, 20);
    replaced(&kafka, "replaced-shorter", Way::Away, 5);
}

#[test]
fn a_topic_replaced_under_a_running_purger_is_recognised() {
    let _turn = Turn::take();
    let kafka = Kafka::shared();
    replaced(&kafka, "replaced-alive", Way::Running, 5);
}

/// Whether the purger runs while its topic is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Away,
    Running,
}

/// A topic of ten events is replaced by one of `count` others.
fn replaced(kafka: &Kafka, topic: &str, way: Way, count: usize) {
    kafka.make_topic(topic, 1, &[]);
    let site = Site::start(PAGES, 2, "");
    let purgers = Purgers::new(kafka, &[topic], &targets(&site), &format!("group = \"{topic}\""));
    let mut purger = purgers.start("purger");
    site.wait_for_purger(topic, 1);
    change(kafka, &site, topic, 90..100, 1);
    site.wait_for_positions(topic, &[10]);
    until("the group has committed", || kafka.committed(topic, topic, 1) == [10]);
    site.warm(0..PAGES);

    if way == Way::Away {
        purger.process.kill();
    }
    kafka.delete_topic(topic);
    kafka.make_topic(topic, 1, &[]);
    change(kafka, &site, topic, 0..count, 2);
    if way == Way::Away {
        purger = purgers.start("purger again");
    }

    for proxy in &site.proxies {
        until("the proxy is told that its position belongs to another log", || {
            let said = proxy.process.said("the position in the purge log is set");
            said.iter().any(|line| line.contains("Replaced"))
        });
    }
    site.assert_fresh(0..PAGES);
    // What follows is an ordinary log again.
    site.warm(0..PAGES);
    change(kafka, &site, topic, 30..60, 3);
    site.wait_for_positions(topic, &kafka.ends(topic));
    site.assert_fresh(0..PAGES);
    until("the purger has nothing left to do", || {
        purger.status().partitions.iter().all(|partition| partition.lag == 0)
    });
}
