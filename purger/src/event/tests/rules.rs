//! Filters, ages, authorisation and limits.

use std::time::Duration;

use purge_protocol::request::Target;
use purge_protocol::{CanonicalUrl, PurgeMode, Tag};

use super::super::{Code, EventLimits, Filter, Ignored, Pattern, Priority, Rules};
use super::{ignored, purge, unreadable};

fn only(patterns: &[&str]) -> Filter {
    Filter { only: patterns.iter().map(|text| Pattern::new(*text)).collect(), except: Vec::new() }
}

#[test]
fn urls_of_other_hosts_are_left_out() {
    let rules = Rules { hosts: only(&["*.example"]), ..Rules::default() };
    let text = r#"{"urls":["https://A.Example/x","https://b.org/"],"hosts":["b.org","c.example:80"],
        "prefixes":["/p/","https://b.org/p/"],"rewarm":{"urls":["https://a.example/","https://b.org/"]}}"#;
    let event = purge(&rules, text);
    assert_eq!(event.request.urls, ["https://A.Example/x"]);
    assert_eq!(event.request.hosts, ["c.example:80"]);
    assert_eq!(event.request.prefixes, ["/p/"]);
    assert_eq!(event.rewarm.unwrap().urls, ["https://a.example/"]);
    assert_eq!(ignored(&rules, r#"{"urls":["https://b.org/"]}"#), Ignored::Filtered);
    let text = r#"{"pages":["//a.example/p","//b.org/p"],"paths":["//b.org/p","//c.example/p"],
        "expressions":[{"all_of":["tag:a","host:b.org"]},{"all_of":["tag:a"],"any_of":["host:b.org"]}],
        "deploys":[{"id":"d","host":"b.org"},{"id":"d","host":"a.example"}]}"#;
    let request = purge(&rules, text).request;
    assert_eq!(
        (request.pages, request.paths),
        (vec!["//a.example/p".into()], vec!["//c.example/p".into()])
    );
    assert_eq!(request.expressions.len(), 1, "tags of any host may meet it");
    assert_eq!(request.deploys[0].host.as_deref(), Some("a.example"));
    assert_eq!(ignored(&rules, r#"{"deploys":[{"id":"d","host":"b.org"}]}"#), Ignored::Filtered);
    // Tags have no host.
    assert_eq!(purge(&rules, r#"{"urls":["https://b.org/"],"tags":["a"]}"#).request.urls.len(), 0);
}

#[test]
fn events_of_other_sites_are_ignored_and_those_without_a_site_are_not() {
    let rules = Rules { sites: only(&["s1", "x-*"]), ..Rules::default() };
    assert_eq!(ignored(&rules, r#"{"siteId":"s2","tags":["a"]}"#), Ignored::Filtered);
    assert_eq!(purge(&rules, r#"{"siteId":"x-9","tags":["a"]}"#).request.tags, ["a"]);
    assert_eq!(purge(&rules, r#"{"tags":["a"]}"#).request.tags, ["a"]);
}

#[test]
fn only_soft_purges_grow_too_old_and_the_first_cause_counts() {
    let rules = Rules { max_age: Some(Duration::from_hours(1)), ..Rules::default() };
    let at =
        |time: &str, mode: &str| format!(r#"{{"tags":["a"],"time":"{time}","mode":"{mode}"}}"#);
    assert_eq!(ignored(&rules, &at("2026-11-22T10:59:59Z", "soft")), Ignored::Expired);
    purge(&rules, &at("2026-11-22T11:00:00Z", "soft"));
    purge(&rules, &at("0001-01-01T00:00:00Z", "hard"));
    purge(&rules, &at("2999-01-01T00:00:00Z", "soft"));
    let caused = r#"{"tags":["a"],"mode":"soft","time":"2026-11-22T11:59:00Z","rootEvent":{"time":"2026-11-22T08:00:00Z"}}"#;
    assert_eq!(ignored(&rules, caused), Ignored::Expired);
    assert_eq!(
        ignored(&rules, r#"{"tags":["a"],"mode":"soft","time":"1970-01-01T00:00:00Z"}"#),
        Ignored::Expired
    );
    purge(&Rules::default(), &at("1970-01-01T00:00:00Z", "soft"));
}

#[test]
fn the_mode_is_the_events_else_the_rules_else_hard() {
    let soft = Rules { mode: Some(PurgeMode::Soft), ..Rules::default() };
    assert_eq!(purge(&soft, r#"{"tags":["a"]}"#).request.mode, Some(PurgeMode::Soft));
    assert_eq!(purge(&soft, r#"{"tags":["a"],"mode":"hard"}"#).request.mode, Some(PurgeMode::Hard));
    assert_eq!(purge(&soft, r#"{"tags":["a"],"mode":"SOFT"}"#).request.mode, Some(PurgeMode::Hard));
    assert_eq!(purge(&Rules::default(), r#"{"tags":["a"]}"#).request.mode, Some(PurgeMode::Hard));
    assert_eq!(unreadable(&soft, r#"{"tags":["a"],"mode":1}"#).0, Code::Type);
    assert_eq!(purge(&soft, r#"{"tags":["a"],"priority":"later"}"#).priority, Priority::Normal);
}

#[test]
fn a_forbidden_purge_is_not_done_in_part() {
    let rules = Rules {
        may_purge_all: vec!["/ops/*".to_owned()],
        may_purge_hard: vec!["/ops/*".to_owned(), "/legal".to_owned()],
        ..Rules::default()
    };
    for text in [
        r#"{"all":true,"mode":"soft","source":"/editor"}"#,
        r#"{"all":true,"mode":"soft"}"#,
        r#"{"scope":"all","tags":["a"],"mode":"soft","source":"/legal"}"#,
        r#"{"prefixes":["/"],"mode":"soft","source":"/editor"}"#,
        r#"{"prefixes":["/*"],"mode":"soft","source":"/editor"}"#,
        r#"{"prefix":"/#","mode":"soft","source":"/editor"}"#,
        r#"{"all_of":["prefix:/*"],"none_of":["tag:a"],"mode":"soft","source":"/editor"}"#,
        r#"{"any_of":["tag:a","prefix:/"],"mode":"soft","source":"/editor"}"#,
        r#"{"deploys":[{"id":"d"}],"mode":"soft","source":"/legal"}"#,
        r#"{"deploys":[{"id":"d","host":"h"}],"mode":"soft","source":"/editor"}"#,
        r#"{"tags":["a"],"mode":"hard","source":"/editor"}"#,
        r#"{"tags":["a"],"source":"/editor"}"#,
        r#"{"tags":["a"],"mode":"no such mode"}"#,
    ] {
        let (code, detail) = unreadable(&rules, text);
        assert_eq!(code, Code::Forbidden, "{text}: {detail}");
    }
    assert!(purge(&rules, r#"{"all":true,"source":"/ops/cli"}"#).request.all);
    purge(&rules, r#"{"tags":["a"],"mode":"hard","source":"/legal"}"#);
    purge(&rules, r#"{"tags":["a"],"mode":"soft","source":"/editor"}"#);
    let any = Rules { may_purge_all: vec!["*".to_owned()], ..Rules::default() };
    assert!(purge(&any, r#"{"all":true}"#).request.all);
}

#[test]
fn selectors_that_match_nothing_are_refused_with_the_remedy() {
    for (text, remedy) in [
        (r#"{"urls":["nope"]}"#, "names no host: write https://host/nope"),
        (r#"{"urls":["https://h/s/*"]}"#, "purge the prefix https://h/s/"),
        (r#"{"prefixes":["s/amber/"]}"#, "write /s/amber/ for every host"),
        (r#"{"hosts":["*.example"]}"#, "name each host"),
        (r#"{"meta":{"uri":"https://h/*"}}"#, "purge the prefix https://h/"),
    ] {
        let (code, detail) = unreadable(&Rules::default(), text);
        assert_eq!(code, Code::Url, "{text}");
        assert!(detail.contains(remedy), "{text}: {detail}");
    }
    let text = r#"{"urls":["https://h/café"],"hosts":["bücher.example"],"tags":["W/\"a\""]}"#;
    let targets = purge(&Rules::default(), text).request.selectors(3).unwrap();
    let targets: Vec<_> = targets.into_iter().map(|(_, target)| target).collect();
    assert_eq!(targets[0], Target::Tag(Tag::parse("a").unwrap()));
    assert_eq!(targets[1], Target::Url(CanonicalUrl::parse("//h/caf%C3%A9").unwrap()));
    assert_eq!(targets[2], Target::Host("xn--bcher-kva.example".to_owned()));
}

#[test]
fn limits_are_the_rules() {
    let rules = Rules {
        limits: EventLimits {
            tags: 2,
            urls: 1,
            settle: 1,
            settle_max: Duration::from_secs(1),
            rewarm_urls: 1,
            payload_bytes: 100,
        },
        ..Rules::default()
    };
    for (text, wanted) in [
        (r#"{"tags":["a","b","c"]}"#, "tags: 3 exceed the limit of 2"),
        (r#"{"tags":["a","b"],"etag":"c"}"#, "tags: 3 exceed the limit of 2"),
        (
            r#"{"urls":["//a/"],"hosts":["b"]}"#,
            "urls, pages, paths, hosts, prefixes and terms: 2 exceed the limit of 1",
        ),
        (r#"{"tags":["a"],"settleMs":[1,2]}"#, "settleMs: 2 exceed the limit of 1"),
        (r#"{"tags":["a"],"settleMs":1001}"#, "settleMs: 1001 ms exceed the limit of 1000 ms"),
        (r#"{"tags":["a"],"rewarm":{"urls":["/","/b"]}}"#, "rewarm.urls: 2 exceed the limit of 1"),
        (r#"{"tags":["a"],"rewarm":{"max":2}}"#, "rewarm.max: 2 exceed the limit of 1"),
    ] {
        let (code, detail) = unreadable(&rules, text);
        assert_eq!(code, Code::Limit, "{text}");
        assert!(detail.starts_with(wanted), "{detail}");
    }
    let long = format!(r#"{{"tags":["{}"]}}"#, "a".repeat(100));
    assert_eq!(unreadable(&rules, &long).0, Code::TooLarge);
}

#[test]
fn a_reason_is_one_line_cut_between_characters() {
    let text = format!(r#"{{"tags":["a"],"reason":"x{}"}}"#, "é".repeat(200));
    assert_eq!(purge(&Rules::default(), &text).request.reason.unwrap().len(), 255);
    let text = r#"{"tags":["a"],"reason":"one\r\ntwo\u0085"}"#;
    assert_eq!(purge(&Rules::default(), text).request.reason.as_deref(), Some("one  two "));
}

#[test]
fn fetches_of_hosts_that_are_not_purged_are_refused() {
    let rules = Rules::default();
    let text =
        r#"{"prefixes":["https://a.example/x"],"rewarm":{"urls":["/","https://A.example/y"]}}"#;
    assert_eq!(purge(&rules, text).rewarm.unwrap().max, 2);
    let text = r#"{"hosts":["a.example"],"rewarm":{"urls":["http://169.254.169.254/"],"max":1}}"#;
    assert_eq!(unreadable(&rules, text).0, Code::Url);
    assert_eq!(purge(&rules, r#"{"tags":["a"],"rewarm":{"urls":["/"],"max":0}}"#).rewarm, None);
}
