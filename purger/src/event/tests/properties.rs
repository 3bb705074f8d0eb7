//! Properties of any bytes, and of any purge that is written and read again.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use purge_protocol::log::Rewarm;
use purge_protocol::url::canonical_host;
use purge_protocol::{Deploy, Expression, PurgeMode, PurgeRequest};

use super::super::{
    EventReader, Format, Pattern, Priority, PurgeEvent, Reading, Record, Rules, SiteRule,
    TableRule, Tombstone, cloud_event, time,
};
use super::{now, record};

const SEEDS: [&str; 9] = [
    r#"{"pages":["https://h.example/p"],"paths":["//h.example/q?x"],"all_of":["tag:a","host:h.example"],"expressions":[{"any_of":["prefix:/p/"],"none_of":["page:h.example/p"]}],"deploys":[{"id":"b","grace_seconds":60,"host":"h.example","at_ms":7}],"time":"2026-11-22T11:00:00Z"}"#,
    r#"{"specversion":"1.0","id":"e","source":"/a","type":"cache.purge.requested.v1","time":"2026-11-22T11:00:00Z","data":{"siteId":"s","scope":"tags","tags":["a","b"],"mode":"soft","settleMs":[5],"revision":7,"rewarm":{"urls":["/"],"max":3}}}"#,
    r#"{"tags":["a"],"urls":["https://h.example/p?q#f"],"hosts":["h.example:81"],"prefixes":["/p/"],"all":true}"#,
    r#"{"meta":{"uri":"https://en.example/wiki/A","id":"1","dt":"2026-11-22T11:00:00Z","domain":"en.example"},"tags":["purge"]}"#,
    r#"{"op":"u","before":{"id":1,"s":"x"},"after":{"id":2.5,"s":null},"source":{"db":"d","schema":"p","table":"t","snapshot":"false","ts_ms":1}}"#,
    r#"{"schema":{},"payload":{"op":"t","source":{"table":"t"},"before":null}}"#,
    r#"{"siteId":"s","etag":"W/\"s-1\"","siteRevision":"12"}"#,
    r#"{"siteId":12,"rootEvent":{"time":"0000-01-01T00:00:00Z"},"expiresAt":"x","reason":"é"}"#,
    r#"{"tags":["*","global:x","größe"],"priority":"urgent","reboundMs":3000,"mode":"?"}"#,
];

fn rules(format: Format, site: SiteRule) -> Rules {
    Rules {
        format,
        site,
        tables: vec![TableRule {
            table: Pattern::new("*"),
            tags: vec!["{table}:{id}".parse().unwrap(), "{site}".parse().unwrap()],
            site: Some("s".to_owned()),
            truncate: Vec::new(),
            mode: None,
        }],
        tombstone: Tombstone::Site,
        may_purge_all: vec!["*".to_owned()],
        ..Rules::default()
    }
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let format = proptest::sample::select(&Format::ALL[..]);
    let site = prop_oneof![
        Just(SiteRule::default()),
        Just(SiteRule::tag("site-{site}").unwrap()),
        Just(SiteRule::Host)
    ];
    (format, site).prop_map(|(format, site)| rules(format, site))
}

/// A purge says what it does, can be delivered, and is the same when it has been written and read.
fn check_purge(event: &PurgeEvent, rules: &Rules) {
    let request = &event.request;
    assert!(request.mode.is_some());
    assert_eq!(request.id.as_deref(), Some(event.id.as_str()));
    assert_eq!(request.event_time, event.time.and_then(time::format));
    request.selectors(3000).unwrap();
    assert!(event.settle.is_sorted() && event.settle.iter().all(|delay| !delay.is_zero()));
    let written = cloud_event(event);
    let rules = Rules { format: Format::Auto, ..rules.clone() };
    let read = EventReader::new(rules).read(&Record { timestamp: None, ..record(&written) }, now());
    assert_eq!(
        read,
        Reading::Purge(Box::new(event.clone())),
        "{}",
        String::from_utf8_lossy(&written)
    );
}

fn check(reading: &Reading, rules: &Rules) {
    match reading {
        Reading::Purge(event) => check_purge(event, rules),
        Reading::Ignored(_) => {}
        Reading::Unreadable(found) => {
            assert!(!found.detail.is_empty() && found.detail.len() < 1000, "{}", found.detail);
            assert!(!found.detail.chars().any(char::is_control), "{}", found.detail);
            if let Some(event) = &found.guess {
                assert_eq!(event.request.mode, Some(PurgeMode::Soft));
                check_purge(event, rules);
            }
        }
    }
}

/// Replaces, removes, repeats or inserts a few bytes.
fn spoilt() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<proptest::sample::Index>(), 0_u8..4, any::<u8>());
    let pieces = vec(
        prop_oneof![
            Just("\"all\":true,"),
            Just("null"),
            Just("[]"),
            Just("\"*\""),
            Just("1e400"),
            Just("-1"),
            Just("{}"),
            Just("\\u0000"),
            Just("\"scope\":\"site\","),
            Just("99999999999999999999"),
        ],
        0..3,
    );
    (
        proptest::sample::select(&SEEDS[..]),
        vec(change, 0..6),
        pieces,
        any::<proptest::sample::Index>(),
    )
        .prop_map(|(seed, changes, pieces, at)| {
            let mut bytes = seed.as_bytes().to_vec();
            for piece in pieces {
                let at = at.index(bytes.len());
                bytes.splice(at..at, piece.bytes());
            }
            for (at, kind, byte) in changes {
                if bytes.is_empty() {
                    break;
                }
                let at = at.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => drop(bytes.remove(at)),
                    2 => bytes.insert(at, bytes[at]),
                    _ => bytes.insert(at, byte),
                }
            }
            bytes
        })
}

fn host() -> impl Strategy<Value = String> {
    "[a-z]{1,8}\\.example(:[1-9][0-9]{0,3})?".prop_map(|host| canonical_host(&host).unwrap())
}

/// Text that stands for itself: quotes around a tag are taken off, as those of an entity tag.
fn tag() -> impl Strategy<Value = String> {
    "[!#-+.-~é*]{1,20}"
}

fn distinct<S: Strategy<Value = String>>(text: S) -> impl Strategy<Value = Vec<String>> {
    vec(text, 0..5).prop_map(|mut list| {
        list.sort_unstable();
        list.dedup();
        list
    })
}

fn request() -> impl Strategy<Value = PurgeRequest> {
    let urls =
        (host(), "/[a-z%?=&é]{0,8}").prop_map(|(host, path)| format!("https://{host}{path}"));
    let prefixes = prop_oneof!["/[a-z]{0,5}", host().prop_map(|host| format!("//{host}/x"))];
    let pages = (host(), "/[a-z%?]{0,4}").prop_map(|(host, path)| format!("https://{host}{path}"));
    let places = (distinct(pages), vec(expression(), 0..3), vec(deploy(), 0..3));
    let lists = (distinct(tag()), distinct(urls), distinct(host()), distinct(prefixes), places);
    let mode = prop_oneof![Just(PurgeMode::Hard), Just(PurgeMode::Soft)];
    (lists, any::<bool>(), mode, option::of("\\PC{0,40}")).prop_map(|(lists, all, mode, reason)| {
        let (tags, urls, hosts, prefixes, (pages, mut expressions, mut deploys)) = lists;
        expressions.sort_unstable();
        expressions.dedup();
        deploys.sort_unstable();
        deploys.dedup();
        let texts = [&tags, &urls, &hosts, &prefixes, &pages];
        let is_nothing = texts.iter().all(|list| list.is_empty())
            && expressions.is_empty()
            && deploys.is_empty();
        PurgeRequest {
            tags,
            urls,
            hosts,
            prefixes,
            paths: pages.iter().take(1).cloned().collect(),
            pages,
            expressions,
            deploys,
            all: all || is_nothing,
            mode: Some(mode),
            reason,
            ..PurgeRequest::default()
        }
    })
}

fn expression() -> impl Strategy<Value = Expression> {
    let term = prop_oneof![
        "[a-z]{1,5}".prop_map(|tag| format!("tag:{tag}")),
        host().prop_map(|host| format!("host:{host}")),
        host().prop_map(|host| format!("page:{host}/p")),
        "[a-z]{1,5}".prop_map(|path| format!("prefix:/{path}/")),
    ];
    let terms = (vec(term.clone(), 0..3), vec(term.clone(), 1..3), vec(term, 0..3));
    terms.prop_map(|(all_of, any_of, none_of)| Expression { all_of, any_of, none_of })
}

fn deploy() -> impl Strategy<Value = Deploy> {
    let parts = ("[a-z0-9-]{1,9}", 0..=Deploy::GRACE_SECONDS_MAX, option::of(host()), 0..9_u64);
    parts.prop_map(|(id, grace_seconds, host, at)| Deploy {
        id,
        grace_seconds,
        host,
        at_ms: Some(at),
    })
}

fn event() -> impl Strategy<Value = PurgeEvent> {
    let settle = vec(1_u64..=300_000, 0..4).prop_map(|mut delays| {
        delays.sort_unstable();
        delays.dedup();
        delays.into_iter().map(Duration::from_millis).collect::<Vec<_>>()
    });
    let rewarm =
        (vec("/[a-z]{0,5}", 0..3), 1_u32..=100).prop_map(|(urls, max)| Rewarm { urls, max });
    let time = (0_i64..=253_402_300_799_999).prop_map(|millis| time::of_millis(millis).unwrap());
    let priority = prop_oneof![Just(Priority::Normal), Just(Priority::Urgent)];
    let who = ("[ -~é]{1,40}", option::of("[ -~]{1,40}"), option::of(tag()));
    let rest = (option::of(time), priority, settle, option::of(any::<u64>()), option::of(rewarm));
    (request(), who, rest).prop_map(
        |(mut request, (id, source, site), (time, priority, settle, revision, rewarm))| {
            request.id = Some(id.clone());
            request.event_time = time.and_then(time::format);
            PurgeEvent { id, source, time, request, priority, settle, revision, site, rewarm }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_read_as_something(
        payload in option::of(vec(any::<u8>(), 0..200)),
        key in option::of(vec(any::<u8>(), 0..20)),
        headers in vec((proptest::sample::select(vec!["ce_type", "ce_specversion", "ce_id", "content-type"]), vec(any::<u8>(), 0..12)), 0..4),
        rules in any_rules(),
    ) {
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        let record = Record { key: key.as_deref(), headers: &headers, payload: payload.as_deref(), ..record(b"") };
        check(&EventReader::new(rules.clone()).read(&record, now()), &rules);
    }

    #[test]
    fn a_spoilt_event_is_still_read_as_something(
        payload in spoilt(),
        key in option::of("[a-z{ ]{1,5}"),
        rules in any_rules(),
    ) {
        let record = Record { key: key.as_ref().map(String::as_bytes), ..record(&payload) };
        let reader = EventReader::new(rules.clone());
        let reading = reader.read(&record, now());
        prop_assert_eq!(&reading, &reader.read(&record, now()));
        check(&reading, &rules);
    }

    #[test]
    fn any_text_in_a_list_of_tags_is_all_purged_or_none(tags in vec("\\PC{0,6}|[a-z]{1,4}", 1..6)) {
        let payload = serde_json::to_vec(&serde_json::json!({ "tags": tags })).unwrap();
        match EventReader::new(Rules::default()).read(&record(&payload), now()) {
            Reading::Purge(event) => {
                for tag in &tags {
                    prop_assert!(event.request.tags.contains(tag));
                }
            }
            Reading::Unreadable(_) => prop_assert!(tags.iter().any(|tag| purge_protocol::Tag::parse(tag).is_err())),
            Reading::Ignored(ignored) => prop_assert!(false, "{}", ignored),
        }
    }

    #[test]
    fn an_event_that_is_written_is_read_back(event in event()) {
        check_purge(&event, &rules(Format::Auto, SiteRule::default()));
    }
}
