//! Cache directives of responses (`Cache-Control`, `Surrogate-Control`, `CDN-Cache-Control`) and of
//! requests, and what follows from them: a response head, an empty line, a request head.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use shellac::testing::field::delta_seconds::DeltaSeconds;
use shellac::testing::freshness::stored_fields::{freshen, stored_fields};
use shellac::testing::freshness::{
    ExchangeTimes, Freshness, FreshnessRules, Heuristic, RequestDirectives, RequestFacts,
    ResponseDirectives, Staleness, Uncacheable, judge,
};

use super::head::{NOW, fields, map_values, split_at_empty_line};

const POLICY: FreshnessRules = FreshnessRules {
    default_ttl: Duration::ZERO,
    heuristic: Some(Heuristic { share: 10, max: Duration::from_hours(24) }),
    ttl_by_status: Vec::new(),
    stale_while_revalidate: Duration::from_secs(5),
    max_stale_while_revalidate: Duration::MAX,
    stale_if_error: Duration::from_hours(1),
    keep: Duration::from_mins(10),
    ignore_client_no_cache: false,
    asset_grace: Duration::ZERO,
};

pub(crate) fn run(data: &[u8]) {
    let (response, request) = split_at_empty_line(data);
    let (response, request) = (fields(response), fields(request));
    names_are_case_insensitive(&response, &request);
    restrictions_win(&response);
    fields_survive_being_stored(&response, &request);
    if let Ok(freshness) = judged(&response) {
        freshness_is_consistent(&freshness);
        a_client_only_restricts(&freshness, &RequestDirectives::of(&request));
    }
}

/// RFC 9111 §5.2. A targeted field has lower-case keys (RFC 9651 §3.2).
fn names_are_case_insensitive(response: &HeaderMap, request: &HeaderMap) {
    let upper = |fields: &HeaderMap| map_values(fields, <[u8]>::to_ascii_uppercase);
    assert_eq!(RequestDirectives::of(&upper(request)), RequestDirectives::of(request));
    if !response.contains_key("cdn-cache-control") {
        assert_eq!(ResponseDirectives::of(&upper(response)), ResponseDirectives::of(response));
    }
}

/// Whatever else is said, a line of its own with `no-store` or `private` is obeyed.
fn restrictions_win(response: &HeaderMap) {
    let mut plain = response.clone();
    for targeted in ["cdn-cache-control", "surrogate-control"] {
        plain.remove(targeted);
    }
    let mut private = plain.clone();
    private.append("cache-control", HeaderValue::from_static("private"));
    assert!(judged(&private).is_err(), "stored in spite of private");
    let mut no_store = plain.clone();
    no_store.append("cache-control", HeaderValue::from_static("no-store"));
    let verdict = judged(&no_store);
    let must_understand = plain.get_all("cache-control").iter().any(|line| {
        line.as_bytes().to_ascii_lowercase().windows(15).any(|w| w == b"must-understand")
    });
    assert!(verdict.is_err() || must_understand, "stored in spite of no-store");
}

fn fields_survive_being_stored(response: &HeaderMap, newer: &HeaderMap) {
    let stored = stored_fields(response, NOW);
    assert_eq!(stored_fields(&stored, NOW), stored, "storing twice changes fields");
    assert!(!stored.contains_key("transfer-encoding") && stored.contains_key("date"));
    let once = freshen(&stored, newer, NOW);
    assert_eq!(freshen(&once, newer, NOW), once, "freshening twice changes fields");
}

fn judged(response: &HeaderMap) -> Result<Freshness, Uncacheable> {
    let request = RequestFacts {
        method: Method::GET,
        has_authorization: false,
        directives: RequestDirectives::default(),
    };
    let exchange = ExchangeTimes {
        request_time: NOW.minus(Duration::from_millis(700)),
        response_time: NOW,
        wall_time: NOW,
    };
    judge(&POLICY, &request, StatusCode::OK, response, exchange)
}

fn freshness_is_consistent(freshness: &Freshness) {
    assert!(freshness.lifetime() <= DeltaSeconds::MAX);
    assert_eq!(Freshness::from_words(freshness.to_words()), *freshness);
    assert!(freshness.useless_after() > NOW, "what nothing can use was stored");
    let mut last = Staleness::Fresh;
    for seconds in [0, 1, 59, 60, 3600, 1 << 31, 1 << 33] {
        let now = NOW.plus(Duration::from_secs(seconds));
        let state = freshness.state(now, None);
        assert!(rank(state) >= rank(last), "it became fresher");
        last = state;
        assert_eq!(state == Staleness::Fresh, freshness.ttl(now, None) > 0);
        let sum = freshness.ttl(now, None) + i64::from(freshness.age(now).as_secs());
        assert_eq!(sum, i64::from(freshness.lifetime().as_secs()), "ttl and Age are the lifetime");
        assert!(rank(freshness.state(now, Some(NOW))) >= rank(state), "a purge made it fresher");
    }
}

fn rank(state: Staleness) -> u8 {
    match state {
        Staleness::Fresh => 0,
        Staleness::StaleWhileRevalidate => 1,
        Staleness::Stale => 2,
    }
}

fn a_client_only_restricts(freshness: &Freshness, asked: &RequestDirectives) {
    let ignoring = FreshnessRules { ignore_client_no_cache: true, ..POLICY };
    for seconds in [0, 60, 1 << 31] {
        let now = NOW.plus(Duration::from_secs(seconds));
        assert!(asked.permit(freshness, now, None, &ignoring));
        let is_permitted = asked.permit(freshness, now, None, &POLICY);
        assert!(!(asked.no_cache && is_permitted), "no-cache was not heard");
    }
}
