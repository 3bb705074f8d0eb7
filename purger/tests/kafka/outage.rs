//! Kafka is down for a while.

use std::ops::Range;

use purge_protocol::log::LogState;

use crate::support::Turn;
use crate::support::kafka::Kafka;
use crate::support::purger::Purgers;
use crate::support::site::{Site, shown};
use crate::support::until;

const PAGES: Range<usize> = 0..50;

#[test]
fn an_outage_of_kafka_never_stops_traffic_nor_passes_unseen() {
    let _turn = Turn::take();
    let kafka = Kafka::start();
    kafka.make_topic("outage", 2, &[]);
    let site = Site::start(PAGES.end, 2, "lease = \"2s\"\non_expiry = \"validate\"");
    let targets: Vec<_> = site.proxies.iter().map(|proxy| proxy.admin).collect();
    let purgers = Purgers::new(&kafka, &["outage"], &targets, "");
    let purger = purgers.start("purger");
    site.wait_for_purger("outage", 2);
    site.warm(PAGES);
    until("the purger is ready", || purger.readiness() == 200);
    site.assert_untouched(PAGES, 0);
    let tail = purgers.start_command("tail", &["tail", "--json", "--from", "earliest"]);
    let publisher = kafka.publisher();
    publisher.publish("outage", "nobody", b"{\"tags\":[\"nobody\"]}");
    publisher.flush();
    until("tail follows", || !tail.said("nobody").is_empty());

    kafka.kill();
    until("the purger is not ready", || purger.readiness() == 503);
    assert!(!purger.status().kafka_connected);
    for proxy in &site.proxies {
        until("the lease runs out", || proxy.log_status().state == LogState::Degraded);
        let mut client = proxy.client();
        let asked = site.origin.requests();
        assert_eq!(shown(&mut client, 0).0, Some(0), "traffic flows");
        assert!(site.origin.requests() > asked, "what is stored is validated");
    }
    site.origin.publish(1, 1);
    site.assert_fresh(PAGES);

    kafka.start_again();
    let publisher = kafka.publisher();
    for page in PAGES {
        site.origin.publish(page, 2);
        publisher.publish(
            "outage",
            &page.to_string(),
            format!("{{\"tags\":[\"page-{page}\"]}}").as_bytes(),
        );
    }
    publisher.flush();
    let ends = kafka.ends("outage");
    site.wait_for_positions("outage", &ends);
    site.assert_fresh(PAGES);
    for proxy in &site.proxies {
        until("the proxy is current again", || proxy.log_status().state == LogState::Current);
    }
    site.assert_untouched(PAGES, 2);
    until("the purger is ready again, and nothing is behind", || {
        let status = purger.status();
        let is_done = status.partitions.iter().all(|partition| partition.lag == 0);
        purger.readiness() == 200 && status.kafka_connected && is_done
    });
    until("the group has committed everything", || {
        kafka.committed("shellac-purger", "outage", 2) == ends
    });
    until("tail has shown what came after the outage", || {
        PAGES.into_iter().all(|page| tail.said(&format!("page-{page}\"")).len() == 1)
    });
}
