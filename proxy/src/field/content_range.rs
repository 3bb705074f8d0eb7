//! `Content-Range` (RFC 9110 §14.4): which bytes of which whole a part is.
//!
//! Read strictly: what does not follow the grammar to the letter is no part that could be combined
//! with another (`partial`), since a wrong guess would give clients wrong bytes.

use std::fmt;

use http::header::{CONTENT_RANGE, HeaderMap};

/// The place of a part within the whole, never empty.
///
/// Invariant: `first` <= `last` < `complete`, or < [`u64::MAX`] where that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    first: u64,
    last: u64,
    complete: Option<u64>,
}

impl ContentRange {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-14.4
    //# A Content-Range field value is invalid if it contains a range-resp
    //# that has a last-pos value less than its first-pos value, or a
    //# complete-length value less than or equal to its last-pos value.
    //# The recipient of an invalid Content-Range MUST NOT attempt to
    //# recombine the received content with a stored representation.
    /// Joins the positions of the first and the last byte and the length of the whole, if it is
    /// known.
    pub fn new(first: u64, last: u64, complete: Option<u64>) -> Option<Self> {
        let is_valid = first <= last && last < complete.unwrap_or(u64::MAX);
        is_valid.then_some(Self { first, last, complete })
    }

    /// Reads the field; without exactly one valid line there is none.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(CONTENT_RANGE).into_iter();
        match (lines.next(), lines.next()) {
            (Some(line), None) => Self::parse(line.as_bytes()),
            (None, _) | (Some(_), Some(_)) => None,
        }
    }

    /// Reads `bytes first-last/complete`, where `complete` may be `*`.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (range, complete) = split_at_byte(bytes_unit(value)?, b'/')?;
        let (first, last) = split_at_byte(range, b'-')?;
        let complete = if complete == b"*" { None } else { Some(number(complete)?) };
        Self::new(number(first)?, number(last)?, complete)
    }

    pub const fn first(self) -> u64 {
        self.first
    }

    pub const fn last(self) -> u64 {
        self.last
    }

    /// The length of the whole, if it is known.
    pub const fn complete(self) -> Option<u64> {
        self.complete
    }

    /// The number of bytes, at least one.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub const fn len(self) -> u64 {
        self.last - self.first + 1
    }

    /// Returns whether nothing is missing: it is as long as the whole, whose length is known.
    pub fn is_whole(self) -> bool {
        self.complete() == Some(self.len())
    }

    /// Returns both as one part where they overlap or touch.
    ///
    /// Different lengths of the whole mean different representations; an unknown one is learned
    /// from the other. The caller has made sure that both share a
    /// strong validator.
    pub fn union(self, other: Self) -> Option<Self> {
        let complete = match (self.complete(), other.complete()) {
            (Some(one), Some(another)) if one != another => return None,
            (one, another) => one.or(another),
        };
        // The invariant keeps positions below the greatest number.
        let touch = self.first() <= other.last() + 1 && other.first() <= self.last() + 1;
        if !touch {
            return None;
        }
        Self::new(self.first().min(other.first()), self.last().max(other.last()), complete)
    }

    /// Returns the one gap before or behind this part that is between it and the whole.
    ///
    /// None where nothing is missing, where there are two gaps, and where the length of the whole
    /// is not known.
    pub fn missing(self) -> Option<Self> {
        let complete = self.complete()?;
        let before =
            self.first().checked_sub(1).and_then(|last| Self::new(0, last, Some(complete)));
        let behind = Self::new(self.last() + 1, complete.saturating_sub(1), Some(complete));
        match (before, behind) {
            (Some(gap), None) | (None, Some(gap)) => Some(gap),
            (None, None) | (Some(_), Some(_)) => None,
        }
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}-{}/", self.first, self.last)?;
        match self.complete {
            Some(complete) => complete.fmt(f),
            None => f.write_str("*"),
        }
    }
}

/// Returns what follows the unit and one space. Names of units are case-insensitive (§14.1).
fn bytes_unit(value: &[u8]) -> Option<&[u8]> {
    let (unit, rest) = split_at_byte(value, b' ')?;
    unit.eq_ignore_ascii_case(b"bytes").then_some(rest)
}

fn split_at_byte(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let mut halves = text.splitn(2, |byte| *byte == separator);
    halves.next().zip(halves.next())
}

/// Reads `1*DIGIT`. Too large a number is none: saturated, it would name another byte.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let value = char::from(*digit).to_digit(10)?;
        sum.checked_mul(10)?.checked_add(u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::ContentRange;
    use crate::freshness::tests::headers;

    type Numbers = (u64, u64, Option<u64>);

    fn parsed(value: &[u8]) -> Option<Numbers> {
        ContentRange::parse(value).map(|range| (range.first(), range.last(), range.complete()))
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for (value, expected, length) in [
            ("bytes 42-1233/1234", (42, 1233, Some(1234)), 1192),
            ("bytes 42-1233/*", (42, 1233, None), 1192),
            ("Bytes 0-0/1", (0, 0, Some(1)), 1),
            ("bytes 00-09/010", (0, 9, Some(10)), 10),
            (
                "bytes 0-18446744073709551613/18446744073709551614",
                (0, u64::MAX - 2, Some(u64::MAX - 1)),
                u64::MAX - 1,
            ),
            (
                "bytes 0-18446744073709551614/18446744073709551615",
                (0, u64::MAX - 1, Some(u64::MAX)),
                u64::MAX,
            ),
        ] {
            assert_eq!(parsed(value.as_bytes()), Some(expected), "{value}");
            assert_eq!(ContentRange::parse(value.as_bytes()).unwrap().len(), length, "{value}");
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc9110#section-14.4
    //= type=test
    //# A Content-Range field value is invalid if it contains a range-resp
    //# that has a last-pos value less than its first-pos value, or a
    //# complete-length value less than or equal to its last-pos value.
    #[test]
    fn what_is_not_to_the_letter_is_invalid() {
        for value in [
            "",
            "bytes",
            "bytes ",
            "bytes 2-1/10",
            "bytes 0-9/9",
            "bytes 0-10/10",
            "bytes 0-0/0",
            "bytes 0-18446744073709551615/*",
            "bytes 0-18446744073709551616/*",
            "bytes 0-1/18446744073709551616",
            "bytes 0-1",
            "bytes 0-1/",
            "bytes -1/10",
            "bytes 0-/10",
            "bytes -/10",
            "bytes */10",
            "bytes */*",
            "bytes 0-1/**",
            "bytes 0-1/10 ",
            " bytes 0-1/10",
            "bytes  0-1/10",
            "bytes\t0-1/10",
            "bytes=0-1/10",
            "bytes 0 - 1/10",
            "bytes 0-1 /10",
            "bytes 0-1/ 10",
            "bytes +0-1/10",
            "bytes 0--1/10",
            "bytes 0-1/10/10",
            "bytes 0-1/10, 3-4/10",
            "bytes 0x0-1/10",
            "lines 0-1/10",
        ] {
            assert_eq!(parsed(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn two_lines_say_nothing() {
        let line = ("content-range", "bytes 0-1/10");
        assert_eq!(ContentRange::of(&headers(&[line])), ContentRange::new(0, 1, Some(10)));
        assert_eq!(ContentRange::of(&headers(&[line, line])), None);
        assert_eq!(ContentRange::of(&headers(&[])), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(value in any::<Vec<u8>>()) {
            if let Some(range) = ContentRange::parse(&value) {
                assert!(range.len() > 0);
            }
        }

        #[test]
        fn what_is_written_is_read(
            first in any::<u64>(), last in any::<u64>(), complete in any::<Option<u64>>(),
        ) {
            let text = complete.map_or_else(|| "*".to_owned(), |complete| complete.to_string());
            let expected = ContentRange::new(first, last, complete);
            assert_eq!(ContentRange::parse(format!("bytes {first}-{last}/{text}").as_bytes()), expected);
            if let Some(range) = expected {
                assert!(range.len() > 0 && range.first() <= range.last());
            }
        }
    }
}
