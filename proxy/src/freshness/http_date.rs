//! `HTTP-date` (RFC 9110 §5.6.7) as a [`Timestamp`]: all three formats in, IMF-fixdate out.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use http::header::{AsHeaderName, HeaderMap};

use crate::timestamp::Timestamp;

/// Reads a date as a cache does: in any case, and in GMT only (RFC 9111 §4.2).
///
/// `now` decides the century of a two-digit year. What is no date, or lies before 1970, is `None`.
pub fn parse(value: &[u8], now: Timestamp) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?.trim_ascii();
    let is_printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if text.len() > LONGEST || !is_printable {
        return None;
    }
    parse_capitalized(text, now).or_else(|| parse_capitalized(&capitalize(text), now))
}

/// Reads the first line of a field; a missing or invalid one is `None`.
pub fn field<N: AsHeaderName>(headers: &HeaderMap, name: N, now: Timestamp) -> Option<Timestamp> {
    parse(headers.get(name)?.as_bytes(), now)
}

/// Returns the field value for a moment, as IMF-fixdate; what lies after the year 9999 becomes its
/// end.
pub fn format(moment: Timestamp) -> HeaderValue {
    let secs = moment.as_secs().min(LAST_SECOND_OF_9999);
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(secs));
    HeaderValue::try_from(date)
        .expect("a formatted date is letters, digits, spaces, commas and colons")
}

fn parse_capitalized(text: &str, now: Timestamp) -> Option<Timestamp> {
    if text.contains('-') {
        return parse_rfc850(text, now);
    }
    httpdate::parse_http_date(text).ok().map(Timestamp::from)
}

//= https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
//# Recipients of a timestamp value in rfc850-date format, which uses a
//# two-digit year, MUST interpret a timestamp that appears to be more
//# than 50 years in the future as representing the most recent year in
//# the past that had the same last two digits.
fn parse_rfc850(text: &str, now: Timestamp) -> Option<Timestamp> {
    let in_century = |century| {
        let date = httpdate::parse_http_date(&rfc850_as_imf_fixdate(text, century)?).ok()?;
        Some(Timestamp::from(date))
    };
    in_century("20").filter(|date| *date <= now.plus(FIFTY_YEARS)).or_else(|| in_century("19"))
}

/// Rewrites `Sunday, 06-Nov-94 08:49:37 GMT` as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn rfc850_as_imf_fixdate(text: &str, century: &str) -> Option<String> {
    let (weekday, date_and_time) = text.split_once(", ")?;
    let (day, rest) = date_and_time.split_once('-')?;
    let (month, rest) = rest.split_once('-')?;
    let (year, time) = rest.split_once(' ')?;
    if !DAY_NAMES.contains(&weekday) || year.len() != 2 {
        return None;
    }
    Some(format!("{}, {day} {month} {century}{year} {time}", weekday.get(..3)?))
}

/// Writes words as `Sun` and the zone as `GMT`, whatever their case.
fn capitalize(text: &str) -> String {
    let mut after_letter = false;
    let mut words: String = text
        .chars()
        .map(|letter| {
            let lower = std::mem::replace(&mut after_letter, letter.is_ascii_alphabetic());
            if lower { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() }
        })
        .collect();
    if let Some(length) = words.strip_suffix("Gmt").map(str::len) {
        words.truncate(length);
        words.push_str("GMT");
    }
    words
}

/// As RFC 850 spells them.
const DAY_NAMES: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// `Wednesday, 06-Nov-94 08:49:37 GMT` has 33 characters.
const LONGEST: usize = 40;

const FIFTY_YEARS: Duration = Duration::from_hours(50 * 8766);

const LAST_SECOND_OF_9999: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{format, parse};
    use crate::timestamp::Timestamp;

    /// 2026-11-22.
    const NOW: Timestamp = Timestamp::from_secs(1_795_305_600);

    fn secs(text: &str) -> Option<u64> {
        parse(text.as_bytes(), NOW).map(Timestamp::as_secs)
    }

    //= https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
    //= type=test
    //# A recipient that parses a timestamp value in an HTTP field MUST accept
    //# all three HTTP-date formats.
    #[test]
    fn three_formats_are_accepted_in_any_case() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "sun, 06 nov 1994 08:49:37 gmt",
            "SUNDAY, 06-NOV-94 08:49:37 GMT",
            "SUN NOV  6 08:49:37 1994",
            " Sun, 06 Nov 1994 08:49:37 GMT ",
        ] {
            assert_eq!(secs(text), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_in_gmt_is_refused() {
        for text in [
            "",
            "0",
            "-1",
            "never",
            "1994-11-06T08:49:37Z",
            "Sun, 06 Nov 1994 08:49:37 PST",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49:37",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun]day, 06-Nov-94 08:49:37 GMT",
            "Sunnyday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT\u{3000}",
            "\u{b}Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
        ] {
            assert_eq!(secs(text), None, "{text}");
        }
    }

    #[test]
    fn a_two_digit_year_is_at_most_50_years_ahead() {
        assert_eq!(
            secs("Wednesday, 01-Jan-70 00:00:00 GMT"),
            secs("Wed, 01 Jan 2070 00:00:00 GMT")
        );
        assert_eq!(
            secs("Friday, 01-Jan-77 00:00:00 GMT"),
            None,
            "2077 is too far, 1977 began on a Saturday"
        );
        assert_eq!(secs("Saturday, 01-Jan-77 00:00:00 GMT"), secs("Sat, 01 Jan 1977 00:00:00 GMT"));
        assert_eq!(secs("Tuesday, 01-Jan-30 00:00:00 GMT"), secs("Tue, 01 Jan 2030 00:00:00 GMT"));
    }

    #[test]
    fn a_moment_is_written_as_imf_fixdate() {
        assert_eq!(
            format(Timestamp::from_millis(784_111_777_999)),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
        assert_eq!(format(Timestamp::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    proptest! {
        #[test]
        fn dates_survive_a_round_trip(secs in 0_u64..253_402_300_800) {
            let moment = Timestamp::from_secs(secs);
            assert_eq!(parse(format(moment).as_bytes(), NOW), Some(moment));
        }

        #[test]
        fn any_bytes_are_read(value in any::<Vec<u8>>()) {
            parse(&value, NOW);
        }

        #[test]
        fn anything_like_a_date_is_read(
            day in "[A-Z][a-z]{2,8},? [0-9]{1,3}[- ][A-Z][a-z]{2}[- ][0-9]{1,5}",
            time in "[0-9]{2}:[0-9]{2}:[0-9]{2}( GMT)?",
        ) {
            parse(format!("{day} {time}").as_bytes(), NOW);
        }
    }
}
