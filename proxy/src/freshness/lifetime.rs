//! Freshness lifetime: explicit (RFC 9111 §4.2.1) or assigned by the cache (§4.2.2).

use http::StatusCode;
use http::header::{DATE, EXPIRES, HeaderMap, LAST_MODIFIED};

use crate::field::delta_seconds::DeltaSeconds;
use crate::field::http_date;
use crate::freshness::{FreshnessRules, Heuristic, ResponseDirectives};
use process::timestamp::Timestamp;

/// Returns the lifetime that the origin server states: the first match of §4.2.1.
pub(crate) fn explicit(
    directives: &ResponseDirectives,
    headers: &HeaderMap,
    response_time: Timestamp,
) -> Option<DeltaSeconds> {
    let expires = || {
        let has_a_say = !directives.ignores_expires && headers.contains_key(EXPIRES);
        has_a_say.then(|| until_expires(headers, response_time))
    };
    directives.s_maxage.or(directives.max_age).or_else(expires)
}

/// Returns the lifetime for a response that states none and may have one (§4.2.2), if it gets one.
///
/// Returns the operator's lifetime for its status code, or for all; else a share of the time since
/// the last change.
pub(crate) fn assigned(
    policy: &FreshnessRules,
    status: StatusCode,
    headers: &HeaderMap,
    response_time: Timestamp,
) -> Option<DeltaSeconds> {
    let by_operator = || Some(policy.default_ttl).filter(|ttl| !ttl.is_zero());
    let by_age = || {
        let Heuristic { share, max } = policy.heuristic?;
        let last_modified = http_date::field(headers, LAST_MODIFIED, response_time)?;
        let unchanged_for = date(headers, response_time).since(last_modified);
        Some((unchanged_for.saturating_mul(share) / 100).min(max))
    };
    policy.ttl_of(status).or_else(by_operator).or_else(by_age).map(DeltaSeconds::from)
}

//= https://www.rfc-editor.org/rfc/rfc9111#section-5.3
//# A cache recipient MUST interpret invalid date formats, especially the
//# value "0", as representing a time in the past (i.e., "already expired").
/// Returns `Expires` minus `Date`; two lines of `Expires` are as bad as an invalid one (§4.2.1).
fn until_expires(headers: &HeaderMap, response_time: Timestamp) -> DeltaSeconds {
    let is_single = headers.get_all(EXPIRES).iter().count() == 1;
    http_date::field(headers, EXPIRES, response_time)
        .filter(|_expires| is_single)
        .map_or(DeltaSeconds::ZERO, |expires| expires.since(date(headers, response_time)).into())
}

/// Returns `date_value`: when it is missing or invalid, the time of receipt (RFC 9110 §6.6.1).
fn date(headers: &HeaderMap, response_time: Timestamp) -> Timestamp {
    http_date::field(headers, DATE, response_time).unwrap_or(response_time)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::{assigned, explicit};
    use crate::field::delta_seconds::DeltaSeconds;
    use crate::freshness::tests::{NOW, NOW_DATE, POLICY, headers};
    use crate::freshness::{FreshnessRules, Heuristic, ResponseDirectives};

    const MINUTE_LATER: &str = "Sun, 06 Nov 1994 08:50:37 GMT";

    fn stated(fields: &[(&str, &str)]) -> Option<u32> {
        let head = headers(fields);
        explicit(&ResponseDirectives::of(&head), &head, NOW).map(DeltaSeconds::as_secs)
    }

    fn given(policy: &FreshnessRules, fields: &[(&str, &str)]) -> Option<u32> {
        assigned(policy, StatusCode::OK, &headers(fields), NOW).map(DeltaSeconds::as_secs)
    }

    #[test]
    fn the_first_match_of_section_4_2_1_counts() {
        let expires = ("expires", MINUTE_LATER);
        for (fields, expected) in [
            (&[("cache-control", "max-age=5, s-maxage=7"), expires][..], Some(7)),
            (&[("cache-control", "max-age=5"), expires], Some(5)),
            (&[("cache-control", "max-age=0"), expires], Some(0)),
            (&[("cache-control", "max-age=x"), expires], Some(0)),
            (&[("cache-control", "s-maxage=x, max-age=5"), expires], Some(0)),
            (&[("cache-control", "public"), expires], Some(60)),
            (&[expires], Some(60)),
            (&[("cdn-cache-control", "max-age=9"), ("cache-control", "s-maxage=7")], Some(9)),
            (&[("cdn-cache-control", "public"), ("cache-control", "s-maxage=7"), expires], None),
            (&[("surrogate-control", "max-age=8+1"), ("cache-control", "s-maxage=7")], Some(8)),
            (&[("cache-control", "public")], None),
            (&[], None),
        ] {
            assert_eq!(stated(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn expires_is_relative_to_date() {
        for (expires, date, expected) in [
            (MINUTE_LATER, NOW_DATE, 60),
            (MINUTE_LATER, "Sun, 06 Nov 1994 08:49:07 GMT", 90),
            (MINUTE_LATER, MINUTE_LATER, 0),
            (NOW_DATE, MINUTE_LATER, 0),
            (MINUTE_LATER, "no date", 60),
            ("Fri, 31 Dec 9999 23:59:59 GMT", NOW_DATE, 1 << 31),
        ] {
            assert_eq!(
                stated(&[("expires", expires), ("date", date)]),
                Some(expected),
                "{expires} {date}"
            );
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.3
    //= type=test
    //# A cache recipient MUST interpret invalid date formats, especially the
    //# value "0", as representing a time in the past (i.e., "already expired").
    #[test]
    fn an_invalid_expires_has_already_passed() {
        for expires in [
            "0",
            "",
            "-1",
            "now",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Tue, 06 Nov 2040 08:49:37 UTC",
            "Tue, 06 Nov 2040 08:49:37 +0100",
            "Tue, 06 Nov 2040 08:49:37",
            "2040-11-06T08:49:37Z",
            "Tue, 06 Nov 2040 08:49:37 GMT, Tue, 06 Nov 2040 08:49:37 GMT",
        ] {
            assert_eq!(stated(&[("expires", expires)]), Some(0), "{expires}");
        }
        assert_eq!(stated(&[("expires", MINUTE_LATER), ("expires", MINUTE_LATER)]), Some(0));
    }

    #[test]
    fn a_tenth_of_the_time_since_the_last_change_is_assigned() {
        let operator = FreshnessRules { default_ttl: Duration::from_secs(30), ..POLICY };
        for (last_modified, tenth) in [
            ("Sun, 06 Nov 1994 08:39:37 GMT", 60),
            ("Sun, 06 Nov 1994 08:49:28 GMT", 0),
            (NOW_DATE, 0),
            (MINUTE_LATER, 0),
            ("Thu, 06 Nov 1980 08:49:37 GMT", 86_400),
        ] {
            let fields = [("last-modified", last_modified), ("date", NOW_DATE)];
            assert_eq!(given(&POLICY, &fields), Some(tenth), "{last_modified}");
            assert_eq!(
                given(&operator, &fields),
                Some(30),
                "{last_modified}: who sets it means it"
            );
        }
    }

    #[test]
    fn share_and_cap_of_the_time_since_the_last_change_are_settings() {
        let fields = [("last-modified", "Sun, 06 Nov 1994 07:49:37 GMT"), ("date", NOW_DATE)];
        let with = |heuristic| FreshnessRules { heuristic, ..POLICY };
        let half = Heuristic { share: 50, max: Duration::from_hours(24) };
        let capped = Heuristic { share: 100, max: Duration::from_secs(9) };
        assert_eq!(given(&with(Some(half)), &fields), Some(1800));
        assert_eq!(given(&with(Some(capped)), &fields), Some(9));
        assert_eq!(given(&with(None), &fields), None);
    }

    #[test]
    fn a_lifetime_by_status_code_goes_first_and_the_first_match_counts() {
        let seconds = Duration::from_secs;
        let policy = FreshnessRules {
            default_ttl: seconds(30),
            ttl_by_status: vec![(404..=404, seconds(10)), (400..=499, seconds(1))],
            ..POLICY
        };
        let fields = headers(&[("last-modified", "Sun, 06 Nov 1994 07:49:37 GMT")]);
        for (status, expected) in [(404, 10), (410, 1), (200, 30)] {
            let status = StatusCode::from_u16(status).unwrap();
            let lifetime = assigned(&policy, status, &fields, NOW).map(DeltaSeconds::as_secs);
            assert_eq!(lifetime, Some(expected), "{status}");
        }
    }

    #[test]
    fn without_a_last_change_only_the_operator_assigns() {
        let operator = FreshnessRules { default_ttl: Duration::from_secs(30), ..POLICY };
        for fields in [&[][..], &[("etag", r#""a""#)], &[("last-modified", "long ago")]] {
            assert_eq!(given(&POLICY, fields), None, "{fields:?}");
            assert_eq!(given(&operator, fields), Some(30), "{fields:?}");
        }
    }
}
