//! Records that nobody should have written.

use rdkafka::message::Message as _;
use shellac_purger::dead_letter::DeadLetter;

use crate::support::Turn;
use crate::support::kafka::Kafka;
use crate::support::purger::Purgers;
use crate::support::site::Site;
use crate::support::until;

const TOPIC: &str = "poison";
const DEAD: &str = "poison-dead";

#[test]
fn poison_never_stops_the_purges_behind_it_and_never_loses_its_bytes() {
    let _turn = Turn::take();
    let kafka = Kafka::shared();
    kafka.make_topic(TOPIC, 1, &[]);
    kafka.make_topic(DEAD, 1, &[]);
    let site = Site::start(10, 2, "");
    let targets: Vec<_> = site.proxies.iter().map(|proxy| proxy.admin).collect();
    let more = format!("group = \"poison\"\ndead_letter = \"{DEAD}\"");
    let purgers = Purgers::new(&kafka, &[TOPIC], &targets, &more);
    let purger = purgers.start("purger");
    site.wait_for_purger(TOPIC, 1);
    site.warm(0..10);

    let dead = dead();
    let publisher = kafka.publisher();
    for record in &dead {
        publisher.publish_to(TOPIC, 0, Some(record));
    }
    publisher.publish_to(TOPIC, 0, None);
    for (page, record) in odd_but_valid() {
        site.origin.publish(page, 1);
        publisher.publish_to(TOPIC, 0, Some(record.as_bytes()));
    }
    publisher.flush();

    let ends = kafka.ends(TOPIC);
    site.wait_for_positions(TOPIC, &ends);
    site.assert_fresh(0..9);
    site.assert_untouched(9..10, 0);
    until("the group has committed everything", || kafka.committed("poison", TOPIC, 1) == ends);
    until("the purger counts them", || purger.status().dead_letters == dead.len() as u64);

    // They are in some order: each is written by itself.
    let listed = list(&purgers);
    assert_eq!(listed.len(), dead.len());
    for record in &dead {
        let holds =
            |(_, letter): &&(String, DeadLetter)| letter.value_bytes().as_deref() == Some(record);
        let found = listed.iter().find(holds);
        let (place, letter) = found.unwrap_or_else(|| panic!("{} bytes are lost", record.len()));
        assert_eq!((letter.topic.as_str(), letter.missing_bytes), (TOPIC, 0));
        let shown = purgers.run(&["dlq", "show", place]);
        let text = String::from_utf8_lossy(record);
        let said = String::from_utf8_lossy(&shown.stderr);
        assert!(String::from_utf8_lossy(&shown.stdout).contains(&*text), "{place}: {said}");
    }

    let (place, letter) = &listed[0];
    let retried = purgers.run(&["dlq", "retry", "--up-to", place]);
    assert!(retried.status.success(), "{retried:?}");
    let again = kafka.records(TOPIC).pop().unwrap();
    assert_eq!(again.payload(), letter.value_bytes().as_deref(), "the same bytes, once more");
    until("it is a dead letter again", || list(&purgers).len() == dead.len());
    let dropped = purgers.run(&["dlq", "drop", "--all"]);
    assert!(dropped.status.success(), "{dropped:?}");
    assert!(list(&purgers).is_empty());
}

fn list(purgers: &Purgers) -> Vec<(String, DeadLetter)> {
    let output = purgers.run(&["dlq", "list", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let read = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        let letter = serde_json::from_value(line["letter"].take()).unwrap();
        (line["place"].as_str().unwrap().to_owned(), letter)
    };
    String::from_utf8(output.stdout).unwrap().lines().map(read).collect()
}

/// Each of them cannot be carried out.
fn dead() -> Vec<Vec<u8>> {
    let noise = |length: u32| -> Vec<u8> {
        let step = |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some(state.to_le_bytes()[3])
        };
        std::iter::successors(Some(length), |_| None)
            .flat_map(|mut state| {
                std::iter::from_fn(move || step(&mut state)).take(length as usize)
            })
            .collect()
    };
    let long = format!("{{\"tags\":[\"page-9\"],\"reason\":\"{}\"}}", "x".repeat(10 << 20));
    vec![
        b"not json".to_vec(),
        b"\xff\xfe\x00\x80".to_vec(),
        Vec::new(),
        br#"{"tags":["page-9""#.to_vec(),
        noise(10 << 20),
        long.into_bytes(),
        br#"{"tags":["page-9\r\nevil: 1"]}"#.to_vec(),
        br#"{"tags":[]}"#.to_vec(),
        br#"{"tags":"page-9","mode":7}"#.to_vec(),
        br#"{"specversion":"1.0","type":"cache.purge.requested.v9","id":"9","source":"/s","data":{"tags":["page-9"]}}"#
            .to_vec(),
        "[".repeat(60_000).into_bytes(),
    ]
}

/// Odd, but each purges its page.
fn odd_but_valid() -> Vec<(usize, String)> {
    let event = |page: usize, more: &str| (page, format!("{{\"tags\":[\"page-{page}\"]{more}}}"));
    vec![
        event(0, r#","time":"9999-12-31T23:59:59Z""#),
        event(1, r#","time":"1970-01-01T00:00:00Z""#),
        event(2, r#","time":"yesterday""#),
        event(3, ""),
        event(3, ""),
        event(4, r#","time":"2026-01-02T00:00:00Z","revision":5"#),
        event(4, r#","time":"2026-01-01T00:00:00Z","revision":3"#),
        (5, r#"{"tags":["*","page-5"]}"#.to_owned()),
        event(6, r#","unknown":{"a":[1,2,3]}"#),
        event(7, r#","mode":"soft""#),
        event(8, ""),
    ]
}
