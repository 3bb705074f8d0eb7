//! Commands on a genuine broker.

use std::process::Output;

use crate::support::Turn;
use crate::support::kafka::Kafka;
use crate::support::purger::Purgers;
use crate::support::site::Site;
use crate::support::until;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

#[test]
fn status_and_check_tell_whether_a_purger_is_running() {
    let _turn = Turn::take();
    let kafka = Kafka::shared();
    kafka.make_topic("commands", 1, &[]);
    let site = Site::start(1, 1, "");
    let more = "group = \"commands\"";
    let purgers = Purgers::new(&kafka, &["commands"], &[site.proxies[0].admin], more);
    let status = purgers.run(&["status"]);
    assert_eq!(status.status.code(), Some(75), "{}", said(&status));
    assert!(said(&status).contains("no purger is running"), "{}", said(&status));
    let check = purgers.run(&["check"]);
    assert!(said(&check).contains("no purger is running"), "{}", said(&check));

    let mut purger = purgers.start("purger");
    site.wait_for_purger("commands", 1);
    until("the proxy is current, and so status is content", || {
        purgers.run(&["status"]).status.success()
    });
    let check = purgers.run(&["check"]);
    assert!(check.status.success() && !said(&check).contains('!'), "{}", said(&check));

    purger.process.signal("TERM");
    assert!(purger.process.wait().success());
    until("it is missed", || said(&purgers.run(&["status"])).contains("no purger is running"));
}
