//! A broken, hostile or empty record never purges anything else, and never stops the purger.

use purge_protocol::PurgeMode;

use super::super::{
    Code, EventReader, Filter, Ignored, Pattern, Reading, Record, Rules, SiteRule, Tombstone,
    Unreadable,
};
use super::{now, record, unreadable};

fn keyed(rules: Rules, key: &[u8], payload: Option<&[u8]>) -> Reading {
    EventReader::new(rules).read(&Record { key: Some(key), payload, ..record(b"") }, now())
}

fn guess(rules: Rules, key: &[u8], payload: &[u8]) -> Option<Vec<String>> {
    let Reading::Unreadable(Unreadable { guess, .. }) = keyed(rules, key, Some(payload)) else {
        panic!()
    };
    guess.map(|event| event.request.tags.into_iter().chain(event.request.hosts).collect())
}

#[test]
fn bytes_that_are_no_json_say_so() {
    let deep = "[".repeat(200);
    for (payload, wanted, part) in [
        (&b""[..], Code::Json, "EOF"),
        (b"{\"tags\":[\"a\"]", Code::Json, "EOF"),
        (b"{\"tags\":[\"a\"]} x", Code::Json, "trailing"),
        (b"\xff\xfe{", Code::Utf8, "write JSON in UTF-8"),
        (b"\0\0\0\0\x07\x02a", Code::Json, "schema registry"),
        (b"PURGE everything", Code::Json, "\"PURGE everything\""),
        (b"{\"tags\":[\"a\"],\"tags\":[]}", Code::Json, "\"tags\" appears twice"),
        (b"{\"tags\":[\"\\ud800\"]}", Code::Json, "hex escape"),
        (deep.as_bytes(), Code::Json, "recursion limit"),
        (b"[]", Code::Shape, "no object"),
        (b"null", Code::Shape, "no object"),
        (b"\"*\"", Code::Shape, "no object"),
    ] {
        let Reading::Unreadable(found) =
            EventReader::new(Rules::default()).read(&record(payload), now())
        else {
            panic!()
        };
        assert_eq!(found.code, wanted, "{payload:?}: {}", found.detail);
        assert!(found.detail.contains(part), "{} lacks {part}", found.detail);
        assert!(!found.detail.chars().any(char::is_control), "a detail is one line");
        assert_eq!(found.guess, None, "no key, no guess");
    }
}

#[test]
fn a_value_of_ten_megabytes_is_not_looked_at() {
    let payload = vec![b' '; 10 << 20];
    let Reading::Unreadable(found) = keyed(Rules::default(), b"s", Some(&payload)) else {
        panic!()
    };
    assert_eq!(found.code, Code::TooLarge);
    assert!(found.detail.contains("10485760 bytes exceed the limit of 65536"), "{}", found.detail);
    assert!(found.guess.is_some());
}

#[test]
fn an_unreadable_event_is_a_soft_purge_of_its_keys_site() {
    let Reading::Unreadable(found) = keyed(Rules::default(), b"7f3c2a", Some(b"?")) else {
        panic!()
    };
    let event = found.guess.unwrap();
    assert_eq!(event.request.tags, ["7f3c2a"]);
    assert_eq!(event.request.mode, Some(PurgeMode::Soft));
    assert_eq!(event.request.reason.as_deref(), Some("unreadable event (json)"));
    assert_eq!((event.id.as_str(), event.site.as_deref()), ("t/3@14", Some("7f3c2a")));
    assert_eq!(event.time, record(b"").timestamp);

    let host = Rules { site: SiteRule::Host, ..Rules::default() };
    assert_eq!(guess(host.clone(), b"Shop.example", b"?").unwrap(), ["shop.example"]);
    assert_eq!(guess(host, b"not/a/host", b"?"), None);
    let template = Rules { site: SiteRule::tag("site-{site}").unwrap(), ..Rules::default() };
    assert_eq!(guess(template, b"s", b"?").unwrap(), ["site-s"]);
    // It is soft whatever the default and whoever may purge hard.
    let strict = Rules { may_purge_hard: Vec::new(), ..Rules::default() };
    assert!(guess(strict, b"s", b"?").is_some());
}

#[test]
fn a_key_that_is_no_site_is_not_guessed_at() {
    for key in [
        &b""[..],
        b"{\"id\":1}",
        b"\"s\"",
        b"a b",
        b"a\r\nb",
        b"a,b",
        b"\xff",
        b"\0\0\0\0\x01",
        &[b'x'; 257],
    ] {
        assert_eq!(guess(Rules::default(), key, b"?"), None, "{key:?}");
    }
    let only = Filter { only: vec![Pattern::new("mine-*")], except: Vec::new() };
    assert_eq!(guess(Rules { sites: only, ..Rules::default() }, b"other", b"?"), None);
}

#[test]
fn a_forbidden_event_is_not_guessed_from_its_key() {
    assert_eq!(guess(Rules::default(), b"s", br#"{"all":true}"#), None);
    let soft_only = Rules { may_purge_hard: Vec::new(), ..Rules::default() };
    assert_eq!(guess(soft_only, b"s", br#"{"tags":["a"]}"#), None);
}

#[test]
fn a_tombstone_is_ignored_unless_it_stands_for_a_site() {
    assert_eq!(keyed(Rules::default(), b"s", None), Reading::Ignored(Ignored::Tombstone));
    let site = Rules { tombstone: Tombstone::Site, ..Rules::default() };
    let Reading::Purge(event) = keyed(site.clone(), b"s", None) else { panic!() };
    assert_eq!(
        (event.request.tags, event.request.mode),
        (vec!["s".to_owned()], Some(PurgeMode::Hard))
    );
    assert_eq!(keyed(site.clone(), b"{}", None), Reading::Ignored(Ignored::Tombstone));
    let Reading::Unreadable(found) = keyed(site, b"a b", None) else { panic!() };
    assert_eq!(found.code, Code::Site);
}

#[test]
fn a_byte_order_mark_is_not_in_the_way() {
    let payload = b"\xef\xbb\xbf{\"tags\":[\"a\"]}";
    assert!(matches!(
        EventReader::new(Rules::default()).read(&record(payload), now()),
        Reading::Purge(_)
    ));
}

#[test]
fn every_control_character_and_space_in_a_tag_is_refused_by_name() {
    for byte in (0_u8..=b' ').chain([0x7f, b',']) {
        let text = format!(r#"{{"tags":["ok","a\u{byte:04x}b"]}}"#);
        let (code, detail) = unreadable(&Rules::default(), &text);
        assert_eq!(code, Code::Tag, "{byte}");
        assert!(detail.starts_with("tags[1]: \"a"), "{detail}");
    }
}

#[test]
fn wrong_types_are_refused_with_place_value_and_remedy() {
    for (text, wanted) in [
        (r#"{"tags":"*"}"#, "tags: is \"*\" (a string); write a list of strings"),
        (r#"{"tags":[["a"]]}"#, "tags[0]: is a list; write a string"),
        (r#"{"tags":{"a":1}}"#, "tags: is an object; write a list"),
        (r#"{"all":"true"}"#, "all: is \"true\" (a string); write true or false"),
        (
            r#"{"tags":["a"],"revision":1.5}"#,
            "revision: is \"1.5\" (a number); write a whole number",
        ),
        (r#"{"tags":["a"],"revision":1e30}"#, "revision: is a number; write a whole number"),
        (
            r#"{"tags":["a"],"settleMs":["x"]}"#,
            "settleMs[0]: is \"x\" (a string); write a whole number",
        ),
        (r#"{"tags":["a"],"rewarm":true}"#, "rewarm: is \"true\" (a boolean); write an object"),
        (r#"{"siteId":true}"#, "siteId: is \"true\" (a boolean); write a string"),
        (r#"{"tags":["a"],"source":[]}"#, "source: is a list; write a string"),
        (r#"{"scope":1}"#, "scope: is \"1\" (a number); write a string"),
    ] {
        let (code, detail) = unreadable(&Rules::default(), text);
        assert_eq!(code, Code::Type, "{text}: {detail}");
        assert!(detail.starts_with(wanted), "{detail}");
    }
}
