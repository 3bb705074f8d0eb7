//! Everything is killed at some time while purges flow. Afterwards nothing that was purged is shown
//! by any proxy.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use purge_protocol::log::LogState;
use tokio::time::Instant;

use crate::support::kafka::Kafka;
use crate::support::purger::Purgers;
use crate::support::relay::Relay;
use crate::support::site::Site;
use crate::support::{Turn, eventually, pause, until};

/// Pages that are purged again and again while visitors read them, pages that are purged once,
/// pages that are not purged.
const BUSY: Range<usize> = 0..600;
const ONCE: Range<usize> = 600..3000;
const UNTOUCHED: Range<usize> = 3000..3600;

const TOPIC: &str = "purges";
const PARTITIONS: usize = 3;

/// Events a second: slow enough for everything to happen while they flow.
const RATE: usize = 5000;

#[test]
fn no_purge_is_lost_while_processes_are_killed_stopped_or_slow() {
    let _turn = Turn::take();
    let events = events();
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, 3, &[]);
    kafka.make_topic("dead", 1, &[]);
    let site = Site::start(UNTOUCHED.end, 3, "lease = \"5s\"");
    let relay = Relay::start(site.proxies[2].admin, Duration::from_millis(40));
    let targets = [site.proxies[0].admin, site.proxies[1].admin, relay.address];
    let purgers = Purgers::new(&kafka, &[TOPIC], &targets, "dead_letter = \"dead\"");
    let mut running = [purgers.start("purger 0"), purgers.start("purger 1")];
    site.wait_for_purger(TOPIC, PARTITIONS);
    site.warm(0..UNTOUCHED.end);
    let visitors = site.visitors(BUSY);

    let published = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| publish(&kafka, &site, events, &published));
        let reached = |percent: usize| {
            until("events flow", || published.load(Ordering::Relaxed) >= events * percent / 100);
        };
        reached(10);
        running[0].process.kill();
        running[0] = purgers.start("purger 0");
        reached(20);
        site.proxies[1].process.signal("STOP");
        reached(30);
        running[1].process.kill();
        reached(40);
        let broker = kafka.pid();
        kafka.kill();
        running[1] = purgers.start("purger 1");
        kafka.start_again();
        assert_ne!(broker, kafka.pid());
        reached(60);
        site.proxies[1].process.signal("CONT");
        running[0].process.kill();
        running[0] = purgers.start("purger 0");
        reached(80);
        running[0].process.kill();
        running[1].process.kill();
        running[0] = purgers.start("purger 0");
        reached(90);
        running[1] = purgers.start("purger 1");
    });

    let ends = kafka.ends(TOPIC);
    assert!(ends.iter().sum::<i64>() >= i64::try_from(events).unwrap(), "{ends:?}");
    site.wait_for_positions(TOPIC, &ends);
    visitors.leave();
    site.assert_fresh(0..ONCE.end);
    site.assert_untouched(UNTOUCHED, 0);
    eventually("the group has committed everything", || {
        let committed = kafka.committed("shellac-purger", TOPIC, PARTITIONS);
        if committed == ends { Ok(()) } else { Err(format!("{committed:?} of {ends:?}")) }
    });
    assert_eq!(kafka.ends("dead"), [0], "no valid event is a dead letter");
    for proxy in &site.proxies {
        until("the proxy is current", || proxy.log_status().state == LogState::Current);
    }
    until("no purger is behind", || {
        running.iter().all(|purger| purger.status().partitions.iter().all(|p| p.lag == 0))
    });
}

/// Publishes so many changes of pages with their events; each page that is purged once has its turn
/// somewhere.
fn publish(kafka: &Kafka, site: &Site, events: usize, progress: &AtomicUsize) {
    let publisher = kafka.publisher();
    let started = Instant::now();
    let mut once = ONCE;
    for event in 0..events {
        let is_turn = event * ONCE.len() / events != (event + 1) * ONCE.len() / events;
        let busy = BUSY.start + event.wrapping_mul(7919) % BUSY.len();
        let page = if is_turn { once.next().unwrap_or(busy) } else { busy };
        site.origin.publish(page, event as u64 + 1);
        let json = format!("{{\"tags\":[\"page-{page}\"]}}");
        publisher.publish(TOPIC, &page.to_string(), json.as_bytes());
        progress.store(event + 1, Ordering::Relaxed);
        let due = Duration::from_millis((event * 1000 / RATE) as u64);
        while started.elapsed() < due {
            pause();
        }
    }
    publisher.flush();
}

/// How many: 100,000, or more for a longer run.
fn events() -> usize {
    let asked = std::env::var("SHELLAC_CRASH_EVENTS");
    asked.map_or(100_000, |text| text.parse().expect("SHELLAC_CRASH_EVENTS is a number"))
}
