//! `HTTP-date` (RFC 9110 §5.6.7) as a [`Timestamp`]: all three formats in, IMF-fixdate out.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use http::header::{AsHeaderName, HeaderMap};

use process::timestamp::Timestamp;

/// Reads a date as a cache does: in any case, in GMT only (RFC 9111 §4.2), and by the fields that
/// carry time. That the day of the week is another one than the date's does not matter.
///
/// `now` decides the century of a two-digit year. What is no date, or lies before 1970, is `None`.
pub fn parse(value: &[u8], now: Timestamp) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?.trim_ascii();
    let is_printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if text.len() > LONGEST || !is_printable {
        return None;
    }
    let first = text.find([',', ' '])?;
    let (day_name, rest) = text.split_at_checked(first)?;
    let is_day = |name: &&str| name.eq_ignore_ascii_case(day_name);
    let is_short = DAY_NAMES.iter().filter_map(|name| name.get(..3)).any(|name| is_day(&name));
    let is_long = DAY_NAMES.iter().any(is_day);
    match rest.strip_prefix(", ") {
        Some(rest) if is_short => Moment::of_imf_fixdate(rest)?.timestamp(),
        Some(rest) if is_long => Moment::of_rfc850(rest, now)?.timestamp(),
        None if is_short => Moment::of_asctime(rest.strip_prefix(' ')?)?.timestamp(),
        _ => None,
    }
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

/// A date and a time of day in GMT.
#[derive(Clone, Copy, Debug)]
struct Moment {
    year: u64,
    month: u64,
    day: u64,
    secs_of_day: u64,
}

impl Moment {
    /// Reads `06 Nov 1994 08:49:37 GMT`.
    fn of_imf_fixdate(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (day, month, year) = (words.next()?, words.next()?, words.next()?);
        let secs_of_day = time_of_day(words.next()?)?;
        let is_whole = words.next()?.eq_ignore_ascii_case("GMT") && words.next().is_none();
        let (year, month, day) = (number(year, 4)?, month_of(month)?, number(day, 2)?);
        is_whole.then_some(Self { year, month, day, secs_of_day })
    }

    /// Reads `06-Nov-94 08:49:37 GMT`.
    //= https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
    //# Recipients of a timestamp value in rfc850-date format, which uses a
    //# two-digit year, MUST interpret a timestamp that appears to be more
    //# than 50 years in the future as representing the most recent year in
    //# the past that had the same last two digits.
    fn of_rfc850(text: &str, now: Timestamp) -> Option<Self> {
        let mut words = text.split(' ');
        let mut date = words.next()?.split('-');
        let (day, month, year) = (date.next()?, date.next()?, date.next()?);
        let secs_of_day = time_of_day(words.next()?)?;
        let is_whole = words.next()?.eq_ignore_ascii_case("GMT")
            && words.next().is_none()
            && date.next().is_none();
        let (year, month, day) = (number(year, 2)?, month_of(month)?, number(day, 2)?);
        let later = Self { year: 2000 + year, month, day, secs_of_day };
        let is_near = later.timestamp().is_some_and(|it| it <= now.plus(FIFTY_YEARS));
        let moment = if is_near { later } else { Self { year: 1900 + year, ..later } };
        is_whole.then_some(moment)
    }

    /// Reads `Nov  6 08:49:37 1994`.
    fn of_asctime(text: &str) -> Option<Self> {
        let (month, rest) = text.split_once(' ')?;
        let (day, rest) = rest.split_at_checked(2)?;
        let day = day.strip_prefix(' ').map_or_else(|| number(day, 2), |day| number(day, 1))?;
        let (time, year) = rest.strip_prefix(' ')?.split_once(' ')?;
        let (year, month) = (number(year, 4)?, month_of(month)?);
        Some(Self { year, month, day, secs_of_day: time_of_day(time)? })
    }

    /// The moment, unless there is no such day, or it lies before 1970.
    fn timestamp(self) -> Option<Timestamp> {
        let Self { year, month, day, secs_of_day } = self;
        let is_leap =
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let length = match month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if day == 0 || day > length || year < 1970 {
            return None;
        }
        // Years that begin in March, so that the leap day is the last one (proleptic Gregorian
        // calendar).
        let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let leap_days = years / 4 - years / 100 + years / 400;
        let days = years * 365 + leap_days + (months * 153 + 2) / 5 + day - 1;
        let days = days.checked_sub(DAYS_UNTIL_1970)?;
        Some(Timestamp::from_secs(days * 86_400 + secs_of_day))
    }
}

/// Reads `08:49:37`.
fn time_of_day(text: &str) -> Option<u64> {
    let mut parts = text.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    let is_one = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
    is_one.then_some(hour * 3600 + minute * 60 + second)
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn month_of(name: &str) -> Option<u64> {
    (1..).zip(MONTHS).find_map(|(number, month)| name.eq_ignore_ascii_case(month).then_some(number))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// From the first of March of the year 0 to the beginning of 1970.
const DAYS_UNTIL_1970: u64 = 719_468;
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
    use process::timestamp::Timestamp;

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
    fn the_day_of_the_week_need_not_be_that_of_the_date() {
        for (text, same) in [
            ("Thu Aug  8 02:01:18 2050", "Mon, 08 Aug 2050 02:01:18 GMT"),
            ("Mon, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("Monday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ] {
            assert!(secs(text).is_some(), "{text}");
            assert_eq!(secs(text), secs(same), "{text}");
        }
    }

    #[test]
    fn days_that_no_month_has_are_refused() {
        for (text, is_date) in [
            ("Sun, 29 Feb 2000 00:00:00 GMT", true),
            ("Sun, 29 Feb 2024 00:00:00 GMT", true),
            ("Sun, 29 Feb 2023 00:00:00 GMT", false),
            ("Sun, 29 Feb 2100 00:00:00 GMT", false),
            ("Sun, 31 Apr 2024 00:00:00 GMT", false),
            ("Sun, 31 Dec 2024 23:59:59 GMT", true),
            ("Sun, 00 Dec 2024 00:00:00 GMT", false),
            ("Sun, 01 Dec 2024 23:60:00 GMT", false),
        ] {
            assert_eq!(secs(text).is_some(), is_date, "{text}");
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
            secs("Sat, 01 Jan 1977 00:00:00 GMT"),
            "2077 is too far"
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
