//! `Range` and `Content-Range` (RFC 9110 §14): the grammar, and the bytes that it names.

use http::Method;
use http::header::{HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use smallvec::SmallVec;

use crate::field::content_range::ContentRange;

/// A part of the content, never empty: `first` <= `last` < complete length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    first: u64,
    last: u64,
}

impl ByteRange {
    #[cfg(test)]
    pub(crate) const fn new(first: u64, last: u64) -> Self {
        Self { first, last }
    }

    pub fn first(self) -> u64 {
        self.first
    }

    pub fn last(self) -> u64 {
        self.last
    }

    /// The number of bytes, at least one: `Content-Length` of a single part.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(self) -> u64 {
        self.last - self.first + 1
    }

    /// Returns `Content-Range` of this part (RFC 9110 §14.4).
    pub fn content_range(self, complete_length: u64) -> HeaderValue {
        field_value(format!("bytes {}-{}/{complete_length}", self.first, self.last))
    }

    /// Returns whether both have a byte in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Returns whether both are one part together, without a gap.
    pub fn touches(self, other: Self) -> bool {
        self.first <= other.last.saturating_add(1) && other.first <= self.last.saturating_add(1)
    }

    /// Returns the smallest part that holds both.
    #[must_use]
    pub fn joined_with(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

/// Returns `Content-Range` of a 416 (RFC 9110 §15.5.17).
pub fn unsatisfied_range(complete_length: u64) -> HeaderValue {
    field_value(format!("bytes */{complete_length}"))
}

pub const RANGES_MAX: usize = 16;

/// One `range-spec` (RFC 9110 §14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RangeSpec {
    /// From one byte up to another, or to the end where that is `u64::MAX`.
    From { first: u64, last: u64 },
    /// The last bytes.
    Suffix { length: u64 },
}

impl RangeSpec {
    /// Returns the range of a GET that asks for one range and has no condition.
    pub fn only_one(method: &Method, request_headers: &HeaderMap) -> Option<Self> {
        let mut lines = request_headers.get_all(RANGE).into_iter();
        let (Some(line), None) = (lines.next(), lines.next()) else { return None };
        let is_plain = method == Method::GET
            && [IF_RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE]
                .iter()
                .all(|condition| !request_headers.contains_key(condition));
        match *parse(line.as_bytes()).filter(|_| is_plain)?.as_slice() {
            [spec] => Some(spec),
            _ => None,
        }
    }

    /// Returns the bytes that it asks of content of this length. A suffix of nothing, or a start
    /// behind the end, asks for none.
    pub fn of(self, complete_length: u64) -> Option<ByteRange> {
        let end = complete_length.checked_sub(1)?;
        match self {
            Self::From { first, last } => {
                (first <= end).then(|| ByteRange { first, last: last.min(end) })
            }
            Self::Suffix { length: 0 } => None,
            Self::Suffix { length } => {
                Some(ByteRange { first: complete_length.saturating_sub(length), last: end })
            }
        }
    }

    /// Returns whether all bytes that it asks for are in this part.
    pub fn is_within(self, part: ContentRange) -> bool {
        let asked = part.complete().and_then(|complete| self.of(complete));
        asked.is_some_and(|asked| part.first() <= asked.first() && asked.last() <= part.last())
    }

    pub fn field(self) -> HeaderValue {
        field_value(match self {
            Self::From { first, last: u64::MAX } => format!("bytes={first}-"),
            Self::From { first, last } => format!("bytes={first}-{last}"),
            Self::Suffix { length } => format!("bytes=-{length}"),
        })
    }
}

/// Returns whether a `Range` field asks for more than one range.
pub fn is_multiple(request_headers: &HeaderMap) -> bool {
    let mut lines = request_headers.get_all(RANGE).into_iter();
    let first = lines.next().is_some_and(|line| line.as_bytes().contains(&b','));
    first || lines.next().is_some()
}

/// Reads `bytes=1#range-spec`; `None` for an unknown unit, an invalid member, or too many.
pub fn parse(value: &[u8]) -> Option<SmallVec<[RangeSpec; 4]>> {
    let equals = value.iter().position(|byte| *byte == b'=')?;
    let (unit, set) = value.split_at_checked(equals)?;
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut specs = SmallVec::new();
    for member in set.strip_prefix(b"=")?.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        if specs.len() == RANGES_MAX {
            return None;
        }
        if !member.is_empty() {
            specs.push(parse_spec(member)?);
        }
    }
    Some(specs).filter(|specs| !specs.is_empty())
}

//= https://www.rfc-editor.org/rfc/rfc9110#section-14.1.1
//# An int-range is invalid if the last-pos value is present and less
//# than first-pos.
fn parse_spec(member: &[u8]) -> Option<RangeSpec> {
    let dash = member.iter().position(|byte| *byte == b'-')?;
    let (first, last) = member.split_at_checked(dash)?;
    let last = last.strip_prefix(b"-")?;
    if first.is_empty() {
        return Some(RangeSpec::Suffix { length: position(last)? });
    }
    let first = position(first)?;
    let last = if last.is_empty() { u64::MAX } else { position(last)? };
    (first <= last).then_some(RangeSpec::From { first, last })
}

/// Reads `1*DIGIT`; a number that is too large is behind every end.
fn position(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| {
        digits.iter().fold(0_u64, |sum, digit| {
            sum.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')))
        })
    })
}

fn field_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits, letters and punctuation only")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_range_names_the_part_and_the_whole() {
        let part = ByteRange { first: 42, last: 1233 };
        assert_eq!(part.content_range(1234), "bytes 42-1233/1234");
        assert_eq!(part.len(), 1192);
        assert_eq!(unsatisfied_range(1234), "bytes */1234");
    }
}
