//! `Der`: a reader of DER (X.690), as far as certificates and OCSP responses need one.
//!
//! It reads files of the operator, which rustls checks as well: what is malformed is `None`.

/// Bytes of which one element after another is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Der<'a>(&'a [u8]);

/// The identifier octet of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DerTag(u8);

impl DerTag {
    pub(super) const OCTETS: Self = Self(0x04);
    pub(super) const OID: Self = Self(0x06);
    pub(super) const ENUMERATED: Self = Self(0x0a);
    pub(super) const INTEGER: Self = Self(0x02);
    pub(super) const SEQUENCE: Self = Self(0x30);
    const UTC_TIME: Self = Self(0x17);
    const GENERALIZED_TIME: Self = Self(0x18);

    /// A constructed element with a number of its own meaning: `[number]`.
    pub(super) const fn context(number: u8) -> Self {
        Self(0xa0 | number)
    }

    /// A primitive one.
    pub(super) const fn primitive(number: u8) -> Self {
        Self(0x80 | number)
    }
}

impl<'a> Der<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Takes the next element: its tag and its content.
    pub(super) fn next(&mut self) -> Option<(DerTag, Self)> {
        let (tag, rest) = self.0.split_first()?;
        let (first, mut rest) = rest.split_first()?;
        let mut length = usize::from(*first);
        if length >= 0x80 {
            let (digits, after) = rest.split_at_checked(length - 0x80)?;
            if digits.len() > 4 {
                return None;
            }
            length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            rest = after;
        }
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((DerTag(*tag), Self(content)))
    }

    pub(super) fn elements(mut self) -> impl Iterator<Item = (DerTag, Self)> {
        std::iter::from_fn(move || self.next())
    }

    /// Takes the next element, which must have this tag.
    pub(super) fn take(&mut self, tag: DerTag) -> Option<Self> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    /// Takes the next element if it has this tag.
    pub(super) fn take_if(&mut self, tag: DerTag) -> Option<Self> {
        let mut ahead = *self;
        let content = ahead.take(tag)?;
        *self = ahead;
        Some(content)
    }

    /// Takes a time as seconds since 1970 (RFC 5280 §4.1.2.5).
    pub(super) fn time(&mut self) -> Option<u64> {
        let (tag, content) = self.next()?;
        let text = content.0.strip_suffix(b"Z")?;
        let (year, rest) = match tag {
            DerTag::UTC_TIME => {
                let (year, rest) = digits(text, 2)?;
                (if year < 50 { 2000 + year } else { 1900 + year }, rest)
            }
            DerTag::GENERALIZED_TIME => digits(text, 4)?,
            _ => return None,
        };
        let (month, rest) = digits(rest, 2)?;
        let (day, rest) = digits(rest, 2)?;
        let (hour, rest) = digits(rest, 2)?;
        let (minute, rest) = digits(rest, 2)?;
        let (second, _fraction) = digits(rest, 2)?;
        let seconds = (hour * 60 + minute) * 60 + second;
        Some(days_since_1970(year, month, day)? * 86_400 + seconds)
    }
}

fn digits(text: &[u8], count: usize) -> Option<(u64, &[u8])> {
    let (digits, rest) = text.split_at_checked(count)?;
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((number, rest))
}

/// The days of the Gregorian calendar; `None` before 1970.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    // A year begins in March, so that its last day may be the 29th of February.
    let (year, month) =
        if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400;
    (days + (153 * month + 2) / 5 + day).checked_sub(1)?.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(tag: u8, text: &str) -> Option<u64> {
        let length = u8::try_from(text.len()).unwrap();
        let bytes = [&[tag, length], text.as_bytes()].concat();
        Der::new(&bytes).time()
    }

    #[test]
    fn times_are_seconds_since_1970() {
        assert_eq!(time(0x17, "700101000000Z"), Some(0));
        assert_eq!(time(0x17, "260228235959Z"), Some(1_772_323_199));
        assert_eq!(time(0x18, "20240229120000Z"), Some(1_709_208_000));
        assert_eq!(time(0x18, "99991231235959Z"), Some(253_402_300_799));
        assert_eq!(time(0x17, "4912312359"), None);
        assert_eq!(time(0x04, "700101000000Z"), None);
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        let whole = [0x30, 0x82, 0x00, 0x03, 0x02, 0x01, 0x07];
        let mut der = Der::new(&whole);
        let mut inner = der.take(DerTag::SEQUENCE).unwrap();
        assert_eq!(inner.take(DerTag::INTEGER).unwrap().bytes(), [7]);
        assert!(der.bytes().is_empty());

        for length in 0..whole.len() {
            assert!(Der::new(&whole[..length]).take(DerTag::SEQUENCE).is_none());
        }
        assert!(Der::new(&[0x30, 0x85, 1, 1, 1, 1, 1]).take(DerTag::SEQUENCE).is_none());
    }
}
