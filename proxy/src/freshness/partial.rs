//! Combining parts (RFC 9111 §3.4, RFC 9110 §15.3.7.3): which parts make one, what is missing, and
//! whether two responses speak of the same bytes.
//!
//! One contiguous part is all that is dealt with: with a hole in it, it would be two.

use http::header::{AsHeaderName, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};

use crate::field::entity_tag::EntityTag;
use crate::field::http_date;
use process::timestamp::Timestamp;

/// The validator that identifies the bytes of a representation (RFC 9110 §8.8.1).
#[derive(Clone, Copy, Debug)]
pub enum StrongValidator<'a> {
    /// An entity tag that is not weak.
    EntityTag(&'a HeaderValue),
    /// `Last-Modified`, where there is no entity tag.
    LastModified(&'a HeaderValue),
}

impl<'a> StrongValidator<'a> {
    /// The value as it was received: what `If-Range` asks with (RFC 9110 §13.1.5).
    pub const fn value(self) -> &'a HeaderValue {
        match self {
            Self::EntityTag(value) | Self::LastModified(value) => value,
        }
    }

    fn is_same(self, other: StrongValidator<'_>) -> bool {
        match (self, other) {
            (Self::EntityTag(one), StrongValidator::EntityTag(other)) => {
                EntityTag::of(one.as_bytes()).strongly_equals(EntityTag::of(other.as_bytes()))
            }
            (Self::LastModified(one), StrongValidator::LastModified(other)) => one == other,
            (Self::EntityTag(_), StrongValidator::LastModified(_))
            | (Self::LastModified(_), StrongValidator::EntityTag(_)) => false,
        }
    }
}

/// Returns the strong validator of a head.
///
/// A weak entity tag is none, and hides `Last-Modified`: the origin server has said that the bytes
/// may differ. `Last-Modified` is strong when it lies a second or more before `Date` (RFC 9110
/// §8.8.2.2). `received` is when the head arrived; it decides the century of two-digit years.
pub fn strong_validator(headers: &HeaderMap, received: Timestamp) -> Option<StrongValidator<'_>> {
    if headers.contains_key(ETAG) {
        let etag = only_line(headers, ETAG)?;
        let is_strong = !EntityTag::of(etag.as_bytes()).is_weak();
        return is_strong.then_some(StrongValidator::EntityTag(etag));
    }
    let value = only_line(headers, LAST_MODIFIED)?;
    let modified = http_date::parse(value.as_bytes(), received)?;
    let date = http_date::field(headers, http::header::DATE, received)?;
    (modified < date).then_some(StrongValidator::LastModified(value))
}

//= https://www.rfc-editor.org/rfc/rfc9111#section-3.4
//# A cache MAY complete a stored incomplete response by making a
//# subsequent range request (Section 14.2 of [HTTP]) and combining the
//# successful response with the stored response, as defined in
//# Section 15.3.7.3 of [HTTP].
//= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.3
//# A client that has received multiple partial responses to GET requests
//# on a target resource MAY combine those responses into a larger
//# continuous range if they share the same strong validator.
/// Returns whether parts of both may be put together: they have equal entity tags by strong
/// comparison (RFC 9110 §8.8.3.2), or none and the same strong `Last-Modified`.
///
/// `received` is when the later one arrived.
pub fn same_strong_validator(one: &HeaderMap, other: &HeaderMap, received: Timestamp) -> bool {
    let validators = strong_validator(one, received).zip(strong_validator(other, received));
    validators.is_some_and(|(one, other)| one.is_same(other))
}

/// Two lines contradict each other.
fn only_line(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(name).into_iter();
    lines.next().filter(|_| lines.next().is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{same_strong_validator, strong_validator};
    use crate::field::content_range::ContentRange;
    use crate::freshness::tests::{NOW, NOW_DATE, headers};

    const SECOND_EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn part(first: u64, last: u64) -> ContentRange {
        ContentRange::new(first, last, Some(10)).unwrap()
    }

    #[test]
    fn parts_that_overlap_or_touch_become_one() {
        for (one, other, expected) in [
            (part(0, 4), part(5, 9), Some(part(0, 9))),
            (part(0, 4), part(3, 7), Some(part(0, 7))),
            (part(2, 3), part(0, 9), Some(part(0, 9))),
            (part(2, 3), part(2, 3), Some(part(2, 3))),
            (part(0, 3), part(5, 9), None),
        ] {
            assert_eq!(one.union(other), expected);
            assert_eq!(other.union(one), expected);
        }
    }

    #[test]
    fn parts_of_wholes_of_different_length_stay_apart() {
        let unknown = ContentRange::new(5, 7, None).unwrap();
        let longer = ContentRange::new(5, 9, Some(11)).unwrap();
        let behind_the_end = ContentRange::new(5, 10, None).unwrap();
        assert_eq!(part(0, 4).union(longer), None);
        assert_eq!(part(0, 4).union(unknown), Some(part(0, 7)));
        assert_eq!(unknown.union(part(0, 4)), Some(part(0, 7)));
        assert_eq!(part(0, 4).union(behind_the_end), None);
        assert_eq!(unknown.union(unknown), Some(unknown));
    }

    #[test]
    fn one_gap_is_named_and_two_are_not() {
        for (stored, gap, is_whole) in [
            (part(0, 9), None, true),
            (part(0, 8), Some(part(9, 9)), false),
            (part(4, 9), Some(part(0, 3)), false),
            (part(1, 8), None, false),
            (ContentRange::new(0, 8, None).unwrap(), None, false),
        ] {
            assert_eq!(stored.missing(), gap, "{stored:?}");
            assert_eq!(stored.is_whole(), is_whole, "{stored:?}");
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.3
    //= type=test
    //# A client that has received multiple partial responses to GET requests
    //# on a target resource MAY combine those responses into a larger
    //# continuous range if they share the same strong validator.
    #[test]
    fn only_the_same_strong_validator_joins_parts() {
        let date = ("date", NOW_DATE);
        let (strong, weak) = (("last-modified", SECOND_EARLIER), ("last-modified", NOW_DATE));
        for (one, other, expected) in [
            (&[("etag", "\"a\"")][..], &[("etag", "\"a\"")][..], true),
            (&[("etag", "\"a\"")], &[("etag", "\"b\"")], false),
            (&[("etag", "W/\"a\"")], &[("etag", "W/\"a\"")], false),
            (&[("etag", "\"a\"")], &[("etag", "W/\"a\"")], false),
            (&[("etag", "a")], &[("etag", "a")], false),
            (&[("etag", "\"a\""), ("etag", "\"a\"")], &[("etag", "\"a\"")], false),
            (&[("etag", "\"a\""), strong, date], &[strong, date], false),
            (&[("etag", "W/\"a\""), strong, date], &[("etag", "W/\"a\""), strong, date], false),
            (&[strong, date], &[strong, date], true),
            (&[weak, date], &[weak, date], false),
            (&[strong, date], &[strong], false),
            (&[strong, strong, date], &[strong, date], false),
            (&[("last-modified", "x"), date], &[("last-modified", "x"), date], false),
            (&[], &[], false),
        ] {
            let (one, other) = (headers(one), headers(other));
            assert_eq!(same_strong_validator(&one, &other, NOW), expected, "{one:?} {other:?}");
            assert_eq!(same_strong_validator(&other, &one, NOW), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_strong_validator_is_what_if_range_asks_with() {
        let head = headers(&[("last-modified", SECOND_EARLIER), ("date", NOW_DATE)]);
        assert_eq!(strong_validator(&head, NOW).unwrap().value(), SECOND_EARLIER);
        let head = headers(&[("etag", "\"a\""), ("last-modified", SECOND_EARLIER)]);
        assert_eq!(strong_validator(&head, NOW).unwrap().value(), "\"a\"");
    }

    proptest! {
        #[test]
        fn a_part_and_its_gap_are_the_whole(
            first in any::<u64>(), last in any::<u64>(), complete in any::<u64>(),
        ) {
            if let Some(part) = ContentRange::new(first, last, Some(complete)) {
                let whole = part.missing().and_then(|gap| part.union(gap));
                assert!(whole.is_none_or(ContentRange::is_whole));
                let has_one_gap = !part.is_whole() && (first == 0 || last == complete - 1);
                assert_eq!(whole.is_some(), has_one_gap);
            }
        }

        #[test]
        fn a_union_holds_both(
            one in (0_u64..40, 0_u64..40), other in (0_u64..40, 0_u64..40),
        ) {
            let part = |(first, last)| ContentRange::new(first, last, Some(40));
            let (Some(one), Some(other)) = (part(one), part(other)) else { return Ok(()) };
            let in_either = (0..40).filter(|byte| {
                [one, other].iter().any(|part| (part.first()..=part.last()).contains(byte))
            });
            match one.union(other) {
                Some(union) => assert!(in_either.eq(union.first()..=union.last())),
                None => assert!(one.last() + 1 < other.first() || other.last() + 1 < one.first()),
            }
        }
    }
}
