//! A record that the broker's disk has damaged.

use crate::support::Turn;
use crate::support::kafka::Kafka;
use crate::support::purger::Purgers;
use crate::support::site::{Site, shown};
use crate::support::until;

const TOPIC: &str = "damage";

/// librdkafka passes over a record whose checksum is wrong, as over a transaction's marker.
#[test]
fn a_purge_that_cannot_be_read_leaves_no_old_page_in_use() {
    let _turn = Turn::take();
    let kafka = Kafka::shared();
    kafka.make_topic(TOPIC, 1, &[]);
    let site = Site::start(4, 1, "");
    let purgers = Purgers::new(&kafka, &[TOPIC], &[site.proxies[0].admin], "group = \"damage\"");
    let publisher = kafka.publisher();
    let publish = |page: usize| {
        site.origin.publish(page, 1);
        let event = format!("{{\"tags\":[\"page-{page}\"]}}");
        publisher.publish_to(TOPIC, 0, Some(event.as_bytes()));
        publisher.flush();
    };
    let mut client = site.proxies[0].client();

    // In the middle of the log, and read with what is around it.
    let mut purger = purgers.start("purger");
    site.wait_for_purger(TOPIC, 1);
    site.warm(0..4);
    purger.process.kill();
    (0..3).for_each(publish);
    kafka.damage(TOPIC, "page-1");
    let mut purger = purgers.start("purger again");
    site.wait_for_positions(TOPIC, &[3]);
    for page in 0..3 {
        assert_eq!(shown(&mut client, page).0, Some(1), "{page}");
    }

    // At its end, where no other record shows the gap.
    purger.process.kill();
    publish(3);
    kafka.damage(TOPIC, "page-3");
    let purger = purgers.start("purger at the end");
    site.wait_for_positions(TOPIC, &[4]);
    assert_eq!(shown(&mut client, 3).0, Some(1));
    until("nothing is left to read", || {
        purger.status().partitions.iter().all(|partition| partition.lag == 0)
    });
}
