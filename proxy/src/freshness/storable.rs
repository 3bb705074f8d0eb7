//! May a response be stored (RFC 9111 §3)? One clause of the RFC, or of our own caution, is one
//! function.
//!
//! The caller adds what lies outside of one exchange: cookies, operator rules, sizes and tags.

use std::time::Duration;

use http::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED, SET_COOKIE, VARY};
use http::{Method, StatusCode};

use crate::field::delta_seconds::DeltaSeconds;
use crate::freshness::response_directives::Flag;
use crate::freshness::{
    ExchangeTimes, Freshness, FreshnessRules, RequestDirectives, ResponseDirectives, RuledTerms,
    Terms, Uncacheable, age, lifetime, stale, status_code,
};
use process::timestamp::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFacts {
    /// Only responses to GET are stored; what a HEAD may do to them is in `validation`.
    pub method: Method,
    /// `Authorization` is present (RFC 9111 §3.5).
    pub has_authorization: bool,
    pub directives: RequestDirectives,
}

/// Returns how long the response to this exchange may be reused, or why it is not stored (RFC 9111
/// §3).
pub fn judge(
    policy: &FreshnessRules,
    request: &RequestFacts,
    status: StatusCode,
    headers: &HeaderMap,
    exchange: ExchangeTimes,
) -> Result<Freshness, Uncacheable> {
    judge_ruled(policy, &RuledTerms::default(), request, status, headers, exchange)
}

/// The same, where the operator has rules for this response.
pub fn judge_ruled(
    policy: &FreshnessRules,
    ruled: &RuledTerms,
    request: &RequestFacts,
    status: StatusCode,
    headers: &HeaderMap,
    exchange: ExchangeTimes,
) -> Result<Freshness, Uncacheable> {
    let mut directives = ResponseDirectives::of(headers);
    if ruled.force {
        directives.forget_prohibitions();
    }
    let directives = directives;
    check_request(request)?;
    check_status(status, &directives)?;
    check_directives(request, &directives, ruled)?;
    check_fields(headers, ruled)?;
    let initial_age_millis = age::initial_age_millis(headers, exchange);
    let age = DeltaSeconds::from_secs(initial_age_millis.div_ceil(1000));
    let lifetime = lifetime_of(policy, (ruled, age), status, headers, &directives, exchange)?;
    let freshness = freshness_of(policy, ruled, headers, &directives, lifetime, exchange);
    check_usefulness(&freshness, &directives)?;
    Ok(freshness)
}

/// Returns whether the origin server states a lifetime (§4.2.1): what RFC 9110 §9.3.3 asks of a
/// response to POST.
pub fn has_explicit_lifetime(headers: &HeaderMap, response_time: Timestamp) -> bool {
    lifetime::explicit(&ResponseDirectives::of(headers), headers, response_time).is_some()
}

/// The request method is understood by the cache, and the client has nothing against storing
/// (§5.2.1.5).
fn check_request(request: &RequestFacts) -> Result<(), Uncacheable> {
    if request.method != Method::GET {
        return Err(Uncacheable::Method);
    }
    if request.directives.no_store {
        return Err(Uncacheable::RequestNoStore);
    }
    Ok(())
}

//= https://www.rfc-editor.org/rfc/rfc9111#section-3
//# *  the response status code is final (see Section 15 of [HTTP]);
//#
//# *  if the response status code is 206 or 304, or the must-understand
//#    cache directive (see Section 5.2.2.3) is present: the cache
//#    understands the response status code;
fn check_status(status: StatusCode, directives: &ResponseDirectives) -> Result<(), Uncacheable> {
    if status == StatusCode::PARTIAL_CONTENT {
        return Err(Uncacheable::Range);
    }
    let is_refused = status_code::is_never_stored(status)
        || directives.has(Flag::MustUnderstand) && !status_code::is_understood(status);
    if is_refused { Err(Uncacheable::Status) } else { Ok(()) }
}

//= https://www.rfc-editor.org/rfc/rfc9111#section-3
//# *  the no-store cache directive is not present in the response (see
//#    Section 5.2.2.5);
//#
//# *  if the cache is shared: the private response directive is either
//#    not present or allows a shared cache to store a modified response;
//#    see Section 5.2.2.7);
//#
//# *  if the cache is shared: the Authorization header field is not
//#    present in the request (see Section 11.6.2 of [HTTP]) or a response
//#    directive is present that explicitly allows shared caching (see
//#    Section 3.5);
fn check_directives(
    request: &RequestFacts,
    directives: &ResponseDirectives,
    ruled: &RuledTerms,
) -> Result<(), Uncacheable> {
    // Beside must-understand, no-store is for caches that do not understand the status code
    // (§5.2.2.3).
    let no_store = directives.has(Flag::NoStore) && !directives.has(Flag::MustUnderstand);
    if no_store {
        return Err(Uncacheable::NoStore);
    }
    if directives.has(Flag::Private) {
        return Err(Uncacheable::Private);
    }
    if request.has_authorization && !ruled.force && !allows_sharing(directives) {
        return Err(Uncacheable::Authorization);
    }
    Ok(())
}

/// Returns whether a response to a request with `Authorization` may be shared (§3.5).
fn allows_sharing(directives: &ResponseDirectives) -> bool {
    directives.has(Flag::Public)
        || directives.has(Flag::MustRevalidate)
        || directives.s_maxage.is_some()
}

/// Refuses a head that is for one client only.
fn check_fields(headers: &HeaderMap, ruled: &RuledTerms) -> Result<(), Uncacheable> {
    if headers.contains_key(SET_COOKIE) && !ruled.shares_cookies {
        return Err(Uncacheable::SetCookie);
    }
    let vary = headers.get_all(VARY).into_iter().map(HeaderValue::as_bytes);
    let has_star = vary
        .flat_map(|line| line.split(|byte| *byte == b','))
        .any(|name| name.trim_ascii() == b"*");
    if has_star {
        return Err(Uncacheable::VaryStar);
    }
    Ok(())
}

//= https://www.rfc-editor.org/rfc/rfc9111#section-3
//# *  the response contains at least one of the following:
//#    -  a public response directive (see Section 5.2.2.9);
//#    -  an Expires header field (see Section 5.3);
//#    -  a max-age response directive (see Section 5.2.2.1);
//#    -  if the cache is shared: an s-maxage response directive (see
//#       Section 5.2.2.10);
//#    -  a status code that is defined as heuristically cacheable (see
//#       Section 4.2.2).
///
/// A rule's lifetime begins with the arrival: `age` was before it.
fn lifetime_of(
    policy: &FreshnessRules,
    (ruled, age): (&RuledTerms, DeltaSeconds),
    status: StatusCode,
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    exchange: ExchangeTimes,
) -> Result<DeltaSeconds, Uncacheable> {
    let stated = || lifetime::explicit(directives, headers, exchange.wall_time);
    let since_arrival = |ttl: Duration| {
        DeltaSeconds::from_secs(ttl.as_secs().saturating_add(u64::from(age.as_secs())))
    };
    let explicit = ruled.ttl.map(since_arrival).or_else(stated);
    let by_rule = || ruled.ttl_if_silent.filter(|_| !is_event_stream(headers)).map(since_arrival);
    let explicit = explicit.or_else(by_rule);
    let may_be_assigned = directives.has(Flag::Public)
        || status_code::is_heuristically_cacheable(status)
        || policy.ttl_of(status).is_some();
    if explicit.is_none() && !may_be_assigned {
        return Err(Uncacheable::Status);
    }
    if directives.has(Flag::NoCache) {
        return Ok(DeltaSeconds::ZERO);
    }
    if explicit.is_none() && is_event_stream(headers) {
        return Err(Uncacheable::NoFreshness);
    }
    let assigned = || lifetime::assigned(policy, status, headers, exchange.wall_time);
    Ok(explicit.or_else(assigned).unwrap_or(DeltaSeconds::ZERO))
}

/// Returns whether it is a stream of events, which are of the moment and of the one who asked, as
/// long as the origin does not say otherwise.
fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

fn freshness_of(
    policy: &FreshnessRules,
    ruled: &RuledTerms,
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    lifetime: DeltaSeconds,
    exchange: ExchangeTimes,
) -> Freshness {
    let has_validator = headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED);
    let keep = if has_validator { policy.keep.into() } else { DeltaSeconds::ZERO };
    let windows = stale::windows(directives, lifetime, keep, policy, ruled);
    Freshness::new(Terms {
        received: exchange.response_time,
        initial_age_millis: age::initial_age_millis(headers, exchange),
        lifetime,
        stale_while_revalidate: windows.while_revalidate,
        stale_if_error: windows.if_error,
        keep,
        immutable: directives.has(Flag::Immutable),
        sharing: ruled.force || allows_sharing(directives),
        may_be_stale: stale::may_be_accepted(directives),
    })
}

/// Refuses a response that is neither fresh, nor can be validated, nor is of use when stale.
fn check_usefulness(
    freshness: &Freshness,
    directives: &ResponseDirectives,
) -> Result<(), Uncacheable> {
    if freshness.useless_after() > freshness.received() {
        return Ok(());
    }
    let no_cache = directives.has(Flag::NoCache);
    Err(if no_cache { Uncacheable::NoCache } else { Uncacheable::NoFreshness })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, Method, StatusCode};

    use super::{RequestFacts, judge, judge_ruled};
    use crate::freshness::tests::{INSTANT, NOW, NOW_DATE, POLICY, get, headers, judged};
    use crate::freshness::{FreshnessRules, RequestDirectives, RuledTerms, Staleness, Uncacheable};

    const ETAG: (&str, &str) = ("etag", r#""a""#);

    fn reason(status: u16, head: &HeaderMap, policy: &FreshnessRules) -> Option<Uncacheable> {
        let status = StatusCode::from_u16(status).unwrap();
        judge(policy, &get(), status, head, INSTANT).err()
    }

    #[test]
    fn only_responses_to_get_are_stored() {
        let head = headers(&[("cache-control", "max-age=60")]);
        for method in [
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::OPTIONS,
            Method::from_bytes(b"get").unwrap(),
        ] {
            let request = RequestFacts { method, ..get() };
            assert_eq!(
                judge(&POLICY, &request, StatusCode::OK, &head, INSTANT),
                Err(Uncacheable::Method)
            );
        }
    }

    #[test]
    fn a_client_may_forbid_storing() {
        let head = headers(&[("cache-control", "max-age=60")]);
        let directives = RequestDirectives { no_store: true, ..RequestDirectives::default() };
        let request = RequestFacts { directives, ..get() };
        let ignoring = FreshnessRules { ignore_client_no_cache: true, ..POLICY };
        for policy in [POLICY, ignoring] {
            let judged = judge(&policy, &request, StatusCode::OK, &head, INSTANT);
            assert_eq!(judged, Err(Uncacheable::RequestNoStore));
        }
    }

    #[test]
    fn some_status_codes_are_never_stored_whatever_the_response_says() {
        let head = headers(&[("cache-control", "public, max-age=60"), ETAG]);
        for status in [100, 101, 103, 199, 304, 400, 413, 414, 428, 429, 431, 501, 511] {
            assert_eq!(reason(status, &head, &POLICY), Some(Uncacheable::Status), "{status}");
        }
        assert_eq!(reason(206, &head, &POLICY), Some(Uncacheable::Range));
        for status in [200, 203, 204, 301, 302, 307, 401, 403, 404, 410, 500, 503, 599, 999] {
            assert_eq!(reason(status, &head, &POLICY), None, "{status}");
        }
    }

    #[test]
    fn without_an_explicit_lifetime_the_status_code_has_to_allow_storing() {
        let policy = FreshnessRules { default_ttl: Duration::from_mins(1), ..POLICY };
        let plain = headers(&[]);
        for status in [200, 203, 204, 300, 301, 308, 404, 405, 410] {
            assert_eq!(reason(status, &plain, &policy), None, "{status}");
            assert_eq!(reason(status, &plain, &POLICY), Some(Uncacheable::NoFreshness), "{status}");
        }
        for status in [201, 202, 205, 302, 303, 307, 401, 403, 500, 502, 503, 504] {
            assert_eq!(reason(status, &plain, &policy), Some(Uncacheable::Status), "{status}");
            let public = headers(&[("cache-control", "public")]);
            assert_eq!(reason(status, &public, &policy), None, "{status}");
        }
    }

    #[test]
    fn a_stream_of_events_is_stored_only_where_the_origin_or_a_rule_says_for_how_long() {
        let minute = Duration::from_mins(1);
        let assumed = RuledTerms { ttl_if_silent: Some(minute), ..RuledTerms::default() };
        let ruled = RuledTerms { ttl: Some(minute), ..RuledTerms::default() };
        let kind = ("content-type", "Text/Event-Stream; charset=utf-8");
        let silent = headers(&[kind, ETAG, ("last-modified", "Sun, 06 Nov 1994 07:49:37 GMT")]);
        let said = headers(&[kind, ("cache-control", "max-age=60")]);
        let policy = FreshnessRules {
            default_ttl: minute,
            ttl_by_status: vec![(200..=200, minute)],
            ..POLICY
        };
        for (head, terms, is_stored) in [
            (&silent, RuledTerms::default(), false),
            (&silent, assumed, false),
            (&silent, ruled, true),
            (&said, RuledTerms::default(), true),
        ] {
            let judged = judge_ruled(&policy, &terms, &get(), StatusCode::OK, head, INSTANT);
            assert_eq!(judged.is_ok(), is_stored, "{terms:?}");
        }
        let json = headers(&[("content-type", "application/json")]);
        assert_eq!(reason(200, &json, &policy), None);
    }

    #[test]
    fn the_operator_may_have_any_status_code_stored_by_naming_it() {
        let policy = FreshnessRules {
            ttl_by_status: vec![(500..=599, Duration::from_secs(1)), (404..=404, Duration::ZERO)],
            ..POLICY
        };
        let plain = headers(&[]);
        assert_eq!(reason(503, &plain, &policy), None);
        assert_eq!(reason(501, &plain, &policy), Some(Uncacheable::Status));
        assert_eq!(reason(404, &plain, &policy), Some(Uncacheable::NoFreshness));
        assert_eq!(reason(302, &plain, &policy), Some(Uncacheable::Status));
        let refused = headers(&[("cache-control", "no-store")]);
        assert_eq!(reason(503, &refused, &policy), Some(Uncacheable::NoStore));
    }

    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.3
    //= type=test
    //# When a cache that implements the must-understand directive receives a
    //# response that includes it, the cache SHOULD ignore the no-store
    //# directive if it understands and implements the status code's caching
    //# requirements.
    #[test]
    fn must_understand_replaces_no_store_for_known_status_codes() {
        let head = headers(&[("cache-control", "must-understand, no-store, max-age=60")]);
        for status in [200, 302, 404, 503] {
            assert_eq!(reason(status, &head, &POLICY), None, "{status}");
        }
        for status in [299, 306, 418, 599] {
            assert_eq!(reason(status, &head, &POLICY), Some(Uncacheable::Status), "{status}");
        }
    }

    #[test]
    fn the_most_restrictive_directive_wins() {
        for (field, expected) in [
            ("no-store", Some(Uncacheable::NoStore)),
            ("public, max-age=60, no-store", Some(Uncacheable::NoStore)),
            ("max-age=60, private", Some(Uncacheable::Private)),
            ("public, private, s-maxage=60", Some(Uncacheable::Private)),
            ("max-age=60, no-cache", Some(Uncacheable::NoCache)),
            ("max-age=60, private=\"x\"", None),
            ("max-age=60, no-cache=\"x\"", None),
            ("max-age=60, private=x y", Some(Uncacheable::Private)),
            ("x=\"no-store\", max-age=60", None),
            ("x=\"a, no-store", Some(Uncacheable::NoStore)),
        ] {
            assert_eq!(
                reason(200, &headers(&[("cache-control", field)]), &POLICY),
                expected,
                "{field}"
            );
        }
        let lines = headers(&[("cache-control", "max-age=60"), ("cache-control", "no-store")]);
        assert_eq!(reason(200, &lines, &POLICY), Some(Uncacheable::NoStore));
    }

    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.5
    //= type=test
    //# In this specification, the following response directives have such an
    //# effect: must-revalidate (Section 5.2.2.2), public (Section 5.2.2.9),
    //# and s-maxage (Section 5.2.2.10).
    #[test]
    fn a_response_to_authorization_is_stored_only_where_it_says_so() {
        let request = RequestFacts { has_authorization: true, ..get() };
        let refused = Some(Uncacheable::Authorization);
        for (fields, expected) in [
            (&[("cache-control", "max-age=60")][..], refused),
            (&[("expires", "Mon, 07 Nov 1994 08:49:37 GMT")], refused),
            (&[("cache-control", "max-age=60, proxy-revalidate")], refused),
            (&[("surrogate-control", "max-age=60"), ("cache-control", "public")], refused),
            (&[("cdn-cache-control", "max-age=60"), ("cache-control", "public")], refused),
            (&[("cdn-cache-control", "max-age=60, public")], None),
            (&[("cache-control", "max-age=60, public")], None),
            (&[("cache-control", "max-age=60, must-revalidate")], None),
            (&[("cache-control", "s-maxage=60")], None),
        ] {
            let judged = judge(&POLICY, &request, StatusCode::OK, &headers(fields), INSTANT);
            assert_eq!(judged.err(), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_cookie_or_a_star_is_for_one_client() {
        let field = ("cache-control", "public, max-age=60, no-cache=\"set-cookie\"");
        assert_eq!(
            judged(&POLICY, &[field, ("set-cookie", "a=b")]).err(),
            Some(Uncacheable::SetCookie)
        );
        for vary in ["*", " * ", "accept, *", "*, accept"] {
            assert_eq!(
                judged(&POLICY, &[field, ("vary", vary)]).err(),
                Some(Uncacheable::VaryStar),
                "{vary}"
            );
        }
        assert!(judged(&POLICY, &[field, ("vary", "accept, x-*")]).is_ok());
    }

    #[test]
    fn a_response_without_any_use_is_not_stored() {
        let no_freshness = Some(Uncacheable::NoFreshness);
        for (fields, expected) in [
            (&[][..], no_freshness),
            (&[("cache-control", "public")], no_freshness),
            (&[("cache-control", "max-age=0")], no_freshness),
            (&[("expires", "0")], no_freshness),
            (&[("cache-control", "max-age=60"), ("age", "60")], no_freshness),
            (&[("cache-control", "no-cache")], Some(Uncacheable::NoCache)),
            (&[("last-modified", "a while ago"), ("x", "y")], None),
            (&[ETAG], None),
            (&[ETAG, ("cache-control", "max-age=0")], None),
            (&[ETAG, ("cache-control", "no-cache")], None),
            (&[ETAG, ("cache-control", "max-age=60"), ("age", "3600")], None),
            (&[("last-modified", NOW_DATE)], None),
            (&[("cache-control", "max-age=0, stale-while-revalidate=5")], None),
            (&[("cache-control", "max-age=0, stale-if-error=5")], None),
            (&[("cache-control", "max-age=0, must-revalidate, stale-if-error=5")], no_freshness),
        ] {
            assert_eq!(judged(&POLICY, fields).err(), expected, "{fields:?}");
        }
    }

    #[test]
    fn windows_of_the_operator_are_no_reason_to_store() {
        let policy = FreshnessRules {
            stale_while_revalidate: Duration::from_mins(1),
            stale_if_error: Duration::from_mins(1),
            keep: Duration::ZERO,
            ..POLICY
        };
        assert_eq!(judged(&policy, &[]).err(), Some(Uncacheable::NoFreshness));
        assert_eq!(judged(&policy, &[ETAG]).err(), Some(Uncacheable::NoFreshness));
        assert_eq!(judged(&policy, &[("expires", "0")]).err(), Some(Uncacheable::NoFreshness));
    }

    #[test]
    fn a_validator_without_freshness_is_stored_stale() {
        let policy = FreshnessRules { stale_while_revalidate: Duration::from_mins(1), ..POLICY };
        let freshness = judged(&policy, &[ETAG]).unwrap();
        assert_eq!(freshness.state(NOW, None), Staleness::Stale);
        assert_eq!(freshness.useless_after(), NOW.plus(policy.keep));
    }
}
