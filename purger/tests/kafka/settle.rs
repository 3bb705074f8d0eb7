//! A purge that asks to be repeated, and a purger that dies meanwhile.

use std::sync::Arc;

use crate::support::kafka::Kafka;
use crate::support::purger::Purgers;
use crate::support::site::{Site, shown};
use crate::support::{Turn, eventually, until};

#[test]
fn a_repetition_is_never_forgotten_when_the_purger_that_owes_it_dies() {
    let _turn = Turn::take();
    let kafka: Arc<Kafka> = Kafka::shared();
    kafka.make_topic("settle", 1, &[]);
    let site = Site::start(2, 1, "");
    let purgers = Purgers::new(&kafka, &["settle"], &[site.proxies[0].admin], "group = \"settle\"");
    let mut purger = purgers.start("purger");
    site.wait_for_purger("settle", 1);
    site.warm(0..2);

    let publisher = kafka.publisher();
    site.origin.publish(0, 1);
    publisher.publish("settle", "site", br#"{"tags":["page-0"],"settleMs":4000}"#);
    publisher.flush();
    site.wait_for_positions("settle", &[1]);
    let mut client = site.proxies[0].client();
    assert_eq!(shown(&mut client, 0).0, Some(1), "it is purged at once");
    site.origin.publish(0, 2); // what a replica shows later
    purger.process.kill();
    assert_eq!(kafka.ends("settle"), [1], "the repetition was not due");
    assert!(kafka.committed("settle", "settle", 1)[0] < 1, "it is owed");
    let purger = purgers.start("purger again");

    eventually("the repetition is written and applied", || {
        let positions = site.proxies[0].positions("settle");
        if positions[&0] >= 2 { Ok(()) } else { Err(format!("{positions:?}")) }
    });
    assert_eq!(shown(&mut client, 0).0, Some(2));
    assert_eq!(shown(&mut client, 1), (Some(0), true));
    until("nothing is owed any more", || {
        purger.status().partitions.iter().all(|partition| partition.lag == 0)
            && kafka.committed("settle", "settle", 1) == kafka.ends("settle")
    });
}
