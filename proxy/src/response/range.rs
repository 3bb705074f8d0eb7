//! Decides which bytes of a stored response a range request gets (RFC 9110 §14). The grammar is in
//! `field::range`.
//!
//! Preconditions come first (`conditional`). A range request may always be answered whole (§14.2),
//! and is where it is odd, greedy, or not understood. `multipart` writes several parts.

use http::header::{HeaderMap, HeaderValue, IF_RANGE, RANGE};
use http::{Method, StatusCode};
use smallvec::SmallVec;

use crate::field::entity_tag::EntityTag;
use crate::field::range::{ByteRange, RangeSpec, parse};
use crate::response::conditional::Validators;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// 200 with the whole content.
    Whole,
    /// 206 with one part.
    Single(ByteRange),
    /// 206 with `multipart/byteranges`: two to `RANGES_MAX` parts in the order asked for,
    /// together less than the whole; no two of them overlap or touch.
    Multiple(SmallVec<[ByteRange; 4]>),
    /// 416.
    Unsatisfiable,
}

/// Returns the part that a request gets of a stored response with content of this length.
///
/// Only GET has ranges, and only a 200 has parts (RFC 9110 §14.2).
pub fn evaluate(
    method: &Method,
    request_headers: &HeaderMap,
    stored_status: StatusCode,
    stored: &Validators<'_>,
    complete_length: u64,
) -> Ranges {
    let mut lines = request_headers.get_all(RANGE).into_iter();
    let (Some(range), None) = (lines.next(), lines.next()) else { return Ranges::Whole };
    let has_parts = method == Method::GET && stored_status == StatusCode::OK && complete_length > 0;
    if !has_parts || !allows_part(request_headers, stored) {
        return Ranges::Whole;
    }
    parse(range.as_bytes()).map_or(Ranges::Whole, |specs| select(&specs, complete_length))
}

//= https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5
//# A recipient of an If-Range header field MUST ignore the Range header
//# field if the If-Range condition evaluates as false.
/// Returns whether `If-Range` allows a part (RFC 9110 §13.1.5).
fn allows_part(request_headers: &HeaderMap, stored: &Validators<'_>) -> bool {
    let mut lines = request_headers.get_all(IF_RANGE).into_iter().map(HeaderValue::as_bytes);
    match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(condition), None) => is_same_representation(condition, stored),
        (Some(_), Some(_)) => false,
    }
}

/// Compares strongly. A date counts when it equals that of the stored response byte for byte and is
/// strong (§8.8.2.2).
fn is_same_representation(condition: &[u8], stored: &Validators<'_>) -> bool {
    let is_tag = condition.iter().take(3).any(|byte| *byte == b'"');
    if is_tag {
        return stored
            .etag
            .is_some_and(|etag| EntityTag::of(etag).strongly_equals(EntityTag::of(condition)));
    }
    stored.last_modified == Some(condition) && stored.has_strong_date()
}

/// Keeps the ranges that the content has. A request for too much more than once is answered whole
/// (RFC 9110 §17.15). No byte is sent twice.
fn select(specs: &[RangeSpec], complete_length: u64) -> Ranges {
    let asked: SmallVec<[ByteRange; 4]> =
        specs.iter().filter_map(|spec| spec.of(complete_length)).collect();
    if asked.len() > 1 && is_greedy(&asked, complete_length) {
        return Ranges::Whole;
    }
    let parts = coalesce(&asked);
    match *parts.as_slice() {
        [] => Ranges::Unsatisfiable,
        [part] => Ranges::Single(part),
        [..] => Ranges::Multiple(parts),
    }
}

//= https://www.rfc-editor.org/rfc/rfc9110#section-14.2
//# A server that supports range requests MAY ignore or reject a Range
//# header field that contains an invalid ranges-specifier
//# (Section 14.1.1), a ranges-specifier with more than two overlapping
//# ranges, or a set of many small ranges that are not listed in ascending
//# order
fn is_greedy(parts: &[ByteRange], complete_length: u64) -> bool {
    let total = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.len()));
    let overlapping = parts.iter().enumerate().filter(|(position, part)| {
        parts.iter().take(*position).any(|earlier| part.overlaps(*earlier))
    });
    total >= complete_length || overlapping.count() > 1
}

//= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.2
//# When multiple ranges are requested, a server MAY coalesce any of the
//# ranges that overlap, or that are separated by a gap that is smaller
//# than the overhead of sending multiple parts, regardless of the order
//# in which the corresponding range-spec appeared in the received Range
//# header field.
/// Joins ranges that touch, in the place of the first of them; otherwise the client's order stays.
/// Gaps stay, too: a client that asks for single bytes gets single bytes.
fn coalesce(asked: &[ByteRange]) -> SmallVec<[ByteRange; 4]> {
    let mut parts = SmallVec::<[ByteRange; 4]>::new();
    for range in asked {
        let touching = parts.iter().filter(|part| part.touches(*range));
        let joined = touching.fold(*range, |sum, part| sum.joined_with(*part));
        let place = parts.iter().position(|part| part.touches(*range)).unwrap_or(parts.len());
        parts.retain(|part| !part.touches(*range));
        parts.insert(place, joined);
    }
    parts
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderMap, HeaderValue, RANGE};
    use http::{Method, StatusCode};
    use proptest::prelude::{any, proptest};

    use super::{Ranges, evaluate};
    use crate::field::range::{ByteRange, RANGES_MAX};
    use crate::response::conditional::Validators;
    use process::timestamp::Timestamp;

    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const SECOND_LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    const NO_VALIDATORS: Validators<'_> = Validators {
        etag: None,
        last_modified: None,
        date: None,
        received: Timestamp::MAX,
        has_codings: false,
    };

    fn asked(range: HeaderValue, complete_length: u64) -> Ranges {
        let request = HeaderMap::from_iter([(RANGE, range)]);
        evaluate(&Method::GET, &request, StatusCode::OK, &NO_VALIDATORS, complete_length)
    }

    fn asked_of_10_000(range: &str) -> Ranges {
        asked(range.parse().unwrap(), 10_000)
    }

    fn single(first: u64, last: u64) -> Ranges {
        Ranges::Single(ByteRange::new(first, last))
    }

    fn multiple(parts: &[(u64, u64)]) -> Ranges {
        Ranges::Multiple(parts.iter().map(|&(first, last)| ByteRange::new(first, last)).collect())
    }

    #[test]
    fn one_range_of_ten_thousand_bytes() {
        for (range, expected) in [
            ("bytes=0-499", single(0, 499)),
            ("bytes=500-999", single(500, 999)),
            ("bytes=-500", single(9500, 9999)),
            ("bytes=9500-", single(9500, 9999)),
            ("bytes=0-0", single(0, 0)),
            ("bytes=9999-", single(9999, 9999)),
            ("bytes=0-", single(0, 9999)),
            ("bytes=0-99999", single(0, 9999)),
            ("bytes=-99999", single(0, 9999)),
            ("bytes=0-99999999999999999999999", single(0, 9999)),
            ("bytes=-99999999999999999999999", single(0, 9999)),
            ("BYTES=0-1", single(0, 1)),
            ("bytes= 0-1", single(0, 1)),
            ("bytes=,0-1, ,", single(0, 1)),
            ("bytes=0-1, 10000-", single(0, 1)),
            ("bytes=10000-", Ranges::Unsatisfiable),
            ("bytes=10000-20000, -0", Ranges::Unsatisfiable),
            ("bytes=99999999999999999999999-", Ranges::Unsatisfiable),
            ("bytes=-0", Ranges::Unsatisfiable),
        ] {
            assert_eq!(asked_of_10_000(range), expected, "{range}");
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc9110#section-14.2
    //= type=test
    //# An origin server MUST ignore a Range header field that contains a
    //# range unit it does not understand.
    #[test]
    fn a_range_that_is_not_understood_is_answered_whole() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=2-1",
            "bytes=0-1,2-1",
            "bytes=0-1,x",
            "bytes=+0-1",
            "bytes=0 - 1",
            "bytes =0-1",
            "bytes=0--1",
            "bytes:0-1",
            "lines=0-1",
            "bytes=0x0-0x1",
        ] {
            assert_eq!(asked_of_10_000(range), Ranges::Whole, "{range}");
        }
        assert_eq!(asked(HeaderValue::from_static("bytes=0-"), 0), Ranges::Whole, "no content");
    }

    #[test]
    fn several_ranges_are_joined_keep_their_order_and_never_exceed_the_whole() {
        for (range, expected) in [
            ("bytes=0-0,-1", multiple(&[(0, 0), (9999, 9999)])),
            ("bytes=500-600,0-99", multiple(&[(500, 600), (0, 99)])),
            ("bytes=0-99,50-149", single(0, 149)),
            ("bytes=0-99,100-149", single(0, 149)),
            ("bytes=100-149,0-99", single(0, 149)),
            ("bytes=0-99,101-149", multiple(&[(0, 99), (101, 149)])),
            ("bytes=20-29,0-9,10-19", single(0, 29)),
            ("bytes=900-999,20-29,500-500,0-9,10-19", multiple(&[(900, 999), (0, 29), (500, 500)])),
            ("bytes=0-99,50-149,60-70", Ranges::Whole),
            ("bytes=0-5000,4000-9999", Ranges::Whole),
            ("bytes=0-,0-", Ranges::Whole),
            ("bytes=0-4999,5000-9999", Ranges::Whole),
        ] {
            assert_eq!(asked_of_10_000(range), expected, "{range}");
        }
    }

    #[test]
    fn more_ranges_than_the_limit_are_answered_whole() {
        let ranges = |count: usize| {
            let members: Vec<_> =
                (0..count).map(|part| format!("{}-{}", part * 10, part * 10)).collect();
            format!("bytes={}", members.join(","))
        };
        let most = asked_of_10_000(&ranges(RANGES_MAX));
        assert!(matches!(most, Ranges::Multiple(parts) if parts.len() == RANGES_MAX));
        assert_eq!(asked_of_10_000(&ranges(RANGES_MAX + 1)), Ranges::Whole);
    }

    #[test]
    fn only_a_single_line_on_get_of_a_200_asks_for_a_part() {
        let mut request = HeaderMap::from_iter([(RANGE, "bytes=0-1".parse().unwrap())]);
        for (method, status, expected) in [
            (Method::GET, StatusCode::OK, single(0, 1)),
            (Method::HEAD, StatusCode::OK, Ranges::Whole),
            (Method::GET, StatusCode::NOT_FOUND, Ranges::Whole),
        ] {
            let selected = evaluate(&method, &request, status, &NO_VALIDATORS, 10);
            assert_eq!(selected, expected, "{method} {status}");
        }
        request.append(RANGE, "bytes=0-1".parse().unwrap());
        let selected = evaluate(&Method::GET, &request, StatusCode::OK, &NO_VALIDATORS, 10);
        assert_eq!(selected, Ranges::Whole);
    }

    #[test]
    fn if_range_needs_a_strong_match() {
        for (etag, date, condition, is_part) in [
            (Some(r#""a""#), MODIFIED, r#""a""#, true),
            (Some(r#""a""#), MODIFIED, r#""b""#, false),
            (Some(r#"W/"a""#), MODIFIED, r#"W/"a""#, false),
            (Some(r#""a""#), MODIFIED, r#"W/"a""#, false),
            (Some("a"), MODIFIED, "a", false),
            (None, MODIFIED, r#""a""#, false),
            (None, SECOND_LATER, MODIFIED, true),
            (None, MODIFIED, MODIFIED, false),
            (None, SECOND_LATER, "Sunday, 06-Nov-94 08:49:37 GMT", false),
            (None, SECOND_LATER, SECOND_LATER, false),
            (None, SECOND_LATER, "", false),
        ] {
            let mut request = HeaderMap::new();
            request.append("range", "bytes=0-1".parse().unwrap());
            request.append("if-range", condition.parse().unwrap());
            let stored = Validators {
                etag: etag.map(str::as_bytes),
                last_modified: Some(MODIFIED.as_bytes()),
                date: Some(date.as_bytes()),
                received: Timestamp::MAX,
                has_codings: false,
            };
            let expected = if is_part { single(0, 1) } else { Ranges::Whole };
            let selected = evaluate(&Method::GET, &request, StatusCode::OK, &stored, 10);
            assert_eq!(selected, expected, "{etag:?} {date} {condition}");
            let one_of_several = Validators { has_codings: true, ..stored };
            let is_part = is_part && condition.contains('"');
            let expected = if is_part { single(0, 1) } else { Ranges::Whole };
            let selected = evaluate(&Method::GET, &request, StatusCode::OK, &one_of_several, 10);
            assert_eq!(selected, expected, "{etag:?} {date} {condition}, with codings");
        }
    }

    fn check(selected: &Ranges, complete_length: u64) {
        let parts = match selected {
            Ranges::Single(part) => vec![*part],
            Ranges::Multiple(parts) => parts.to_vec(),
            Ranges::Whole | Ranges::Unsatisfiable => vec![],
        };
        for (position, part) in parts.iter().enumerate() {
            assert!(parts.iter().take(position).all(|earlier| !part.touches(*earlier)));
        }
        assert!(
            parts.iter().all(|part| part.first() <= part.last() && part.last() < complete_length)
        );
        assert!(
            parts.len() < 2 || parts.iter().map(|part| part.len()).sum::<u64>() < complete_length
        );
    }

    proptest! {
        #[test]
        fn parts_lie_within_the_content(
            range in "bytes=([0-9]{0,3}-[0-9]{0,3},?){1,20}", complete_length in 0_u64..2000,
        ) {
            check(&asked(range.parse().unwrap(), complete_length), complete_length);
        }

        #[test]
        fn any_bytes_are_evaluated(value in any::<Vec<u8>>(), complete_length in any::<u64>()) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                check(&asked(value, complete_length), complete_length);
            }
        }
    }
}
