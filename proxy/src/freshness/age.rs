//! Age of a response when it arrives (RFC 9111 §4.2.3); [`Freshness`](super::Freshness) adds the
//! resident time.

use http::header::{AGE, DATE, HeaderMap, VIA};

use crate::field::delta_seconds::DeltaSeconds;
use crate::field::http_date;
use process::timestamp::Timestamp;

/// The times at which a request was sent to the origin server and the head of its response arrived.
/// Both are of a clock that goes on evenly: ages and lifetimes are counted from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeTimes {
    /// `request_time` of RFC 9111 §4.2.3.
    pub request_time: Timestamp,
    /// `response_time` of RFC 9111 §4.2.3.
    pub response_time: Timestamp,
    /// The latter by the wall clock as it was set then: dates of the origin server are compared
    /// with it.
    pub wall_time: Timestamp,
}

/// Returns `corrected_initial_age` in milliseconds.
///
/// The value of `Age` counts alone, as RFC 9111 §4.2.3 allows where no HTTP/1.0 hop is in `Via`:
/// every HTTP/1.1 cache on the way has said how old the response is, and a `Date` in the past
/// beside that speaks of a wrong clock at the origin server. By the larger of both estimates, ten
/// minutes of it would make everything with a shorter lifetime stale on arrival. nginx and Varnish
/// do not derive an age from `Date` either. A cache of HTTP/1.0 may send no `Age`: behind one, the
/// larger counts.
pub(crate) fn initial_age_millis(headers: &HeaderMap, exchange: ExchangeTimes) -> u64 {
    let apparent = if came_over_http_1_0(headers) {
        apparent_age(headers, exchange.wall_time)
    } else {
        DeltaSeconds::ZERO
    };
    apparent
        .as_millis()
        .max(corrected_age_millis(headers, exchange))
        .min(DeltaSeconds::MAX.as_millis())
}

/// Returns whether a member of `Via` was received over a version below HTTP/1.1 (RFC 9110 §7.6.3).
///
/// A comma within a comment may make this true where it is not, which makes a response older, never
/// younger.
fn came_over_http_1_0(headers: &HeaderMap) -> bool {
    let is_old = |member: &[u8]| {
        let mut words = member.trim_ascii_start().split(|byte| matches!(byte, b' ' | b'\t'));
        let protocol = words.next().unwrap_or_default();
        matches!(protocol, b"1.0" | b"0.9")
            || protocol.eq_ignore_ascii_case(b"HTTP/1.0")
            || protocol.eq_ignore_ascii_case(b"HTTP/0.9")
    };
    let lines = headers.get_all(VIA).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).any(is_old)
}

/// Returns `response_time - date_value` in whole seconds, zero when `Date` is missing, invalid or
/// in the future.
///
/// One second is taken for none: `Date` has no fractions, so a response made at 9.9 s looks a
/// second old at 10.1 s, and `max-age=1` would be stale before it is stored.
fn apparent_age(headers: &HeaderMap, response_time: Timestamp) -> DeltaSeconds {
    let date = http_date::field(headers, DATE, response_time).unwrap_or(response_time);
    let seconds = response_time.as_secs().saturating_sub(date.as_secs());
    if seconds == 1 { DeltaSeconds::ZERO } else { DeltaSeconds::from_secs(seconds) }
}

//= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.3
//# A cache MUST interpret this value relative to the time the request was
//# initiated, not the time that the response was received.
fn corrected_age_millis(headers: &HeaderMap, exchange: ExchangeTimes) -> u64 {
    let delay = exchange.response_time.since(exchange.request_time).as_millis();
    let delay = u64::try_from(delay).unwrap_or(u64::MAX);
    age_value(headers).as_millis().saturating_add(delay)
}

/// Returns the first member of `Age`, zero when it is missing or invalid (RFC 9111 §5.1).
fn age_value(headers: &HeaderMap) -> DeltaSeconds {
    headers
        .get(AGE)
        .and_then(|value| value.as_bytes().split(|byte| *byte == b',').next())
        .and_then(|first| DeltaSeconds::parse(first.trim_ascii()))
        .unwrap_or(DeltaSeconds::ZERO)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ExchangeTimes, initial_age_millis};
    use crate::freshness::tests::{INSTANT, NOW, headers};

    fn age_at(millis: u64, delay: u64, fields: &[(&str, &str)]) -> u64 {
        let response_time = NOW.plus(Duration::from_millis(millis));
        let request_time = response_time.minus(Duration::from_millis(delay));
        initial_age_millis(
            &headers(fields),
            ExchangeTimes { request_time, response_time, wall_time: response_time },
        )
    }

    const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");

    const OLD_HOP: (&str, &str) = ("via", "1.1 cdn, 1.0 old");

    #[test]
    fn the_value_of_age_and_the_delay_count() {
        assert_eq!(age_at(0, 0, &[]), 0);
        assert_eq!(age_at(0, 250, &[]), 250, "response delay");
        assert_eq!(age_at(60_000, 500, &[DATE, ("age", "70")]), 70_500);
        assert_eq!(age_at(60_000, 500, &[DATE, ("age", "50")]), 50_500);
    }

    #[test]
    fn a_wrong_clock_at_the_origin_server_makes_no_response_old() {
        for via in ["", "1.1 cdn", "2 cdn", "HTTP/1.1 cdn (1.0)", "1.1 1.0"] {
            let fields = [DATE, ("via", via), ("age", "7")];
            assert_eq!(age_at(600_000, 0, &fields[..2]), 0, "{via}");
            assert_eq!(age_at(600_000, 0, &fields), 7_000, "{via}: what a cache says counts");
        }
    }

    #[test]
    fn behind_a_hop_of_http_1_0_the_larger_estimate_counts() {
        for via in ["1.0 old", "1.1 cdn, 1.0 old", "http/1.0 old", "0.9 old", "1.0\told"] {
            let fields = [DATE, ("via", via), ("age", "50")];
            assert_eq!(age_at(60_000, 0, &fields[..2]), 60_000, "{via}");
            assert_eq!(age_at(60_000, 500, &fields), 60_000, "{via}");
            assert_eq!(age_at(60_000, 500, &[fields[1], ("age", "70")]), 70_500, "{via}");
        }
        assert_eq!(age_at(60_999, 0, &[DATE, OLD_HOP]), 60_000, "Date has whole seconds");
        let lines = [DATE, ("via", "1.1 cdn"), ("via", "1.0 old")];
        assert_eq!(age_at(60_000, 0, &lines), 60_000, "every line counts");
    }

    #[test]
    fn one_second_of_apparent_age_is_the_rounding_of_date() {
        assert_eq!(age_at(1_100, 200, &[DATE, OLD_HOP]), 200);
        assert_eq!(age_at(2_000, 200, &[DATE, OLD_HOP]), 2_000);
    }

    #[test]
    fn a_missing_invalid_or_future_date_says_nothing() {
        for date in ["yesterday", "", "Mon, 07 Nov 1994 08:49:37 GMT"] {
            assert_eq!(age_at(60_000, 0, &[("date", date), OLD_HOP]), 0, "{date}");
        }
        assert_eq!(age_at(60_000, 0, &[("date", "x"), DATE, OLD_HOP]), 0, "the first line counts");
    }

    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.1
    //= type=test
    //# Although it is defined as a singleton header field, a cache
    //# encountering a message with a list-based Age field value SHOULD use
    //# the first member of the field value, discarding subsequent ones.
    #[test]
    fn the_first_member_of_age_counts_and_is_ignored_when_invalid() {
        for (age, expected) in [
            ("7, 9", 7),
            ("7,x", 7),
            (" 7 ", 7),
            ("x, 7", 0),
            ("-7", 0),
            ("7.5", 0),
            ("", 0),
            (",7", 0),
        ] {
            assert_eq!(age_at(0, 0, &[("age", age)]), expected * 1000, "{age}");
        }
        assert_eq!(age_at(0, 0, &[("age", "7"), ("age", "9")]), 7_000);
        assert_eq!(age_at(0, 5, &[("age", "99999999999999999999")]), (1 << 31) * 1000);
    }

    #[test]
    fn a_clock_that_steps_back_during_the_exchange_adds_nothing() {
        let exchange = ExchangeTimes { request_time: NOW.plus(Duration::from_hours(1)), ..INSTANT };
        assert_eq!(initial_age_millis(&headers(&[]), exchange), 0);
    }
}
