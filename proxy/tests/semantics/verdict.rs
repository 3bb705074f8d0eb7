//! `Verdict`: what a cache makes of a case, ours and the other.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_cache_semantics::{CacheOptions, CachePolicy};
use shellac::testing::freshness::{
    ExchangeTimes, FreshnessRules, Heuristic, RequestDirectives, RequestFacts, Staleness, judge,
};
use shellac::testing::key::vary::Variant;

use super::case::{Case, NOW, head};

/// What becomes of a response that is stored; one that is not has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Its age when the later request comes, in seconds.
    pub(crate) age: u64,
    /// How much longer it is fresh then, in seconds.
    pub(crate) ttl: u64,
    /// Whether it answers the later request without being validated.
    pub(crate) answers: bool,
}

/// What two verdicts may differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aspect {
    /// We do not store what the other stores.
    Refused,
    /// We store what the other does not store.
    Stored,
    Age,
    Ttl,
    /// We ask the origin server where the other answers from its store.
    Forwarded,
    /// We answer from our store where the other asks the origin server.
    Answered,
}

/// Returns what differs. What one of them did not store cannot differ further.
pub(crate) fn differences(ours: Option<Verdict>, theirs: Option<Verdict>) -> Vec<Aspect> {
    let (ours, theirs) = match (ours, theirs) {
        (None, None) => return Vec::new(),
        (None, Some(_)) => return vec![Aspect::Refused],
        (Some(_), None) => return vec![Aspect::Stored],
        (Some(ours), Some(theirs)) => (ours, theirs),
    };
    let found = [
        (ours.age != theirs.age, Aspect::Age),
        (ours.ttl != theirs.ttl, Aspect::Ttl),
        (!ours.answers && theirs.answers, Aspect::Forwarded),
        (ours.answers && !theirs.answers, Aspect::Answered),
    ];
    found.into_iter().filter(|(differs, _)| *differs).map(|(_, aspect)| aspect).collect()
}

/// Our verdict: what `cache/decision.rs` does with a response, without stores and purges.
pub(crate) fn ours(case: &Case) -> Option<Verdict> {
    let (request, later) = (head(&case.request), head(&case.later));
    let response = head(&case.response);
    let (first, second) = (facts(&request), facts(&later));
    let exchange = ExchangeTimes {
        request_time: NOW.minus(Duration::from_secs(case.delay)),
        response_time: NOW,
        wall_time: NOW,
    };
    let status = StatusCode::from_u16(case.status).unwrap();
    let freshness = judge(&POLICY, &first, status, &response, exchange).ok()?;
    let variant = Variant::of(&response, &request, &[]).ok()?;

    let now = NOW.plus(Duration::from_secs(case.after));
    let may_share = !second.has_authorization || freshness.allows_sharing();
    let is_selected = variant.is_none_or(|variant| variant.matches(&later));
    let is_permitted = second.directives.permit(&freshness, now, None, &POLICY);
    let is_fresh = freshness.state(now, None) == Staleness::Fresh;
    Some(Verdict {
        age: u64::from(freshness.age(now).as_secs()),
        ttl: u64::try_from(freshness.ttl(now, None)).unwrap_or(0),
        answers: may_share && is_selected && is_permitted && is_fresh,
    })
}

pub(crate) fn theirs(case: &Case) -> Option<Verdict> {
    let received = UNIX_EPOCH + Duration::from_millis(NOW.as_millis());
    let now = received + Duration::from_secs(case.after);
    let policy = their_policy(case, received);
    let later = get(head(&case.later));
    policy.is_storable().then(|| Verdict {
        age: policy.age(now).as_secs(),
        ttl: policy.time_to_live(now).as_secs(),
        answers: policy.before_request(&later, now).satisfies_without_revalidation(),
    })
}

/// Returns how long the other takes a response to be fresh when it arrives.
pub(crate) fn their_first_ttl(case: &Case) -> Duration {
    let received = UNIX_EPOCH + Duration::from_millis(NOW.as_millis());
    their_policy(case, received).time_to_live(received)
}

fn their_policy(case: &Case, received: SystemTime) -> CachePolicy {
    let mut response = Response::builder().status(case.status).body(()).unwrap();
    *response.headers_mut() = head(&case.response);
    // It would be fresh for a day for saying `immutable`, which RFC 8246 does not give a lifetime.
    let options =
        CacheOptions { immutable_min_time_to_live: Duration::ZERO, ..CacheOptions::default() };
    CachePolicy::new_options(&get(head(&case.request)), &response, received, options)
}

fn get(fields: HeaderMap) -> Request<()> {
    let mut request = Request::builder().uri("http://shop.example/p/1").body(()).unwrap();
    *request.headers_mut() = fields;
    request
}

fn facts(fields: &HeaderMap) -> RequestFacts {
    RequestFacts {
        method: Method::GET,
        has_authorization: fields.contains_key("authorization"),
        directives: RequestDirectives::of(fields),
    }
}

/// Nothing that an operator would add: the other knows none of it.
const POLICY: FreshnessRules = FreshnessRules {
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
