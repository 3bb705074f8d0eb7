//! TLS to a genuine broker that asks for certificates.

use crate::support::Turn;
use crate::support::kafka::Kafka;
use crate::support::purger::Purgers;
use crate::support::site::Site;
use crate::support::until;

#[test]
fn nothing_that_works_without_tls_fails_with_it() {
    let _turn = Turn::take();
    let kafka = Kafka::start_with_tls();
    for topic in ["tls", "dead", "receipts"] {
        kafka.make_topic(topic, 1, &[]);
    }
    let site = Site::start(2, 1, "");
    let proxies = [site.proxies[0].admin];
    let trust = format!(
        "brokers = [\"{}\"]\nsecurity = \"ssl\"\nca = \"{}\"\n",
        kafka.tls_address(),
        kafka.tls_file("broker.pem")
    );
    let identity = format!(
        "certificate = \"{}\"\nkey = \"{}\"\n",
        kafka.tls_file("client.pem"),
        kafka.tls_file("client.key")
    );
    let more = "group = \"tls\"\ndead_letter = \"dead\"\nreceipts = \"receipts\"";
    let purgers = Purgers::connecting(&(trust.clone() + &identity), &["tls"], &proxies, more);
    let purger = purgers.start("purger");
    site.wait_for_purger("tls", 1);
    site.warm(0..2);
    site.origin.publish(0, 1);
    let publisher = kafka.publisher();
    publisher.publish("tls", "k", b"no event");
    publisher.flush();
    for (name, arguments, content) in [
        ("send", &["--tag", "page-0", "--wait"][..], "1 responses"),
        ("check", &[], "group tls"),
        ("tail", &["--from", "earliest", "--once", "--json"], "page-0"),
        ("dlq", &["list"], "0@0"),
        ("dlq", &["drop", "--all"], ""),
        ("replay", &["--from", "earliest"], ""),
    ] {
        let output = purgers.run(&[&[name], arguments].concat());
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success() && said.contains(content), "{name}: {said}");
    }
    site.assert_fresh(0..2);
    until("status is content", || purgers.run(&["status"]).status.success());
    assert!(purger.process.said("librdkafka").is_empty());

    let anonymous = Purgers::connecting(&trust, &["tls"], &proxies, more);
    let output = anonymous.run(&["check"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && said.contains("kafka.certificate"), "{said}");
    let stranger = trust.replace("broker.pem", "client.pem") + &identity;
    let output = Purgers::connecting(&stranger, &["tls"], &proxies, more).run(&["check"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && said.contains("kafka.ca"), "{said}");
}
