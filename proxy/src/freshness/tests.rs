//! Whole exchanges, judged and then aged.
//!
//! The second half goes through the ways in which http-cache-semantics 3.0.0 was measured to differ
//! from the RFCs, and states the rule each time. The last part feeds arbitrary bytes to every field
//! that is read.

use std::time::Duration;

use http::{HeaderMap, HeaderName, Method, StatusCode};
use proptest::array::uniform4;
use proptest::collection::vec;
use proptest::prelude::{any, proptest};
use proptest::sample::select;

use crate::field::delta_seconds::DeltaSeconds;
use crate::freshness::stored_fields::{freshen, stored_fields};
use crate::freshness::validation::{conditions, head_agrees, selects};
use crate::freshness::{
    ExchangeTimes, Freshness, FreshnessRules, Heuristic, RequestDirectives, RequestFacts,
    Staleness, Uncacheable, judge,
};
use process::timestamp::Timestamp;

/// 1994-11-06 08:49:37, when every response below arrives.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(784_111_777);
pub(crate) const NOW_DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

pub(crate) const POLICY: FreshnessRules = FreshnessRules {
    default_ttl: Duration::ZERO,
    heuristic: Some(Heuristic { share: 10, max: Duration::from_hours(24) }),
    ttl_by_status: Vec::new(),
    stale_while_revalidate: Duration::ZERO,
    max_stale_while_revalidate: Duration::MAX,
    stale_if_error: Duration::ZERO,
    keep: Duration::from_hours(1),
    asset_grace: Duration::ZERO,
    ignore_client_no_cache: false,
};

/// Makes a head of these fields, one line each.
pub(crate) fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    headers
}

/// A GET without anything special.
pub(crate) fn get() -> RequestFacts {
    RequestFacts {
        method: Method::GET,
        has_authorization: false,
        directives: RequestDirectives::default(),
    }
}

/// An exchange that takes no time.
pub(crate) const INSTANT: ExchangeTimes =
    ExchangeTimes { request_time: NOW, response_time: NOW, wall_time: NOW };

/// Judges a 200 to a plain GET.
pub(crate) fn judged(
    policy: &FreshnessRules,
    fields: &[(&str, &str)],
) -> Result<Freshness, Uncacheable> {
    judge(policy, &get(), StatusCode::OK, &headers(fields), INSTANT)
}

fn after(secs: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(secs))
}

fn stored(fields: &[(&str, &str)]) -> Freshness {
    judged(&POLICY, fields).unwrap()
}

#[test]
fn a_response_is_fresh_until_its_age_reaches_its_lifetime() {
    let freshness = stored(&[("cache-control", "max-age=60"), ("age", "10")]);
    for (secs, age, ttl, state) in [
        (0, 10, 50, Staleness::Fresh),
        (49, 59, 1, Staleness::Fresh),
        (50, 60, 0, Staleness::Stale),
        (100, 110, -50, Staleness::Stale),
    ] {
        assert_eq!(freshness.age(after(secs)).as_secs(), age, "{secs}");
        assert_eq!(freshness.ttl(after(secs), None), ttl, "{secs}");
        assert_eq!(freshness.state(after(secs), None), state, "{secs}");
    }
}

#[test]
fn windows_follow_the_end_of_freshness() {
    let field = "max-age=60, stale-while-revalidate=30, stale-if-error=100";
    let freshness = stored(&[("cache-control", field)]);
    for (secs, state, stands_in) in [
        (0, Staleness::Fresh, true),
        (60, Staleness::StaleWhileRevalidate, true),
        (89, Staleness::StaleWhileRevalidate, true),
        (90, Staleness::Stale, true),
        (159, Staleness::Stale, true),
        (160, Staleness::Stale, false),
    ] {
        assert_eq!(freshness.state(after(secs), None), state, "{secs}");
        assert_eq!(freshness.may_serve_on_error(after(secs), None), stands_in, "{secs}");
    }
    assert_eq!(freshness.useless_after(), after(160));
}

#[test]
fn a_soft_purge_only_ever_shortens() {
    let field = "max-age=60, stale-while-revalidate=30, stale-if-error=100";
    let freshness = stored(&[("cache-control", field)]);
    for (purged, secs, ttl, state, stands_in) in [
        (20, 19, 41, Staleness::Fresh, true),
        (20, 20, 0, Staleness::StaleWhileRevalidate, true),
        (20, 49, -29, Staleness::StaleWhileRevalidate, true),
        (20, 50, -30, Staleness::Stale, true),
        (20, 120, -100, Staleness::Stale, false),
        (70, 70, -10, Staleness::StaleWhileRevalidate, true),
        (70, 90, -30, Staleness::Stale, true),
        (200, 90, -30, Staleness::Stale, true),
    ] {
        let (soft_purged, now) = (Some(after(purged)), after(secs));
        assert_eq!(freshness.ttl(now, soft_purged), ttl, "{purged} {secs}");
        assert_eq!(freshness.state(now, soft_purged), state, "{purged} {secs}");
        assert_eq!(freshness.may_serve_on_error(now, soft_purged), stands_in, "{purged} {secs}");
    }
}

#[test]
fn no_cache_is_never_fresh_and_never_stands_in() {
    let policy = FreshnessRules {
        stale_while_revalidate: Duration::from_mins(1),
        stale_if_error: Duration::from_mins(1),
        ..POLICY
    };
    let fields = [("cache-control", "no-cache, max-age=60"), ("etag", r#""a""#)];
    let freshness = judged(&policy, &fields).unwrap();
    for now in [Timestamp::default(), NOW, after(1), Timestamp::MAX] {
        assert_eq!(freshness.state(now, None), Staleness::Stale);
        assert!(!freshness.may_serve_on_error(now, None));
        assert!(freshness.ttl(now, None) <= 0);
    }
    assert_eq!(freshness.useless_after(), after(3600), "it is kept to be validated");
}

#[test]
fn a_clock_that_steps_back_revives_nothing() {
    let freshness = stored(&[("cache-control", "max-age=0"), ("etag", r#""a""#)]);
    assert_eq!(freshness.state(NOW.minus(Duration::from_hours(1)), None), Staleness::Stale);
}

// What http-cache-semantics 3.0.0 does otherwise.

#[test]
fn directive_names_are_case_insensitive() {
    let expires = ("expires", "Mon, 07 Nov 1994 08:49:37 GMT");
    for (field, reason) in [
        ("No-Store", Uncacheable::NoStore),
        ("NO-STORE, max-age=60", Uncacheable::NoStore),
        ("PRIVATE, max-age=60", Uncacheable::Private),
        ("Private", Uncacheable::Private),
        ("No-Cache", Uncacheable::NoCache),
    ] {
        assert_eq!(judged(&POLICY, &[("cache-control", field), expires]), Err(reason), "{field}");
    }
    assert_eq!(stored(&[("cache-control", "Max-Age=60")]).lifetime(), DeltaSeconds::from_secs(60));
    assert_eq!(stored(&[("cache-control", "S-MaxAge=60")]).lifetime(), DeltaSeconds::from_secs(60));
}

#[test]
fn max_stale_of_a_client_stores_nothing_more() {
    let request = RequestFacts {
        directives: RequestDirectives::of(&headers(&[("cache-control", "max-stale")])),
        ..get()
    };
    for (field, reason) in
        [("private, max-age=60", Uncacheable::Private), ("no-cache", Uncacheable::NoCache)]
    {
        let head = headers(&[("cache-control", field)]);
        assert_eq!(judge(&POLICY, &request, StatusCode::OK, &head, INSTANT), Err(reason));
    }
    let head = headers(&[("set-cookie", "a=b"), ("cache-control", "max-age=60")]);
    assert_eq!(
        judge(&POLICY, &request, StatusCode::OK, &head, INSTANT),
        Err(Uncacheable::SetCookie)
    );
    for field in ["s-maxage=60", "max-age=60, proxy-revalidate", "max-age=60, must-revalidate"] {
        let freshness = stored(&[("cache-control", field)]);
        assert_eq!(freshness.state(after(60), None), Staleness::Stale, "{field}");
        assert!(!request.directives.accepts_stale(&freshness, after(60), None), "{field}");
    }
}

#[test]
fn repeated_lines_are_stored_and_freshened_as_lines() {
    let links = [("link", "</a>"), ("link", "</b>")];
    let head = stored_fields(&headers(&links), NOW);
    assert_eq!(head.get_all("link").iter().count(), 2);
    let newer = headers(&[("link", "</c>"), ("link", "</d>"), ("link", "</e>")]);
    assert_eq!(
        freshen(&head, &newer, NOW).get_all("link").iter().collect::<Vec<_>>(),
        ["</c>", "</d>", "</e>"]
    );
}

#[test]
fn dates_in_all_three_formats_count() {
    for expires in [
        "Sun, 06 Nov 1994 08:50:37 GMT",
        "Sunday, 06-Nov-94 08:50:37 GMT",
        "Sun Nov  6 08:50:37 1994",
        "sun, 06 nov 1994 08:50:37 gmt",
    ] {
        let freshness = stored(&[("expires", expires), ("date", NOW_DATE)]);
        assert_eq!(freshness.lifetime(), DeltaSeconds::from_secs(60), "{expires}");
    }
    assert_eq!(stored_fields(&headers(&[]), NOW).get("date").unwrap(), NOW_DATE);
}

#[test]
fn an_old_hop_and_a_slow_origin_server_make_a_response_old() {
    let fields = [("cache-control", "max-age=600"), ("date", NOW_DATE), ("via", "1.0 old")];
    let head = headers(&fields);
    let late =
        ExchangeTimes { request_time: after(90), response_time: after(100), wall_time: after(100) };
    let freshness = judge(&POLICY, &get(), StatusCode::OK, &head, late).unwrap();
    assert_eq!(freshness.age(after(100)).as_secs(), 100, "apparent age");

    let head = headers(&[("cache-control", "max-age=600"), ("age", "20")]);
    let freshness = judge(&POLICY, &get(), StatusCode::OK, &head, late).unwrap();
    assert_eq!(freshness.age(after(100)).as_secs(), 30, "age and response delay");
}

#[test]
fn a_huge_age_saturates() {
    for age in ["18446744073709551615", "99999999999999999999999999"] {
        let fields = [("age", age), ("cache-control", "max-age=60"), ("etag", r#""a""#)];
        assert_eq!(stored(&fields).age(NOW), DeltaSeconds::MAX);
        assert_eq!(stored(&fields).age(Timestamp::MAX), DeltaSeconds::MAX);
    }
}

#[test]
fn every_line_of_vary_is_read() {
    let fields =
        [("vary", "accept"), ("vary", "accept-language, *"), ("cache-control", "max-age=60")];
    assert_eq!(judged(&POLICY, &fields), Err(Uncacheable::VaryStar));
}

#[test]
fn errors_with_an_explicit_lifetime_are_stored() {
    let head = headers(&[("cache-control", "max-age=60")]);
    for status in [302, 403, 404, 418, 500, 503, 599] {
        let status = StatusCode::from_u16(status).unwrap();
        assert!(judge(&POLICY, &get(), status, &head, INSTANT).is_ok(), "{status}");
    }
}

#[test]
fn proxy_revalidate_keeps_the_lifetime_and_overlong_seconds_are_many() {
    let freshness = stored(&[("cache-control", "max-age=60, proxy-revalidate")]);
    assert_eq!(freshness.state(after(59), None), Staleness::Fresh);
    let freshness = stored(&[("cache-control", "max-age=99999999999")]);
    assert_eq!(freshness.lifetime(), DeltaSeconds::MAX);
}

#[test]
fn a_304_brings_its_own_date_and_age() {
    let head = headers(&[
        ("age", "50"),
        ("date", NOW_DATE),
        ("etag", r#""a""#),
        ("cache-control", "max-age=60"),
    ]);
    let later = ExchangeTimes {
        request_time: after(100),
        response_time: after(100),
        wall_time: after(100),
    };
    let updated = freshen(&head, &headers(&[("etag", r#""a""#)]), later.response_time);
    assert_eq!(updated.get("age"), None);
    let freshness = judge(&POLICY, &get(), StatusCode::OK, &updated, later).unwrap();
    assert_eq!(freshness.age(after(100)), DeltaSeconds::ZERO);
    assert_eq!(freshness.state(after(159), None), Staleness::Fresh);
}

// Any bytes, anywhere.

const READ_OF_RESPONSES: [&str; 12] = [
    "age",
    "cache-control",
    "cdn-cache-control",
    "connection",
    "content-length",
    "date",
    "etag",
    "expires",
    "last-modified",
    "surrogate-control",
    "vary",
    "x-unknown",
];

const SNIPPETS: [&str; 20] = [
    "max-age=60",
    "s-maxage=\"5\"",
    "no-cache",
    "private=\"set-cookie, x\"",
    "max-age=99999999999999999999",
    "stale-while-revalidate=9999999999",
    "must-revalidate",
    "max-age=5+5",
    "no-store;x",
    "\"",
    "\"unclosed, max-age=1",
    "0",
    "-1",
    "18446744073709551616",
    NOW_DATE,
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "W/\"a\"",
    "*",
    "etag, date",
    "a=(1 2);b, c=?0",
];

fn head_of(fields: Vec<(&'static str, Vec<u8>)>) -> HeaderMap {
    let mut head = HeaderMap::new();
    for (name, value) in fields {
        if let Ok(value) = value.try_into() {
            head.append(name, value);
        }
    }
    head
}

fn exercise(head: &HeaderMap, newer: &HeaderMap, status: u16, moments: [u64; 4]) {
    let [request_time, response_time, now, purged] = moments.map(Timestamp::from_millis);
    let exchange = ExchangeTimes { request_time, response_time, wall_time: response_time };
    let policy =
        FreshnessRules { default_ttl: Duration::MAX, stale_if_error: Duration::MAX, ..POLICY };
    let status = StatusCode::from_u16(status).unwrap();
    let directives = RequestDirectives::of(head);
    let request =
        RequestFacts { directives: RequestDirectives { no_store: false, ..directives }, ..get() };
    if let Ok(freshness) = judge(&policy, &request, status, head, exchange) {
        assert!(freshness.useless_after() > response_time);
        assert_eq!(Freshness::from_words(freshness.to_words()), freshness);
        for soft_purged in [None, Some(purged)] {
            let is_fresh = freshness.state(now, soft_purged) == Staleness::Fresh;
            let is_later = now >= response_time;
            assert_eq!(is_fresh && is_later, freshness.ttl(now, soft_purged) > 0 && is_later);
            directives.permit(&freshness, now, soft_purged, &policy);
            directives.accepts_stale(&freshness, now, soft_purged);
            freshness.may_serve_on_error(now, soft_purged);
        }
    }
    conditions(head);
    selects(head, newer);
    head_agrees(head, newer);
    let once = freshen(head, newer, response_time);
    assert_eq!(freshen(&once, newer, response_time), once, "freshening is idempotent");
}

proptest! {
    #[test]
    fn any_bytes_in_any_field_are_judged(
        head in vec((select(&READ_OF_RESPONSES[..]), any::<Vec<u8>>()), 0..8),
        status in 100_u16..1000,
        moments in any::<[u64; 4]>(),
    ) {
        exercise(&head_of(head.clone()), &head_of(head), status, moments);
    }

    #[test]
    fn likely_fields_in_any_combination_are_judged(
        head in vec((select(&READ_OF_RESPONSES[..]), select(&SNIPPETS[..])), 0..8),
        newer in vec((select(&READ_OF_RESPONSES[..]), select(&SNIPPETS[..])), 0..8),
        status in 100_u16..1000,
        moments in uniform4(784_000_000_000_u64..785_000_000_000),
    ) {
        let bytes = |fields: Vec<(&'static str, &str)>| {
            fields.into_iter().map(|(name, value)| (name, value.as_bytes().to_vec())).collect()
        };
        exercise(&head_of(bytes(head)), &head_of(bytes(newer)), status, moments);
    }

    #[test]
    fn a_soft_purge_never_prolongs(
        lifetime in 0_u32..100, window in 0_u32..100, purged in 0_u64..300, secs in 0_u64..300,
    ) {
        let field = format!(
            "max-age={lifetime}, stale-while-revalidate={window}, stale-if-error={window}"
        );
        let freshness = stored(&[("cache-control", &field), ("etag", r#""a""#)]);
        let (now, soft_purged) = (after(secs), Some(after(purged)));
        let usefulness = |soft_purged| match freshness.state(now, soft_purged) {
            Staleness::Fresh => 2,
            Staleness::StaleWhileRevalidate => 1,
            Staleness::Stale => 0,
        };
        let stands_in = |soft_purged| freshness.may_serve_on_error(now, soft_purged);
        assert!(usefulness(soft_purged) <= usefulness(None));
        assert!(stands_in(soft_purged) <= stands_in(None));
        assert!(freshness.ttl(now, soft_purged) <= freshness.ttl(now, None));
    }
}
