//! Each format becomes what its documentation says, and is recognised by its shape.

use std::time::Duration;

use purge_protocol::PurgeMode;

use super::super::{
    Code, EventReader, Format, Ignored, Reading, Record, Rules, SiteRule, cloud_event, repetition,
    time,
};
use super::{ignored, now, purge, read, record, unreadable};

fn rules(format: Format) -> Rules {
    Rules { format, ..Rules::default() }
}

#[test]
fn a_body_for_the_purge_api_is_a_plain_event() {
    let text = r#"{"tags":["product-42"],"urls":["https://shop.example/p/42"],"prefixes":["/blog/"],"hosts":["a.example"],
        "all":false,"mode":"soft","reason":"price change","id":"01JD","event_time":"2026-11-22T11:37:00.120Z"}"#;
    for format in [Format::Auto, Format::Plain] {
        let event = purge(&rules(format), text);
        let wanted: purge_protocol::PurgeRequest = serde_json::from_str(text).unwrap();
        assert_eq!(event.request, wanted);
        assert_eq!((event.id.as_str(), event.site), ("01JD", None));
    }
}

#[test]
fn a_plain_event_without_id_and_time_has_those_of_its_record() {
    let event = purge(&rules(Format::Auto), r#"{"tags":["a"]}"#);
    assert_eq!(event.id, "t/3@14");
    assert_eq!(event.request.id.as_deref(), Some("t/3@14"));
    assert_eq!(event.request.event_time.as_deref(), Some("2026-11-22T11:59:59.500Z"));
    assert_eq!(event.request.mode, Some(PurgeMode::Hard));
}

#[test]
fn a_site_event_is_the_purge_by_entity_tag_and_site() {
    let text = r#"{"siteId":"7f3c2a","etag":"W/\"7f3c2a-12\"","siteRevision":12,"mode":"soft"}"#;
    let event = purge(&rules(Format::Auto), text);
    assert_eq!(event.request.tags, ["7f3c2a-12", "7f3c2a"]);
    assert_eq!((event.revision, event.site.as_deref()), (Some(12), Some("7f3c2a")));
    assert_eq!(event.request.mode, Some(PurgeMode::Soft));

    let alone = purge(&rules(Format::Auto), r#"{"siteId":"7f3c2a","siteRevision":"13"}"#);
    assert_eq!((alone.request.tags, alone.revision), (vec!["7f3c2a".to_owned()], Some(13)));
    let etag = purge(&rules(Format::Site), r#"{"etag":"\"v1\""}"#);
    assert_eq!((etag.request.tags, etag.site), (vec!["v1".to_owned()], None));
    assert_eq!(unreadable(&rules(Format::Site), "{}").0, Code::Field);
    assert_eq!(unreadable(&rules(Format::Site), r#"{"siteId":"a","etag":"\"\""}"#).0, Code::Tag);
}

#[test]
fn a_site_is_a_tag_of_the_operators_making_or_a_host() {
    let text = r#"{"siteId":"Shop.Example:80","etag":"\"v1\""}"#;
    let tag = Rules { site: SiteRule::tag("site-{site}").unwrap(), ..Rules::default() };
    assert_eq!(purge(&tag, text).request.tags, ["v1", "site-Shop.Example:80"]);
    let host = Rules { site: SiteRule::Host, ..Rules::default() };
    let request = purge(&host, text).request;
    assert_eq!((request.tags, request.hosts), (vec!["v1".into()], vec!["shop.example".into()]));
    assert_eq!(unreadable(&host, r#"{"siteId":"a/b"}"#).0, Code::Site);
    let urls = purge(&host, r#"{"siteId":"shop.example","urls":["/p/1","//b.example/"]}"#);
    assert_eq!(urls.request.urls, ["//shop.example/p/1", "//b.example/"]);
}

#[test]
fn a_resource_change_is_the_purge_of_its_uri() {
    let text = r#"{"$schema":"/resource_change/1.0.0",
        "meta":{"uri":"https://en.wikipedia.org/wiki/Foo","id":"9a","dt":"2026-11-22T11:00:00Z","domain":"en.wikipedia.org","stream":"resource-purge"},
        "tags":["purge","null_edit"],"root_event":{"dt":"2026-11-22T10:00:00Z","signature":"x"},"triggered_by":"a"}"#;
    for format in [Format::Auto, Format::ResourceChange] {
        let event = purge(&rules(format), text);
        assert_eq!(event.request.urls, ["https://en.wikipedia.org/wiki/Foo"]);
        assert!(event.request.tags.is_empty(), "remarks are no tags");
        assert_eq!(event.request.reason.as_deref(), Some("purge null_edit"));
        assert_eq!(event.id, "9a");
        assert_eq!(event.source.as_deref(), Some("resource-purge"));
        assert_eq!(event.site.as_deref(), Some("en.wikipedia.org"));
        assert_eq!(event.time, time::parse("2026-11-22T10:00:00Z"));
    }
    let bad = r#"{"meta":{"uri":"https://h/","dt":"not a date"},"root_event":7}"#;
    assert_eq!(purge(&rules(Format::Auto), bad).time, record(b"").timestamp);
    assert_eq!(unreadable(&rules(Format::ResourceChange), r#"{"meta":{}}"#).0, Code::Field);
    let (code, detail) = unreadable(&rules(Format::Auto), r#"{"meta":{"uri":"/wiki/Foo"}}"#);
    assert_eq!(code, Code::Url);
    assert!(detail.starts_with("meta.uri: \"/wiki/Foo\" names no host"), "{detail}");
}

fn binary<'a>(headers: &'a [(&'a str, &'a [u8])], payload: &'a [u8]) -> Reading {
    let record = Record { headers, ..record(payload) };
    EventReader::new(Rules::default()).read(&record, now())
}

const HEADERS: [(&str, &[u8]); 6] = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"e-7"),
    ("ce_source", b"/editor"),
    ("ce_type", b"cache.purge.requested.v1"),
    ("ce_time", b"2026-11-22T11:00:00Z"),
    ("content-type", b"application/json; charset=utf-8"),
];

#[test]
fn a_binary_event_has_its_attributes_in_headers() {
    let Reading::Purge(event) = binary(&HEADERS, br#"{"siteId":"s","mode":"soft"}"#) else {
        panic!()
    };
    assert_eq!((event.id.as_str(), event.source.as_deref()), ("e-7", Some("/editor")));
    assert_eq!(event.request.tags, ["s"]);
    assert_eq!(event.time, time::parse("2026-11-22T11:00:00Z"));

    for (line, wanted) in [
        (("ce_type", &b"cache.purge.requested.v9"[..]), Code::Version),
        (("ce_specversion", b"2.0"), Code::Version),
        (("ce_id", b"\xff"), Code::Utf8),
        (("ce_source", b""), Code::Field),
        (("content-type", b"application/avro"), Code::Format),
        (("content-type", b"application/cloudevents-batch+json"), Code::Format),
    ] {
        let mut headers = HEADERS;
        *headers.iter_mut().find(|(name, _)| *name == line.0).unwrap() = line;
        let Reading::Unreadable(found) = binary(&headers, br#"{"tags":["a"]}"#) else {
            panic!("{line:?}")
        };
        assert_eq!(found.code, wanted, "{line:?}: {}", found.detail);
    }
    let mut headers = HEADERS;
    headers[3].1 = b"shop.order.placed.v1";
    assert_eq!(binary(&headers, b"{}"), Reading::Ignored(Ignored::OtherType));
    headers[3].1 = b"cache.purge.requestedly";
    assert_eq!(binary(&headers, b"{}"), Reading::Ignored(Ignored::OtherType));
}

#[test]
fn an_event_in_structured_mode_may_have_a_content_type() {
    let headers: [(&str, &[u8]); 1] = [("Content-Type", b"application/cloudevents+json")];
    let text = br#"{"specversion":"1.0","id":"1","source":"/a","type":"cache.purge.requested.v1","data":{"tags":["a"]}}"#;
    assert!(matches!(binary(&headers, text), Reading::Purge(_)));
}

#[test]
fn a_shape_is_recognised_in_a_fixed_order() {
    let rules = rules(Format::Auto);
    // Both a CloudEvent and plain: the more specific one counts, and its data are not there.
    let (code, detail) = unreadable(
        &rules,
        r#"{"specversion":"1.0","id":"1","source":"/a","type":"cache.purge.requested.v1","tags":["a"]}"#,
    );
    assert_eq!((code, detail.starts_with("data: is not there")), (Code::Field, true));
    // Plain before site: but nothing that a site event says is lost.
    let both = purge(&rules, r#"{"siteId":"s","etag":"\"e\"","tags":["a"]}"#);
    assert_eq!(both.request.tags, ["a", "e"]);
    // A key without a value is no key.
    assert_eq!(purge(&rules, r#"{"specversion":null,"tags":["a"]}"#).request.tags, ["a"]);
    assert_eq!(ignored(&rules, r#"{"op":"r","after":{"id":1}}"#), Ignored::Snapshot);
}

#[test]
fn an_unknown_shape_is_refused_with_the_probable_one() {
    let (code, detail) = unreadable(&rules(Format::Auto), r#"{"tag":["a"],"id":1}"#);
    assert_eq!(code, Code::Shape);
    assert!(detail.contains("\"tag, id\"") && detail.contains("did you mean tags"), "{detail}");
    assert_eq!(unreadable(&rules(Format::Auto), "{}").0, Code::Shape);
    assert_eq!(unreadable(&rules(Format::Plain), r#"{"tag":["a"]}"#).0, Code::Empty);
    assert_eq!(unreadable(&rules(Format::CloudEvents), r#"{"tags":["a"]}"#).0, Code::Field);
    assert_eq!(unreadable(&rules(Format::Debezium), r#"{"tags":["a"]}"#).0, Code::Shape);
    assert!(matches!(read(&rules(Format::Site), r#"{"siteId":"a"}"#), Reading::Purge(_)));
}

#[test]
fn a_repetition_is_read_whatever_format_limit_and_age_are_set() {
    let delay = Duration::from_mins(1);
    for (format, text) in [
        (Format::Plain, r#"{"tags":["a"],"settleMs":60000}"#),
        (Format::Site, r#"{"siteId":"s","settleMs":60000}"#),
        (Format::Auto, r#"{"tags":["a"],"settleMs":60000}"#),
    ] {
        let mut rules = Rules { max_age: Some(Duration::from_secs(5)), ..rules(format) };
        rules.limits.payload_bytes = text.len();
        let event = purge(&rules, text);
        let again = event.repetition(delay);
        let read = |json: &[u8]| EventReader::new(rules.clone()).read(&record(json), now() + delay);
        let read_again = read(&repetition(&again));
        assert_eq!(read_again, Reading::Purge(Box::new(again.clone())), "{format:?}");
        assert!(matches!(read(&cloud_event(&again)), Reading::Unreadable(_)), "{format:?}");
        assert_eq!(again.request.tags, event.request.tags);
        assert_eq!(again.request.mode, Some(PurgeMode::Soft));
    }
}

#[test]
fn a_repetition_has_an_id_that_is_not_too_long() {
    let text = format!(r#"{{"tags":["a"],"id":"{}","settleMs":1000}}"#, "\u{e9}".repeat(256));
    let again = purge(&Rules::default(), &text).repetition(Duration::from_secs(1));
    assert!(again.id.ends_with("\u{e9}+1s") && again.id.len() <= 512, "{}", again.id);
}
