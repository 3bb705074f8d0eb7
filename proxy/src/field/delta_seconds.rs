//! `delta-seconds` (RFC 9111 §1.2.2): a non-negative number of seconds that saturates instead of
//! overflowing.

use std::time::Duration;

/// Whole seconds, at most [`DeltaSeconds::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeltaSeconds(u32);

impl DeltaSeconds {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    //= https://www.rfc-editor.org/rfc/rfc9111#section-1.2.2
    //# If a cache receives a delta-seconds value greater than the greatest
    //# integer it can represent, or if any of its subsequent calculations
    //# overflows, the cache MUST consider the value to be 2147483648 (2^31)
    //# or the greatest positive integer it can conveniently represent.
    /// 2^31 seconds, about 68 years.
    pub const MAX: Self = Self(1 << 31);

    /// Returns this many seconds, saturated.
    pub const fn from_secs(secs: u64) -> Self {
        if secs < Self::MAX.0 as u64 {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the line above bounds it by 2^31"
            )]
            return Self(secs as u32);
        }
        Self::MAX
    }

    /// Reads `1*DIGIT`. Anything else, and nothing, is `None`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let secs = text.iter().fold(0_u64, |secs, digit| {
            secs.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')))
        });
        Some(Self::from_secs(secs))
    }

    /// The number of seconds.
    pub const fn as_secs(self) -> u32 {
        self.0
    }

    /// The number of milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0 as u64 * 1000
    }
}

impl From<Duration> for DeltaSeconds {
    /// Fractions of a second are dropped: a lifetime is never longer than was asked for.
    fn from(duration: Duration) -> Self {
        Self::from_secs(duration.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::DeltaSeconds;

    #[test]
    fn only_digits_are_delta_seconds() {
        for (text, expected) in [
            ("0", Some(0)),
            ("60", Some(60)),
            ("0060", Some(60)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            (" 1", None),
            ("1 ", None),
            ("0x10", None),
            ("60s", None),
        ] {
            let parsed = DeltaSeconds::parse(text.as_bytes()).map(DeltaSeconds::as_secs);
            assert_eq!(parsed, expected, "{text:?}");
        }
    }

    #[test]
    fn overflow_saturates_at_two_to_the_31() {
        for text in
            ["2147483648", "2147483649", "4294967296", "18446744073709551616", &"9".repeat(500)]
        {
            assert_eq!(DeltaSeconds::parse(text.as_bytes()), Some(DeltaSeconds::MAX), "{text}");
        }
        assert_eq!(
            DeltaSeconds::parse(b"2147483647").map(DeltaSeconds::as_secs),
            Some(2_147_483_647)
        );
    }
}
